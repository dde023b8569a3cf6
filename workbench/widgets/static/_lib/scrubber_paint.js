// @ts-check
// Drawing of the strips of a player. Everything comes in as arguments.
import { STEP_ABANDONED, STEP_ERROR, STEP_SHARED, STEP_STATE_ONLY, STEP_WARNING, xOfPlace } from "./scrubber.js";

export const STRIP = { marks: 15, band: 18, errors: 10 };
export const STRIP_HEIGHT = STRIP.marks + STRIP.band + STRIP.errors;

/**
 * All steps on one strip: what is shared is pale, what was abandoned hatched, errors hang below, marks stand above.
 * @param {CanvasRenderingContext2D} ctx
 * @param {{ width: number, steps: any, columns: any, marks: any[], changes: Iterable<number>, position: number, look: any, hover: number }} about
 */
export function drawStrip(ctx, { width, steps, columns, marks, changes, position, look, hover }) {
  const { n } = steps;
  const top = STRIP.marks;
  const each = width / columns.columns;
  const gap = each >= 5 ? 1 : 0;
  for (let c = 0; c < columns.columns; c++) {
    const x = c * each;
    bandCell(ctx, x, Math.max(1, each - gap), columns.kind[c], columns.all[c], look);
    if (columns.flags[c] & (STEP_ERROR | STEP_WARNING)) alarm(ctx, x + each / 2, columns.flags[c], look, Math.min(8, Math.max(4, each)));
  }
  ctx.fillStyle = look.fg;
  for (const place of changes) ctx.fillRect(Math.round(xOfPlace(place, width, n)) - 0.5, top + STRIP.band - 4, 1.5, 4);
  drawMarks(ctx, marks, (place) => xOfPlace(place, width, n), look);
  if (hover >= 0) outline(ctx, (hover / n) * width, width / n, look.muted, 1);
  playhead(ctx, xOfPlace(position, width, n), Math.max(width / n, 3), look, !(steps.flags[position] & (STEP_ERROR | STEP_WARNING)));
}

/**
 * A part of the steps, each wide enough to hit.
 * @param {CanvasRenderingContext2D} ctx
 * @param {{ width: number, steps: any, lens: { first: number, count: number, cell: number }, marks: any[], changes: Set<number>, position: number, look: any, hover: number }} about
 */
export function drawLens(ctx, { lens, steps, marks, changes, position, look, hover }) {
  const { first, count, cell } = lens;
  ctx.font = `10px ${look.font}`;
  ctx.textBaseline = "alphabetic";
  const every = Math.max(1, Math.ceil(46 / cell));
  for (let i = first; i < Math.min(steps.n, first + count); i++) {
    const x = (i - first) * cell;
    bandCell(ctx, x, cell - 1, steps.kind[i], steps.flags[i], look);
    if (changes.has(i)) {
      ctx.fillStyle = look.fg;
      ctx.fillRect(x, STRIP.marks + STRIP.band - 4, cell - 1, 3);
    }
    if (steps.flags[i] & (STEP_ERROR | STEP_WARNING)) alarm(ctx, x + cell / 2, steps.flags[i], look, 8);
    else if (steps.number[i] % every === 0) {
      ctx.fillStyle = look.muted;
      ctx.textAlign = "center";
      ctx.fillText(String(steps.number[i]), Math.min(count * cell - 14, Math.max(12, x + cell / 2)), STRIP_HEIGHT - 1);
    }
  }
  drawMarks(ctx, marks.filter((mark) => mark.position >= first && mark.position < first + count), (place) => (place - first + 0.5) * cell, look);
  if (hover >= 0) outline(ctx, (hover - first) * cell, cell, look.muted, 1);
  outline(ctx, (position - first) * cell, cell, look.fg, 2.5);
}

/** Where on the whole strip the lens is. @param {CanvasRenderingContext2D} ctx @param {{ first: number, count: number }} lens @param {number} n @param {number} width @param {any} look */
export function drawLensFrame(ctx, lens, n, width, look) {
  const x = (lens.first / n) * width;
  ctx.fillStyle = look.accentSoft;
  ctx.fillRect(x, STRIP.marks - 2, Math.max(2, (lens.count / n) * width), STRIP.band + 4);
}

function bandCell(/** @type {any} */ ctx, /** @type {number} */ x, /** @type {number} */ wide, /** @type {number} */ kind, /** @type {number} */ flags, /** @type {any} */ look) {
  const top = STRIP.marks;
  ctx.globalAlpha = flags & STEP_SHARED ? 0.4 : 1;
  ctx.fillStyle = look.colors[kind % look.colors.length];
  if (flags & STEP_STATE_ONLY) ctx.fillRect(x, top + STRIP.band - 4, wide, 4);
  else ctx.fillRect(x, top, wide, STRIP.band);
  ctx.globalAlpha = 1;
  if (!(flags & STEP_ABANDONED)) return;
  ctx.fillStyle = look.bg; // three slits: readable at one pixel as at twenty
  for (const y of [3, 8, 13]) ctx.fillRect(x, top + y, wide + 1, 2);
}

/** Shape first, colour second: a triangle is an error, a dot a warning. */
function alarm(/** @type {any} */ ctx, /** @type {number} */ x, /** @type {number} */ flags, /** @type {any} */ look, /** @type {number} */ size) {
  const y = STRIP.marks + STRIP.band + 2;
  const isError = flags & STEP_ERROR;
  ctx.fillStyle = isError ? look.error : look.warning;
  ctx.beginPath();
  if (isError) {
    ctx.moveTo(x - size / 2, y);
    ctx.lineTo(x + size / 2, y);
    ctx.lineTo(x, y + 7);
  } else ctx.arc(x, y + 3, 2, 0, 7);
  ctx.fill();
}

const MARK_SIGNS = { checkpoint: "◆", pin: "●", note: "✎" };
const MARK_ORDER = ["note", "pin", "checkpoint", "fork"];

/** Marks above the band; several of a step stand beside one another. */
function drawMarks(/** @type {any} */ ctx, /** @type {any[]} */ marks, /** @type {(place: number) => number} */ toPlace, /** @type {any} */ look) {
  const sorted = [...marks].sort((a, b) => MARK_ORDER.indexOf(a.kind) - MARK_ORDER.indexOf(b.kind));
  const y = STRIP.marks - 8;
  const taken = new Map();
  for (const mark of sorted) {
    const beside = taken.get(mark.position) ?? 0;
    taken.set(mark.position, beside + 1);
    const x = toPlace(mark.position) + beside * 11;
    ctx.fillStyle = ctx.strokeStyle = mark.kind === "fork" ? look.colors[3] : look.fg;
    ctx.lineWidth = 1.4;
    ctx.beginPath();
    if (mark.kind === "checkpoint") {
      for (const [dx, dy] of [[0, -5], [5, 0], [0, 5], [-5, 0]]) ctx.lineTo(x + dx, y + dy);
      ctx.closePath();
      ctx.fill();
    } else if (mark.kind === "pin") {
      ctx.arc(x, y - 1, 3.5, 0, 7);
      ctx.fill();
      ctx.fillRect(x - 0.7, y, 1.4, 7);
    } else if (mark.kind === "note") {
      ctx.rect(x - 4, y - 4, 8, 7);
      ctx.moveTo(x - 2, y - 1.5);
      ctx.lineTo(x + 2, y - 1.5);
      ctx.moveTo(x - 2, y + 0.8);
      ctx.lineTo(x + 1, y + 0.8);
      ctx.stroke();
    } else {
      ctx.moveTo(x - 2, y + 7);
      ctx.lineTo(x - 2, y - 5);
      ctx.moveTo(x - 2, y + 2);
      ctx.bezierCurveTo(x - 2, y, x + 4, y, x + 4, y - 5);
      ctx.stroke();
    }
  }
}

function outline(/** @type {any} */ ctx, /** @type {number} */ x, /** @type {number} */ wide, /** @type {string} */ color, /** @type {number} */ line) {
  ctx.strokeStyle = color;
  ctx.lineWidth = line;
  ctx.strokeRect(x - 0.5, STRIP.marks - 1.5, Math.max(3, wide), STRIP.band + 3);
}

function playhead(/** @type {any} */ ctx, /** @type {number} */ x, /** @type {number} */ wide, /** @type {any} */ look, /** @type {boolean} */ below) {
  outline(ctx, x - wide / 2, wide, look.fg, 2);
  ctx.fillStyle = look.accent;
  ctx.fillRect(x - 1, STRIP.marks - 2, 2, STRIP.band + 4);
  if (!below) return; // the sign of an error stands there
  ctx.beginPath();
  ctx.moveTo(x - 5, STRIP_HEIGHT);
  ctx.lineTo(x + 5, STRIP_HEIGHT);
  ctx.lineTo(x, STRIP_HEIGHT - 7);
  ctx.fill();
}

/** What a mark is called in the legend. */
export function markSign(/** @type {string} */ kind) {
  return MARK_SIGNS[kind] ?? "";
}
