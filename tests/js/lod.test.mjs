// Lanes, hits and cells of the timeline.
import assert from "node:assert/strict";
import { test } from "node:test";
import { laneAt, laneOfTrack, layLanes, trackAt } from "../../workbench/widgets/static/_lib/lanes.js";
import { firstFrom, hitItem, itemAt, nextItem, paintCells, profile, readItems, readTile, rgb } from "../../workbench/widgets/static/_lib/lod.js";

const all = () => true;
const items = () =>
  readItems({
    starts: Float64Array.of(0, 10, 10, 40), ends: Float64Array.of(100, 20, 10, 60), row: Int32Array.of(7, 3, 5, 9), track: Uint16Array.of(0, 1, 2, 1),
    color: Uint8Array.of(0, 1, 1, 0), severity: Uint8Array.of(1, 3, 1, 1), flags: new Uint8Array(4), name: Uint16Array.of(0, 1, 1, 0), names: ["run", "tool"],
  });

test("rows shrink until all lanes fit, and never below six pixels", () => {
  const few = layLanes([["a", 0, 2, 5, 0], ["b", 2, 1, 3, 1]], 400);
  assert.equal(few.row, 20);
  const many = layLanes(Array.from({ length: 40 }, (_, i) => [`l${i}`, i * 12, 12, 1, 0]), 400);
  assert.equal(many.row, 6);
  assert.equal(many.tops.length, 480);
});

test("every row is found at its own height, and lies in its lane", () => {
  const layout = layLanes([["a", 0, 2, 5, 0], ["b", 2, 3, 3, 1]], 400);
  for (let track = 0; track < 5; track++) {
    const y = layout.tops[track] + layout.row / 2;
    assert.equal(trackAt(layout, y), track);
    assert.equal(laneAt(layout, y), track < 2 ? 0 : 1);
    assert.equal(laneOfTrack(layout, track), track < 2 ? 0 : 1);
  }
  assert.equal(laneAt(layout, 10_000), -1);
  assert.equal(trackAt(layout, -1), -1);
});

test("a hit is on the same row, under the pointer or within reach, and not hidden", () => {
  const list = items();
  assert.equal(hitItem(list, 1, 15, 0, all), 1);
  assert.equal(hitItem(list, 1, 23, 5, all), 1);
  assert.equal(hitItem(list, 1, 30, 5, all), -1);
  assert.equal(hitItem(list, 2, 11, 2, all), 2);
  assert.equal(hitItem(list, 1, 15, 0, (i) => i !== 1), -1);
  assert.deepEqual(itemAt(list, 1), { row: 3, start: 10, end: 20, track: 1, color: 1, severity: 3, flags: 0, label: "tool" });
});

test("stepping goes in time, both ways, over what is hidden", () => {
  const list = items();
  assert.equal(nextItem(list, -1, 1, all), 0);
  assert.equal(nextItem(list, 0, 1, (i) => i !== 1), 2);
  assert.equal(nextItem(list, 3, 1, all), -1);
  assert.equal(nextItem(list, 2, -1, all), 1);
  assert.equal(firstFrom(list.start, 10), 1);
  assert.equal(firstFrom(list.start, 11), 3);
});

const tile = () => readTile({ start: 0, end: 4, bins: 4, complete: false, cell_count: Uint16Array.of(0, 1, 8, 65535), cell_mix: Uint8Array.of(0, 0, 0, 0x0f, 0, 0, 0x18, 0x07, 0, 0x2f, 0, 0), cell_errors: Uint8Array.of(0, 0, 128, 0) });

test("a cell is painted by the shares of its classes, with a band for errors", () => {
  const layout = layLanes([["a", 0, 1, 4, 1]], 400);
  const pixels = paintCells(tile(), layout, [[10, 0, 0], [20, 0, 0], [30, 0, 0]], [255, 0, 0], all);
  const red = (bin, y) => pixels[((layout.tops[0] + y) * 4 + bin) * 4];
  const alpha = (bin, y) => pixels[((layout.tops[0] + y) * 4 + bin) * 4 + 3];
  assert.equal(alpha(0, 5), 0);
  assert.equal(red(1, 0), 10);
  assert.equal(red(2, 0), 255);
  assert.equal(red(2, 6), 20);
  assert.equal(red(2, 16), 10);
  assert.equal(red(3, 10), 30);
  assert.ok(alpha(3, 10) > alpha(1, 10));
});

test("a hidden class leaves its cells empty", () => {
  const layout = layLanes([["a", 0, 1, 4, 1]], 400);
  const pixels = paintCells(tile(), layout, [[10, 0, 0], [20, 0, 0], [30, 0, 0]], [255, 0, 0], (c) => c !== 2);
  assert.equal(pixels[((layout.tops[0] + 5) * 4 + 3) * 4 + 3], 0);
});

test("the overview counts what is active per bin and marks errors, from cells and from events", () => {
  const fromCells = profile(tile(), 2, 4);
  assert.deepEqual([...fromCells.errors], [0, 1]);
  assert.ok(fromCells.counts[1] > fromCells.counts[0]);
  const fromItems = profile(readTile({ bins: 0, ...{ starts: items().start, ends: items().end, row: items().row, severity: items().severity, track: items().track } }), 10, 100);
  assert.equal(fromItems.counts[0], 1);
  assert.equal(fromItems.counts[1], 3);
  assert.equal(fromItems.errors[1], 1);
});

test("colours come as hex or as rgb", () => {
  assert.deepEqual(rgb("#0b62c4"), [11, 98, 196]);
  assert.deepEqual(rgb("rgb(1, 2, 3)"), [1, 2, 3]);
  assert.deepEqual(rgb("tomato"), [128, 128, 128]);
});
