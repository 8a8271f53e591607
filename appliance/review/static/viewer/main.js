// The page around the viewports: tools, keys, series, other studies of the patient. It adds nothing to what a file says.

import { figure, say } from "../words.js";
import { values } from "./frames.js";
import { fileLook, isColour, offerWords, paint, whole } from "./render.js";
import { Overlay } from "./overlay.js";
import { Viewport } from "./viewport.js";

const THUMBS_MAX = 40;
const THUMB_PX = 72;
const STEP_FAR = 10;
const NUDGE_PX = 10;

const root = document.getElementById("viewer");
const part = (id) => document.getElementById(id);
const ports = [...root.querySelectorAll(".port")];
const series = []; // { source, number, entries, prior }
let active = null;
let offered = "";

const heard = {
  active(viewport) {
    if (viewport === active) return;
    active = viewport;
    for (const each of viewports) each.port.classList.toggle("active", each === active);
    reflect(viewport);
    mirrored(viewport);
  },
  changed(viewport) {
    if (viewport === active) reflect(viewport);
  },
  drawn(viewport) {
    if (viewport !== active) return;
    root.dataset.drawn = String(Number(root.dataset.drawn ?? 0) + 1);
    mirrored(viewport);
  },
};
const overlay = new Overlay(root);
const viewports = ports.map((port) => new Viewport(port, heard, overlay));
const shown = () => active ?? viewports[0];

// What the tools say of the viewport that they act on.
function reflect(viewport) {
  const { look, current, invert } = viewport;
  const offers = viewport.offers();
  const own = new Option(current && isColour(current.image) ? say("Colour") : say("By hand"), "hand");
  const keys = JSON.stringify([own.text, ...offers.map(({ words }) => words)]);
  if (keys !== offered) {
    offered = keys;
    const options = offers.map((each, at) => new Option(`${at < 9 ? `${at + 1} ` : ""}${offerWords(each, say, figure)}`, each.key));
    own.disabled = true;
    part("preset").replaceChildren(...options, own);
  }
  part("preset").disabled = !current || isColour(current.image);
  const alike = (each, name) => each.look[name] === look[name];
  const same = look && offers.find((each) => alike(each, "lut") && (look.lut || ["fn", "centre", "width"].every((name) => alike(each, name))));
  part("preset").value = same ? same.key : "hand";
  part("invert").setAttribute("aria-pressed", String(invert));
  part("cine").setAttribute("aria-pressed", String(viewport.playing));
  part("cine").disabled = viewport.entries.length < 2;
  const rate = String(Math.round(viewport.rate() * 10) / 10);
  if (part("rate").dataset.file !== rate) part("rate").dataset.file = part("rate").value = rate;
  for (const button of root.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", String(button.dataset.mode === viewport.mode));
  const here = viewport.entries[0];
  for (const button of part("series").querySelectorAll("button")) {
    const mine = series[Number(button.dataset.series)].entries[0] === here;
    if (mine) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
}

function mirrored(viewport) {
  const { look, shown: at, current } = viewport;
  part("forget").hidden = !viewport.lengths().length;
  const mine = series.findIndex(({ entries, prior }) => !prior && entries === viewport.entries);
  root.dataset.series = mine + 1; // 0: of a prior
  Object.assign(root.dataset, { at, centre: look?.centre ?? "", width: look?.width ?? "", ready: current ? "yes" : "no" });
}

// Series and other studies

function arranged(source, images, prior = null) {
  const found = new Map();
  for (const image of images) {
    if (!found.has(image.series)) found.set(image.series, []);
    for (let frame = 1; frame <= image.frames; frame++) found.get(image.series).push({ source, image, frame });
  }
  return [...found].map(([number, entries]) => ({ source, number, entries, prior }));
}

async function listed(where) {
  const answer = await fetch(where, { cache: "no-store" });
  if (!answer.ok) throw new Error("no list");
  return answer.json();
}

async function start() {
  heard.active(viewports[0]);
  const { images, priors, left_out: left } = await listed(root.dataset.source);
  series.push(...arranged(root.dataset.source, images));
  if (!series.length) return viewports[0].tell(say("This study has no image to show."));
  const kept = /^#(?:series-(\d+)-)?image-(\d+)$/.exec(location.hash); // where a lock found this page (pulse.js)
  const first = series[Number(kept?.[1] ?? 1) - 1] ?? series[0];
  await viewports[0].open(first.entries, kept ? kept[2] - 1 : undefined);
  const undated = say("no date");
  if (left) viewports[0].tell(say("%(left)s more images of this study are not listed here.", { left }));
  for (const { study, modality, date } of priors ?? []) {
    const told = { date: date || undated, modality, study };
    part("priors").append(new Option(say("%(date)s · %(modality)s · study no. %(study)s", told), study));
  }
  part("priors-row").hidden = !priors?.length;
  await strip();
}

// The strip of thumbnails: the middle frame of each series, one fetched after the other.
async function strip() {
  part("strip").hidden = series.length < 2 && part("priors-row").hidden;
  if (series.length < 2) return;
  for (let at = part("series").children.length; at < Math.min(series.length, THUMBS_MAX); at++) part("series").append(thumb(at));
  reflect(shown());
  for (const [at, item] of [...part("series").children].entries()) {
    const canvas = item.querySelector("canvas");
    const entry = series[at].entries[Math.floor(series[at].entries.length / 2)];
    const stored = canvas.dataset.drawn ? null : await values(entry);
    if (stored) drawThumb(canvas, entry.image, stored);
  }
}

function thumb(at) {
  const { number, entries, prior } = series[at];
  const [item, button, canvas, words] = ["li", "button", "canvas", "span"].map((name) => document.createElement(name));
  [canvas.width, canvas.height, button.type] = [THUMB_PX, THUMB_PX, "button"];
  button.dataset.series = at;
  const count = entries.length === 1 ? say("1 image") : say("%(count)s images", { count: entries.length });
  const name = prior ? say("Prior, series %(number)s", { number }) : say("Series %(number)s", { number });
  words.textContent = `${name} · ${entries[0].image.modality} · ${count}`;
  button.append(canvas, words);
  button.addEventListener("click", () => load(shown(), at));
  item.append(button);
  return item;
}

function drawThumb(canvas, image, stored) {
  const step = Math.max(1, Math.ceil(Math.max(image.rows, image.columns) / THUMB_PX));
  const [columns, rows] = [Math.ceil(image.columns / step), Math.ceil(image.rows / step)];
  [canvas.width, canvas.height] = [columns, rows];
  const pen = canvas.getContext("2d", { alpha: false });
  const out = pen.createImageData(columns, rows);
  paint(image, stored, fileLook(image, stored), new Uint32Array(out.data.buffer), whole(image, step));
  pen.putImageData(out, 0, 0);
  canvas.dataset.drawn = "yes";
}

async function load(viewport, at, place = 0) {
  const { entries, prior } = series[at];
  viewport.part("prior-words").textContent = prior ? say("PRIOR · %(prior)s", { prior }) : "";
  viewport.port.classList.toggle("of-prior", Boolean(prior));
  await viewport.open(entries, place);
  reflect(shown());
}

async function openPrior(study, words) {
  const known = series.findIndex((each) => each.prior === words);
  const from = known < 0 ? series.length : known;
  layout(true);
  if (known < 0) {
    const { images } = await listed(`${root.dataset.source.replace(/images$/, "priors")}/${study}/images`);
    series.push(...arranged(`/studies/${study}/images`, images, words));
  }
  if (from === series.length) return viewports[1].tell(say("That study has no image to show."));
  await load(viewports[1], from);
  await strip();
}

function layout(two) {
  ports[1].hidden = !two;
  root.classList.toggle("two", two);
  part("layout").setAttribute("aria-pressed", String(two));
  if (!two) {
    viewports[1].pause();
    heard.active(viewports[0]);
  } else if (!viewports[1].entries.length && series.length) load(viewports[1], Math.min(1, series.length - 1));
}

// What a machine said of where: its map, and the images to go to.

async function map() {
  part("overlay").setAttribute("aria-pressed", String(await overlay.toggle()));
  if (overlay.offered && !overlay.told) shown().tell(say("The appliance gives no AI map of this study any more."));
  for (const each of viewports) each.draw();
}

async function jump(image, frame) {
  const own = (entry) => entry.source === root.dataset.source && entry.image.image === image && entry.frame === frame;
  const at = series.findIndex(({ entries }) => entries.some(own));
  if (at < 0) return shown().tell(say("That image is not listed here."));
  const place = series[at].entries.findIndex(own);
  if (shown().entries !== series[at].entries) await load(shown(), at, place);
  else await shown().show(place);
}

async function toStop(first) {
  const stop = await overlay.next(first);
  if (stop) await jump(...stop);
  else shown().tell(say("There is no image to go to: nothing here says where."));
}

// Tools

function mode(name) {
  for (const each of viewports) each.choose(name);
  reflect(shown());
}

function cine() {
  const viewport = shown();
  if (viewport.playing) viewport.pause();
  else if (viewport.entries.length > 1) viewport.play(() => Math.max(0.5, Math.min(60, Number(part("rate").value) || viewport.rate())));
  reflect(viewport);
}

function preset(at) {
  const offer = shown().offers()[at];
  if (offer) shown().setLook(offer.look);
}

const go = (by) => shown().show(shown().at + by);
const ACTS = {
  invert: () => shown().setInvert(!shown().invert),
  reset: () => shown().reset(),
  fit: () => shown().fit(),
  one: () => shown().oneToOne(),
  in: () => shown().zoomBy(1.25),
  out: () => shown().zoomBy(0.8),
  rotate: () => shown().rotate(),
  mirror: () => shown().mirror(),
  forget: () => shown().forget(true),
  earlier: () => go(-1),
  further: () => go(1),
  cine,
  layout: () => layout(ports[1].hidden),
};
const MACHINE = { overlay: map, strongest: () => toStop(true), "next-stop": () => toStop(false) }; // where there is something
for (const [id, act] of Object.entries({ ...ACTS, ...MACHINE })) part(id)?.addEventListener("click", act);
document.addEventListener("click", ({ target }) => {
  const place = target.closest(".jump")?.dataset;
  if (place) jump(Number(place.image), Number(place.frame));
});
for (const button of root.querySelectorAll("[data-mode]")) button.addEventListener("click", () => mode(button.dataset.mode));
part("preset").addEventListener("change", (event) => preset(event.target.selectedIndex));
part("priors").addEventListener("change", ({ target }) => {
  const chosen = target.selectedOptions[0];
  if (chosen.value) openPrior(chosen.value, chosen.text).catch(() => viewports[1].tell(say("That study cannot be opened.")));
});

// Keys: letters everywhere but in a field; those that also scroll a page only where the viewer has the focus.

const LETTERS = {
  i: ACTS.invert, r: ACTS.reset, f: ACTS.fit, c: cine, t: ACTS.rotate, h: ACTS.mirror,
  l: () => mode(shown().mode === "length" ? "window" : "length"), w: () => mode("window"), p: () => mode("pan"), z: () => mode("zoom"),
  "+": ACTS.in, "-": ACTS.out,
  ...(part("overlay") && { o: map }),
  ...(part("strongest") && { j: MACHINE.strongest, n: MACHINE["next-stop"] }),
};
const SCROLLING = {
  ArrowUp: () => go(-1), ArrowDown: () => go(1), ArrowLeft: () => go(-1), ArrowRight: () => go(1),
  PageUp: () => go(-STEP_FAR), PageDown: () => go(STEP_FAR),
  Home: () => shown().show(0), End: () => shown().show(shown().entries.length - 1), Delete: () => shown().forget(),
};
const SHIFTED = {
  ArrowUp: () => shown().nudge(-NUDGE_PX, 0), ArrowDown: () => shown().nudge(NUDGE_PX, 0),
  ArrowLeft: () => shown().nudge(0, -NUDGE_PX), ArrowRight: () => shown().nudge(0, NUDGE_PX),
};

addEventListener("keydown", (event) => {
  const field = event.target.closest("input, textarea, select, dialog, [contenteditable]");
  if (!part("keys").checked || field || event.ctrlKey || event.altKey || event.metaKey) return;
  const free = root.contains(document.activeElement) || document.activeElement === document.body;
  const letter = event.key.length === 1;
  let act = LETTERS[event.key.toLowerCase()];
  if (letter && event.key >= "1" && event.key <= "9") act = () => preset(Number(event.key) - 1);
  if (!letter) act = free ? (event.shiftKey ? SHIFTED : SCROLLING)[event.key] : null;
  if (!act) return;
  event.preventDefault();
  act();
});

start().catch(() => viewports[0].tell(say("The images cannot be loaded.")));
