// @ts-check
// Where the steps of a run are on a strip, and which comes next. Pure; positions are rows of the run's steps, 0 to n - 1.
import { unpack } from "./wire.js";

// Bits of a step's flags; _replay_scene.py has the same.
export const STEP_ERROR = 1;
export const STEP_WARNING = 2;
export const STEP_CALL = 4;
export const STEP_SHARED = 8;
export const STEP_ABANDONED = 16;
export const STEP_STATE_ONLY = 32;

const SINGLE = 9; // px: steps at least so wide need no second strip
const CELL = 15; // px of a step in the lens

/** @typedef {{ n: number, number: any, kind: any, flags: any, at: any }} Steps */

/** @param {any} block made by `_wire.pack` @returns {Steps} */
export function readSteps(block) {
  const { arrays } = unpack(block);
  return { n: arrays.number?.length ?? 0, number: arrays.number ?? [], kind: arrays.kind ?? [], flags: arrays.flags ?? [], at: arrays.at ?? [] };
}

/** Whether all steps fit on one strip. @param {number} n @param {number} width px */
export function fitsWhole(n, width) {
  return n * SINGLE <= width;
}

/** The step under a place on the whole strip. @param {number} x @param {number} width @param {number} n */
export function placeAt(x, width, n) {
  return Math.min(n - 1, Math.max(0, Math.floor((x / Math.max(1, width)) * n)));
}

/** The middle of a step on the whole strip. @param {number} position @param {number} width @param {number} n */
export function xOfPlace(position, width, n) {
  return ((position + 0.5) / Math.max(1, n)) * width;
}

/**
 * The part of the run that the lens shows. It stays until the step comes near its edge, so that cells do not move under the pointer.
 * @param {number | null} before its first step until now @param {number} position @param {number} n @param {number} width px
 */
export function lensAt(before, position, n, width) {
  const count = Math.max(1, Math.min(n, Math.floor(width / CELL)));
  const most = n - count;
  const margin = Math.min(4, Math.floor(count / 4));
  const fits = before !== null && before <= most && position >= before + (before === 0 ? 0 : margin) && position < before + count - (before === most ? 0 : margin);
  const first = fits ? /** @type {number} */ (before) : Math.min(most, Math.max(0, position - Math.floor(count / 2)));
  return { first, count, cell: width / count };
}

/**
 * The whole run as columns of one pixel: the worst flag of each, and its commonest kind.
 * @param {Steps} steps @param {number} width
 */
export function stripColumns(steps, width) {
  const columns = Math.max(1, Math.min(Math.round(width), steps.n));
  const kind = new Uint8Array(columns);
  const flags = new Uint8Array(columns); // any of the column's
  const all = new Uint8Array(columns).fill(255); // common to all of them
  const counts = new Uint32Array(16);
  for (let c = 0; c < columns; c++) {
    const from = Math.floor((c * steps.n) / columns);
    const to = Math.max(from + 1, Math.floor(((c + 1) * steps.n) / columns));
    counts.fill(0);
    let best = 0;
    for (let i = from; i < to; i++) {
      const k = steps.kind[i];
      if (++counts[k] > counts[best] || i === from) best = k;
      flags[c] |= steps.flags[i];
      all[c] &= steps.flags[i];
    }
    kind[c] = best;
  }
  return { columns, kind, flags, all };
}

/** The next step with a flag, or -1. @param {Steps} steps @param {number} position @param {number} direction 1 or -1 @param {number} flag */
export function nextFlagged(steps, position, direction, flag) {
  for (let i = position + direction; i >= 0 && i < steps.n; i += direction) if (steps.flags[i] & flag) return i;
  return -1;
}

/** The next of some positions, or -1. @param {Iterable<number>} places @param {number} position @param {number} direction */
export function nextPlace(places, position, direction) {
  let best = -1;
  for (const place of places) {
    if (direction > 0 ? place > position && (best < 0 || place < best) : place < position && place > best) best = place;
  }
  return best;
}

/** What a step's number is at a position; the position of the step of a number, or the nearest before it. @param {Steps} steps @param {number} number */
export function placeOfNumber(steps, number) {
  let low = 0;
  let high = steps.n;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps.number[middle] <= number) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}
