// The viewer: raw frames on a canvas, window and level by drag. It draws what the file says and adds nothing.
// Windowing is the linear function of DICOM PS3.3 C.11.2.1.2.1 on modality values (slope * stored + intercept).

const CACHE_BYTES_MAX = 256 * 2 ** 20;
const PREFETCH_FRAMES = 4;
const ZOOM_MAX = 32;
const CT_WINDOWS = [["Brain", 40, 80], ["Soft tissue", 40, 400], ["Lung", -600, 1500], ["Bone", 480, 2500], ["Liver", 90, 150]];
const VALUES = { uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array, rgb8: Uint8Array };

const root = document.getElementById("viewer");
const port = document.getElementById("port");
const canvas = document.getElementById("canvas");
const context = canvas.getContext("2d", { alpha: false });
const sheet = document.createElement("canvas"); // one pixel a pixel of the file
const part = (id) => document.getElementById(id);

const view = { at: 0, centre: 0, width: 1, byFile: true, invert: false, zoom: 1, fitted: true, x: 0, y: 0 };
let frames = []; // one entry a frame, in reading order: { image, frame }
let current = null; // { image, values } as drawn
let asked = 0; // counts requests, so that a slow answer never replaces a newer one
let dragging = null;
const cache = new Map(); // address -> values, the oldest first

async function start() {
  const answer = await fetch(root.dataset.source, { cache: "no-store" });
  if (!answer.ok) return say("The images cannot be listed.");
  const { images } = await answer.json();
  frames = images.flatMap((image) => Array.from({ length: image.frames }, (_, at) => ({ image, frame: at + 1 })));
  if (!frames.length) return say("This study has no image to show.");
  const kept = /^#image-(\d+)$/.exec(location.hash); // where a lock found this page (pulse.js)
  await show(kept ? kept[1] - 1 : 0, true);
}

function address({ image, frame }) {
  return `${root.dataset.source}/${image.image}/frames/${frame}`;
}

async function values(entry) {
  const key = address(entry);
  if (cache.has(key)) return cache.get(key);
  const answer = await fetch(key, { cache: "no-store" });
  if (!answer.ok) return null;
  const found = new VALUES[entry.image.dtype](await answer.arrayBuffer());
  cache.set(key, found);
  let held = 0;
  for (const each of cache.values()) held += each.byteLength;
  for (const [old, each] of cache) {
    if (held <= CACHE_BYTES_MAX || old === key) break;
    held -= each.byteLength;
    cache.delete(old);
  }
  return found;
}

async function show(at, first = false) {
  view.at = Math.max(0, Math.min(frames.length - 1, at));
  const entry = frames[view.at];
  const mine = ++asked;
  const found = entry.image.here ? await values(entry) : null;
  if (mine !== asked) return;
  const former = current;
  current = found && { image: entry.image, values: found };
  part("preset").disabled = !current;
  if (!current) {
    say("This image is not decoded here: not yet, not any more, or it could not be. The original file is kept.");
    return draw();
  }
  say("");
  if (first || !former || former.image !== entry.image) offerWindows(entry.image);
  if (first || view.byFile) fileWindow();
  draw();
  if (dragging === null) for (let ahead = 1; ahead <= PREFETCH_FRAMES; ahead++) {
    const next = frames[view.at + ahead];
    if (next?.image.here) values(next);
  }
}

// Windows

function offerWindows(image) {
  const offers = (image.windows ?? []).map(([centre, width], at) => [`File ${at + 1}`, centre, width]);
  if (image.modality === "CT") offers.push(...CT_WINDOWS);
  const options = [["Full range", "", ""], ...offers].map(([name, centre, width]) => {
    const said = centre === "" ? name : `${name}: ${centre} / ${width}`;
    return new Option(said, centre === "" ? "full" : `${centre},${width}`);
  });
  const own = new Option("By hand", "hand");
  own.disabled = true;
  part("preset").replaceChildren(...options, own);
}

function fileWindow() {
  view.byFile = true;
  const given = current.image.windows?.[0];
  if (given && given[1] >= 1) [view.centre, view.width] = given;
  else fullWindow();
  part("preset").value = given && given[1] >= 1 ? `${given[0]},${given[1]}` : "full";
}

function fullWindow() {
  const { image, values: stored } = current;
  let low = Infinity;
  let high = -Infinity;
  for (const value of stored) {
    if (value === image.padding) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) [low, high] = [0, 1];
  const [a, b] = [low, high].map((value) => modality(image, value)).sort((one, other) => one - other);
  view.width = Math.max(1, b - a + 1);
  view.centre = a + view.width / 2;
}

function modality(image, stored) {
  return stored * (image.slope ?? 1) + (image.intercept ?? 0);
}

function setWindow(centre, width) {
  view.centre = centre;
  view.width = Math.max(1, width);
  view.byFile = false;
}

// Grey levels

function grey(image, stored) {
  if (stored === image.padding) return 0;
  const value = modality(image, stored) - (view.centre - 0.5);
  const span = view.width - 1;
  const level = span <= 0 ? (value > 0 ? 255 : 0) : Math.round(Math.max(0, Math.min(1, value / span + 0.5)) * 255);
  return (image.photometric === "MONOCHROME1") !== view.invert ? 255 - level : level;
}

function table(image) {
  if (image.dtype === "int32") return null;
  const length = image.dtype === "uint8" ? 256 : 65536;
  const signed = image.dtype === "int16";
  const levels = new Uint8Array(length); // indexed by the stored bits, so that a negative value finds its place
  for (let bits = 0; bits < length; bits++) levels[bits] = grey(image, signed && bits > 32767 ? bits - 65536 : bits);
  return levels;
}

function paint(step) {
  const { image, values: stored } = current;
  const [rows, columns] = [Math.ceil(image.rows / step), Math.ceil(image.columns / step)];
  if (sheet.width !== columns || sheet.height !== rows) [sheet.width, sheet.height] = [columns, rows];
  const pen = sheet.getContext("2d", { alpha: false });
  const out = pen.createImageData(columns, rows);
  const colours = new Uint32Array(out.data.buffer);
  const levels = image.dtype === "rgb8" ? null : table(image);
  const mask = image.dtype === "uint8" ? 0xff : 0xffff;
  let to = 0;
  for (let row = 0; row < image.rows; row += step) {
    for (let column = 0; column < image.columns; column += step) {
      const from = row * image.columns + column;
      if (image.dtype === "rgb8") {
        const flip = view.invert ? 0xffffff : 0;
        const colour = stored[3 * from] | (stored[3 * from + 1] << 8) | (stored[3 * from + 2] << 16);
        colours[to++] = 0xff000000 | (colour ^ flip);
      } else {
        const level = levels ? levels[stored[from] & mask] : grey(image, stored[from]);
        colours[to++] = 0xff000000 | (level << 16) | (level << 8) | level;
      }
    }
  }
  pen.putImageData(out, 0, 0);
}

// The viewport

function fitZoom() {
  const { rows, columns } = current.image;
  const [height, aspect] = [canvas.height, pixelAspect()];
  return Math.min(canvas.width / columns, height / (rows * aspect));
}

function pixelAspect() {
  const spacing = current.image.spacing; // [row, column] spacing in mm: pixels need not be square
  return Array.isArray(spacing) && spacing[0] > 0 && spacing[1] > 0 ? spacing[0] / spacing[1] : 1;
}

let drawn = false;
function draw(quick = false) {
  if (drawn) return;
  drawn = true;
  requestAnimationFrame(() => {
    drawn = false;
    const scale = devicePixelRatio || 1;
    const [width, height] = [Math.round(port.clientWidth * scale), Math.round(port.clientHeight * scale)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    if (current) {
      if (view.fitted) [view.zoom, view.x, view.y] = [fitZoom(), 0, 0];
      const { rows, columns } = current.image;
      // While the hand moves, a large image is windowed at about screen size only; on release it is whole again.
      paint(quick ? Math.max(1, Math.floor(1 / view.zoom)) : 1);
      const [wide, high] = [columns * view.zoom, rows * view.zoom * pixelAspect()];
      context.imageSmoothingEnabled = view.zoom < 4;
      context.drawImage(sheet, (width - wide) / 2 + view.x, (height - high) / 2 + view.y, wide, high);
    }
    caption();
    root.dataset.drawn = String(Number(root.dataset.drawn ?? 0) + 1);
    root.dataset.ready = current ? "yes" : "no";
  });
}

function caption() {
  part("place-words").textContent = frames.length ? `image ${view.at + 1} / ${frames.length}` : "";
  const words = current && current.image.dtype !== "rgb8" ? `W ${round(view.width)} L ${round(view.centre)}` : "colour";
  part("window-words").textContent = current ? `${words} · zoom ${Math.round(view.zoom * 100)} %` : "";
  [root.dataset.centre, root.dataset.width, root.dataset.at] = [view.centre, view.width, view.at];
}

function round(value) {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}

function say(words) {
  part("message").textContent = words;
  if (words) root.dataset.ready = "no";
}

function zoomBy(factor) {
  if (!current) return;
  view.zoom = Math.max(fitZoom() / 4, Math.min(ZOOM_MAX, view.zoom * factor));
  view.fitted = false;
  draw();
}

function reset() {
  if (!current) return;
  [view.invert, view.fitted] = [false, true];
  part("invert").setAttribute("aria-pressed", "false");
  fileWindow();
  draw();
}

function invert() {
  view.invert = !view.invert;
  part("invert").setAttribute("aria-pressed", String(view.invert));
  draw();
}

function fit() {
  view.fitted = true;
  draw();
}

// Hands

port.addEventListener("pointerdown", (event) => {
  if (!current || event.button > 1) return;
  port.setPointerCapture(event.pointerId);
  dragging = { x: event.clientX, y: event.clientY, pan: event.button === 1 || event.shiftKey, ...pick(view) };
});
port.addEventListener("pointermove", (event) => {
  if (!dragging || !current) return;
  const [x, y] = [event.clientX - dragging.x, event.clientY - dragging.y];
  if (dragging.pan) {
    const scale = devicePixelRatio || 1;
    [view.fitted, view.x, view.y] = [false, dragging.panX + x * scale, dragging.panY + y * scale];
  } else if (current.image.dtype !== "rgb8") {
    const gain = Math.max(dragging.width, 32) / 300; // a drag over 300 px about doubles the window
    setWindow(dragging.centre + y * gain, dragging.width + x * gain);
    part("preset").value = "hand";
  }
  draw(true);
});
for (const end of ["pointerup", "pointercancel"]) port.addEventListener(end, () => {
  if (!dragging) return;
  dragging = null;
  draw();
});

function pick({ centre, width, x, y }) {
  return { centre, width, panX: x, panY: y };
}

port.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (event.ctrlKey) zoomBy(event.deltaY < 0 ? 1.1 : 1 / 1.1);
  else show(view.at + Math.sign(event.deltaY));
}, { passive: false });

part("preset").addEventListener("change", (event) => {
  if (!current) return;
  if (event.target.value === "full") {
    fullWindow();
    view.byFile = false;
  } else setWindow(...event.target.value.split(",").map(Number));
  draw();
});
part("invert").addEventListener("click", invert);
part("reset").addEventListener("click", reset);
part("fit").addEventListener("click", fit);
part("in").addEventListener("click", () => zoomBy(1.25));
part("out").addEventListener("click", () => zoomBy(0.8));
part("earlier").addEventListener("click", () => show(view.at - 1));
part("further").addEventListener("click", () => show(view.at + 1));

const KEYS = {
  i: invert, r: reset, f: fit,
  ArrowUp: () => show(view.at - 1), ArrowDown: () => show(view.at + 1),
  PageUp: () => show(view.at - 10), PageDown: () => show(view.at + 10),
  Home: () => show(0), End: () => show(frames.length - 1),
};
addEventListener("keydown", (event) => {
  const elsewhere = event.target.closest("input, textarea, select, button, a");
  if (!part("keys").checked || elsewhere || event.ctrlKey || event.altKey || event.metaKey || !frames.length) return;
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act || (event.key.length > 1 && document.activeElement !== port)) return;
  event.preventDefault();
  act();
});

new ResizeObserver(() => draw()).observe(port);
start().catch(() => say("The images cannot be loaded."));
