// @ts-check
/**
 * Where the steps and flows of a cohort are drawn. Pure: numbers in, numbers out, no DOM.
 *
 * A layered drawing (Sugiyama, Tagawa & Toda 1981) with bars and flows as wide as the runs in them (a Sankey diagram). Along
 * the main axis a node stands behind all it follows (longest path); across it, nodes and the long flows that pass a layer lie
 * side by side, what fails less before what fails more.
 *
 * @typedef {{ n: number, position: ArrayLike<number>, good: ArrayLike<number>, failed: ArrayLike<number>, runs: [number, number] }} CohortNodes
 * @typedef {{ source: ArrayLike<number>, target: ArrayLike<number>, good: ArrayLike<number>, failed: ArrayLike<number>, back: ArrayLike<number> }} CohortFlows
 * @typedef {{ node: number, layer: number, good: number, failed: number, cross: number, size: number, room: number, isWay: boolean,
 *   goodSize: number }} CohortBox a bar, or the place where a long flow passes (`isWay`); `cross`: where it begins across, px;
 *   `room`: px kept in front of it for its label
 * @typedef {{ flow: number, from: number, to: number, good: number, failed: number, isBack: boolean, way: number[],
 *   goodAt: [number, number], failedAt: [number, number], goodSize: number, failedSize: number }} CohortBand `from`, `to`, `way`: boxes;
 *   `goodAt`, `failedAt`: where the ribbons leave and arrive across, px
 * @typedef {{ layers: number, boxes: CohortBox[], bands: CohortBand[], boxOf: Map<number, number>, byLayer: number[][], cross: number, unit: number }} CohortLayout
 */

export const START = -1;
export const END = -2;

// Flows of fewer runs go straight, as do those that find a layer full: as lines they may cross a bar.
const WAY_SHARE = 0.02;
const MOST_WAYS = 6;
const LEAST = 3; // px of the thinnest bar
const SWEEPS = 8;
const FIRM = 0.25; // how much a place keeps to its share of failures, against lying straight

/**
 * The layer of each kept node: one behind the last one that flows into it; layer 0 is the start.
 * @param {CohortNodes} nodes @param {ArrayLike<number>} kept rows, in order of position @param {CohortFlows} flows
 * @returns {{ layer: Map<number, number>, layers: number }}
 */
export function layersOf(nodes, kept, flows) {
  const into = new Map();
  for (let k = 0; k < flows.source.length; k++) {
    const [a, b] = [flows.source[k], flows.target[k]];
    if (a < 0 || b < 0 || nodes.position[a] >= nodes.position[b]) continue;
    const list = into.get(b);
    if (list) list.push(a);
    else into.set(b, [a]);
  }
  const rows = Array.from(kept).sort((a, b) => nodes.position[a] - nodes.position[b]);
  const layer = new Map();
  let before = 1;
  let last = 0;
  for (const row of rows) {
    const sources = into.get(row);
    // What nothing shown flows into stands beside what the order has before it.
    const at = sources ? Math.max(...sources.map((/** @type {number} */ a) => (layer.get(a) ?? 0) + 1)) : before;
    layer.set(row, at);
    before = at;
    last = Math.max(last, at);
  }
  return { layer, layers: last + 2 };
}

/**
 * @param {CohortNodes} nodes @param {ArrayLike<number>} kept @param {CohortFlows} flows
 * @param {{ cross?: number, room: number, least?: number, most?: number }} space px: `cross` across where it is given, else as much as is
 *   needed between `least` and `most`; `room` beside a bar for its label @param {"front" | "slot"} [labels] the label stands in front
 *   of the bar across ("front"), or the bar gets a place at least that wide ("slot")
 * @returns {CohortLayout}
 */
export function layOut(nodes, kept, flows, space, labels = "front") {
  const { layer, layers } = layersOf(nodes, kept, flows);
  const total = nodes.runs[0] + nodes.runs[1];
  /** @type {CohortBox[]} */
  const boxes = [];
  /** @type {number[][]} */
  const byLayer = Array.from({ length: layers }, () => []);
  const boxOf = new Map();
  const add = (/** @type {number} */ node, /** @type {number} */ at, /** @type {number} */ good, /** @type {number} */ failed, isWay = false) => {
    boxes.push({ node, layer: at, good, failed, cross: 0, size: 0, room: 0, isWay, goodSize: 0 });
    byLayer[at].push(boxes.length - 1);
    return boxes.length - 1;
  };
  boxOf.set(START, add(START, 0, nodes.runs[0], nodes.runs[1]));
  for (const row of Array.from(kept)) boxOf.set(row, add(row, layer.get(row), nodes.good[row], nodes.failed[row]));
  boxOf.set(END, add(END, layers - 1, nodes.runs[0], nodes.runs[1]));
  const bands = bandsOf(flows, boxOf, boxes, total, add);
  const { unit, cross } = place(boxes, byLayer, bands, total, nodes.runs[1] / Math.max(1, total), space, labels);
  ports(boxes, bands, unit);
  return { layers, boxes, bands, boxOf, byLayer, cross, unit };
}

function bandsOf(/** @type {CohortFlows} */ flows, /** @type {Map<number, number>} */ boxOf, /** @type {CohortBox[]} */ boxes, /** @type {number} */ total, /** @type {any} */ add) {
  /** @type {CohortBand[]} */
  const bands = [];
  const ways = new Map(); // layer → flows that have a way there
  // The strongest flows come first, and find their way first.
  for (let k = 0; k < flows.source.length; k++) {
    const from = boxOf.get(flows.source[k] < 0 ? START : flows.source[k]);
    const to = boxOf.get(flows.target[k] < 0 ? END : flows.target[k]);
    if (from === undefined || to === undefined || from === to) continue;
    const [good, failed] = [flows.good[k], flows.failed[k]];
    const isBack = boxes[to].layer <= boxes[from].layer;
    const way = [];
    const [begin, end] = [boxes[from].layer + 1, boxes[to].layer];
    let isFree = !isBack && good + failed >= WAY_SHARE * total;
    for (let at = begin; at < end && isFree; at++) isFree = (ways.get(at) ?? 0) < MOST_WAYS;
    for (let at = begin; at < end && isFree; at++) {
      way.push(add(NaN, at, good, failed, true));
      ways.set(at, (ways.get(at) ?? 0) + 1);
    }
    bands.push({ flow: k, from, to, good, failed, isBack, way, goodAt: [0, 0], failedAt: [0, 0], goodSize: 0, failedSize: 0 });
  }
  return bands;
}

/** Places across: how wide a run is, and where each box lies in its layer. */
function place(/** @type {CohortBox[]} */ boxes, /** @type {number[][]} */ byLayer, /** @type {CohortBand[]} */ bands, /** @type {number} */ total, /** @type {number} */ base, /** @type {any} */ space, /** @type {string} */ labels) {
  const { room, least = 180, most = 460 } = space;
  const runs = (/** @type {number[]} */ layer) => layer.reduce((sum, b) => sum + boxes[b].good + boxes[b].failed, 0);
  const gaps = (/** @type {number[]} */ layer) => layer.reduce((sum, b) => sum + (boxes[b].isWay ? 5 : labels === "front" ? room : 10), 0);
  // As wide as leaves every layer its gaps, but the whole cohort is never a hair and never a wall.
  const limit = space.cross ?? most;
  let unit = (space.cross ? space.cross * 0.5 : Math.max(110, least * 0.55)) / Math.max(1, total);
  for (const layer of byLayer) unit = Math.min(unit, Math.max(limit - gaps(layer), limit * 0.25) / Math.max(1, runs(layer)));
  unit = Math.max(unit, 12 / Math.max(1, total));
  let need = 0;
  for (const box of boxes) {
    const n = box.good + box.failed;
    box.size = Math.max(n * unit, box.isWay ? 1 : LEAST);
    box.goodSize = n ? (box.size * box.good) / n : 0;
    box.room = box.isWay ? 3 : labels === "front" ? room : 0;
  }
  const slot = (/** @type {CohortBox} */ box) => (labels === "slot" && !box.isWay ? Math.max(box.size, room) + 8 : box.size + box.room + (box.isWay ? 2 : 4));
  for (const layer of byLayer) need = Math.max(need, layer.reduce((sum, b) => sum + slot(boxes[b]), 0));
  const cross = space.cross ?? Math.min(most, Math.max(least, need));
  const middle = new Float64Array(boxes.length);
  const wanted = new Float64Array(boxes.length);
  for (const [b, box] of boxes.entries()) {
    const n = box.good + box.failed;
    const off = n ? (box.failed / n - base) * Math.min(1, n / (0.1 * total + 1)) : 0;
    middle[b] = wanted[b] = cross / 2 + off * cross * 0.5;
  }
  const beside = neighbours(boxes, bands);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const order = sweep % 2 ? [...byLayer].reverse() : byLayer;
    for (const layer of order) {
      for (const b of layer) {
        const near = beside[b];
        let sum = 0;
        let weight = 0;
        for (const [other, n] of near) (sum += middle[other] * n), (weight += n);
        if (weight) middle[b] = (1 - FIRM) * (sum / weight) + FIRM * wanted[b];
      }
      spread(layer, boxes, middle, slot, cross);
    }
  }
  for (const [b, box] of boxes.entries()) {
    const free = slot(box);
    const start = middle[b] - free / 2;
    box.cross = labels === "slot" ? start + 4 : start + box.room;
  }
  return { unit, cross };
}

function neighbours(/** @type {CohortBox[]} */ boxes, /** @type {CohortBand[]} */ bands) {
  /** @type {[number, number][][]} */
  const beside = boxes.map(() => []);
  for (const band of bands) {
    if (band.isBack) continue;
    const course = [band.from, ...band.way, band.to];
    // A flow that has no ways of its own pulls little on places far away.
    const weight = (band.good + band.failed) / (band.way.length ? 1 : boxes[band.to].layer - boxes[band.from].layer);
    for (let k = 1; k < course.length; k++) {
      beside[course[k - 1]].push([course[k], weight]);
      beside[course[k]].push([course[k - 1], weight]);
    }
  }
  return beside;
}

/** Push the boxes of a layer apart, in their order, and back inside; where there is no room, all of them closer. */
export function spread(/** @type {number[]} */ layer, /** @type {CohortBox[]} */ boxes, /** @type {Float64Array} */ middle, /** @type {(box: CohortBox) => number} */ slot, /** @type {number} */ cross) {
  layer.sort((a, b) => middle[a] - middle[b] || a - b);
  const need = layer.reduce((sum, b) => sum + slot(boxes[b]), 0);
  const tight = Math.min(1, cross / Math.max(1, need));
  let at = 0;
  for (const b of layer) {
    const half = (slot(boxes[b]) * tight) / 2;
    middle[b] = Math.max(middle[b], at + half);
    at = middle[b] + half;
  }
  at = cross;
  for (let k = layer.length - 1; k >= 0; k--) {
    const half = (slot(boxes[layer[k]]) * tight) / 2;
    middle[layer[k]] = Math.min(middle[layer[k]], at - half);
    at = middle[layer[k]] - half;
  }
}

/** Where ribbons leave and arrive: good ones in the good part of a bar, failed ones in the failed part, uncrossed. */
function ports(/** @type {CohortBox[]} */ boxes, /** @type {CohortBand[]} */ bands, /** @type {number} */ unit) {
  const out = boxes.map(() => /** @type {CohortBand[]} */ ([]));
  const into = boxes.map(() => /** @type {CohortBand[]} */ ([]));
  for (const band of bands) {
    band.goodSize = band.good * unit;
    band.failedSize = band.failed * unit;
    if (band.isBack) {
      band.goodAt = band.failedAt = [mid(boxes[band.from]), mid(boxes[band.to])];
      continue;
    }
    out[band.from].push(band);
    into[band.to].push(band);
  }
  for (const [list, end] of /** @type {const} */ ([[out, 0], [into, 1]])) {
    for (const [b, there] of list.entries()) {
      const next = (/** @type {CohortBand} */ band) => mid(boxes[end === 0 ? (band.way[0] ?? band.to) : (band.way.at(-1) ?? band.from)]);
      there.sort((x, y) => next(x) - next(y) || x.flow - y.flow);
      const box = boxes[b];
      stack(there, "good", box.cross, box.goodSize, end);
      stack(there, "failed", box.cross + box.goodSize, box.size - box.goodSize, end);
    }
  }
}

function stack(/** @type {CohortBand[]} */ bands, /** @type {"good" | "failed"} */ which, /** @type {number} */ start, /** @type {number} */ size, /** @type {0 | 1} */ end) {
  const width = (/** @type {CohortBand} */ band) => (which === "good" ? band.goodSize : band.failedSize);
  const sum = bands.reduce((total, band) => total + width(band), 0);
  // A run that comes by twice is one run of the bar: its ribbons then lie closer.
  const tight = sum > size && sum > 0 ? size / sum : 1;
  let at = start;
  for (const band of bands) {
    (which === "good" ? band.goodAt : band.failedAt)[end] = at;
    at += width(band) * tight;
  }
}

const mid = (/** @type {CohortBox} */ box) => box.cross + box.size / 2;

/**
 * The stations of a ribbon: [layer, where it begins across], from bar to bar over the ways between.
 * @param {CohortLayout} layout @param {CohortBand} band @param {"good" | "failed"} which @returns {[number, number][]}
 */
export function stations(layout, band, which) {
  const ends = which === "good" ? band.goodAt : band.failedAt;
  const over = band.way.map((b) => {
    const box = layout.boxes[b];
    return /** @type {[number, number]} */ ([box.layer, box.cross + (which === "good" ? 0 : box.goodSize)]);
  });
  return [[layout.boxes[band.from].layer, ends[0]], ...over, [layout.boxes[band.to].layer, ends[1]]];
}

/** Across at a place between two stations: the same curve as the Bézier with both handles in the middle. */
export function between(/** @type {number} */ a, /** @type {number} */ b, /** @type {number} */ share) {
  // x(t) = 1.5 t (1−t) + t³ … is monotone: find t, then y(t) = smoothstep.
  let low = 0;
  let high = 1;
  for (let k = 0; k < 20; k++) {
    const t = (low + high) / 2;
    if (1.5 * t * (1 - t) + t ** 3 < share) low = t;
    else high = t;
  }
  const t = (low + high) / 2;
  return a + (b - a) * t * t * (3 - 2 * t);
}

/** The bar under a place, with a little reach; else -1. `layer` may lie between two. @param {CohortLayout} layout */
export function boxAt(layout, /** @type {number} */ layer, /** @type {number} */ cross, /** @type {number} */ reachLayer, /** @type {number} */ reachCross = 3) {
  const at = Math.round(layer);
  if (Math.abs(layer - at) > reachLayer) return -1;
  let best = -1;
  let least = Infinity;
  for (const b of layout.byLayer[at] ?? []) {
    const box = layout.boxes[b];
    if (box.isWay) continue;
    const off = Math.max(box.cross - cross, cross - box.cross - box.size, 0);
    if (off <= reachCross && off < least) (best = b), (least = off);
  }
  return best;
}

/** The ribbon under a place, the thinnest where several lie there; else null. @param {CohortLayout} layout @returns {CohortBand | null} */
export function bandAt(layout, /** @type {number} */ layer, /** @type {number} */ cross, /** @type {"all" | "good" | "failed"} */ outcome = "all") {
  let best = null;
  let least = Infinity;
  for (const band of layout.bands) {
    if (band.isBack || layout.boxes[band.from].layer >= layer || layout.boxes[band.to].layer <= layer) continue;
    for (const which of /** @type {const} */ (["good", "failed"])) {
      const size = which === "good" ? band.goodSize : band.failedSize;
      if (!size || size >= least || (outcome !== "all" && outcome !== which)) continue;
      const points = stations(layout, band, which);
      const k = points.findIndex(([at]) => at >= layer);
      if (k < 1) continue;
      const start = between(points[k - 1][1], points[k][1], (layer - points[k - 1][0]) / (points[k][0] - points[k - 1][0]));
      if (cross >= start - 1 && cross <= start + Math.max(size, 2) + 1) (best = band), (least = size);
    }
  }
  return best;
}

/**
 * The node that a key leads to: along the strongest flow, or across within the layer.
 * @param {CohortLayout} layout @param {number} node row, START or END @param {"next" | "previous" | "up" | "down"} way @returns {number}
 */
export function neighbour(layout, node, way) {
  const from = layout.boxOf.get(node);
  if (from === undefined) return START;
  if (way === "up" || way === "down") {
    const mine = layout.boxes[from];
    const beside = layout.byLayer[mine.layer].filter((b) => !layout.boxes[b].isWay && b !== from && (way === "up") === (layout.boxes[b].cross < mine.cross));
    beside.sort((a, b) => Math.abs(layout.boxes[a].cross - mine.cross) - Math.abs(layout.boxes[b].cross - mine.cross));
    return beside.length ? layout.boxes[beside[0]].node : node;
  }
  let best = node;
  let most = 0;
  for (const band of layout.bands) {
    if (band.isBack || (way === "next" ? band.from : band.to) !== from || band.good + band.failed <= most) continue;
    most = band.good + band.failed;
    best = layout.boxes[way === "next" ? band.to : band.from].node;
  }
  if (best !== node) return best;
  // Nothing shown flows there: the nearest layer that has a node.
  const step = way === "next" ? 1 : -1;
  for (let at = layout.boxes[from].layer + step; at >= 0 && at < layout.layers; at += step) {
    const found = layout.byLayer[at].find((b) => !layout.boxes[b].isWay);
    if (found !== undefined) return layout.boxes[found].node;
  }
  return node;
}

/** Good and failed runs per layer, for the map: those of the bars that stand there. @param {CohortLayout} layout */
export function layerSums(layout) {
  const good = new Float64Array(layout.layers);
  const failed = new Float64Array(layout.layers);
  for (const box of layout.boxes) {
    if (box.isWay) continue;
    good[box.layer] += box.good;
    failed[box.layer] += box.failed;
  }
  return { good, failed };
}
