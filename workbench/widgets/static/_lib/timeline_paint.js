// @ts-check
// Drawing of a timeline on its canvases. Everything comes in as arguments; nothing is kept between frames but the bitmap of cells.
import { ERROR_SEVERITY, ESTIMATED, labelOf, MOMENT, ORPHANED, OUT_OF_ORDER, paintCells, UNFINISHED, WARNING_SEVERITY } from "./lod.js";
import { oneLine } from "./text.js";
import { ticks, toX } from "./timescale.js";

const LABEL_FONT = 11;
const LABEL_WIDTH = 6.1; // of a character, on average; measuring thousands of labels a frame would cost more than drawing them
const MAX_LABELS = 400;

/** Size a canvas for the screen's pixels. @param {HTMLCanvasElement} canvas @param {number} width @param {number} height */
export function prepare(canvas, width, height) {
  const dpr = window.devicePixelRatio || 1;
  const w = Math.max(1, Math.round(width * dpr));
  const hh = Math.max(1, Math.round(height * dpr));
  if (canvas.width !== w || canvas.height !== hh) {
    canvas.width = w;
    canvas.height = hh;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const ctx = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  ctx.setTransform(dpr, 0, 0, dpr, 0, 0);
  ctx.clearRect(0, 0, width, height);
  return ctx;
}

/** A tile's cells as a bitmap, to be stretched over the view. @param {any} tile @param {any} layout @param {any} look @param {(color: number) => boolean} shown */
export function cellBitmap(tile, layout, look, shown) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, tile.bins);
  canvas.height = Math.max(1, Math.ceil(layout.height));
  const pixels = paintCells(tile, layout, look.rgb, look.alarm, shown);
  /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")).putImageData(new ImageData(/** @type {any} */ (pixels), canvas.width, canvas.height), 0, 0);
  return canvas;
}

/** Lane stripes and tick lines. @param {CanvasRenderingContext2D} ctx @param {any} scene */
export function drawGrid(ctx, { view, width, layout, look, axis }) {
  layout.lanes.forEach((lane, i) => {
    if (i % 2) {
      ctx.fillStyle = look.stripe;
      ctx.fillRect(0, lane.y, width, lane.h);
    }
  });
  ctx.fillStyle = look.line;
  for (const { at } of ticks(view, width, axis)) ctx.fillRect(Math.round(toX(at, view, width)), 0, 1, layout.height);
}

/** The time axis. @param {CanvasRenderingContext2D} ctx @param {any} scene */
export function drawAxis(ctx, { view, width, look, axis, height }) {
  ctx.font = `${LABEL_FONT}px ${look.font}`;
  ctx.textBaseline = "middle";
  for (const { at, label } of ticks(view, width, axis)) {
    const x = Math.round(toX(at, view, width));
    ctx.fillStyle = look.lineStrong;
    ctx.fillRect(x, height - 5, 1, 5);
    const room = ctx.measureText(label).width;
    if (x + 4 + room > width) continue;
    ctx.fillStyle = look.muted;
    ctx.fillText(label, x + 4, height / 2 - 1);
  }
}

/** Stretch the cells of a tile over their part of the view. @param {CanvasRenderingContext2D} ctx @param {any} scene @param {HTMLCanvasElement} bitmap @param {{start: number, end: number}} tile */
export function drawCells(ctx, { view, width, layout }, bitmap, tile) {
  const x0 = toX(tile.start, view, width);
  const x1 = toX(tile.end, view, width);
  if (x1 < 0 || x0 > width) return;
  ctx.imageSmoothingEnabled = false;
  ctx.drawImage(bitmap, x0, 0, x1 - x0, Math.ceil(layout.height));
}

/**
 * Events one by one: a bar, or a diamond for a moment. Errors get an edge, hatching and a notch, warnings an edge and a dot,
 * unfinished spans an open right edge, orphans a "?", what was written out of order two arrows: colour is never the only sign.
 * @param {CanvasRenderingContext2D} ctx @param {any} scene @param {any} items
 * @param {{ shown: (i: number) => boolean, matched: ((i: number) => boolean) | null }} how
 */
export function drawItems(ctx, scene, items, { shown, matched }) {
  const { view, width, layout, look } = scene;
  const h = layout.row - 2;
  const scale = width / (view[1] - view[0]);
  const labels = [];
  const lastX = new Map(); // per track: where the label of the item before may run to
  let color = -1;
  for (let i = 0; i < items.n; i++) {
    const x0 = (items.start[i] - view[0]) * scale;
    const x1 = (items.end[i] - view[0]) * scale;
    if (x1 < -8 || x0 > width + 8 || !shown(i)) continue;
    const track = items.track[i];
    const y = layout.tops[track];
    const bright = !matched || matched(i);
    ctx.globalAlpha = bright ? 1 : 0.22;
    if (items.color[i] !== color) {
      color = items.color[i];
      ctx.fillStyle = look.colors[color % look.colors.length];
    }
    const left = Math.max(x0, -4);
    const w = Math.max(2, Math.min(x1, width + 4) - left - (x1 - x0 > 3 ? 1 : 0));
    const moment = (items.flags[i] & MOMENT) !== 0;
    const severity = items.severity[i];
    if (moment && h >= 8) diamond(ctx, x0, y, h);
    else ctx.fillRect(left, y, w, h);
    if (severity >= WARNING_SEVERITY || items.flags[i] & (UNFINISHED | ESTIMATED | ORPHANED | OUT_OF_ORDER)) {
      mark(ctx, { x: moment ? x0 : left, y, w, h, severity, flags: items.flags[i], moment }, look);
      color = -1;
    }
    const before = lastX.get(track);
    if (before) before.until = Math.min(before.until, moment ? x0 - 6 : left - 2);
    lastX.delete(track);
    if (h < 9 || !bright) continue;
    if (!moment && w > 26) labels.push({ i, x: Math.max(left, 0) + 5, y, until: left + w - 2, inside: true });
    else if (x0 >= 0) {
      const label = { i, x: x0 + (moment ? h / 2 + 3 : w + 3), y, until: width, inside: false };
      labels.push(label);
      lastX.set(track, label);
    }
  }
  ctx.globalAlpha = 1;
  drawLabels(ctx, items, labels, h, look);
}

/** @param {CanvasRenderingContext2D} ctx @param {number} x @param {number} y @param {number} h */
function diamond(ctx, x, y, h) {
  const r = Math.min(h, 12) / 2;
  const cy = y + h / 2;
  ctx.beginPath();
  ctx.moveTo(x - r, cy);
  ctx.lineTo(x, cy - r);
  ctx.lineTo(x + r, cy);
  ctx.lineTo(x, cy + r);
  ctx.fill();
}

/** What an item is besides its colour. @param {CanvasRenderingContext2D} ctx @param {any} box @param {any} look */
function mark(ctx, { x, y, w, h, severity, flags, moment }, look) {
  ctx.lineWidth = 1.5;
  if (severity >= ERROR_SEVERITY) {
    ctx.strokeStyle = ctx.fillStyle = severity > ERROR_SEVERITY ? look.critical : look.error;
    if (!moment && w > 8) {
      ctx.beginPath();
      for (let d = 0; d < Math.min(w + h, 4000); d += 6) {
        ctx.moveTo(x + Math.max(0, d - h), y + Math.min(d, h));
        ctx.lineTo(x + Math.min(d, w), y + Math.max(0, d - w));
      }
      ctx.globalAlpha *= 0.55;
      ctx.stroke();
      ctx.globalAlpha /= 0.55;
      ctx.strokeRect(x + 0.75, y + 0.75, w - 1.5, h - 1.5);
    }
    ctx.beginPath(); // a notch that stands out of narrow bars too
    ctx.moveTo(x - 3.5, y - 1);
    ctx.lineTo(x + 5.5, y - 1);
    ctx.lineTo(x + 1, y + 6);
    ctx.fill();
  } else if (severity === WARNING_SEVERITY) {
    ctx.strokeStyle = ctx.fillStyle = look.warning;
    if (!moment && w > 4) ctx.strokeRect(x + 0.75, y + 0.75, w - 1.5, h - 1.5);
    ctx.beginPath();
    ctx.arc(x + 1, y + 2, 2.5, 0, 7);
    ctx.fill();
  }
  if (flags & (UNFINISHED | ESTIMATED)) {
    ctx.strokeStyle = look.fg;
    ctx.lineWidth = 1;
    ctx.setLineDash([3, 2]);
    const at = flags & UNFINISHED ? x + w - 0.5 : x + 0.5;
    ctx.beginPath();
    ctx.moveTo(at, y);
    ctx.lineTo(at, y + h);
    ctx.stroke();
    ctx.setLineDash([]);
  }
  if (flags & (ORPHANED | OUT_OF_ORDER) && h >= 8) sign(ctx, flags & ORPHANED ? "?" : "⇅", moment ? x - 13 : x - 7, y + h / 2, look);
}

/** A small disc with a sign in it, left of an event. @param {CanvasRenderingContext2D} ctx @param {string} text @param {number} x @param {number} y @param {any} look */
function sign(ctx, text, x, y, look) {
  ctx.beginPath();
  ctx.arc(Math.max(x, 6), y, 5.5, 0, 7);
  ctx.fillStyle = look.bg;
  ctx.fill();
  ctx.strokeStyle = look.fg;
  ctx.lineWidth = 1;
  ctx.stroke();
  ctx.fillStyle = look.fg;
  ctx.font = `bold 9px ${look.font}`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillText(text, Math.max(x, 6), y + 0.5);
  ctx.textAlign = "start";
}

/** @param {CanvasRenderingContext2D} ctx @param {any} items @param {any[]} labels @param {number} h @param {any} look */
function drawLabels(ctx, items, labels, h, look) {
  ctx.font = `${Math.min(LABEL_FONT, h - 1)}px ${look.font}`;
  ctx.textBaseline = "middle";
  let left = MAX_LABELS;
  for (const { i, x, y, until, inside } of labels) {
    const room = Math.floor((until - x) / LABEL_WIDTH);
    if (room < 3) continue;
    const text = oneLine(labelOf(items, i), 48);
    if (!inside && text.length > room) continue;
    if (left-- <= 0) break;
    ctx.fillStyle = inside ? look.inks[items.color[i] % look.inks.length] : look.muted;
    ctx.fillText(text.length <= room ? text : `${text.slice(0, room - 1)}…`, x, y + h / 2 + 0.5);
  }
}

/** Outline of one event, and a tint over the brushed range. @param {CanvasRenderingContext2D} ctx @param {any} scene @param {any} over */
export function drawOverlay(ctx, { view, width, layout, look }, { hover, cursor, selected, range, hits }) {
  if (range) {
    const x0 = toX(range[0], view, width);
    const x1 = toX(range[1], view, width);
    ctx.fillStyle = look.accentSoft;
    ctx.fillRect(x0, 0, x1 - x0, layout.height);
    ctx.fillStyle = look.accent;
    ctx.fillRect(x0, 0, 1.5, layout.height);
    ctx.fillRect(x1 - 1.5, 0, 1.5, layout.height);
  }
  if (hits) {
    ctx.fillStyle = look.accent;
    for (let i = 0; i < hits.starts.length; i++) {
      const x = toX(hits.starts[i], view, width);
      if (x >= -1 && x <= width) ctx.fillRect(x - 1, layout.tops[hits.track[i]] + layout.row - 3, 3, 3);
    }
  }
  const box = (/** @type {any} */ item, /** @type {string} */ color, /** @type {number} */ thick) => {
    if (!item) return;
    const h = layout.row - 2;
    const grow = item.flags & MOMENT && h >= 8 ? Math.min(h, 12) / 2 : 0;
    const x = toX(item.start, view, width) - grow;
    const w = Math.max(3, toX(item.end, view, width) + grow - x);
    const left = Math.max(x, -4);
    ctx.strokeStyle = color;
    ctx.lineWidth = thick;
    ctx.strokeRect(left - 1, layout.tops[item.track] - 1, Math.min(w, width + 8 - left) + 2, h + 2);
  };
  box(hover, look.fg, 1.5);
  box(selected, look.accent, 2.5);
  if (cursor && cursor.row !== selected?.row) box(cursor, look.accent, 2);
}

/** The whole axis with the view in it. @param {CanvasRenderingContext2D} ctx @param {any} map */
export function drawMinimap(ctx, { width, height, profile, hits, span, view, whole, look }) {
  const bins = profile.counts.length;
  const most = Math.log2(1 + profile.counts.reduce((a, b) => Math.max(a, b), 1));
  const x = (/** @type {number} */ t) => toX(t, whole, width);
  const first = x(0);
  const step = (x(span) - first) / bins;
  for (let bin = 0; bin < bins; bin++) {
    if (!profile.counts[bin]) continue;
    const bar = Math.round(Math.max(2, (Math.log2(1 + profile.counts[bin]) / most) * (height - 9)));
    const left = Math.round(first + bin * step); // whole pixels: no seams between neighbours
    ctx.fillStyle = look.mini;
    ctx.fillRect(left, height - 1 - bar, Math.max(1, Math.round(first + (bin + 1) * step) - left), bar);
  }
  const x0 = Math.max(0, x(view[0]));
  const x1 = Math.min(width, x(view[1]));
  ctx.fillStyle = look.veil;
  ctx.fillRect(0, 0, x0, height);
  ctx.fillRect(x1, 0, width - x1, height);
  ctx.fillStyle = look.error;
  for (let bin = 0; bin < bins; bin++) {
    if (!profile.errors[bin]) continue;
    const at = first + (bin + 0.5) * step;
    ctx.beginPath();
    ctx.moveTo(at - 3, 0);
    ctx.lineTo(at + 3, 0);
    ctx.lineTo(at, 5);
    ctx.fill();
  }
  if (hits) {
    ctx.fillStyle = look.accent;
    for (let i = 0; i < hits.starts.length; i++) ctx.fillRect(x(hits.starts[i]) - 0.5, height - 4, 1.5, 4);
  }
  ctx.strokeStyle = look.accent;
  ctx.lineWidth = 1.5;
  ctx.strokeRect(x0 + 0.75, 0.75, Math.max(3, x1 - x0) - 1.5, height - 1.5);
  if (x1 - x0 < 16) return; // no room for grips
  ctx.fillStyle = look.accent;
  for (const edge of [x0, x1 - 4]) ctx.fillRect(edge, height / 2 - 7, 4, 14);
}

