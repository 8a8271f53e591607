// Where a model's answer comes from, as a map over the image: asked for by hand, marked as a machine's, and taken off
// again by the same key. And the images worth going to: those of the map, those the centre cites, those it was sent.

import { say } from "../words.js";

const COLOUR = [255, 140, 0];
const ALPHA_MAX = 0.5; // the image stays readable below the strongest place

export class Overlay {
  constructor(root) {
    Object.assign(this, { root, on: false, told: null, asked: null, at: -1 });
    this.sheets = new Map();
  }

  get offered() {
    return this.root.dataset.overlay === "shown";
  }

  // The maps, fetched when first wanted: nothing of them is here before. Null where the appliance gives none.
  async maps() {
    this.asked ??= fetch(this.root.dataset.source.replace(/images$/, "overlay"), { cache: "no-store" }).then(
      (answer) => (answer.ok ? answer.json() : null),
      () => null,
    );
    this.told = await this.asked;
    if (!this.told) this.asked = null; // asked again by the next press
    return this.told;
  }

  async toggle() {
    this.on = !this.on && this.offered && Boolean(await this.maps());
    return this.on;
  }

  // What is drawn over an entry of the study itself; never over a prior.
  sheet({ source, image, frame }) {
    if (!this.on || source !== this.root.dataset.source) return null;
    const key = `${image.image} ${frame}`;
    const map = this.told.maps.find((each) => each.image === image.image && each.frame === frame);
    if (map && !this.sheets.has(key)) this.sheets.set(key, drawn(map, this.told));
    return map ? this.sheets.get(key) : null;
  }

  words(entry) {
    if (!this.on) return "";
    const { model, label } = this.root.dataset;
    if (entry && this.sheet(entry)) return say("AI map · %(model)s · where its score for %(label)s comes from, no outline of a finding", { model, label });
    return say("AI map · nothing of this image");
  }

  // Images to go to, as [image, frame]: the strongest first, each once.
  async stops() {
    const told = this.offered ? await this.maps() : null;
    const cited = [...document.querySelectorAll("li .jump"), ...document.querySelectorAll("#key-images .jump")];
    const pictures = cited.map(({ dataset }) => [Number(dataset.image), Number(dataset.frame)]);
    return [...new Map([...(told?.stops ?? []), ...pictures].map((each) => [String(each), each])).values()];
  }

  // The stop after the last one that was gone to, or the first of all.
  async next(first = false) {
    const found = await this.stops();
    this.at = found.length ? (first ? 0 : (this.at + 1) % found.length) : -1;
    return found[this.at] ?? null;
  }
}

function drawn({ levels }, { rows, columns, level_max: most }) {
  const sheet = document.createElement("canvas");
  [sheet.width, sheet.height] = [columns, rows];
  const pen = sheet.getContext("2d");
  const out = pen.createImageData(columns, rows);
  const told = atob(levels);
  for (let at = 0; at < rows * columns; at++) {
    out.data.set([...COLOUR, Math.round((255 * ALPHA_MAX * told.charCodeAt(at)) / most)], 4 * at);
  }
  pen.putImageData(out, 0, 0);
  return sheet;
}
