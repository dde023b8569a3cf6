// @ts-check
// What is said of a step, a flow and a divergence of a cohort. Pure.
import { newcombe } from "./association.js";
import { formatInteger, formatPercent } from "./format.js";
import { oneLine } from "./text.js";

const many = (/** @type {number} */ n, /** @type {string} */ what) => `${formatInteger(n)} ${what}${n === 1 ? "" : "s"}`;

/** 12 runs · 1 run @param {number} n */
export const runsWords = (n) => many(n, "run");

/** +58 points (95 % interval 53 to 63) @param {{ difference: number, low: number, high: number } | null} found */
export function differenceWords(found) {
  if (!found) return "no difference to tell: all runs are on one side";
  const points = (/** @type {number} */ x) => `${x < 0 ? "−" : ""}${Math.abs(Math.round(x * 100))}`;
  const sign = Math.round(found.difference * 100) > 0 ? "+" : "";
  return `${sign}${points(found.difference)} points (95 % interval ${points(found.low)} to ${points(found.high)})`;
}

/** p = 0.001 · p < 0.001 @param {number} p */
export function pWords(p) {
  return p < 0.001 ? "p < 0.001" : `p = ${Number(p.toPrecision(2))}`;
}

/** 40 of 52 fail (77 %) @param {number} failed @param {number} n */
export function failWords(failed, n) {
  return n ? `${formatInteger(failed)} of ${formatInteger(n)} fail (${formatPercent(Math.round((failed / n) * 100) / 100)})` : "none";
}

/** What the side that fails more does or says. @param {any} row a divergence @param {number} [limit] */
export function divergenceWords(row, limit = 120) {
  const quoted = (/** @type {string} */ text) => `“${oneLine(text, limit)}”`;
  const does = row.fails === "with";
  if (row.what === "word") return `${oneLine(row.label, limit)}${does ? "" : ": not said"}`;
  if (row.instead === null) return `${quoted(row.label)} is ${does ? "there" : "left out"}`;
  return does ? `${quoted(row.label)}, not ${quoted(row.instead)}` : `${quoted(row.instead)}, not ${quoted(row.label)}`;
}

/**
 * A divergence as its sentence has it: then (the side that fails more) and else.
 * @param {any} row @returns {{ then: [number, number], other: [number, number], difference: number, low: number, high: number }} failed, of
 */
export function sidesOf(row) {
  /** @type {[number, number][]} */
  const [having, lacking] = [[row.failed_with, row.n_with], [row.failed_without, row.n_without]];
  if (row.fails === "with") return { then: having, other: lacking, difference: row.difference, low: row.low, high: row.high };
  return { then: lacking, other: having, difference: -row.difference, low: -row.high, high: -row.low };
}

/** then 17 of 20 fail (85 %), else 2 of 20 (10 %) @param {any} row */
export function sidesWords(row) {
  const { then, other } = sidesOf(row);
  return `then ${failWords(...then)}, else ${failWords(...other)}`;
}

/**
 * The lines of a step's card.
 * @param {{ good: number, failed: number, label: string, type: string, step: number, variants: number, repeats: number, moved: number, errors: number }} node
 * @param {[number, number]} runs good and failed ones of the cohort
 */
export function nodeWords(node, [good, failed]) {
  const n = node.good + node.failed;
  const rest = [good + failed - n, failed - node.failed];
  const found = newcombe(node.failed, n, rest[1], rest[0]);
  const more = [
    node.variants > 1 ? many(node.variants, "variant") : null,
    node.repeats ? many(node.repeats, "repeat") : null,
    node.errors ? many(node.errors, "error") : null,
    node.moved ? `${formatInteger(node.moved)} done elsewhere` : null,
  ];
  return {
    title: oneLine(node.label, 140),
    place: `around step ${node.step} · ${oneLine(node.type, 40)}`,
    support: `${runsWords(n)} of ${formatInteger(good + failed)} come here: ${formatInteger(node.good)} good, ${formatInteger(node.failed)} failed`,
    rates: rest[0] ? `with it ${failWords(node.failed, n)}; without ${failWords(rest[1], rest[0])}` : failWords(node.failed, n),
    difference: rest[0] ? differenceWords(found) : "every run comes here",
    more: more.filter(Boolean).join(" · "),
  };
}

/** What a screen reader hears of a step. @param {any} node @param {[number, number]} runs @param {any} divergence */
export function nodeSpoken(node, runs, divergence) {
  const words = nodeWords(node, runs);
  const parts = divergence ? `. Divergence ${divergence.rank}, ${divergence.class}` : "";
  return `Step ${node.step}: ${oneLine(node.label, 80)}, ${node.good} good, ${node.failed} failed${parts}. ${words.difference}`;
}

/** The Python that stands at a step of a run. @param {string} id @param {number | undefined} step */
export function replayCode(id, step) {
  return step === undefined ? `bench.replay(${JSON.stringify(id)})` : `bench.replay(${JSON.stringify(id)}).seek(${step})`;
}
