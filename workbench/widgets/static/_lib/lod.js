// @ts-check
// What the kernel sends for a view: events one by one, or cells of a pixel or so. The twin of ../../_levels.py. Pure.

export const MOMENT = 1;
export const UNFINISHED = 2;
export const ESTIMATED = 4;
export const MATCHED = 8;
export const ORPHANED = 16;
export const OUT_OF_ORDER = 32;
export const ERROR_SEVERITY = 3;
export const WARNING_SEVERITY = 2;

/**
 * @typedef {{ n: number, start: Float64Array, end: Float64Array, row: Int32Array, track: Uint16Array, color: Uint8Array,
 *   severity: Uint8Array, flags: Uint8Array, name: Uint16Array, names: string[] }} Items
 * @typedef {{ start: number, end: number, bins: number, complete: boolean, items: Items, tracks: number,
 *   count: Uint16Array, mix: Uint8Array, errors: Uint8Array }} Tile
 */

/** @param {any} answer @returns {Items} */
export function readItems(answer) {
  const none = new Float64Array(0);
  return {
    n: answer.row?.length ?? 0,
    start: answer.starts ?? none,
    end: answer.ends ?? none,
    row: answer.row ?? new Int32Array(0),
    track: answer.track ?? new Uint16Array(0),
    color: answer.color ?? new Uint8Array(0),
    severity: answer.severity ?? new Uint8Array(0),
    flags: answer.flags ?? new Uint8Array(0),
    name: answer.name ?? new Uint16Array(0),
    names: answer.names ?? [],
  };
}

/** @param {any} answer @returns {Tile} */
export function readTile(answer) {
  const count = answer.cell_count ?? new Uint16Array(0);
  return {
    start: answer.start,
    end: answer.end,
    bins: answer.bins,
    complete: answer.complete,
    items: readItems(answer),
    tracks: answer.bins ? count.length / answer.bins : 0,
    count,
    mix: answer.cell_mix ?? new Uint8Array(0),
    errors: answer.cell_errors ?? new Uint8Array(0),
  };
}

/** Label of an item. @param {Items} items @param {number} i */
export function labelOf(items, i) {
  return items.names[items.name[i]] ?? "";
}

/** One item as a plain object. @param {Items} items @param {number} i */
export function itemAt(items, i) {
  return {
    row: items.row[i], start: items.start[i], end: items.end[i], track: items.track[i], color: items.color[i],
    severity: items.severity[i], flags: items.flags[i], label: labelOf(items, i),
  };
}

/**
 * The item at a place: on this track, under `t` or at most `reach` beside it; of several the one that starts last.
 * @param {Items} items @param {number} track @param {number} t @param {number} reach @param {(i: number) => boolean} shown
 */
export function hitItem(items, track, t, reach, shown) {
  let best = -1;
  let distance = Infinity;
  for (let i = 0; i < items.n; i++) {
    if (items.track[i] !== track || !shown(i)) continue;
    const away = t < items.start[i] ? items.start[i] - t : t > items.end[i] ? t - items.end[i] : 0;
    if (away > reach || away > distance) continue;
    best = i;
    distance = away;
  }
  return best;
}

/** The next item in time; items are in order of start. @param {Items} items @param {number} from index, -1 before the first @param {number} step @param {(i: number) => boolean} shown */
export function nextItem(items, from, step, shown) {
  for (let i = from + step; i >= 0 && i < items.n; i += step) if (shown(i)) return i;
  return -1;
}

/** First index whose start is at `t` or later. @param {Float64Array} starts @param {number} t */
export function firstFrom(starts, t) {
  let low = 0;
  let high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] < t) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Cells as pixels: one column per bin, the rows of `tops`; what a row shows is split by the shares of its classes, with
 * a band on top for errors.
 * @param {Tile} tile @param {{ tops: Float64Array, row: number, height: number }} layout
 * @param {number[][]} palette RGB per colour class @param {number[]} alarm RGB of an error @param {(color: number) => boolean} shown
 * @returns {Uint8ClampedArray} RGBA, `bins` x `height`
 */
export function paintCells(tile, layout, palette, alarm, shown) {
  const { bins, tracks, count, mix, errors } = tile;
  const height = Math.max(1, Math.ceil(layout.height));
  const pixels = new Uint8ClampedArray(bins * height * 4);
  const most = Math.log2(1 + count.reduce((a, b) => Math.max(a, b), 1));
  const band = Math.max(2, Math.floor(layout.row / 5));
  for (let track = 0; track < tracks; track++) {
    const top = layout.tops[track];
    const rows = layout.row - 2;
    for (let bin = 0; bin < bins; bin++) {
      const cell = track * bins + bin;
      if (count[cell] === 0) continue;
      const alpha = 130 + 125 * (Math.log2(1 + count[cell]) / most);
      let y = 0;
      for (let k = 0; k < 3; k++) {
        const share = mix[cell * 3 + k] & 15;
        const color = mix[cell * 3 + k] >> 4;
        if (share === 0) break;
        // the last class takes what rounding leaves over
        const upTo = k === 2 || (mix[cell * 3 + k + 1] & 15) === 0 ? rows : Math.min(rows, y + Math.round((share / 15) * rows));
        if (shown(color)) {
          const [r, g, b] = palette[color % palette.length];
          for (; y < upTo; y++) put(pixels, ((top + y) * bins + bin) * 4, r, g, b, alpha);
        }
        y = upTo;
      }
      if (errors[cell]) {
        for (let e = 0; e < band; e++) put(pixels, ((top + e) * bins + bin) * 4, alarm[0], alarm[1], alarm[2], 255);
      }
    }
  }
  return pixels;
}

/** @param {Uint8ClampedArray} pixels @param {number} at @param {number} r @param {number} g @param {number} b @param {number} a */
function put(pixels, at, r, g, b, a) {
  pixels[at] = r;
  pixels[at + 1] = g;
  pixels[at + 2] = b;
  pixels[at + 3] = a;
}

/** How many events are active per bin over all tracks, and whether there are errors: for the minimap. @param {Tile} tile @param {number} bins @param {number} span */
export function profile(tile, bins, span) {
  const counts = new Float64Array(bins);
  const errors = new Uint8Array(bins);
  if (tile.bins) {
    const n = Math.min(bins, tile.bins);
    const columns = new Float64Array(bins);
    for (let cell = 0; cell < tile.count.length; cell++) {
      const bin = Math.min(n - 1, Math.floor((((cell % tile.bins) + 0.5) / tile.bins) * n));
      if (cell < tile.bins) columns[bin]++;
      counts[bin] += tile.count[cell];
      if (tile.errors[cell]) errors[bin] = 1;
    }
    // The mean, as bins hold one column more or less than their neighbours.
    for (let bin = 0; bin < n; bin++) counts[bin] /= Math.max(1, columns[bin]);
    if (n < bins) return { counts: counts.slice(0, n), errors: errors.slice(0, n) };
    return { counts, errors };
  }
  const { items } = tile;
  for (let i = 0; i < items.n; i++) {
    const from = Math.min(bins - 1, Math.max(0, Math.floor((items.start[i] / span) * bins)));
    const to = Math.min(bins - 1, Math.max(from, Math.ceil((items.end[i] / span) * bins) - 1));
    for (let bin = from; bin <= to; bin++) counts[bin]++;
    if (items.severity[i] >= ERROR_SEVERITY) errors[from] = 1;
  }
  return { counts, errors };
}

/** "#rrggbb" or "rgb(…)" as [r, g, b]. @param {string} color */
export function rgb(color) {
  const hex = /^#([0-9a-f]{6})$/i.exec(color.trim());
  if (hex) return [0, 2, 4].map((i) => parseInt(hex[1].slice(i, i + 2), 16));
  const parts = color.match(/[\d.]+/g);
  return parts && parts.length >= 3 ? parts.slice(0, 3).map(Number) : [128, 128, 128];
}
