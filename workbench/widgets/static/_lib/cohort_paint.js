// @ts-check
// The flows, bars and map of a cohort on a canvas. The main axis is drawn from left to right, or from top to bottom.
import { stations } from "./cohort_layout.js";
import { toX } from "./timescale.js";

/** How thick a bar is along the main axis, px: thin from afar, so that flows are seen between. @param {number} pitch px between layers */
export const barOf = (pitch) => Math.max(2, Math.min(10, pitch * 0.45));

const THIN = 0.9; // px: thinner ribbons are lines
const FAINT = 0.012; // share of the runs: from afar, flows of fewer are left out
const MANY = 400; // flows in sight from which on that is done
const LEAP = 4; // layers a flow may leap without a way of its own; longer ones are pale, as they cross what they have nothing to do with
const PALE = 0;
const PLAIN = 1;
const LIT = 2;
const FEW_BACK = 12; // flows back that are drawn all the time; more of them only at the step that is looked at

/** A canvas as large as its element, at the screen's resolution. @param {HTMLCanvasElement} canvas */
export function fitCanvas(canvas, /** @type {number} */ width, /** @type {number} */ height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, hgt] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== hgt) [canvas.width, canvas.height] = [w, hgt];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {{ layout: import("./cohort_layout.js").CohortLayout, view: [number, number], length: number, isDown: boolean, pad: number,
 *   outcome: string, colors: Record<string, string>, runs: number, lit: { node: number | null, band: any } }} scene `runs`: of the cohort; `length`: px of the main axis;
 *   `pad`: px before the cross axis begins; `lit`: what is under the pointer or selected
 */
export function paintCohort(context, scene) {
  const { layout, view, length, isDown, pad, outcome, colors, lit } = scene;
  const at = (/** @type {number} */ layer) => toX(layer + 0.5, view, length);
  const bar = barOf(length / (view[1] - view[0]));
  context.save();
  // Main and cross change places: one way to draw for both directions.
  if (isDown) context.transform(0, 1, 1, 0, pad, 0);
  else context.translate(0, pad);
  const some = lit.band !== null || lit.node !== null;
  const isLit = (/** @type {any} */ band) =>
    some && (lit.band ? lit.band === band : layout.boxes[band.from].node === lit.node || layout.boxes[band.to].node === lit.node);
  const isFar = (/** @type {any} */ band) => !band.way.length && layout.boxes[band.to].layer - layout.boxes[band.from].layer > LEAP;
  let seen = layout.bands.filter((band) => {
    const [a, b] = [layout.boxes[band.from].layer, layout.boxes[band.to].layer];
    return Math.max(a, b) >= view[0] - 1.5 && Math.min(a, b) <= view[1] + 0.5;
  });
  const least = seen.length > MANY ? FAINT * scene.runs : 0;
  seen = seen.filter((band) => band.good + band.failed >= least || isLit(band));
  for (const which of /** @type {const} */ (["good", "failed"])) {
    if (outcome !== "all" && outcome !== which) continue;
    for (const strength of [PALE, PLAIN, LIT]) {
      const mine = seen.filter((band) => !band.isBack && band[which] && (isLit(band) ? LIT : isFar(band) ? PALE : PLAIN) === strength);
      if (!mine.length) continue;
      context.globalAlpha = strength === LIT ? 0.78 : (strength === PALE ? 0.22 : 0.5) * (some ? 0.4 : 1);
      context.fillStyle = context.strokeStyle = colors[which];
      // All thin ones are one path: thousands of them cost as much as a few.
      context.lineWidth = THIN;
      context.beginPath();
      for (const band of mine) if (band[`${which}Size`] < THIN) ribbonLine(context, stations(layout, band, which), at, bar);
      context.globalAlpha *= 0.8;
      context.stroke();
      context.globalAlpha /= 0.8;
      for (const band of mine) {
        const size = band[`${which}Size`];
        if (size >= THIN) ribbon(context, stations(layout, band, which), size, at, bar);
      }
    }
  }
  const back = seen.filter((band) => band.isBack);
  backs(context, scene, back.length > FEW_BACK ? back.filter(isLit) : back, at);
  bars(context, scene, at, bar);
  context.restore();
}

function ribbonLine(/** @type {CanvasRenderingContext2D} */ context, /** @type {[number, number][]} */ points, /** @type {(layer: number) => number} */ at, /** @type {number} */ bar) {
  points.forEach(([layer, y], k) => {
    const x = at(layer);
    if (!k) return context.moveTo(x + bar / 2, y);
    const from = at(points[k - 1][0]) + (k === 1 ? bar / 2 : 0);
    const to = k === points.length - 1 ? x - bar / 2 : x;
    context.bezierCurveTo((from + to) / 2, points[k - 1][1], (from + to) / 2, y, to, y);
  });
}

function ribbon(/** @type {CanvasRenderingContext2D} */ context, /** @type {[number, number][]} */ points, /** @type {number} */ size, /** @type {(layer: number) => number} */ at, /** @type {number} */ bar) {
  context.beginPath();
  ribbonLine(context, points, at, bar);
  const back = points.map(([layer, y]) => /** @type {[number, number]} */ ([layer, y + size])).reverse();
  back.forEach(([layer, y], k) => {
    const x = at(layer);
    if (!k) return context.lineTo(x - bar / 2, y);
    const from = at(back[k - 1][0]) - (k === 1 ? bar / 2 : 0);
    const to = k === back.length - 1 ? x + bar / 2 : x;
    context.bezierCurveTo((from + to) / 2, back[k - 1][1], (from + to) / 2, y, to, y);
  });
  context.closePath();
  context.fill();
}

/** Runs that go back to what others do earlier: dashed bows. */
function backs(/** @type {CanvasRenderingContext2D} */ context, /** @type {any} */ { layout, outcome, colors, view, length }, /** @type {any[]} */ seen, /** @type {(layer: number) => number} */ at) {
  const pitch = length / (view[1] - view[0]);
  context.setLineDash([4, 3]);
  context.globalAlpha = 0.75;
  for (const band of seen) {
    const n = outcome === "good" ? band.good : outcome === "failed" ? band.failed : band.good + band.failed;
    if (!n) continue;
    const [x0, x1] = [at(layout.boxes[band.from].layer), at(layout.boxes[band.to].layer)];
    const bow = Math.min(70, 18 + Math.abs(x0 - x1) * 0.12);
    const [y0, y1] = band.goodAt;
    context.strokeStyle = outcome === "good" || (outcome === "all" && band.good > band.failed) ? colors.good : colors.failed;
    context.lineWidth = Math.max(1, Math.min(4, n * layout.unit));
    context.beginPath();
    context.moveTo(x0, y0);
    context.bezierCurveTo(x0 + Math.min(20, pitch / 2), y0 + bow, x1 - Math.min(20, pitch / 2), y1 + bow, x1, y1);
    context.stroke();
  }
  context.setLineDash([]);
}

function bars(/** @type {CanvasRenderingContext2D} */ context, /** @type {any} */ { layout, outcome, colors, view }, /** @type {(layer: number) => number} */ at, /** @type {number} */ bar) {
  for (const box of layout.boxes) {
    if (box.isWay || box.layer < view[0] - 1 || box.layer > view[1] + 1) continue;
    const x = at(box.layer) - bar / 2;
    context.globalAlpha = outcome === "failed" ? 0.18 : 1;
    context.fillStyle = colors.good;
    context.fillRect(x, box.cross, bar, box.goodSize);
    context.globalAlpha = outcome === "good" ? 0.18 : 1;
    context.fillStyle = colors.failed;
    context.fillRect(x, box.cross + box.goodSize, bar, box.size - box.goodSize);
  }
  context.globalAlpha = 1;
}

/**
 * The whole graph small: per layer the good runs up and the failed down, the view as a frame, divergences as marks.
 * @param {CanvasRenderingContext2D} context
 * @param {{ sums: { good: Float64Array, failed: Float64Array }, view: [number, number], width: number, height: number,
 *   marks: number[], colors: Record<string, string> }} scene
 */
export function paintCohortMap(context, { sums, view, width, height, marks, colors }) {
  const layers = sums.good.length;
  const most = Math.max(1, ...sums.good, ...sums.failed);
  const step = width / layers;
  const middle = height / 2;
  for (let k = 0; k < layers; k++) {
    const thick = Math.max(1, step - (step > 4 ? 1 : 0));
    const [up, down] = [(sums.good[k] / most) * (middle - 3), (sums.failed[k] / most) * (middle - 3)];
    context.fillStyle = colors.good;
    context.fillRect(k * step, middle - up, thick, up);
    context.fillStyle = colors.failed;
    context.fillRect(k * step, middle, thick, down);
  }
  const [x0, x1] = [Math.max(0, (view[0] / layers) * width), Math.min(width, (view[1] / layers) * width)];
  context.globalAlpha = 0.62;
  context.fillStyle = colors.bg;
  context.fillRect(0, 0, x0, height);
  context.fillRect(x1, 0, width - x1, height);
  context.globalAlpha = 1;
  context.strokeStyle = colors.accent;
  context.lineWidth = 2;
  context.strokeRect(x0 + 1, 1, Math.max(2, x1 - x0 - 2), height - 2);
  context.fillStyle = colors.fg;
  for (const layer of marks) {
    const x = (layer + 0.5) * step;
    context.beginPath();
    context.moveTo(x - 4, 0);
    context.lineTo(x + 4, 0);
    context.lineTo(x, 7);
    context.fill();
  }
}
