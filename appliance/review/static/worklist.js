// Keeps the worklist fresh: asks for the rows when something has changed, and swaps them in without moving focus or scroll.
// Filters go into the address; words to look for go into the body of a form, where no history and no log keeps them.
import { typing } from "./keys.js";

const LEAST_MS = 1_000;
const LATEST_MS = 20_000; // asked again even when nobody said that something changed: ages and deadlines go on
const ASK_MS = 5_000;
const work = document.getElementById("work");
const filters = document.getElementById("filters");
const words = document.getElementById("words");
let seen = "";
let asked = performance.now();
let waiting = 0;
let asking = null;

function soon() {
  clearTimeout(waiting);
  waiting = setTimeout(refresh, Math.max(0, LEAST_MS - (performance.now() - asked)));
}

async function refresh() {
  if (document.hidden) return;
  asked = performance.now();
  asking?.abort();
  const mine = asking = new AbortController();
  const limit = setTimeout(() => mine.abort(), ASK_MS);
  try {
    const answer = await fetch(...request(mine.signal));
    if (answer.status === 401) { location.replace(`/lock?to=${encodeURIComponent(location.pathname + location.search)}`); return; }
    if (answer.ok) show(await answer.text());
  } catch { /* that nothing is heard is said by the live line */ }
  clearTimeout(limit);
  if (asking === mine) asking = null;
}

function request(signal) {
  const query = new URLSearchParams(work.dataset.query);
  const look = words.value.trim();
  if (!look) return [`/rows?${query}`, { cache: "no-store", signal }];
  query.set("words", look);
  query.set("check", filters.dataset.check);
  query.set("page", "1");
  return ["/rows", { method: "POST", body: query, cache: "no-store", signal }];
}

function show(rows) {
  if (rows === seen) return;
  seen = rows;
  const focused = work.contains(document.activeElement) ? document.activeElement : null;
  const key = focused?.dataset.key;
  const place = focused ? openers().indexOf(focused) : -1;
  const scroll = work.querySelector(".scroll")?.scrollLeft ?? 0;
  work.innerHTML = rows; // the server escaped it, and the page's policy runs no script in it
  const panel = work.querySelector(".scroll");
  if (panel) panel.scrollLeft = scroll;
  if (!key) return;
  const same = work.querySelector(`[data-key="${CSS.escape(key)}"]`) ?? openers()[Math.min(place, openers().length - 1)];
  same?.focus({ preventScroll: true });
}

const openers = () => [...work.querySelectorAll("a.button[data-key^=open-]")];

function step(by) {
  const all = openers();
  if (!all.length) return;
  const at = all.indexOf(document.activeElement);
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
  next.focus();
  next.scrollIntoView({ block: "nearest" });
}

function narrowed() {
  const chosen = new URLSearchParams(new FormData(filters));
  for (const [key, value] of [...chosen]) if (!value) chosen.delete(key);
  chosen.set("lane", new URLSearchParams(work.dataset.query).get("lane"));
  work.dataset.query = String(chosen);
  history.replaceState(null, "", `/?${chosen}`);
  refresh();
}

filters.addEventListener("change", narrowed);
filters.addEventListener("submit", (event) => { event.preventDefault(); narrowed(); });
filters.addEventListener("reset", () => { words.value = ""; setTimeout(narrowed); });
words.addEventListener("input", soon);
words.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { words.value = ""; words.blur(); refresh(); }
  if (event.key === "Enter") { event.preventDefault(); step(1); }
});
addEventListener("keydown", (event) => {
  if (document.documentElement.dataset.keys === "off" || typing(event) || event.ctrlKey || event.altKey || event.metaKey) return;
  const act = { j: () => step(1), k: () => step(-1), "/": () => words.focus() }[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
document.addEventListener("live", ({ detail }) => { if (detail === "changed") soon(); else if (detail === "gone") refresh(); });
setInterval(() => { if (performance.now() - asked > LATEST_MS) refresh(); }, LEAST_MS);
addEventListener("visibilitychange", refresh);
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
