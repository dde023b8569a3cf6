// The pure parts of the run table and the dashboard.
import assert from "node:assert/strict";
import { test } from "node:test";
import { wilson } from "../../workbench/widgets/static/_lib/aggregate.js";
import { binPosition, escapePlotly, faded, formatSpan, panels, snapped, tickDuration } from "../../workbench/widgets/static/_lib/panels.js";
import { barShare, barsPath, bodyHeight, kernelRows, linePath, moved, relativeTime, scrollFor, visibleRows } from "../../workbench/widgets/static/_lib/rows.js";
import { compareText, histogram, quantile, readTable } from "../../workbench/widgets/static/_lib/table.js";

test("a virtual list draws the rows in sight and a few more, wherever it is scrolled", () => {
  assert.deepEqual(visibleRows(0, 300, 1000, 30), { first: 0, last: 14, top: 0 });
  const middle = visibleRows(3000, 300, 1000, 30);
  assert.deepEqual([middle.first, middle.last], [96, 114]);
  assert.equal(middle.top, 96 * 30);
  assert.deepEqual(visibleRows(0, 300, 3, 30), { first: 0, last: 3, top: 0 });
  assert.deepEqual(visibleRows(500, 300, 0, 30), { first: 0, last: 0, top: 500 });
});

test("a list taller than a browser allows is scrolled to scale, and its ends are reached", () => {
  const total = 5_000_000;
  const height = bodyHeight(total, 30);
  assert.equal(height, 8_000_000);
  const end = visibleRows(height - 300, 300, total, 30);
  assert.equal(end.last, total);
  // the last row's bottom is the body's bottom
  assert.ok(Math.abs(end.top + (total - end.first) * 30 - height) < 1);
  for (const row of [0, 1, 123_456, 4_999_999]) {
    const at = visibleRows(scrollFor(row, 0, 300, total, 30), 300, total, 30);
    assert.ok(at.first <= row && row < at.last, `row ${row}`);
  }
});

test("keys move within the rows", () => {
  assert.equal(moved("ArrowDown", 4, 10, 5), 5);
  assert.equal(moved("PageUp", 4, 10, 5), 0);
  assert.equal(moved("End", 4, 10, 5), 9);
  assert.equal(moved("Home", 4, 10, 5), 0);
  assert.equal(moved("a", 4, 10, 5), null);
  assert.equal(moved("End", 0, 0, 5), null);
});

test("sparklines stay inside their box and survive nulls, one value and equal values", () => {
  for (const values of [[1, 5, 3], [null, 2, null, 4], [7], [3, 3, 3]]) {
    const numbers = linePath(values, 40, 10).match(/-?[\d.]+/g)?.map(Number) ?? [];
    assert.ok(numbers.length > 0 && numbers.every((x) => Number.isFinite(x) && x >= 0 && x <= 40), String(values));
  }
  assert.equal(linePath([null, null]), "");
  assert.equal(barsPath([0, 0, 0]), "");
  // one among ten thousand can still be seen
  assert.match(barsPath([10_000, 1], 20, 10), /v-1\.5/);
});

test("a bar's share is clipped to its scale and nothing for null", () => {
  const scale = { low: 0, high: 10 };
  assert.deepEqual([null, -5, 0, 5, 99].map((v) => barShare(v, scale)), [0, 0, 0, 0.5, 1]);
  assert.equal(barShare(3, undefined), 0);
});

test("times are told from now", () => {
  const now = Date.UTC(2026, 10, 21);
  const ago = (s) => relativeTime(now - s * 1000, now);
  assert.deepEqual([5, 300, 7200, 86_400 * 3, 86_400 * 90, 86_400 * 800, -3600].map(ago), ["just now", "5 min ago", "2 h ago", "3 d ago", "3 mo ago", "2 y ago", "in 1 h"]);
  assert.equal(relativeTime(null, now), "–");
});

test("quantiles are exact and linear, as numpy has them", () => {
  assert.equal(quantile([], 0.5), null);
  assert.equal(quantile([4], 0.99), 4);
  assert.equal(quantile([1, 2, 3, 4], 0.5), 2.5);
  assert.ok(Math.abs(quantile([1, 2, 3, 4], 0.95) - 3.85) < 1e-12);
});

test("Wilson's interval of 81 in 263 is Newcombe's published one", () => {
  const [low, high] = wilson(81, 263);
  assert.deepEqual([low.toFixed(4), high.toFixed(4)], ["0.2553", "0.3662"]);
  assert.equal(wilson(0, 0), null);
  assert.equal(wilson(0, 7)[0], 0);
  assert.equal(wilson(7, 7)[1], 1);
});

test("text is compared by code point", () => {
  assert.ok(compareText("\ufffd", "😀") < 0);
  assert.ok(compareText("a", "aa") < 0);
  assert.equal(compareText("é", "é"), 0);
});

test("a histogram keeps what lies outside in its outer bins", () => {
  assert.deepEqual(histogram([-5, 0, 1, 9.99, 10, 400], 0, 10, 2), [3, 3]);
});

test("a packed table reads from a buffer at an odd offset", () => {
  const bytes = new Uint8Array(1 + 24);
  const view = new DataView(bytes.buffer);
  [1.5, NaN, 3].forEach((v, i) => view.setFloat64(1 + 8 * i, v, true));
  const table = readTable({ rows: 3, columns: [{ name: "x", kind: "number", at: 0 }] }, new DataView(bytes.buffer, 1, 24));
  assert.deepEqual([...table.columns.get("x").data], [1.5, NaN, 3]);
});

test("rows in the kernel: one request a tile, the newest view wins, the first rows need none", async () => {
  const asked = [];
  const answers = [];
  const request = (verb, args) => new Promise((resolve) => (asked.push([verb, args.start ?? args.filters]), answers.push(resolve)));
  const tile = (n) => ({ rows: n, names: [], columns: new Map() });
  let arrived = 0;
  const rows = kernelRows(request, (n) => tile(n), tile(10), { tileRows: 4, initial: { filters: {}, sort: [], summary: { rows: 100 } }, arrived: () => arrived++, failed: assert.fail });
  assert.equal((await rows.view({}, [])).rows, 100);
  assert.equal(rows.row(7).row, 7);
  assert.deepEqual(asked, []);
  assert.equal(rows.row(13), null);
  assert.equal(rows.row(14), null);
  assert.deepEqual(asked, [["tile", 12]]);
  answers[0](4);
  await new Promise(setImmediate);
  assert.equal(arrived, 1);
  assert.equal(rows.row(13).row, 1);

  const view = rows.view({ status: ["failed"] }, []);
  assert.equal(rows.row(30), null); // of the old view: dropped when it comes
  answers[1]({ rows: 50 });
  await view;
  answers[2](4);
  await new Promise(setImmediate);
  assert.equal(arrived, 1);
  assert.equal(rows.row(7), null);
});

test("what Plotly draws has no markup of an agent", () => {
  assert.equal(escapePlotly("<b>x</b> & \u001b[31mred"), "&lt;b&gt;x&lt;/b&gt; &amp; red");
  assert.ok(escapePlotly("y".repeat(500)).length <= 60);
});

test("a brushed range becomes whole bars", () => {
  const bins = { start: 0, width: 1000, bins: 10 };
  assert.deepEqual(snapped([1500, 3200], bins), { min: "1970-01-01T00:00:01.000Z", below: "1970-01-01T00:00:04.000Z" });
  assert.deepEqual(snapped([3200, 1500], bins), snapped([1500, 3200], bins));
  assert.deepEqual(snapped([-5000, 99_000], bins), { min: "1970-01-01T00:00:00.000Z", below: "1970-01-01T00:00:10.000Z" });
  assert.equal(snapped([50_000, 60_000], bins), null);
});

test("a number finds its place among uneven bins", () => {
  const edges = [0, 1, 10, 100];
  assert.deepEqual([0, 0.5, 1, 5.5, 100, 500].map((v) => binPosition(v, edges)), [-0.5, 0, 0.5, 1, 2.5, 2.5]);
});

test("spans and ticks are short", () => {
  assert.deepEqual([1, 1000, 90_000, 43_200_000, 604_800_000].map(formatSpan), ["1 ms", "1 s", "1.5 min", "12 h", "7 d"]);
  assert.deepEqual([0.5, 220, 4700, 220_000, 7_200_000].map(tickDuration), ["0.5 ms", "220 ms", "4.7 s", "3.7 min", "2 h"]);
  assert.equal(faded("#102030"), "rgba(16, 32, 48, 0.3)");
  assert.equal(faded("rgb(1,2,3)"), "rgb(1,2,3)");
});

const EMPTY = { n: 0, rate: null, low: null, high: null };
const THEME = { fg: "#000000", muted: "#555555", line: "#dddddd", bg: "#ffffff", done: "#2f6fab", failed: "#b35a00", other: "#6e7781", accent: "#0b62c4", font: "sans-serif" };

test("every bar of every panel has a name, a value and a filter; a chosen bar stays when it is emptied", () => {
  const token = { sum: 5, n: 1 };
  const bins = { counts: [1, 2], missing: 1, n: 3, p50: 1, p95: 2, p99: 2 };
  const cost = { sum: null, priced: 0, unpriced: 3 };
  const result = {
    total: 4,
    headline: { runs: 3 },
    status: { counts: [3, 0], rest: 0 },
    time: { completed: [1, 0], failed: [0, 1], other: [0, 0], untimed: { completed: 1, failed: 0, other: 0 } },
    duration: bins,
    cost: bins,
    tokens: { input_tokens: token, cache_read_tokens: { sum: null, n: 0 }, cache_write_tokens: token, output_tokens: token },
    errors: { counts: [1], rest: 2 },
    groups: [{ value: null, runs: 3, completed: 3, failed: 0, other: 0, success: EMPTY, p50: null, cost }],
    faults: { counts: [2], rest: 0 },
  };
  const meta = {
    plan: { time: { start: 0, width: 1000, bins: 2 }, edges: { execution_time_ms: [0, 1, 10], cost_usd: [0, 1, 10] }, statuses: ["completed", "failed"], kinds: ["timeout"], groups: {} },
    faults: ["refund"],
    values: { agent_type: [[null, 3]] },
  };
  const made = panels(result, meta, { status: ["failed"] }, "agent_type", THEME, () => 400);

  assert.deepEqual(made.map((p) => p.key), ["time", "groups", "status", "duration", "cost", "tokens", "errors", "faults"]);
  for (const panel of made) {
    for (const bar of panel.bars) {
      assert.ok(bar.label && bar.value && bar.filter.length === 2, panel.key);
      for (const { trace, point } of bar.at) assert.ok(panel.data[trace], `${panel.key} ${trace} ${point}`);
    }
  }
  const [time, groups, status, duration] = made;
  assert.equal(time.bars.at(-1).label, "no time");
  assert.deepEqual(time.bars.at(-1).filter, ["started_at", { is_null: true }]);
  assert.match(groups.bars[0].value, /3 runs, success no finished run, p50 –, unpriced/);
  assert.deepEqual(status.bars.map((b) => [b.label, b.on]), [["completed", false], ["failed", true]]);
  assert.deepEqual(duration.bars.map((b) => b.filter[1]), [{ below: 1 }, { min: 1 }, { is_null: true }]);
  assert.match(made[6].note, /and 2 runs of others/);
});
