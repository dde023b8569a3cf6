// What the timeline says in words.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ink } from "../../workbench/widgets/static/_lib/timeline_look.js";
import { stageKey } from "../../workbench/widgets/static/_lib/timeline_input.js";
import { eventWords, markWords, placeWords, sceneWords, viewWords } from "../../workbench/widgets/static/_lib/timeline_words.js";

const origin = Date.UTC(2026, 10, 21, 8);
const severities = [["debug", 0], ["info", 7], ["warning", 0], ["error", 2], ["critical", 1]];
const timed = { n: 10, unit: "ms", origin, span: 1830, severities, estimated: 0, lanes: [["planner", 0, 2], ["coder", 2, 1]] };
const steps = { ...timed, unit: "steps", origin: null, span: 10, estimated: 0 };

test("a place is time since the start, time of day, or a step", () => {
  assert.equal(placeWords(timed, 1200, false), "+1.2 s");
  assert.equal(placeWords(timed, 1200, true), "2026-11-21 08:00:01.200 UTC");
  assert.equal(placeWords(steps, 3.7, true), "step 3");
});

test("an event is told with what there is to tell", () => {
  const item = { label: "\u001b[1mbook\u001b[0m", track: 2, start: 10, end: 52, flags: 0, severity: 3 };
  assert.deepEqual(Object.values(eventWords(timed, item, false)), ["book", "coder", "+10 ms", "42 ms", "error", null]);
  assert.deepEqual(Object.values(eventWords(timed, { ...item, flags: 1, severity: 1 }, false)), ["book", "coder", "+10 ms", null, null, null]);
  assert.equal(eventWords(timed, { ...item, flags: 2 }, false).length, "unfinished");
  assert.equal(eventWords(steps, item, false).length, null);
});

test("a mark is told with its sign, and counted", () => {
  assert.equal(eventWords(timed, { label: "x", track: 2, start: 10, end: 52, flags: 16, severity: 1 }, false).mark, "orphaned");
  assert.deepEqual(markWords({ mark: "orphaned", parent_span_id: "a1" }), ["?", "orphaned: its parent a1 is not in any file read so far"]);
  assert.equal(markWords({ mark: "unfinished" })[0], "…");
  assert.equal(markWords({ mark: "out_of_order" })[0], "⇅");
  assert.equal(markWords({}), null);
  const marked = { ...timed, marks: { orphaned: 2, unfinished: 0, out_of_order: 1 } };
  assert.equal(sceneWords(marked), "10 events · 1.83 s · ▼ 3 with errors · 2 orphaned · 1 out of order");
});

test("a run is told with its errors and what was placed without a time", () => {
  assert.equal(sceneWords(timed), "10 events · 1.83 s · ▼ 3 with errors");
  assert.equal(sceneWords({ ...steps, n: 1, estimated: 4, severities: severities.slice(0, 3) }), "1 event · 10 steps (no times in the source) · 4 without a time, placed at the event before");
});

test("the view is told without its margins", () => {
  assert.equal(viewWords(timed, [-30, 5000], false), "in view: 0 ms … 1.83 s");
  assert.equal(viewWords(timed, [0, 1000], true), "in view: 08:00:00.000 … 08:00:01.000 UTC");
  assert.equal(viewWords(steps, [-1, 4.5], true), "in view: 0 … 4");
});

test("keys mean what the help says, and none with ctrl, alt or meta", () => {
  const key = (k, more = {}) => stageKey({ key: k, ...more });
  assert.deepEqual(key("ArrowLeft"), ["pan", -0.1]);
  assert.deepEqual(key("ArrowLeft", { shiftKey: true }), ["pan", -0.5]);
  assert.deepEqual(["+", "-", "Home", "f", "n", "p", "Enter", "Escape", "/", "ArrowUp"].map((k) => key(k)[0]), ["zoom", "zoom", "edge", "fit", "step", "step", "open", "clear", "search", "lane"]);
  assert.equal(key("x"), null);
  for (const held of ["ctrlKey", "metaKey", "altKey"]) assert.equal(key("f", { [held]: true }), null);
});

test("labels are black or white, whichever reads better", () => {
  assert.equal(ink("#111111"), "#ffffff");
  assert.equal(ink("#eeeeee"), "#0b0d10");
});
