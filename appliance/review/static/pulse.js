// Leaves a page with patients on it when the session locks or ends, so that nobody reads over an empty chair.
import { say } from "./words.js";

const PERIOD_MS = 10_000;
const idleMs = Number(document.body.dataset.idleS || 0) * 1000;
const lock = document.getElementById("lock");
let moved = performance.now(); // when a hand last moved here
let told = moved; // when the appliance was last told so

for (const kind of ["pointermove", "pointerdown", "keydown", "wheel"])
  addEventListener(kind, () => { moved = performance.now(); }, { passive: true, capture: true });

function place() {
  const { at, series } = document.getElementById("viewer")?.dataset ?? {};
  const here = location.pathname + location.search;
  if (!at || series === "0") return here;
  return `${here}#${Number(series) > 1 ? `series-${series}-` : ""}image-${Number(at) + 1}`;
}

function leave() {
  const to = place();
  document.body.replaceChildren(); // the names go before the next page comes
  location.replace(`/lock?to=${encodeURIComponent(to)}`);
}

async function beat() {
  const active = moved > told;
  try {
    const answer = await fetch("/pulse", { cache: "no-store", headers: active ? { "Appliance-Active": "1" } : {} });
    if (answer.status === 401) leave();
    else if (active) told = performance.now();
  } catch {
    if (idleMs && performance.now() - moved > idleMs) leave(); // nobody is here, and nobody says whether to lock
    else document.getElementById("fresh").textContent = say("no connection to the appliance");
  }
}

setInterval(beat, PERIOD_MS);
document.addEventListener("live", ({ detail }) => { if (detail === "gone") beat(); });
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
lock?.addEventListener("submit", () => { lock.elements.to.value = place(); });
addEventListener("keydown", (event) => {
  if (event.ctrlKey && event.altKey && event.code === "KeyL") { event.preventDefault(); lock?.requestSubmit(); }
});
