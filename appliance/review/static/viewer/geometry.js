// Where an image's sides lie in the patient, what a pixel measures, and how it is turned: pure functions, no page.

const OPPOSITE = { L: "R", R: "L", A: "P", P: "A", H: "F", F: "H" };
const LEAST_COSINE = 0.1; // a direction that leans less than about 6 degrees to an axis does not name it

// PS3.3 C.7.6.2.1.1: x grows to the left hand, y to the back, z to the head.
export function direction(vector) {
  const named = vector.map((cosine, at) => [Math.abs(cosine), (cosine < 0 ? "RAF" : "LPH")[at]]);
  return named.filter(([size]) => size >= LEAST_COSINE).sort((one, other) => other[0] - one[0]).map(([, letter]) => letter).join("");
}

export function opposite(letters) {
  return [...letters].map((letter) => OPPOSITE[letter]).join("");
}

// Quarter turns clockwise, then a mirror from side to side: rows of the matrix from image to screen directions.
export function turned({ turns, flip }) {
  const [c, s] = [[1, 0], [0, 1], [-1, 0], [0, -1]][turns];
  return flip ? [[-c, s], [s, c]] : [[c, -s], [s, c]];
}

export function rotate(view) {
  view.turns = (view.turns + (view.flip ? 3 : 1)) % 4; // clockwise on the screen also in the mirror
}

// The letters on the four sides of the screen, "" where the file does not tell.
export function edges(image, view) {
  const [toRight, toBottom] = turned(view).map((parts) => along(image, parts));
  return { right: toRight, left: opposite(toRight), bottom: toBottom, top: opposite(toBottom) };
}

function along(image, [row, column]) {
  const given = image.orientation;
  if (given) return direction([0, 1, 2].map((at) => row * given[at] + column * given[at + 3]));
  if (!image.patient_orientation) return "";
  const letters = image.patient_orientation[row ? 0 : 1];
  return row + column < 0 ? opposite(letters) : letters;
}

// Height of a pixel over its width.
export function aspect(image) {
  return image.spacing ? image.spacing[0] / image.spacing[1] : (image.aspect ?? 1);
}

const mark = (english) => english; // for translators; the page says it in its reader's language
const SAID = { patient: "mm", detector: mark("mm at detector"), untold: mark("mm (calibration not told)") };
export const RULES = {
  mm: mark("mm in the patient, by the file's PixelSpacing"),
  "mm at detector": mark("mm at the detector, by ImagerPixelSpacing: shorter in the patient"),
  "mm (calibration not told)": mark("mm by PixelSpacing; whether magnification was corrected is not told"),
  px: mark("the file tells no pixel spacing: lengths are in pixels"),
};

// Millimetres between rows and between columns, or pixels where the file does not tell (PS3.3 10.7.1.3).
export function spacing(image) {
  if (!image.spacing) return { row: 1, column: 1, unit: "px", known: false };
  const at = image.spacing_at || (image.spacing_source === "ImagerPixelSpacing" ? "detector" : "patient");
  return { row: image.spacing[0], column: image.spacing[1], unit: SAID[at], known: true };
}

export function distance(image, [x0, y0], [x1, y1]) {
  const { row, column, unit } = spacing(image);
  return { value: Math.hypot((x1 - x0) * column, (y1 - y0) * row), unit };
}

export function said({ value, unit }) {
  return `${value.toFixed(1)} ${unit}`;
}

// The longest of 1, 2 and 5 times a power of ten that fits: { length, pixels, words, number, unit }.
export function scaleBar(image, zoom, pixelsMax) {
  const { column, unit, known } = spacing(image);
  const room = (pixelsMax / zoom) * column;
  if (!known || !(room > 0) || !Number.isFinite(room)) return null;
  const ten = 10 ** Math.floor(Math.log10(room));
  const length = [5, 2, 1].map((times) => times * ten).find((each) => each <= room * 1.0000001) ?? ten;
  const [number, named] = length >= 10 && unit === "mm" ? [length / 10, "cm"] : [Number(length.toPrecision(2)), unit];
  return { length, pixels: (length / column) * zoom, words: `${number} ${named}`, number, unit: named };
}

// From pixels of the image (0,0 the first pixel's corner) to pixels of the canvas: [a, b, c, d, e, f] as setTransform takes.
export function transform(image, view, width, height) {
  const [[xx, xy], [yx, yy]] = turned(view);
  const [across, down] = [view.zoom, view.zoom * aspect(image)];
  const [a, b, c, d] = [xx * across, yx * across, xy * down, yy * down];
  const [middleX, middleY] = [image.columns / 2, image.rows / 2];
  const e = width / 2 + view.x - a * middleX - c * middleY;
  const f = height / 2 + view.y - b * middleX - d * middleY;
  return [a, b, c, d, Math.round(e), Math.round(f)]; // whole pixels, so that 1:1 is the file's own pixels
}

export function toScreen([a, b, c, d, e, f], [x, y]) {
  return [a * x + c * y + e, b * x + d * y + f];
}

export function toImage([a, b, c, d, e, f], [x, y]) {
  const size = a * d - b * c;
  return [(d * (x - e) - c * (y - f)) / size, (a * (y - f) - b * (x - e)) / size];
}

export function fitZoom(image, view, width, height) {
  const [wide, high] = [image.columns, image.rows * aspect(image)];
  const [across, down] = view.turns % 2 ? [high, wide] : [wide, high];
  return Math.min(width / across, height / down);
}

// How far a slice lies along the normal of its plane, in mm.
export function place(image) {
  const [o, p] = [image.orientation, image.position];
  if (!o || !p) return null;
  const normal = [o[1] * o[5] - o[2] * o[4], o[2] * o[3] - o[0] * o[5], o[0] * o[4] - o[1] * o[3]];
  return normal.reduce((sum, each, at) => sum + each * p[at], 0);
}
