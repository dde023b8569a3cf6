// @ts-check
/**
 * Which rows of a difference are seen: folding, jumping, and the arithmetic of a list whose rows differ in height. No DOM.
 *
 * @typedef {{ row: number, stop: number }} DiffItem one row (stop = row + 1), or a fold of the rows row … stop - 1
 */

const LEAST_FOLD = 3;

/**
 * @param {number} n rows @param {(row: number) => boolean} stands rows that are never folded
 * @param {(row: number) => boolean} unfolded rows the user unfolded @param {number} [context] rows left beside one that stands
 * @returns {DiffItem[]}
 */
export function foldRows(n, stands, unfolded, context = 1) {
  const seen = new Uint8Array(n);
  for (let row = 0; row < n; row++) {
    if (unfolded(row)) seen[row] = 1;
    if (!stands(row)) continue;
    for (let k = Math.max(0, row - context); k <= Math.min(n - 1, row + context); k++) seen[k] = 1;
  }
  /** @type {DiffItem[]} */
  const items = [];
  for (let row = 0; row < n; ) {
    let stop = row;
    while (stop < n && !seen[stop]) stop++;
    if (stop - row >= LEAST_FOLD) {
      items.push({ row, stop });
      row = stop;
      continue;
    }
    for (stop = Math.max(stop, row + 1); row < stop; row++) items.push({ row, stop: row + 1 });
  }
  return items;
}

/** The item that holds a row. @param {DiffItem[]} items @param {number} row @returns {number} */
export function itemOf(items, row) {
  let low = 0;
  let high = items.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle].stop <= row) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The next difference after a row, or the one before it; -1 where there is none.
 * @param {ArrayLike<number>} rows rows that differ, in order @param {number} from @param {1 | -1} direction
 */
export function nextDifference(rows, from, direction) {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle] < from || (direction > 0 && rows[middle] === from)) low = middle + 1;
    else high = middle;
  }
  const at = direction > 0 ? low : low - 1;
  return at >= 0 && at < rows.length ? rows[at] : -1;
}

/** Heights of many rows, most of them a guess until they are drawn: tops in O(log n) (Fenwick 1994). */
export class RowHeights {
  /** @param {number} n @param {number} guess */
  constructor(n, guess) {
    this.n = n;
    this.heights = new Float64Array(n).fill(guess);
    this.sums = new Float64Array(n + 1);
    for (let i = 1; i <= n; i++) this.sums[i] = guess * (i & -i);
  }

  /** @param {number} row @param {number} height @returns {boolean} whether it changed */
  set(row, height) {
    const change = height - this.heights[row];
    if (Math.abs(change) < 0.5) return false;
    this.heights[row] = height;
    for (let i = row + 1; i <= this.n; i += i & -i) this.sums[i] += change;
    return true;
  }

  /** Where a row begins. @param {number} row */
  top(row) {
    let sum = 0;
    for (let i = row; i > 0; i -= i & -i) sum += this.sums[i];
    return sum;
  }

  total() {
    return this.top(this.n);
  }

  /** The row at a distance from the top. @param {number} y */
  at(y) {
    let row = 0;
    let rest = y;
    for (let step = 1 << Math.floor(Math.log2(Math.max(1, this.n))); step > 0; step >>= 1) {
      if (row + step <= this.n && this.sums[row + step] <= rest) {
        row += step;
        rest -= this.sums[row];
      }
    }
    return Math.min(row, Math.max(0, this.n - 1));
  }
}
