// Keeps the worklist fresh: fetches the rows every few seconds and swaps them in, without moving focus or scroll.
const PERIOD_MS = 4_000;
const STALE_MS = 12_000;
const work = document.getElementById("work");
const fresh = document.getElementById("fresh");
let seen = "";
let lastGood = performance.now();

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(work.dataset.source, { cache: "no-store", signal: AbortSignal.timeout(PERIOD_MS) });
    if (answer.status === 401) { location.replace(`/lock?to=${encodeURIComponent(location.pathname + location.search)}`); return; }
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.text());
    lastGood = performance.now();
    say("");
  } catch {
    if (performance.now() - lastGood > STALE_MS) say("not refreshed: the rows may be old");
  }
}

function show(rows) {
  if (rows === seen) return;
  seen = rows;
  const key = work.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const scroll = work.querySelector(".scroll")?.scrollLeft ?? 0;
  work.innerHTML = rows; // the server escaped it, and the page's policy runs no script in it
  const panel = work.querySelector(".scroll");
  if (panel) panel.scrollLeft = scroll;
  if (key) work.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
}

function say(words) {
  fresh.textContent = words;
  fresh.classList.toggle("stale", words !== "");
}

setInterval(refresh, PERIOD_MS);
addEventListener("visibilitychange", refresh);
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
