// @ts-check
// The axis: what is in view, how it moves, where its ticks stand. Units: ms since the origin, or steps. Pure.
import { formatDuration } from "./format.js";

/** @typedef {[number, number]} View */

/** The narrowest view: 20 µs, or two steps. @param {"ms" | "steps"} unit */
export function narrowest(unit) {
  return unit === "steps" ? 2 : 0.02;
}

/** A view inside the axis (with a margin of 2 % of the view), its width kept where possible. @param {View} view @param {number} span @param {number} least @returns {View} */
export function clampView([low, high], span, least) {
  if (!(Number.isFinite(low) && Number.isFinite(high))) return [0, span];
  const most = Math.max(span, least) * 1.04;
  const width = Math.min(Math.max(high - low, Math.min(least, most)), most);
  const middle = (low + high) / 2;
  const margin = Math.max(width * 0.02, 0);
  const first = Math.min(Math.max(middle - width / 2, -margin), Math.max(span + margin - width, -margin));
  return [first, first + width];
}

/** Zoom by a factor (< 1: in) around a place that stays where it is. @param {View} view @param {number} factor @param {number} at @param {number} span @param {number} least @returns {View} */
export function zoomAt([low, high], factor, at, span, least) {
  const width = Math.max((high - low) * factor, least);
  const share = (at - low) / (high - low);
  return clampView([at - share * width, at + (1 - share) * width], span, least);
}

/** @param {View} view @param {number} by @param {number} span @param {number} least @returns {View} */
export function panBy([low, high], by, span, least) {
  return clampView([low + by, high + by], span, least);
}

/** The whole axis. @param {number} span @param {number} least @returns {View} */
export function fitView(span, least) {
  const margin = Math.max(span, least) * 0.02;
  return clampView([-margin, Math.max(span, least) + margin], span, least);
}

/** Move as little as needed to have [start, end] in view; a longer event is shown from its start. @param {View} view @param {number} start @param {number} end @param {number} span @param {number} least @returns {View} */
export function reveal([low, high], start, end, span, least) {
  const width = high - low;
  if (start >= low && (end <= high || start <= low + width * 0.9)) return [low, high];
  return clampView([start - width * 0.2, start + width * 0.8], span, least);
}

/** @param {number} t @param {View} view @param {number} width px */
export function toX(t, [low, high], width) {
  return ((t - low) / (high - low)) * width;
}

/** @param {number} x @param {View} view @param {number} width px */
export function toT(x, [low, high], width) {
  return low + (x / width) * (high - low);
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const LONG = [1, 2, 5, 10, 15, 30].map((n) => n * SECOND)
  .concat([1, 2, 5, 10, 15, 30].map((n) => n * MINUTE), [1, 2, 3, 6, 12].map((n) => n * HOUR), [1, 2, 7, 14, 30, 90, 365].map((n) => n * DAY));

/** The smallest round step of at least `least`. @param {number} least @param {"ms" | "steps"} unit */
export function niceStep(least, unit) {
  if (unit === "ms" && least > 500) return LONG.find((step) => step >= least) ?? Math.ceil(least / (365 * DAY)) * 365 * DAY;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= least * 0.999999) ?? 10 * power;
  return unit === "steps" ? Math.max(1, step) : step;
}

/**
 * Ticks at round places, at least `room` pixels apart.
 * @param {View} view @param {number} width px
 * @param {{ unit: "ms" | "steps", origin?: number | null, absolute?: boolean, room?: number }} options `origin`: ms since 1970
 * @returns {{ at: number, label: string }[]}
 */
export function ticks([low, high], width, { unit, origin = null, absolute = false, room = 90 }) {
  const step = niceStep(((high - low) * room) / Math.max(1, width), unit);
  const zero = absolute && origin !== null ? origin : 0;
  const found = [];
  for (let i = Math.ceil((low + zero) / step - 1e-9); found.length < 200; i++) {
    const at = i * step - zero;
    if (at > high) break;
    found.push({ at, label: unit === "steps" ? String(Math.round(at)) : zero ? clock(i * step, step) : relative(i * step, step) });
  }
  return found;
}

/** Elapsed time with as many digits as the step needs. @param {number} ms @param {number} step */
function relative(ms, step) {
  if (Math.abs(ms) < step / 1e6) return "0";
  const sign = ms < 0 ? "−" : "";
  const a = Math.abs(ms);
  const digits = (/** @type {number} */ unit) => Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9));
  if (step >= MINUTE) {
    const h = Math.floor(a / HOUR);
    const m = Math.round((a % HOUR) / MINUTE);
    if (step >= DAY) return `${sign}${Math.round(a / DAY)} d`;
    return h ? `${sign}${h} h ${String(m).padStart(2, "0")}` : `${sign}${m} min`;
  }
  if (a >= MINUTE) {
    const m = Math.floor(a / MINUTE);
    const s = ((a % MINUTE) / SECOND).toFixed(digits(SECOND));
    return `${sign}${m}:${s.padStart(s.includes(".") ? s.indexOf(".") === 1 ? s.length + 1 : s.length : 2, "0")}`;
  }
  if (a >= SECOND || step >= SECOND) return `${sign}${(a / SECOND).toFixed(digits(SECOND))} s`;
  if (step >= 0.001 && a >= 1) return `${sign}${a.toFixed(digits(1))} ms`;
  return formatDuration(ms);
}

/** Time of day, UTC, or the date where the step is a day or more. @param {number} ms since 1970 @param {number} step */
function clock(ms, step) {
  const text = new Date(ms).toISOString();
  if (step >= DAY || ms % DAY === 0) return text.slice(0, 10);
  if (step >= MINUTE) return text.slice(11, 16);
  if (step >= SECOND) return text.slice(11, 19);
  return step >= 1 ? text.slice(11, 23) : `${text.slice(17, 23)}${String(Math.round((ms % 1) * 1000)).padStart(3, "0")}`;
}
