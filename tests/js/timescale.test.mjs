// The axis of the timeline: round ticks, and views that stay inside.
import assert from "node:assert/strict";
import { test } from "node:test";
import { clampView, fitView, narrowest, niceStep, panBy, reveal, ticks, toT, toX, zoomAt } from "../../workbench/widgets/static/_lib/timescale.js";

const close = (a, b, e = 1e-9) => assert.ok(Math.abs(a - b) <= e, `${a} is not ${b}`);

test("zooming keeps the place under the pointer where it is", () => {
  const before = [100, 300];
  const after = zoomAt(before, 0.5, 150, 1000, 0.02);
  close(toX(150, after, 800), toX(150, before, 800));
  close(after[1] - after[0], 100);
});

test("a view never leaves the axis by more than its margin, whatever is asked", () => {
  for (const asked of [[-1e9, -1e9 + 10], [1e9, 1e9 + 10], [-1e12, 1e12], [NaN, 5], [5, 5], [8, 3]]) {
    const [low, high] = clampView(asked, 1000, 0.02);
    assert.ok(high > low && low >= -45 && high <= 1045, `${asked} became ${low}, ${high}`);
  }
});

test("zooming in ends at the narrowest view and zooming out at the whole axis", () => {
  let view = [0, 1000];
  for (let i = 0; i < 100; i++) view = zoomAt(view, 0.5, 500, 1000, narrowest("ms"));
  close(view[1] - view[0], 0.02, 1e-6);
  for (let i = 0; i < 100; i++) view = zoomAt(view, 2, 500, 1000, narrowest("ms"));
  close(view[1] - view[0], 1040, 1e-6);
});

test("panning moves both ends and stops at the end of the axis", () => {
  assert.deepEqual(panBy([100, 200], 50, 1000, 0.02), [150, 250]);
  const end = panBy([800, 900], 5000, 1000, 0.02);
  close(end[1], 1002);
});

test("fit shows everything with a margin, also for an axis without length", () => {
  const [low, high] = fitView(1000, 0.02);
  assert.ok(low < 0 && high > 1000);
  const [a, b] = fitView(0, 0.02);
  assert.ok(b > a);
});

test("reveal moves only when the event is out of view", () => {
  assert.deepEqual(reveal([0, 100], 10, 20, 1000, 1), [0, 100]);
  const [low, high] = reveal([0, 100], 500, 510, 1000, 1);
  assert.ok(low <= 500 && high >= 510);
  close(high - low, 100);
});

test("pixels and times are inverse", () => {
  for (const t of [0, 1, 99.5]) close(toT(toX(t, [0, 100], 777), [0, 100], 777), t);
});

test("steps are round at every scale, and whole for step numbers", () => {
  assert.equal(niceStep(0.013, "ms"), 0.02);
  assert.equal(niceStep(7, "ms"), 10);
  assert.equal(niceStep(700, "ms"), 1000);
  assert.equal(niceStep(11_000, "ms"), 15_000);
  assert.equal(niceStep(50 * 60_000, "ms"), 3_600_000);
  assert.equal(niceStep(0.2, "steps"), 1);
  assert.equal(niceStep(3, "steps"), 5);
});

test("ticks lie in view, have room, and no two labels are alike", () => {
  for (const width of [0.05, 3, 40, 900, 12_000, 95_000, 4e6, 3e8]) {
    for (const unit of ["ms", "steps"]) {
      if (unit === "steps" && width < 2) continue;
      const view = [width * 1.37, width * 2.37];
      const found = ticks(view, 900, { unit });
      assert.ok(found.length >= 1 && found.length <= 11, `${unit} ${width}: ${found.length}`);
      assert.ok(found.every(({ at }) => at >= view[0] - 1e-9 && at <= view[1] + 1e-9));
      assert.equal(new Set(found.map((t) => t.label)).size, found.length, JSON.stringify(found));
    }
  }
});

test("absolute ticks stand at round times of day, UTC", () => {
  const origin = Date.UTC(2026, 10, 21, 8, 20, 1, 123);
  const found = ticks([0, 60_000], 900, { unit: "ms", origin, absolute: true });
  assert.equal(found[0].label, "08:20:10");
  close(origin + found[0].at, Date.UTC(2026, 10, 21, 8, 20, 10));
  assert.deepEqual(ticks([0, 1.5 * 86_400_000], 400, { unit: "ms", origin, absolute: true }).map((t) => t.label), ["12:00", "2026-11-22", "12:00"]);
});
