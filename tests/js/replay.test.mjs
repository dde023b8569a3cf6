// Where steps are on a strip, what a key means, the rows of a state tree, and what a player says.
import assert from "node:assert/strict";
import { test } from "node:test";
import { replayKey } from "../../workbench/widgets/static/_lib/replay_keys.js";
import { branchWords, changedWords, forkWords, placeOfStep, rollbackWords } from "../../workbench/widgets/static/_lib/replay_words.js";
import { fitsWhole, lensAt, nextFlagged, nextPlace, placeAt, placeOfNumber, STEP_ABANDONED, STEP_CALL, STEP_ERROR, STEP_SHARED, stripColumns, xOfPlace } from "../../workbench/widgets/static/_lib/scrubber.js";
import { changeMarks, pointerBelow, pointerKeys, pointerParent, pointerWords, treeRows, wantedPages } from "../../workbench/widgets/static/_lib/tree_rows.js";

const made = (flags, kinds = []) => ({ n: flags.length, number: flags.map((_, i) => i * 2), kind: flags.map((_, i) => kinds[i] ?? 0), flags, at: flags.map((_, i) => i * 100) });

test("every place on the strip is a step, and every step has a place", () => {
  for (const n of [1, 7, 5000]) for (const position of [0, n >> 1, n - 1]) assert.equal(placeAt(xOfPlace(position, 900, n), 900, n), position);
  assert.equal(placeAt(-5, 900, 10), 0);
  assert.equal(placeAt(950, 900, 10), 9);
  assert.ok(fitsWhole(100, 900) && !fitsWhole(101, 900));
});

test("the lens holds the step, stays while it can, and never leaves the run", () => {
  let lens = lensAt(null, 2500, 5000, 900);
  assert.deepEqual(lens, { first: 2470, count: 60, cell: 15 });
  assert.equal(lensAt(lens.first, 2510, 5000, 900).first, 2470);
  assert.equal(lensAt(lens.first, 2529, 5000, 900).first, 2499);
  assert.equal(lensAt(lens.first, 0, 5000, 900).first, 0);
  assert.equal(lensAt(lens.first, 4999, 5000, 900).first, 4940);
  for (let position = 0; position < 300; position++) {
    lens = lensAt(lens.first, position, 300, 400);
    assert.ok(position >= lens.first && position < lens.first + lens.count && lens.first + lens.count <= 300);
  }
});

test("a column of many steps shows the worst of them, and is shared only where all are", () => {
  const steps = made([0, STEP_ERROR | STEP_SHARED, STEP_SHARED, STEP_SHARED, 0, 0], [1, 1, 2, 2, 3, 3]);
  const strip = stripColumns(steps, 3);
  assert.deepEqual([...strip.kind], [1, 2, 3]);
  assert.deepEqual([...strip.flags], [STEP_ERROR | STEP_SHARED, STEP_SHARED, 0]);
  assert.deepEqual([...strip.all], [0, STEP_SHARED, 0]);
  assert.equal(stripColumns(steps, 900).columns, 6);
});

test("jumps go to the next of their kind, either way, and say when there is none", () => {
  const steps = made([STEP_ERROR, 0, STEP_CALL, STEP_ERROR, 0]);
  assert.equal(nextFlagged(steps, 0, 1, STEP_ERROR), 3);
  assert.equal(nextFlagged(steps, 3, -1, STEP_ERROR), 0);
  assert.equal(nextFlagged(steps, 3, 1, STEP_ERROR), -1);
  assert.equal(nextPlace([7, 2, 9], 2, 1), 7);
  assert.equal(nextPlace([7, 2, 9], 2, -1), -1);
  assert.equal(nextPlace([7, 2, 9], 100, -1), 9);
  assert.deepEqual([3, 4, -1, 99].map((number) => placeOfNumber(steps, number)), [1, 2, 0, 4]);
});

test("a key means what it should where the focus is", () => {
  assert.deepEqual(replayKey({ key: " " }), ["play"]);
  assert.deepEqual(replayKey({ key: "ArrowRight", shiftKey: true }), ["step", 10]);
  assert.deepEqual(replayKey({ key: "E", shiftKey: true }), ["error", -1]);
  assert.equal(replayKey({ key: " " }, "button"), null);
  assert.equal(replayKey({ key: "ArrowLeft" }, "tree"), null);
  assert.deepEqual(replayKey({ key: "e" }, "tree"), ["error", 1]);
  assert.equal(replayKey({ key: "e" }, "text"), null);
  assert.equal(replayKey({ key: "s", ctrlKey: true }), null);
});

test("pointers are escaped, unescaped and said as a person says them", () => {
  const pointer = pointerBelow(pointerBelow("", "a/b~c"), "0");
  assert.equal(pointer, "/a~1b~0c/0");
  assert.deepEqual(pointerKeys(pointer), ["a/b~c", "0"]);
  assert.equal(pointerParent(pointer), "/a~1b~0c");
  assert.equal(pointerWords("/cart/items/0/price"), "cart.items[0].price");
  assert.equal(pointerWords(pointer), '["a/b~c"][0]');
  assert.equal(pointerWords(""), "the whole state");
});

const root = ["object", 3, "a, b"];
const nodes = {
  "": { size: 3, pages: { 0: [["cart", "object", 2, ""], ["n", "number", 1, "7"], ["long", "array", 250, ""]] } },
  "/cart": { size: 2, pages: { 0: [["total", "number", 2, "12"], ["items", "array", 0, ""]] } },
  "/long": { size: 250, pages: { 1: Array.from({ length: 100 }, (_, i) => [String(100 + i), "number", 1, "0"]) } },
};

test("the rows of a tree are those of the open containers, with what changed in them", () => {
  const marks = changeMarks([{ kind: "changed", pointer: "/cart/total" }, { kind: "removed", pointer: "/cart/gone", before: ["string", 1, "x"] }, { kind: "added", pointer: "/n" }]);
  const closed = treeRows(root, nodes, new Map([["", new Set([0])]]), marks);
  assert.deepEqual(closed.map((row) => [row.pointer, row.mark, row.inside]), [["/cart", null, true], ["/n", "added", false], ["/long", null, false]]);
  const opened = treeRows(root, nodes, new Map([["", new Set([0])], ["/cart", new Set([0])]]), marks);
  assert.deepEqual(opened.map((row) => [row.type, row.pointer, row.depth]), [["value", "/cart", 0], ["value", "/cart/total", 1], ["value", "/cart/items", 1], ["ghost", "/cart/gone", 1], ["value", "/n", 0], ["value", "/long", 0]]);
  assert.equal(opened[2].holds, false);
});

test("a page in the middle of a long list stands between buttons for the others", () => {
  const rows = treeRows(root, nodes, new Map([["", new Set([0])], ["/long", new Set([1])]]), changeMarks([]));
  const more = rows.filter((row) => row.type === "more").map(({ from, to, page }) => [from, to, page]);
  assert.deepEqual(more, [[0, 100, 0], [200, 250, 2]]);
  assert.equal(rows.filter((row) => row.depth === 1 && row.type === "value").length, 100);
});

test("only what can be seen is asked for", () => {
  const open = new Map([["", new Set([0])], ["/a/b", new Set([0])], ["/c", new Set([0, 2])]]);
  assert.deepEqual(wantedPages(open), { "": [0], "/c": [0, 2] });
});

test("a state that is no object is one row", () => {
  assert.deepEqual(treeRows(["string", 2, "hi"], {}, new Map(), changeMarks([])).map((row) => row.text), ["hi"]);
});

test("what will happen is said beforehand", () => {
  assert.equal(forkWords(12, 0, ""), "A new branch of the same name begins after step 12, with the state as it is. Nothing runs yet, and this run stays as it is.");
  assert.match(forkWords(1200, 2, "warm\u202e"), /“warm\[U\+202E\]” begins after step 1,200, with 2 changes/);
  assert.match(rollbackWords(3, 9, 6), /The 6 steps behind it, up to 9, stay in this run as an abandoned future/);
  assert.match(rollbackWords(3, 4, 1), /Step 4 stays in this run/);
  assert.match(rollbackWords(9, 9, 0), /nothing is abandoned/);
});

test("a step, its changes and a branch in words", () => {
  const steps = made([STEP_ERROR | STEP_SHARED, STEP_ABANDONED]);
  assert.equal(placeOfStep(steps, 0, ["tool_call"], "search"), "step 0 · 1 of 2 · tool call search · +0 ms · error · shared with the run it left");
  assert.equal(placeOfStep(steps, 1, ["message"]), "step 2 · 2 of 2 · message · +100 ms · abandoned");
  assert.equal(changedWords(1, false, true), "1 change in this step");
  assert.equal(changedWords(300, true, true), "More than 300 changes in this step");
  assert.equal(changedWords(0, false, false), "No state is known at this step.");
  assert.equal(branchWords({ from: null, last: 9, status: "failed", was_head: true, head_until: 3 }), "10 steps · failed · abandoned after step 3");
  assert.equal(branchWords({ from: 3, last: 3, status: "pending", was_head: false, head_until: null }), "from step 3 · no steps of its own · pending");
});
