// Tells who has this study open, and keeps one's own hold alive while a hand moves.
const PERIOD_MS = 5_000;
const here = document.getElementById("held");
const holder = document.getElementById("holder");
let moved = performance.now();
let told = 0;
let mine = here?.dataset.mine === "yes";

for (const kind of ["pointermove", "pointerdown", "keydown", "wheel"])
  addEventListener(kind, () => { moved = performance.now(); }, { passive: true, capture: true });

async function ask() {
  if (document.hidden) return;
  const active = mine && moved > told;
  try {
    const answer = await fetch(here.dataset.source, { cache: "no-store", headers: active ? { "Appliance-Active": "1" } : {} });
    if (!answer.ok) return; // pulse.js leaves the page when the session is over
    const now = await answer.json();
    if (active) told = performance.now();
    if (mine && !now.mine) say(`${now.user} has taken this study over at ${now.since}. What you sign now is refused unless it is urgent; reload to take it back.`);
    else if (!mine && now.mine) say("Nobody else has this study open any more. Reload to sign it.");
    else if (mine && now.mine) holder.hidden = true;
  } catch {
    // pulse.js says that there is no connection
  }
}

function say(words) {
  if (holder.hidden || holder.textContent !== words) { holder.textContent = words; holder.hidden = false; }
}

if (here) setInterval(ask, PERIOD_MS);
