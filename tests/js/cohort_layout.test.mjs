// Layers, places and ribbons of a cohort's graph, and the words about them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { newcombe } from "../../workbench/widgets/static/_lib/association.js";
import { bandAt, between, boxAt, END, layerSums, layersOf, layOut, neighbour, START, stations } from "../../workbench/widgets/static/_lib/cohort_layout.js";
import { differenceWords, divergenceWords, failWords, nodeWords, pWords, replayCode, sidesWords } from "../../workbench/widgets/static/_lib/cohort_words.js";

// 0 is where all begin; then good runs take 1 and failed ones 2 and 3; all meet at 4.
const nodes = { n: 5, position: [0, 1, 2, 3, 4], good: [6, 6, 0, 0, 6], failed: [4, 0, 4, 4, 4], runs: [6, 4] };
const rows = [
  [-1, 0, 6, 4, 0], [0, 1, 6, 0, 0], [0, 2, 0, 4, 0], [2, 3, 0, 4, 0], [1, 4, 6, 0, 0], [3, 4, 0, 4, 0], [4, -1, 6, 4, 0],
];
const flowsOf = (list) => Object.fromEntries(["source", "target", "good", "failed", "back"].map((name, k) => [name, list.map((row) => row[k])]));
const flows = flowsOf(rows);
const kept = [0, 1, 2, 3, 4];
const made = () => layOut(nodes, kept, flows, { room: 30 });

function random(seed) {
  let x = seed;
  return () => (x = (x * 48271) % 2147483647) / 2147483647;
}

/** Many runs over a line of steps, some of which they leave out. */
function many(n, nRuns, seed) {
  const next = random(seed);
  const counts = new Map();
  const at = Array.from({ length: n }, () => [0, 0]);
  const total = [0, 0];
  for (let r = 0; r < nRuns; r++) {
    const which = next() < 0.4 ? 1 : 0;
    total[which]++;
    let before = -1;
    const step = (to) => {
      const key = `${before} ${to}`;
      const c = counts.get(key) ?? [0, 0];
      c[which]++;
      counts.set(key, c);
      before = to;
    };
    for (let k = 0; k < n; k++) if (next() < 0.7) (at[k][which]++, step(k));
    step(-1);
  }
  const list = [...counts].map(([key, [g, f]]) => [...key.split(" ").map(Number), g, f, 0]);
  return {
    nodes: { n, position: at.map((_, k) => k), good: at.map((c) => c[0]), failed: at.map((c) => c[1]), runs: total },
    kept: at.map((_, k) => k),
    flows: flowsOf(list),
  };
}

test("what stands for each other stands in one layer, and what follows behind it", () => {
  const { layer, layers } = layersOf(nodes, kept, flows);
  assert.deepEqual([0, 1, 2, 3, 4].map((row) => layer.get(row)), [1, 2, 2, 3, 4]);
  assert.equal(layers, 6);
});

test("a flow against the order makes no longer way, and a node that nothing flows into stands beside the one before", () => {
  const { layer, layers } = layersOf(nodes, [0, 1, 2, 3, 4], flowsOf([[-1, 0, 5, 0, 0], [0, 1, 5, 0, 0], [1, 0, 2, 0, 1], [3, 4, 1, 0, 0]]));
  assert.deepEqual([0, 1, 2, 3, 4].map((row) => layer.get(row)), [1, 2, 2, 2, 3]);
  assert.equal(layers, 5);
});

test("good runs lie before failed ones, bars are as wide as their runs, and none overlap", () => {
  const layout = made();
  const box = (row) => layout.boxes[layout.boxOf.get(row)];
  assert.ok(box(1).cross + box(1).size <= box(2).cross);
  assert.ok(Math.abs(box(1).size / box(2).size - 6 / 4) < 1e-9);
  assert.equal(box(START).size, 10 * layout.unit);
  for (const layer of layout.byLayer) {
    const sorted = layer.map((b) => layout.boxes[b]).sort((a, b) => a.cross - b.cross);
    sorted.forEach((one, k) => k && assert.ok(sorted[k - 1].cross + sorted[k - 1].size <= one.cross + 1e-9));
    for (const one of sorted) assert.ok(one.cross >= 0 && one.cross + one.size <= layout.cross + 1e-9);
  }
});

test("every ribbon begins and ends inside the part of its outcome of a bar", () => {
  const other = many(40, 300, 3);
  // Runs that come to 4 twice: more arrives than the bar has runs.
  const twice = flowsOf([...rows, [0, 4, 5, 3, 0]]);
  for (const layout of [made(), layOut(nodes, kept, twice, { room: 30 }), layOut(other.nodes, other.kept, other.flows, { room: 30 })]) {
    for (const band of layout.bands) {
      for (const which of ["good", "failed"]) {
        const size = which === "good" ? band.goodSize : band.failedSize;
        if (!size) continue;
        [band.from, band.to].forEach((b, end) => {
          const bar = layout.boxes[b];
          const [low, high] = which === "good" ? [bar.cross, bar.cross + bar.goodSize] : [bar.cross + bar.goodSize, bar.cross + bar.size];
          const at = (which === "good" ? band.goodAt : band.failedAt)[end];
          assert.ok(at >= low - 1e-6 && at < high - 1e-6, `${which} ${at} not in ${low}…${high}`);
        });
      }
    }
  }
});

test("a strong long flow has a place in every layer that it passes; weak ones and those that find it full go straight", () => {
  const { nodes, kept, flows } = many(30, 400, 5);
  const strongest = Array.from(flows.source, (_, k) => k).sort((a, b) => flows.good[b] + flows.failed[b] - flows.good[a] - flows.failed[a]);
  const layout = layOut(nodes, kept, Object.fromEntries(Object.entries(flows).map(([name, list]) => [name, strongest.map((k) => list[k])])), { room: 30 });
  const long = layout.bands.filter((band) => layout.boxes[band.to].layer - layout.boxes[band.from].layer > 1);
  assert.ok(long[0].way.length > 0);
  for (const band of long) {
    const [from, to] = [layout.boxes[band.from].layer, layout.boxes[band.to].layer];
    if (band.good + band.failed < 8) assert.equal(band.way.length, 0);
    if (band.way.length) assert.deepEqual(band.way.map((b) => layout.boxes[b].layer), Array.from({ length: to - from - 1 }, (_, k) => from + 1 + k));
    assert.equal(stations(layout, band, "good").length, band.way.length + 2);
  }
  for (const layer of layout.byLayer) assert.ok(layer.filter((b) => layout.boxes[b].isWay).length <= 6);
});

test("a width that is given is kept, and labels then get a slot of their own", () => {
  const layout = layOut(nodes, kept, flows, { cross: 380, room: 84 }, "slot");
  const [a, b] = [1, 2].map((row) => layout.boxes[layout.boxOf.get(row)]).sort((x, y) => x.cross - y.cross);
  assert.equal(layout.cross, 380);
  assert.ok(b.cross - a.cross >= 84);
});

test("what lies under the pointer: a bar, a ribbon, nothing", () => {
  const layout = made();
  const bar = layout.boxes[layout.boxOf.get(2)];
  assert.equal(layout.boxes[boxAt(layout, 2.05, bar.cross + 2, 0.1)].node, 2);
  assert.equal(boxAt(layout, 2.5, bar.cross + 2, 0.1), -1);
  assert.equal(boxAt(layout, 2, -50, 0.1), -1);
  const band = layout.bands.find((one) => one.flow === 3);
  assert.equal(bandAt(layout, 2.5, between(band.failedAt[0], band.failedAt[1], 0.5) + band.failedSize / 2), band);
  assert.equal(bandAt(layout, 2.5, between(band.failedAt[0], band.failedAt[1], 0.5) + band.failedSize / 2, "good"), null);
  assert.equal(bandAt(layout, 2.5, -50), null);
});

test("the curve of a ribbon is at its ends and rises all the way", () => {
  assert.ok(Math.abs(between(10, 50, 0) - 10) < 1e-3 && Math.abs(between(10, 50, 1) - 50) < 1e-3 && Math.abs(between(10, 50, 0.5) - 30) < 1e-3);
  for (let k = 1; k <= 20; k++) assert.ok(between(0, 1, k / 20) > between(0, 1, (k - 1) / 20));
});

test("keys follow the strongest flow, and go across within a layer", () => {
  const layout = made();
  assert.deepEqual([START, 0, 1, 4, END].map((node) => neighbour(layout, node, "next")), [0, 1, 4, END, END]);
  assert.deepEqual([START, 0, 2, 4, END].map((node) => neighbour(layout, node, "previous")), [START, START, 0, 1, 4]);
  assert.equal(neighbour(layout, 1, "down"), 2);
  assert.equal(neighbour(layout, 2, "up"), 1);
  assert.equal(neighbour(layout, 2, "down"), 2);
});

test("sums of a layer are those of its bars", () => {
  const { good, failed } = layerSums(made());
  assert.deepEqual([...good], [6, 6, 6, 0, 6, 6]);
  assert.deepEqual([...failed], [4, 4, 4, 4, 4, 4]);
});

test("no runs, no nodes: a start and an end", () => {
  const layout = layOut({ n: 0, position: [], good: [], failed: [], runs: [0, 0] }, [], flowsOf([]), { room: 30 });
  assert.equal(layout.boxes.length, 2);
  for (const box of layout.boxes) assert.ok(Number.isFinite(box.cross) && Number.isFinite(box.size));
});

test("Newcombe's interval: the published example of his method 10", () => {
  // Newcombe 1998, table II (a): 56/70 against 48/80, difference 0.2 from 0.0524 to 0.3339.
  const found = newcombe(56, 70, 48, 80);
  assert.deepEqual([found.difference, found.low, found.high].map((x) => x.toFixed(4)), ["0.2000", "0.0524", "0.3339"]);
  assert.equal(newcombe(0, 0, 1, 2), null);
});

test("words", () => {
  const row = { what: "argument", fails: "without", label: 'cancel(order="W1")', instead: "cancel(order=W2)", failed_with: 0, n_with: 6, failed_without: 6, n_without: 6, difference: -1, low: -1, high: -0.448 };
  assert.equal(divergenceWords(row), "“cancel(order=W2)”, not “cancel(order=\"W1\")”");
  assert.equal(divergenceWords({ ...row, instead: null }), "“cancel(order=\"W1\")” is left out");
  assert.equal(divergenceWords({ ...row, instead: null, fails: "with" }), "“cancel(order=\"W1\")” is there");
  assert.equal(divergenceWords({ ...row, what: "word", label: "user says 'please'", fails: "without" }), "user says 'please': not said");
  assert.equal(sidesWords(row), "then 6 of 6 fail (100 %), else 0 of 6 fail (0 %)");
  assert.equal(differenceWords({ difference: 0.58, low: 0.53, high: 0.63 }), "+58 points (95 % interval 53 to 63)");
  assert.equal(differenceWords(null), "no difference to tell: all runs are on one side");
  assert.deepEqual([pWords(0.0004), pWords(0.0123)], ["p < 0.001", "p = 0.012"]);
  assert.equal(failWords(0, 0), "none");
  assert.equal(replayCode('a"b', 3), 'bench.replay("a\\"b").seek(3)');
  const words = nodeWords({ good: 1, failed: 3, label: "refund()", type: "tool_call", step: 5, variants: 2, repeats: 0, moved: 0, errors: 1 }, [6, 4]);
  assert.equal(words.support, "4 runs of 10 come here: 1 good, 3 failed");
  assert.equal(words.rates, "with it 3 of 4 fail (75 %); without 1 of 6 fail (17 %)");
  assert.equal(words.more, "2 variants · 1 error");
});
