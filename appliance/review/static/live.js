// One stream of changes for all tabs of this browser, as `live` events on the document, and the banners above every page.
// A page that has heard nothing for a while says so; without shared workers it asks every few seconds instead.
import { say } from "./words.js";

const STALE_MS = 10_000;
const ASK_MS = 4_000;
const banners = document.getElementById("banners");
const fresh = document.getElementById("fresh");
let heard = performance.now();
let asking = false;
let again = false;
let shown = "";

function tell(kind) {
  heard = performance.now();
  if (fresh?.dataset.live === "stale") { fresh.textContent = ""; fresh.classList.remove("stale"); delete fresh.dataset.live; }
  document.dispatchEvent(new CustomEvent("live", { detail: kind }));
}

function listen() {
  if (!window.SharedWorker) { setInterval(() => { if (!document.hidden) tell("changed"); }, ASK_MS); return; }
  const worker = new SharedWorker("/static/live_worker.js", { name: "live" });
  worker.port.onmessage = ({ data }) => tell(data);
  worker.port.start();
  addEventListener("pagehide", () => worker.port.postMessage("bye"));
}

async function refresh() {
  if (!banners || document.hidden) return;
  if (asking) { again = true; return; }
  asking = true;
  try {
    const answer = await fetch("/banners", { cache: "no-store", signal: AbortSignal.timeout(ASK_MS) });
    if (answer.ok && !answer.redirected) show(await answer.text());
  } catch { /* the stream says whether the appliance is there */ }
  asking = false;
  if (again) { again = false; refresh(); }
}

// What was said before is not cried out again because a number in it went on.
function show(text) {
  if (text === shown) return;
  shown = text;
  const known = new Set([...banners.children].map(alike));
  const made = document.createElement("div");
  made.innerHTML = text; // the server escaped it, and the page's policy runs no script in it
  for (const each of made.children) if (known.has(alike(each))) each.removeAttribute("role");
  banners.replaceChildren(...made.children);
}

const alike = (each) => each.textContent.replace(/\d+/g, "").trim();

setInterval(() => {
  if (document.hidden || performance.now() - heard < STALE_MS || fresh.textContent) return;
  fresh.textContent = say("not live: what you see may be old");
  fresh.classList.add("stale");
  fresh.dataset.live = "stale";
}, 1_000);
document.addEventListener("live", ({ detail }) => { if (detail === "changed") refresh(); });
addEventListener("visibilitychange", refresh);
addEventListener("DOMContentLoaded", listen); // not before every module of the page has its ears open
refresh();
