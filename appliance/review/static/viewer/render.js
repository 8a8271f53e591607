// Stored values to grey levels and colours: pure functions, no page. Modality values PS3.3 C.11.1, VOI C.11.2.
//
// image  the description of a frame, as the server reads it from the frames cache
// look   { lut, fn, centre, width, invert }: a VOI table, or else a window on modality values

export const ARRAYS = { uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array, rgb8: Uint8Array };

export const isColour = (image) => image.dtype === "rgb8";

export function modality(image, stored) {
  return stored * (image.slope ?? 1) + (image.intercept ?? 0);
}

export function isPadding(image, stored) {
  return Boolean(image.padding) && stored >= image.padding[0] && stored <= image.padding[1];
}

// The three VOI LUT functions, from 0 to 1: C.11.2.1.2.1 LINEAR, C.11.2.1.3.2 LINEAR_EXACT, C.11.2.1.3.1 SIGMOID.
export function windowed(fn, value, centre, width) {
  if (fn === "SIGMOID") return 1 / (1 + Math.exp((-4 * (value - centre)) / width));
  const [middle, span] = fn === "LINEAR_EXACT" ? [centre, width] : [centre - 0.5, width - 1];
  if (value <= middle - span / 2) return 0;
  if (value > middle + span / 2) return 1;
  return (value - middle) / span + 0.5;
}

// C.11.2.1.1: what lies beyond the table's ends takes the end's entry.
export function tabled(lut, value) {
  const at = Math.max(0, Math.min(lut.entries.length - 1, Math.trunc(value - lut.first)));
  return Math.min(1, lut.entries[at] / (2 ** lut.bits - 1));
}

export function level(image, look, stored) {
  if (isPadding(image, stored)) return 0; // no measurement: black however the rest is shown
  const value = modality(image, stored);
  const share = look.lut ? tabled(look.lut, value) : windowed(look.fn, value, look.centre, look.width);
  const grey = Math.round(255 * share);
  return (image.photometric === "MONOCHROME1") !== look.invert ? 255 - grey : grey;
}

// The level of every value that 8 or 16 bits can hold, indexed by the bits, so that a negative value finds its place.
export function levels(image, look) {
  if (image.dtype === "int32") return null;
  const found = new Uint8Array(image.dtype === "uint8" ? 256 : 65536);
  const signed = image.dtype === "int16";
  for (let bits = 0; bits < found.length; bits++) {
    found[bits] = level(image, look, signed && bits > 32767 ? bits - 65536 : bits);
  }
  return found;
}

// Every step-th pixel of [left, right) x [top, bottom) into `out`, one 0xAABBGGRR a pixel.
export function paint(image, stored, look, out, { left, top, right, bottom, step }) {
  const width = image.columns;
  let to = 0;
  if (isColour(image)) {
    const flip = look.invert ? 0xffffff : 0;
    for (let row = top; row < bottom; row += step) {
      for (let at = 3 * (row * width + left), end = 3 * (row * width + right); at < end; at += 3 * step) {
        out[to++] = 0xff000000 | ((stored[at] | (stored[at + 1] << 8) | (stored[at + 2] << 16)) ^ flip);
      }
    }
    return;
  }
  const table = levels(image, look);
  const mask = image.dtype === "uint8" ? 0xff : 0xffff;
  for (let row = top; row < bottom; row += step) {
    for (let at = row * width + left, end = row * width + right; at < end; at += step) {
      const grey = table ? table[stored[at] & mask] : level(image, look, stored[at]);
      out[to++] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
    }
  }
}

export function whole(image, step = 1) {
  return { left: 0, top: 0, right: image.columns, bottom: image.rows, step };
}

// A frame as RGBA bytes, for whoever wants all of it.
export function rendered(image, stored, look) {
  const out = new Uint32Array(image.rows * image.columns);
  paint(image, stored, look, out, whole(image));
  return new Uint8Array(out.buffer);
}

// Lowest and highest modality value: of the whole object where triage has told it, else of this frame.
export function extent(image, stored) {
  let [low, high] = image.extent ?? [Infinity, -Infinity];
  if (!image.extent) {
    for (const value of stored) {
      if (isPadding(image, value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) [low, high] = [0, 1];
  const [one, other] = [modality(image, low), modality(image, high)];
  return [Math.min(one, other), Math.max(one, other)];
}

// A LINEAR window that shows all values there are.
export function fullWindow(image, stored) {
  const [low, high] = extent(image, stored);
  return { lut: null, fn: "LINEAR", width: high - low + 1, centre: (low + high + 1) / 2 };
}

// How the file wants to be shown: its first VOI table, else its first window, else all values (C.11.2: either is right).
export function fileLook(image, stored, lut = null) {
  const [pair] = image.windows ?? [];
  const look = fullWindow(image, stored);
  if (pair) [look.centre, look.width, look.fn] = [...pair, image.voi_function ?? "LINEAR"];
  return { ...look, lut, invert: false };
}

const mark = (english) => english; // for translators; the page says it in its reader's language
const CT_WINDOWS = [
  [mark("Brain"), 40, 80], [mark("Soft tissue"), 40, 400], [mark("Lung"), -600, 1500], [mark("Bone"), 480, 2500], [mark("Liver"), 90, 150],
];

// What the window menu offers, in the order of the number keys: { key, words, look }, and of the words name and values.
export function presets(image, stored, luts = []) {
  if (isColour(image)) return [];
  const full = fullWindow(image, stored);
  const fn = image.voi_function ?? "LINEAR";
  const offered = [];
  if (image.modality === "CT" && image.values !== "stored") {
    for (const [name, centre, width] of CT_WINDOWS) offered.push([name, { lut: null, fn: "LINEAR", centre, width }]);
  }
  luts.forEach((lut, at) => offered.push([mark("File table"), { ...full, lut }, `lut${at + 1}`, at + 1]));
  (image.windows ?? []).forEach(([centre, width], at) => offered.push([mark("File"), { lut: null, fn, centre, width }, "", at + 1]));
  offered.push([mark("Full range"), full, "full"]);
  if (image.modality !== "CT") {
    const { centre, width } = fileLook(image, stored);
    offered.push([mark("More contrast"), { lut: null, fn, centre, width: Math.max(1, width / 2) }]);
    offered.push([mark("Less contrast"), { lut: null, fn, centre, width: width * 2 }]);
  }
  return offered.map(([name, look, key, at]) => {
    const offer = { key: key || `${look.centre},${look.width}`, name: [name, at], values: key ? null : [look.centre, look.width], look };
    return { ...offer, words: offerWords(offer) };
  });
}

// A window as the menu says it; say and figure put it into another language.
export function offerWords({ name: [name, at], values }, say = (word) => word, figure = String) {
  return `${say(name)}${at ? ` ${at}` : ""}${values ? `: ${values.map((each) => figure(short(each))).join(" / ")}` : ""}`;
}

export function short(value) {
  return Math.abs(value) >= 100 ? Math.round(value) : Number(value.toPrecision(3));
}

// The unit of a modality value in words; CT without a rescale type is in HU (C.8.2.1).
export function unit(image) {
  if (image.values === "stored") return mark("stored");
  if (image.unit && image.unit !== "US") return image.unit;
  return image.modality === "CT" && !image.unit ? "HU" : "";
}
