// @ts-check
/**
 * Typed columns from the kernel (see _table.py): read, filter, sort, summarise. No DOM.
 *
 * @typedef {{name: string, kind: "int"|"number"|"time", data: ArrayLike<number>}} NumberColumn
 * @typedef {{name: string, kind: "category", data: ArrayLike<number>, values: (string|null)[]}} CategoryColumn
 * @typedef {{name: string, kind: "text", offsets: Uint32Array, valid: Uint8Array, bytes: Uint8Array}} TextColumn
 * @typedef {NumberColumn | CategoryColumn | TextColumn} TableColumn
 * @typedef {{rows: number, names: string[], columns: Map<string, TableColumn>}} Table
 */

const INT_NULL = -(2 ** 31);
const utf8 = new TextDecoder();

/** @param {any} header @param {ArrayBuffer | ArrayBufferView | null | undefined} source @returns {Table} */
export function readTable(header, source) {
  const rows = header?.rows ?? 0;
  // The comm gives a view at any offset; typed arrays want a multiple of eight.
  const buffer = source === null || source === undefined ? new ArrayBuffer(0) : copied(source);
  const columns = new Map();
  for (const c of header?.columns ?? []) columns.set(c.name, readColumn(c, rows, buffer));
  return { rows, names: [...columns.keys()], columns };
}

/** @param {ArrayBuffer | ArrayBufferView} source */
function copied(source) {
  if (source instanceof ArrayBuffer) return source;
  return source.buffer.slice(source.byteOffset, source.byteOffset + source.byteLength);
}

function readColumn(/** @type {any} */ c, /** @type {number} */ rows, /** @type {any} */ buffer) {
  const { name, kind, at } = c;
  if (kind === "int") return { name, kind, data: new Int32Array(buffer, at, rows) };
  if (kind === "number" || kind === "time") return { name, kind, data: new Float64Array(buffer, at, rows) };
  if (kind === "category") {
    const Codes = c.width === 1 ? Uint8Array : c.width === 2 ? Uint16Array : Uint32Array;
    return { name, kind, data: new Codes(buffer, at, rows), values: [null, ...c.values] };
  }
  return {
    name,
    kind,
    offsets: new Uint32Array(buffer, at, rows + 1),
    valid: new Uint8Array(buffer, c.valid, rows),
    bytes: new Uint8Array(buffer, c.bytes, c.size),
  };
}

/** @param {TableColumn} column */
export const isNumeric = (column) => column.kind === "int" || column.kind === "number" || column.kind === "time";

/** One cell: number (a time in ms), text or null. @param {TableColumn | undefined} column @param {number} row */
export function cell(column, row) {
  if (!column) return null;
  if (column.kind === "text") {
    if (!column.valid[row]) return null;
    return utf8.decode(column.bytes.subarray(column.offsets[row], column.offsets[row + 1]));
  }
  if (column.kind === "category") return column.values[column.data[row]];
  return numberAt(column, row);
}

/** @param {NumberColumn} column @param {number} row @returns {number | null} */
export function numberAt(column, row) {
  const value = column.data[row];
  return (column.kind === "int" && value === INT_NULL) || Number.isNaN(value) ? null : value;
}

/** A number column as float64 with NaN for null. @param {NumberColumn} column */
export function floats(column) {
  if (column.kind !== "int") return /** @type {Float64Array} */ (column.data);
  const out = new Float64Array(column.data.length);
  for (let i = 0; i < out.length; i++) out[i] = column.data[i] === INT_NULL ? NaN : column.data[i];
  return out;
}

/** Unicode order, as UTF-8 bytes and Polars have it; JavaScript's `<` compares UTF-16 units. */
export function compareText(/** @type {string} */ a, /** @type {string} */ b) {
  const n = Math.min(a.length, b.length);
  for (let i = 0; i < n; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    const isHigh = (/** @type {number} */ u) => u >= 0xd800 && u < 0xe000;
    if (isHigh(x) !== isHigh(y)) return isHigh(x) ? 1 : -1;
    return x < y ? -1 : 1;
  }
  return a.length - b.length;
}

// --------------------------------------------------------------------------------------------------------- filters

/**
 * Which rows pass; the same rules as `_filters.py`. `skip` leaves one column's filter out (a facet counts without its own).
 * @param {Table} table @param {Record<string, any>} filters @param {string} [skip] @returns {Uint8Array}
 */
export function passing(table, filters, skip) {
  const pass = new Uint8Array(table.rows).fill(1);
  for (const [name, rule] of Object.entries(filters ?? {})) {
    if (name === skip) continue;
    if (name === "search") searchInto(pass, table, String(rule));
    else ruleInto(pass, table.columns.get(name), rule);
  }
  return pass;
}

function ruleInto(/** @type {Uint8Array} */ pass, /** @type {TableColumn | undefined} */ column, /** @type {any} */ rule) {
  if (!column) return;
  if (Array.isArray(rule)) return membersInto(pass, column, new Set(rule));
  if (rule.is_null) {
    for (let i = 0; i < pass.length; i++) if (cell(column, i) !== null) pass[i] = 0;
    return;
  }
  const bound = (/** @type {any} */ v) => (v === undefined || v === null ? null : typeof v === "number" ? v : Date.parse(v));
  const low = bound(rule.min) ?? -Infinity;
  const high = bound(rule.max) ?? Infinity;
  const below = bound(rule.below) ?? Infinity;
  if (!isNumeric(column)) return;
  for (let i = 0; i < pass.length; i++) {
    const value = numberAt(/** @type {NumberColumn} */ (column), i);
    const inside = value !== null && value >= low && value <= high && (value < below || below === Infinity);
    if (!inside) pass[i] = 0;
  }
}

function membersInto(/** @type {Uint8Array} */ pass, /** @type {TableColumn} */ column, /** @type {Set<any>} */ members) {
  if (column.kind === "category") {
    const wanted = column.values.map((v) => members.has(v));
    for (let i = 0; i < pass.length; i++) if (!wanted[column.data[i]]) pass[i] = 0;
    return;
  }
  for (let i = 0; i < pass.length; i++) if (pass[i] && !members.has(cell(column, i))) pass[i] = 0;
}

/** Rows whose text columns together contain every word. */
function searchInto(/** @type {Uint8Array} */ pass, /** @type {Table} */ table, /** @type {string} */ search) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return;
  const texts = [...table.columns.values()].filter((c) => !isNumeric(c));
  const lowered = new Map(texts.flatMap((c) => (c.kind === "category" ? [[c, c.values.map((v) => v?.toLowerCase() ?? "")]] : [])));
  for (let i = 0; i < pass.length; i++) {
    if (!pass[i]) continue;
    const parts = texts.map((c) => {
      const low = lowered.get(c);
      return low ? low[/** @type {CategoryColumn} */ (c).data[i]] : String(cell(c, i) ?? "").toLowerCase();
    });
    if (!words.every((word) => parts.some((part) => part.includes(word)))) pass[i] = 0;
  }
}

/** Row numbers of the passing rows, in order. @param {Uint8Array} pass */
export function rowsOf(pass) {
  let n = 0;
  for (const p of pass) n += p;
  const rows = new Int32Array(n);
  for (let i = 0, k = 0; i < pass.length; i++) if (pass[i]) rows[k++] = i;
  return rows;
}

// ------------------------------------------------------------------------------------------------------------ sort

/**
 * Sort row numbers in place by several keys; nulls last either way, ties keep the frame's order.
 * @param {Int32Array} rows @param {Table} table @param {{column: string, descending?: boolean}[]} sort
 */
export function sortRows(rows, table, sort) {
  const keys = (sort ?? []).flatMap(({ column, descending }) => {
    const found = table.columns.get(column);
    return found ? [{ ranks: sortKeys(found), sign: descending ? -1 : 1 }] : [];
  });
  if (!keys.length) return rows;
  return rows.sort((a, b) => {
    for (const { ranks, sign } of keys) {
      const x = ranks[a];
      const y = ranks[b];
      if (x === y) continue;
      const xNull = Number.isNaN(x);
      if (xNull || Number.isNaN(y)) {
        if (xNull && Number.isNaN(y)) continue;
        return xNull ? 1 : -1;
      }
      return x < y ? -sign : sign;
    }
    return a - b;
  });
}

/** Numbers that order a column: its own, or the rank of its text; NaN = null. */
function sortKeys(/** @type {TableColumn} */ column) {
  if (column.kind === "category") {
    const order = column.values.map((_, i) => i).slice(1);
    order.sort((a, b) => compareText(/** @type {string} */ (column.values[a]), /** @type {string} */ (column.values[b])));
    const rank = new Float64Array(column.values.length).fill(NaN);
    order.forEach((code, place) => (rank[code] = place));
    return Float64Array.from(column.data, (code) => rank[code]);
  }
  if (column.kind !== "text") return floats(column);
  const n = column.valid.length;
  const texts = Array.from({ length: n }, (_, i) => /** @type {string | null} */ (cell(column, i)));
  const order = Int32Array.from({ length: n }, (_, i) => i).filter((i) => texts[i] !== null);
  order.sort((a, b) => compareText(/** @type {string} */ (texts[a]), /** @type {string} */ (texts[b])));
  const rank = new Float64Array(n).fill(NaN);
  let place = 0;
  order.forEach((row, i) => {
    if (i && texts[row] !== texts[order[i - 1]]) place++;
    rank[row] = place;
  });
  return rank;
}

// --------------------------------------------------------------------------------------------------------- numbers

/** Exact quantile of sorted numbers, linear between neighbours (as numpy, Polars "linear"). */
export function quantile(/** @type {ArrayLike<number>} */ sorted, /** @type {number} */ q) {
  if (!sorted.length) return null;
  const at = (sorted.length - 1) * q;
  const low = Math.floor(at);
  const high = Math.ceil(at);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

/** Non-null numbers of a column at these rows, ascending. @param {TableColumn | undefined} column @param {Int32Array} rows */
export function sortedNumbers(column, rows) {
  if (!column || !isNumeric(column)) return new Float64Array(0);
  const out = new Float64Array(rows.length);
  let n = 0;
  for (const row of rows) {
    const value = numberAt(/** @type {NumberColumn} */ (column), row);
    if (value !== null) out[n++] = value;
  }
  return out.slice(0, n).sort();
}

/** Counts of each value of a category or text column at these rows, most frequent first, null included.
 * @param {TableColumn | undefined} column @param {Int32Array} rows @returns {[string | null, number][]} */
export function valueCounts(column, rows) {
  if (!column || isNumeric(column)) return [];
  const counts = new Map();
  for (const row of rows) {
    const key = column.kind === "category" ? column.data[row] : cell(column, row);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const named = [...counts].map(([key, n]) => [column.kind === "category" ? column.values[key] : key, n]);
  const byText = (/** @type {any} */ a, /** @type {any} */ b) => (a === null ? 1 : b === null ? -1 : compareText(a, b));
  return /** @type {any} */ (named.sort((a, b) => b[1] - a[1] || byText(a[0], b[0])));
}

/** Counts in equal bins of [low, high]; what lies above goes into the last bin. */
export function histogram(/** @type {ArrayLike<number>} */ values, /** @type {number} */ low, /** @type {number} */ high, /** @type {number} */ bins) {
  const counts = new Array(bins).fill(0);
  const width = (high - low) / bins || 1;
  for (let i = 0; i < values.length; i++) counts[Math.min(bins - 1, Math.max(0, Math.floor((values[i] - low) / width)))]++;
  return counts;
}
