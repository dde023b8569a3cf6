// Folding, jumping and row heights of a difference.
import assert from "node:assert/strict";
import { test } from "node:test";
import { foldRows, itemOf, nextDifference, RowHeights } from "../../workbench/widgets/static/_lib/diff_rows.js";

const never = () => false;

test("equal rows far from a difference are one fold", () => {
  const items = foldRows(20, (row) => row === 10, never);
  assert.deepEqual(items, [
    { row: 0, stop: 9 },
    { row: 9, stop: 10 },
    { row: 10, stop: 11 },
    { row: 11, stop: 12 },
    { row: 12, stop: 20 },
  ]);
});

test("two equal rows are not worth a fold", () => {
  const items = foldRows(8, (row) => row === 0 || row === 5, never);
  assert.deepEqual(items.map((i) => i.stop - i.row), [1, 1, 1, 1, 1, 1, 1, 1]);
});

test("unfolded rows are seen, and every row is in exactly one item", () => {
  for (let n = 0; n < 40; n++) {
    const stands = (/** @type {number} */ row) => (row * 7 + n) % 11 === 0;
    const items = foldRows(n, stands, (row) => row > 20 && row < 26);
    assert.deepEqual(items.flatMap((i) => Array.from({ length: i.stop - i.row }, (_, k) => i.row + k)), Array.from({ length: n }, (_, k) => k));
    items.forEach((item, k) => {
      for (let row = item.row; row < item.stop; row++) assert.equal(itemOf(items, row), k);
      if (item.stop - item.row > 1) for (let row = item.row; row < item.stop; row++) assert.ok(!stands(row) && !(row > 20 && row < 26));
    });
  }
});

test("no rows, no items", () => assert.deepEqual(foldRows(0, never, never), []));

test("the next and the previous difference, and none beyond the ends", () => {
  const rows = [3, 7, 8];
  assert.deepEqual([-1, 3, 4, 7, 8, 99].map((from) => nextDifference(rows, from, 1)), [3, 7, 7, 8, -1, -1]);
  assert.deepEqual([0, 3, 4, 8, 99].map((from) => nextDifference(rows, from, -1)), [-1, -1, 3, 7, 8]);
  assert.equal(nextDifference([], 0, 1), -1);
});

test("heights are those of an array that is summed", () => {
  const n = 137;
  const heights = new RowHeights(n, 30);
  const plain = new Array(n).fill(30);
  let seed = 1;
  for (let k = 0; k < 400; k++) {
    seed = (seed * 48271) % 2147483647;
    const row = seed % n;
    plain[row] = 10 + (seed % 300);
    heights.set(row, plain[row]);
  }
  let top = 0;
  for (let row = 0; row < n; row++) {
    assert.ok(Math.abs(heights.top(row) - top) < 1e-6);
    assert.equal(heights.at(top + plain[row] / 2), row);
    assert.equal(heights.at(top), row);
    top += plain[row];
  }
  assert.ok(Math.abs(heights.total() - top) < 1e-6);
  assert.equal(heights.at(1e9), n - 1);
  assert.equal(heights.at(-5), 0);
  assert.equal(new RowHeights(0, 30).at(0), 0);
  assert.equal(heights.set(0, plain[0] + 0.1), false);
});
