// Frames from the appliance, kept in memory up to a limit, and fetched ahead around the place that is looked at.

import { ARRAYS } from "./render.js";

const BYTES_MAX = 256 * 2 ** 20;
const AHEAD_BYTES_MAX = 96 * 2 ** 20;
const AHEAD_FRAMES_MAX = 200;
const FETCHES_MAX = 4; // a browser has six connections to a host: two stay free
const TABLES_MAX = 32;

const held = new Map(); // address -> values, the one used longest ago first
const coming = new Map(); // address -> promise
const tables = new Map();
let bytes = 0;
let ahead = [];

export function address({ source, image, frame }) {
  return `${source}/${image.image}/frames/${frame}`;
}

export function size({ image }) {
  return image.rows * image.columns * (image.dtype === "rgb8" ? 3 : ARRAYS[image.dtype].BYTES_PER_ELEMENT);
}

// A frame's values; null where the appliance does not have them.
export function values(entry) {
  const key = address(entry);
  const found = held.get(key);
  if (found) {
    held.delete(key);
    held.set(key, found);
    return found;
  }
  if (!entry.image.here) return null;
  if (!coming.has(key)) coming.set(key, fetched(key, entry).finally(() => coming.delete(key)));
  return coming.get(key);
}

async function fetched(key, entry) {
  const buffer = await fetch(key, { cache: "no-store" }).then((answer) => answer.ok && answer.arrayBuffer(), () => null);
  if (!buffer || buffer.byteLength !== size(entry)) return null;
  const found = new ARRAYS[entry.image.dtype](buffer);
  held.set(key, found);
  bytes += buffer.byteLength;
  for (const [old, each] of held) {
    if (bytes <= BYTES_MAX || old === key) break;
    bytes -= each.byteLength;
    held.delete(old);
  }
  return found;
}

// Fetches what lies around a place, nearest first and rather in the direction of travel; forgets earlier wishes.
export function fetchAround(entries, at, step = 1) {
  const wanted = [];
  let room = AHEAD_BYTES_MAX;
  const next = [1, 2, 3, 4].map((by) => at + by * step);
  for (let by = 1; by < Math.min(entries.length, AHEAD_FRAMES_MAX); by++) next.push(at + by * step, at - by * step);
  for (const place of new Set(next)) {
    const entry = entries[place];
    if (!entry?.image.here) continue;
    room -= size(entry);
    if (room < 0) break;
    if (!held.has(address(entry))) wanted.push(entry);
  }
  ahead = wanted;
  pump();
}

function pump() {
  while (coming.size < FETCHES_MAX && ahead.length) {
    const entry = ahead.shift();
    if (held.has(address(entry)) || coming.has(address(entry))) continue;
    Promise.resolve(values(entry)).then(pump);
  }
}

// The VOI tables of an image, as many as came.
export async function voiTables({ source, image }) {
  const told = image.voi_luts ?? [];
  const key = `${source}/${image.image}/luts`;
  if (!told.length) return [];
  if (!tables.has(key)) {
    const found = [];
    for (const [at, { first, bits, entries }] of told.entries()) {
      const answer = await fetch(`${key}/${at + 1}`, { cache: "no-store" });
      if (!answer.ok) break;
      const table = new Uint16Array(await answer.arrayBuffer());
      if (table.length === entries) found.push({ first, bits, entries: table });
    }
    if (tables.size >= TABLES_MAX) tables.clear();
    tables.set(key, found);
  }
  return tables.get(key);
}
