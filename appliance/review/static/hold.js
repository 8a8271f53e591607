// Says that this reader has the study open, again while a hand moves here, and tells who else has it.
import { say } from "./words.js";

const PERIOD_MS = 5_000;
const here = document.getElementById("held");
const holder = document.getElementById("holder");
const check = document.querySelector("input[name=check]")?.value ?? "";
let moved = performance.now();
let told = -1;
let mine = here?.dataset.mine === "yes";

for (const kind of ["pointermove", "pointerdown", "keydown", "wheel"])
  addEventListener(kind, () => { moved = performance.now(); }, { passive: true, capture: true });

async function ask() {
  if (document.hidden) return;
  const active = mine && moved > told;
  const sent = { cache: "no-store", ...(active ? { method: "POST", body: new URLSearchParams({ check }) } : {}) };
  try {
    const answer = await fetch(here.dataset.source, sent);
    if (!answer.ok) return; // pulse.js leaves the page when the session is over
    const now = await answer.json();
    if (active) told = performance.now();
    here.dataset.held = now.mine && now.user ? "yes" : "no";
    if (mine && !now.mine) tell(say("%(user)s has this study open since %(since)s. Unless it is urgent, what you sign here is refused until you take it over: reload to do that.", now));
    else if (!mine && now.mine) tell(say("Nobody else has this study open any more. Reload to sign it."));
    else if (mine) holder.hidden = true;
    mine = now.mine;
  } catch {
    // pulse.js says that there is no connection
  }
}

function tell(words) {
  holder.textContent = words;
  holder.hidden = false;
}

if (here) {
  ask();
  setInterval(ask, PERIOD_MS);
}
