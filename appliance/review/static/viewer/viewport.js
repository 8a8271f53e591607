// One viewport: a stack of frames, how the one in view is windowed, turned and placed, and the hand on it.

import { figure, say } from "../words.js";
import { address, fetchAround, values, voiTables } from "./frames.js";
import * as geometry from "./geometry.js";
import { extent, fileLook, isColour, isPadding, modality, paint, presets, short, unit, whole } from "./render.js";

const ZOOM_MAX = 32;
const RATE_DEFAULT = 10;
const MEASURES_MAX = 50; // of one frame
const NOT_FETCHED = say("This image could not be fetched from the appliance. The original file is kept.");
const NOT_HERE = say("This image is not decoded here: not yet, not any more, or it could not be. The original file is kept.");

export class Viewport {
  constructor(port, heard, overlay) {
    this.port = port;
    this.heard = heard; // { active, drawn, changed }: what the page wants to know
    this.overlay = overlay;
    this.canvas = port.querySelector("canvas");
    this.pen = this.canvas.getContext("2d", { alpha: false });
    this.sheet = document.createElement("canvas"); // one pixel a pixel of the file, or of the part that is painted
    this.part = (name) => port.querySelector(`.${name}`);
    this.mode = "window";
    this.measures = new Map(); // frame's address -> pairs of points
    this.asked = 0; // counts requests, so that a slow answer never replaces a newer one
    this.open([]);
    this.listen();
    new ResizeObserver(() => this.draw()).observe(port);
  }

  open(entries, at = 0) {
    this.pause();
    [this.entries, this.at, this.shown, this.current, this.step, this.byFile, this.look] = [entries, 0, 0, null, 1, true, null];
    this.view = { zoom: 1, x: 0, y: 0, turns: 0, flip: false, fitted: true };
    [this.invert, this.held, this.painted] = [false, null, ""];
    return entries.length ? this.show(at) : this.draw();
  }

  async show(at) {
    if (!this.entries.length) return;
    const to = Math.max(0, Math.min(this.entries.length - 1, at));
    this.step = Math.sign(to - this.at) || this.step;
    this.at = to;
    const entry = this.entries[to];
    const mine = ++this.asked;
    let stored = values(entry);
    if (stored instanceof Promise) stored = await stored;
    const luts = stored && entry.image.voi_luts?.length ? await voiTables(entry) : [];
    if (mine !== this.asked) return;
    this.current = stored && { image: entry.image, stored, luts, key: address(entry) };
    this.shown = to; // where the picture comes from, also while the next one is on its way
    this.tell(stored ? "" : entry.image.here ? NOT_FETCHED : NOT_HERE);
    if (stored && this.byFile) this.look = fileLook(entry.image, stored, luts[0]);
    this.heard.changed(this);
    this.draw();
    if (!this.held) fetchAround(this.entries, to, this.step);
  }

  tell(words) {
    this.part("message").textContent = words;
  }

  // Windows

  offers() {
    return this.current ? presets(this.current.image, this.current.stored, this.current.luts) : [];
  }

  choose(mode) {
    this.mode = mode;
    this.caption();
  }

  setLook(look) {
    if (!this.current || isColour(this.current.image)) return;
    [this.look, this.byFile] = [look, false];
    this.heard.changed(this);
    this.draw();
  }

  nudge(centre, width, quick = false, from = this.look) {
    if (!this.current || isColour(this.current.image)) return;
    const { image, stored } = this.current;
    let { fn } = from;
    if (from.lut) { // a table has no width: the hand begins at all values
      const [low, high] = extent(image, stored);
      [from, fn] = [{ centre: (low + high + 1) / 2, width: high - low + 1 }, "LINEAR"];
    }
    const least = fn === "LINEAR" ? 1 : Math.abs(image.slope) / 16;
    const gain = Math.max(from.width - (fn === "LINEAR" ? 1 : 0), 32 * Math.abs(image.slope)) / 300; // 300 px double it
    this.look = { lut: null, fn, centre: from.centre + centre * gain, width: Math.max(least, from.width + width * gain) };
    this.byFile = false;
    this.heard.changed(this);
    this.draw(quick);
  }

  // Place

  zoomTo(zoom, at = null) {
    if (!this.current) return;
    const before = this.matrix();
    const [x, y] = at ?? [this.canvas.width / 2, this.canvas.height / 2];
    const point = geometry.toImage(before, [x, y]);
    const least = geometry.fitZoom(this.current.image, this.view, this.canvas.width, this.canvas.height) / 4;
    [this.view.zoom, this.view.fitted] = [Math.max(Math.min(least, 1), Math.min(ZOOM_MAX, zoom)), false];
    const [nowX, nowY] = geometry.toScreen(this.matrix(), point);
    [this.view.x, this.view.y] = [this.view.x + x - nowX, this.view.y + y - nowY];
    this.draw();
  }

  zoomBy(factor, at) {
    this.zoomTo(this.view.zoom * factor, at);
  }

  fit() {
    this.view.fitted = true;
    this.draw();
  }

  oneToOne() {
    Object.assign(this.view, { zoom: 1, x: 0, y: 0, fitted: false });
    this.draw();
  }

  rotate() {
    geometry.rotate(this.view);
    this.draw();
  }

  mirror() {
    this.view.flip = !this.view.flip;
    this.draw();
  }

  setInvert(on) {
    this.invert = on;
    this.heard.changed(this);
    this.draw();
  }

  reset() {
    if (!this.current) return;
    Object.assign(this.view, { turns: 0, flip: false, fitted: true });
    [this.invert, this.byFile, this.look] = [false, true, fileLook(this.current.image, this.current.stored, this.current.luts[0])];
    this.heard.changed(this);
    this.draw();
  }

  // Cine

  rate() {
    return this.entries[this.at]?.image.frame_rate ?? RATE_DEFAULT;
  }

  pause() {
    this.playing = false;
  }

  play(rate) {
    this.playing = true;
    let last = performance.now();
    const tick = async (now) => {
      if (!this.playing) return;
      const period = 1000 / rate();
      if (now - last >= period) {
        last = now - ((now - last) % period);
        await this.show(this.following());
      }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  // The frame after this one: round and round within an object that has several, else within the stack.
  following() {
    const { image, frame } = this.entries[this.at];
    if (image.frames > 1) return frame < image.frames ? this.at + 1 : this.at - image.frames + 1;
    return (this.at + 1) % this.entries.length;
  }

  // Drawing

  matrix() {
    return geometry.transform(this.current.image, this.view, this.canvas.width, this.canvas.height);
  }

  draw(quick = false) {
    this.quick = quick;
    if (this.drawing) return;
    this.drawing = true;
    requestAnimationFrame(() => {
      this.drawing = false;
      this.drawNow();
    });
  }

  drawNow() {
    const scale = devicePixelRatio || 1;
    const [width, height] = [this.port.clientWidth, this.port.clientHeight].map((each) => Math.round(each * scale));
    if (!width || !height) return;
    if (this.canvas.width !== width || this.canvas.height !== height) [this.canvas.width, this.canvas.height] = [width, height];
    this.pen.setTransform(1, 0, 0, 1, 0, 0);
    this.pen.fillStyle = "#000";
    this.pen.fillRect(0, 0, width, height);
    if (this.current) {
      const { image } = this.current;
      if (this.view.fitted) Object.assign(this.view, { zoom: geometry.fitZoom(image, this.view, width, height), x: 0, y: 0 });
      const matrix = this.matrix();
      const area = this.ink(matrix, width, height);
      this.pen.setTransform(...matrix);
      this.pen.imageSmoothingEnabled = this.view.zoom < 4 && this.view.zoom !== 1;
      this.pen.imageSmoothingQuality = this.quick ? "low" : "medium";
      this.pen.drawImage(this.sheet, area.left, area.top, this.sheet.width * area.step, this.sheet.height * area.step);
      this.drawOverlay();
      this.pen.setTransform(1, 0, 0, 1, 0, 0);
      this.drawScale(scale);
      for (const pair of this.lengths()) this.drawLength(matrix, pair, scale);
    }
    this.caption();
    this.heard.drawn(this);
  }

  // Paints the sheet: all of the image, or, while the hand moves the window, the part in view at screen size.
  ink(matrix, width, height) {
    const { image, stored, key } = this.current;
    const look = { ...this.look, invert: this.invert };
    const words = `${key} ${JSON.stringify([look.centre, look.width, look.fn, look.invert])} ${this.current.luts.indexOf(look.lut)}`;
    if (this.painted === words) return whole(image);
    const area = this.quick ? seen(image, matrix, width, height, Math.max(1, Math.floor(1 / this.view.zoom))) : whole(image);
    const [columns, rows] = [area.right - area.left, area.bottom - area.top].map((each) => Math.max(1, Math.ceil(each / area.step)));
    if (this.sheet.width !== columns || this.sheet.height !== rows) [this.sheet.width, this.sheet.height] = [columns, rows];
    const pen = this.sheet.getContext("2d", { alpha: false });
    const out = pen.createImageData(columns, rows);
    paint(image, stored, look, new Uint32Array(out.data.buffer), area);
    pen.putImageData(out, 0, 0);
    this.painted = this.quick ? "" : words;
    return area;
  }

  // A model's map lies over the whole of its frame, whatever its grid.
  drawOverlay() {
    const entry = this.entries[this.shown];
    const sheet = this.overlay.sheet(entry);
    const { image } = this.current;
    this.port.dataset.overlay = sheet ? "drawn" : "";
    if (!sheet) return;
    [this.pen.imageSmoothingEnabled, this.pen.imageSmoothingQuality] = [true, "high"];
    this.pen.drawImage(sheet, 0, 0, image.columns, image.rows);
  }

  drawScale(scale) {
    const bar = geometry.scaleBar(this.current.image, this.view.zoom, this.canvas.width / 4);
    this.port.dataset.scale = bar ? bar.words : "";
    if (!bar || this.view.turns % 2 && geometry.aspect(this.current.image) !== 1) return;
    const [right, bottom] = [this.canvas.width - 12 * scale, this.canvas.height - 74 * scale];
    this.pen.lineWidth = 2 * scale;
    this.stroke([[right - bar.pixels, bottom - 5 * scale], [right - bar.pixels, bottom], [right, bottom], [right, bottom - 5 * scale]]);
    this.write(`${figure(bar.number)} ${say(bar.unit)}`, right, bottom - 9 * scale, scale, "right");
  }

  drawLength(matrix, pair, scale) {
    const [from, to] = pair.map((point) => geometry.toScreen(matrix, point));
    this.pen.lineWidth = 1.5 * scale;
    this.stroke([from, to]);
    this.write(measured(this.current.image, pair), to[0] + 6 * scale, to[1] - 6 * scale, scale, "left");
  }

  stroke(points) {
    this.pen.strokeStyle = "#f3d34a";
    this.pen.beginPath();
    points.forEach(([x, y], at) => (at ? this.pen.lineTo(x, y) : this.pen.moveTo(x, y)));
    this.pen.stroke();
  }

  write(words, x, y, scale, align) {
    Object.assign(this.pen, { font: `${13 * scale}px "DejaVu Sans Mono", monospace`, textAlign: align, lineWidth: 3 * scale });
    [this.pen.strokeStyle, this.pen.fillStyle] = ["#000", "#f3d34a"];
    this.pen.strokeText(words, x, y);
    this.pen.fillText(words, x, y);
  }

  caption() {
    const { current, look } = this;
    const height = current && geometry.place(current.image);
    const lossy = current?.image.lossy ? ` · ${say("lossy")}` : "";
    const told = (height === null || !current ? "" : ` · ${figure(height.toFixed(1))} mm`) + lossy;
    this.part("place-words").textContent = this.entries.length ? say("image %(at)s / %(count)s", { at: this.shown + 1, count: this.entries.length }) + told : "";
    const pixels = current && !isColour(current.image);
    const fn = look && look.fn !== "LINEAR" ? ` ${look.fn}` : "";
    const words = pixels ? (look.lut ? say("file table") : `W ${figure(short(look.width))} L ${figure(short(look.centre))}${fn}`) : say("colour");
    this.part("window-words").textContent = current ? say("%(window)s · zoom %(percent)s %", { window: words, percent: Math.round(this.view.zoom * 100) }) : "";
    const sides = current ? geometry.edges(current.image, this.view) : { left: "", right: "", top: "", bottom: "" };
    for (const [side, letters] of Object.entries(sides)) this.part(`edge-${side}`).textContent = letters;
    const machine = this.overlay.words(current && this.entries[this.shown]);
    this.part("ai-words").hidden = !machine;
    this.part("ai-words").textContent = machine;
    this.part("rule-words").textContent = current && this.mode === "length" ? say(geometry.RULES[geometry.spacing(current.image).unit]) : "";
    const pairs = this.lengths();
    this.part("measure-words").textContent = pairs.map((pair) => measured(current.image, pair)).join(", ");
    Object.assign(this.port.dataset, { at: this.shown, turns: this.view.turns, flip: this.view.flip });
  }

  // Hands

  point(event) {
    const scale = devicePixelRatio || 1;
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  }

  listen() {
    const on = (kind, act, options) => this.port.addEventListener(kind, act, options);
    on("focusin", () => this.heard.active(this));
    on("pointerdown", (event) => this.take(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", () => this.release());
    on("pointercancel", () => this.release());
    on("pointerleave", () => { if (!this.held) this.part("probe-words").textContent = ""; });
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", (event) => {
      event.preventDefault();
      this.heard.active(this);
      if (event.ctrlKey) this.zoomBy(event.deltaY < 0 ? 1.1 : 1 / 1.1, this.point(event));
      else this.show(this.at + Math.sign(event.deltaY));
    }, { passive: false });
  }

  take(event) {
    this.heard.active(this);
    if (!this.current || event.button > 2) return;
    this.port.setPointerCapture(event.pointerId);
    const mode = event.button === 1 || event.shiftKey ? "pan" : event.button === 2 ? "zoom" : this.mode;
    const at = this.point(event);
    this.held = { mode, at, look: this.look, x: this.view.x, y: this.view.y, zoom: this.view.zoom };
    if (mode === "length") this.begin(at);
  }

  lengths() {
    return (this.current && this.measures.get(this.current.key)) ?? [];
  }

  begin(at) {
    const from = geometry.toImage(this.matrix(), at);
    this.held.pair = [from, from];
    this.measures.set(this.current.key, [...this.lengths(), this.held.pair].slice(-MEASURES_MAX));
  }

  move(event) {
    const { current, held } = this;
    if (!current) return;
    const at = this.point(event);
    if (!held) return this.probe(at);
    const [x, y] = [at[0] - held.at[0], at[1] - held.at[1]];
    const scale = devicePixelRatio || 1;
    if (held.mode === "window") return this.nudge(y / scale, x / scale, true, held.look);
    if (held.mode === "zoom") return this.zoomTo(held.zoom * 1.01 ** (-y / scale), held.at);
    if (held.mode === "pan") Object.assign(this.view, { fitted: false, x: held.x + x, y: held.y + y });
    if (held.mode === "length") held.pair[1] = geometry.toImage(this.matrix(), at);
    this.draw();
  }

  release() {
    if (!this.held) return;
    const { pair } = this.held;
    this.held = null;
    if (pair && pair[0] === pair[1]) this.forget(); // a click measures nothing
    this.draw();
  }

  // Takes the last length on this frame away, or all of them.
  forget(all = false) {
    if (!this.current) return;
    this.measures.set(this.current.key, all ? [] : this.lengths().slice(0, -1));
    this.draw();
  }

  probe(at) {
    const { image, stored } = this.current;
    const [column, row] = geometry.toImage(this.matrix(), at).map(Math.floor);
    const inside = column >= 0 && row >= 0 && column < image.columns && row < image.rows;
    this.part("probe-words").textContent = inside ? `x ${column} y ${row}: ${value(image, stored, row * image.columns + column)}` : "";
  }
}

function measured(image, pair) {
  const { value: found, unit: named } = geometry.distance(image, ...pair);
  return `${figure(found.toFixed(1))} ${say(named)}`;
}

function value(image, stored, at) {
  if (isColour(image)) return ["R", "G", "B"].map((name, of) => `${name} ${stored[3 * at + of]}`).join(" ");
  if (isPadding(image, stored[at])) return say("no measurement");
  const found = modality(image, stored[at]);
  return `${figure(Number.isInteger(found) ? found : Number(found.toPrecision(6)))} ${say(unit(image))}`.trim();
}

// The part of an image that lies on the screen, in whole steps.
function seen(image, matrix, width, height, step) {
  const corners = [[0, 0], [width, 0], [0, height], [width, height]].map((each) => geometry.toImage(matrix, each));
  const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
  const low = (found) => Math.max(0, Math.floor(Math.min(...found) / step) * step);
  const [left, top] = [Math.min(low(xs), image.columns - 1), Math.min(low(ys), image.rows - 1)];
  const right = Math.min(image.columns, Math.ceil(Math.max(...xs)) + step);
  const bottom = Math.min(image.rows, Math.ceil(Math.max(...ys)) + step);
  return { left, top, right: Math.max(left + 1, right), bottom: Math.max(top + 1, bottom), step };
}
