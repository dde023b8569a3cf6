// @ts-check
/**
 * The rows a grid shows, from either of two places that answer alike: typed columns held here, or the kernel in tiles.
 * Also the arithmetic of a virtual list. No DOM.
 *
 * @typedef {{column: string, descending?: boolean}} SortKey
 * @typedef {{rows: number, facets: Record<string, [string | null, number][]>, bins: Record<string, number[]>}} Summary
 * @typedef {{table: import("./table.js").Table, row: number}} Place
 * @typedef {{view: (filters: any, sort: SortKey[]) => Promise<Summary>, row: (at: number) => Place | null,
 *            ids: (start: number, stop: number) => Promise<string[]>}} RowSource
 */
import { cell, histogram, passing, rowsOf, sortedNumbers, sortRows, valueCounts } from "./table.js";

const FACET_VALUES = 500;
const LONGEST_VALUE = 300;

/** Longer ones are found by the search; a picker of them would be the whole payload. */
function isShort(/** @type {string | null} */ value) {
  return value === null || value.length <= LONGEST_VALUE || [...value].length <= LONGEST_VALUE;
}

/** Rows held here. @param {import("./table.js").Table} table @param {any} meta @returns {RowSource} */
export function localRows(table, meta) {
  let order = rowsOf(passing(table, {}));
  return {
    async view(filters, sort) {
      order = sortRows(rowsOf(passing(table, filters)), table, sort);
      const facets = Object.fromEntries(
        meta.facets.map((/** @type {string} */ name) => {
          const rows = rowsOf(passing(table, filters, name));
          const counts = valueCounts(table.columns.get(name), rows);
          return [name, counts.filter(([value]) => isShort(value)).slice(0, FACET_VALUES)];
        }),
      );
      const bins = Object.fromEntries(
        Object.entries(meta.scales).map(([name, { low, high, bins: all }]) => {
          return [name, histogram(sortedNumbers(table.columns.get(name), order), low, high, all.length)];
        }),
      );
      return { rows: order.length, facets, bins };
    },
    row: (at) => (at < order.length ? { table, row: order[at] } : null),
    ids: async (start, stop) => Array.from(order.slice(start, stop), (row) => String(cell(table.columns.get("id"), row))),
  };
}

/**
 * Rows in the kernel, fetched in tiles as they come into sight.
 * @param {(verb: string, args: any) => Promise<any>} request @param {(block: any) => import("./table.js").Table} read
 * @param {import("./table.js").Table} first the first rows of the initial view
 * @param {{tileRows: number, initial: {filters: any, sort: SortKey[], summary: Summary}, arrived: () => void, failed: (error: any) => void}} options @returns {RowSource}
 */
export function kernelRows(request, read, first, { tileRows, initial, arrived, failed }) {
  const KEPT = 60;
  /** @type {Map<number, import("./table.js").Table | null>} null: on its way */
  let tiles = new Map();
  /** @type {{filters: any, sort: SortKey[]}} */
  let spec = { filters: {}, sort: [] };
  const same = (/** @type {any} */ a) => JSON.stringify([a.filters, a.sort]) === JSON.stringify([initial.filters, initial.sort]);
  let isInitial = false;
  let turn = 0;
  let generation = 0; // of the tiles: one asked for an older view is dropped when it comes

  async function fetchTile(/** @type {number} */ number) {
    const mine = generation;
    tiles.set(number, null);
    try {
      const block = await request("tile", { ...spec, start: number * tileRows });
      if (mine !== generation) return;
      tiles.delete(number);
      tiles.set(number, read(block));
      for (const [key, table] of tiles) if (tiles.size > KEPT && table) tiles.delete(key);
      arrived();
    } catch (error) {
      if (mine === generation) tiles.delete(number);
      failed(error);
    }
  }

  return {
    async view(filters, sort) {
      const mine = ++turn;
      const summary = same({ filters, sort }) ? initial.summary : await request("view", { filters, sort });
      if (mine !== turn) return summary;
      generation++;
      spec = { filters, sort };
      tiles = new Map();
      isInitial = same(spec);
      return summary;
    },
    row(at) {
      if (isInitial && at < first.rows) return { table: first, row: at };
      const number = Math.floor(at / tileRows);
      const table = tiles.get(number);
      if (table) return at % tileRows < table.rows ? { table, row: at % tileRows } : null;
      if (table === undefined) fetchTile(number);
      return null;
    },
    ids: async (start, stop) => (await request("ids", { ...spec, start, stop })).ids,
  };
}

// ------------------------------------------------------------------------------------------------------- virtual list

// Browsers stop laying out somewhere between 17 and 33 million pixels.
const TALLEST = 8_000_000;

/** Height of the scrolled body. */
export function bodyHeight(/** @type {number} */ total, /** @type {number} */ rowHeight) {
  return Math.min(total * rowHeight, TALLEST);
}

/**
 * What to draw at a scroll position: rows `first` to `last` (exclusive), the first one's top inside the body. Above the
 * tallest height the scroll bar is a scale, not pixels.
 * @param {number} scrollTop @param {number} viewport height of the visible body @param {number} total @param {number} rowHeight
 */
export function visibleRows(scrollTop, viewport, total, rowHeight, spare = 4) {
  const whole = total * rowHeight;
  const height = bodyHeight(total, rowHeight);
  const share = height > viewport ? (whole - viewport) / (height - viewport) : 1;
  const offset = Math.max(0, Math.min(scrollTop * share, Math.max(0, whole - viewport)));
  const first = Math.max(0, Math.floor(offset / rowHeight) - spare);
  const last = Math.min(total, Math.ceil((offset + viewport) / rowHeight) + spare);
  return { first, last, top: scrollTop + first * rowHeight - offset };
}

/** Scroll position that brings a row into sight, moving as little as possible. */
export function scrollFor(/** @type {number} */ row, /** @type {number} */ scrollTop, /** @type {number} */ viewport, /** @type {number} */ total, /** @type {number} */ rowHeight) {
  const whole = total * rowHeight;
  const height = bodyHeight(total, rowHeight);
  const share = height > viewport ? (whole - viewport) / (height - viewport) : 1;
  const offset = scrollTop * share;
  if (row * rowHeight < offset) return (row * rowHeight) / share;
  if ((row + 1) * rowHeight > offset + viewport) return ((row + 1) * rowHeight - viewport) / share;
  return scrollTop;
}

/** The rows a key moves to. @param {string} key @param {number} at @param {number} total @param {number} page */
export function moved(key, at, total, page) {
  const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -total, End: total }[key];
  if (by === undefined || !total) return null;
  return Math.max(0, Math.min(total - 1, at + by));
}

// ---------------------------------------------------------------------------------------------------------- geometry

/** SVG path of bars that fill width × height. @param {number[]} counts @param {number} [top] count drawn at full height */
export function barsPath(counts, width = 72, height = 16, top = Math.max(1, ...counts)) {
  const step = width / counts.length;
  let path = "";
  counts.forEach((n, i) => {
    // A rare value stays visible: one run among ten thousand is often the one looked for.
    const tall = n ? Math.max(1.5, (n / top) * height) : 0;
    if (tall) path += `M${round2(i * step)} ${height}v${round2(-tall)}h${round2(Math.max(0.6, step - 0.6))}V${height}z`;
  });
  return path;
}

/** SVG path of a line through values, nulls leaving gaps. @param {(number | null)[]} values */
export function linePath(values, width = 72, height = 16) {
  const known = /** @type {number[]} */ (values.filter((v) => v !== null));
  if (!known.length) return "";
  const low = Math.min(...known);
  const span = Math.max(...known) - low || 1;
  const step = values.length > 1 ? (width - 2) / (values.length - 1) : 0;
  let path = "";
  let pen = "M";
  values.forEach((v, i) => {
    if (v === null) return void (pen = "M");
    const y = known.length === 1 || span === 0 ? height / 2 : height - 1.5 - ((v - low) / span) * (height - 3);
    path += `${pen}${round2(1 + i * step)} ${round2(y)}`;
    pen = "L";
  });
  return values.length === 1 ? `${path}h0.01` : path;
}

/** Share of a scale that a value's bar fills, 0–1. @param {number | null} value @param {{low: number, high: number} | undefined} scale */
export function barShare(value, scale) {
  if (value === null || !scale || !(scale.high > scale.low)) return 0;
  return Math.max(0, Math.min(1, (value - scale.low) / (scale.high - scale.low)));
}

const round2 = (/** @type {number} */ x) => Math.round(x * 100) / 100;

/** "5 min ago" @param {number | null} ms @param {number} now */
export function relativeTime(ms, now) {
  if (ms === null) return "–";
  const s = (now - ms) / 1000;
  const a = Math.abs(s);
  if (a < 45) return s < 0 ? "soon" : "just now";
  const units = /** @type {[number, string][]} */ ([[60, "min"], [3600, "h"], [86_400, "d"], [30.44 * 86_400, "mo"], [365.25 * 86_400, "y"]]);
  const [size, unit] = units.filter(([size]) => a >= size * 0.75).at(-1) ?? units[0];
  const text = `${Math.max(1, Math.round(a / size))} ${unit}`;
  return s < 0 ? `in ${text}` : `${text} ago`;
}
