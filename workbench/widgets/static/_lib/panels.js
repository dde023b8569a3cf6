// @ts-check
/**
 * The dashboard's numbers as figures: what every bar is called, filters to, and how it is drawn. No DOM, no Plotly.
 *
 * @typedef {{label: string, value: string, filter: [string, any] | null, on: boolean, at: {trace: number, point: number}[]}} Bar
 *   one thing to click, name and reach by keyboard; `at`: where it is drawn
 * @typedef {{key: string, title: string, note: string, bars: Bar[], empty: string, data: any[], layout: any, height: number, brush?: any}} Panel
 * @typedef {{fg: string, muted: string, line: string, bg: string, done: string, failed: string, other: string, accent: string, font: string}} Theme
 */
import { formatCost, formatCount, formatDuration, formatInteger, formatPercent } from "./format.js";
import { oneLine } from "./text.js";

const TOKEN_LABELS = { input_tokens: "input", cache_read_tokens: "cache read", cache_write_tokens: "cache write", output_tokens: "output" };
export const GROUP_LABELS = { agent_type: "Agent", model: "Model", task: "Task", source: "Source" };
const BAR = 24;
const FADED = 0.3;

/** Plotly reads a little HTML in every text it draws: names of agents must not be able to write any. */
export function escapePlotly(/** @type {unknown} */ text, limit = 60) {
  return oneLine(text, limit).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
}

/** `#rrggbb` or `rgb()` with an opacity. */
export function faded(/** @type {string} */ colour, alpha = FADED) {
  const hex = /^#([0-9a-f]{6})$/i.exec(colour);
  if (!hex) return colour;
  const n = parseInt(hex[1], 16);
  return `rgba(${n >> 16}, ${(n >> 8) & 255}, ${n & 255}, ${alpha})`;
}

const runs = (/** @type {number} */ n) => `${formatInteger(n)} ${n === 1 ? "run" : "runs"}`;
const share = (/** @type {number} */ n, /** @type {number} */ all) => (all ? `${runs(n)}, ${formatPercent(n / all)}` : runs(n));

/**
 * @param {any} result of `aggregate` @param {any} meta @param {Record<string, any>} filters @param {string} group
 * @param {Theme} theme @param {(key: string) => number} width px of a panel's chart @returns {Panel[]}
 */
export function panels(result, meta, filters, group, theme, width) {
  const { plan } = meta;
  const made = [
    timePanel(result.time, plan.time, filters.started_at, theme, width("time")),
    groupPanel(result.groups, group, filters[group], theme, width("groups"), meta),
    countPanel("status", "Runs by status", plan.statuses, result.status, filters.status, theme, width("status"), {
      filter: "status",
      colour: (/** @type {any} */ v) => (v === "completed" ? theme.done : v === "failed" ? theme.failed : theme.other),
      empty: "No runs",
    }),
    binPanel("duration", "Duration", "execution_time_ms", plan.edges.execution_time_ms, result.duration, filters, theme, width("duration"), { format: formatDuration, tick: tickDuration, missing: "none" }),
    binPanel("cost", "Cost per run", "cost_usd", plan.edges.cost_usd, result.cost, filters, theme, width("cost"), { format: formatCost, tick: formatCost, missing: "unpriced" }),
    tokenPanel(result.tokens, filters, theme, width("tokens"), result.headline.runs),
    countPanel("errors", "Failures by kind", plan.kinds, result.errors, filters.error_kind, theme, width("errors"), {
      filter: "error_kind",
      colour: () => theme.failed,
      empty: "No failures here",
    }),
  ];
  if (result.faults) {
    made.push(
      countPanel("faults", "Error events by tool", meta.faults.slice(0, result.faults.counts.length), result.faults, filters.fault, theme, width("faults"), {
        filter: "fault",
        colour: () => theme.failed,
        empty: "No error events here",
        unit: "events",
      }),
    );
  }
  return made;
}

/** Layout that all have: no chart junk, the host's font and colours. */
function base(/** @type {Theme} */ theme, /** @type {number} */ width, /** @type {number} */ height) {
  const axis = {
    showgrid: false, zeroline: false, showline: false, fixedrange: true, color: theme.muted, ticks: "",
    tickfont: { size: 11, color: theme.muted },
  };
  return {
    width,
    height,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: theme.font, size: 12, color: theme.fg },
    margin: { l: 4, r: 8, t: 4, b: 4, pad: 4 },
    showlegend: false,
    dragmode: false,
    hovermode: "closest",
    bargap: 0.25,
    xaxis: { ...axis },
    yaxis: { ...axis },
  };
}

/** Room for the longest label, within a third of the width. */
function labelRoom(/** @type {any[]} */ names, /** @type {number} */ width) {
  const most = Math.max(80, Math.min(220, Math.round(width * 0.36)));
  return Math.min(most, Math.max(40, ...names.map((v) => textWidth(oneLine(v ?? "none", 60)) + 8)));
}

/** About how wide a text of 12 px is: labels must be cut before they are drawn, and without a page to measure in. */
export function textWidth(/** @type {string} */ text) {
  let width = 0;
  for (const c of text) width += /[A-Z@%&—…]/.test(c) ? 8.9 : /[mwMW]/.test(c) ? 11.5 : /[iljtfr.,:;'|! ()[\]-]/.test(c) ? 5 : c > "\u2000" ? 12 : 7.5;
  return Math.ceil(width);
}

/** A label that fits. */
function label(/** @type {unknown} */ value, /** @type {number} */ room) {
  const text = oneLine(value ?? "none", 60);
  let n = text.length;
  while (n > 3 && textWidth(n < text.length ? `${text.slice(0, n)}…` : text) > room) n--;
  return escapePlotly(n < text.length ? `${text.slice(0, n)}…` : text);
}

// ---------------------------------------------------------------------------------------------------- counts of values

function countPanel(/** @type {string} */ key, /** @type {string} */ title, /** @type {any[]} */ names, /** @type {any} */ found, /** @type {any} */ rule, /** @type {Theme} */ theme, /** @type {number} */ width, /** @type {any} */ { filter, colour, empty, unit = "runs" }) {
  const all = found.counts.reduce((/** @type {number} */ a, /** @type {number} */ b) => a + b, 0) + found.rest;
  const chosen = Array.isArray(rule) ? rule : null;
  // A bar that the other panels empty stays while it is chosen: one must be able to take it back.
  const shown = names.map((_, i) => i).filter((i) => found.counts[i] || chosen?.includes(names[i]));
  const room = labelRoom(shown.map((i) => names[i]), width);
  const isOn = (/** @type {number} */ i) => !chosen || chosen.includes(names[i]);
  const say = (/** @type {number} */ n) => (unit === "runs" ? share(n, all) : `${formatInteger(n)} ${unit}`);
  const bars = shown.map((i, point) => ({
    label: String(names[i] ?? "none"),
    value: say(found.counts[i]),
    filter: /** @type {[string, any]} */ ([filter, names[i]]),
    on: isOn(i),
    at: [{ trace: 0, point }],
  }));
  const rows = shown.length;
  const height = Math.max(1, rows) * BAR + 10;
  const layout = base(theme, width, height);
  layout.margin = { l: room + 6, r: 58, t: 4, b: 4, pad: 6 };
  Object.assign(layout.yaxis, { range: [rows - 0.5, -0.5], tickvals: shown.map((_, p) => p), ticktext: shown.map((i) => label(names[i], room)), tickfont: { size: 12, color: theme.fg } });
  Object.assign(layout.xaxis, { visible: false, rangemode: "tozero" });
  const data = [
    {
      type: "bar", orientation: "h", x: shown.map((i) => found.counts[i]), y: shown.map((_, p) => p),
      marker: { color: shown.map((i) => (isOn(i) ? colour(names[i]) : faded(colour(names[i])))) },
      text: shown.map((i) => formatInteger(found.counts[i])), textposition: "outside", cliponaxis: false, textfont: { color: theme.fg }, hoverinfo: "none",
    },
  ];
  const note = found.rest ? `and ${formatInteger(found.rest)} ${unit} of others` : "";
  return { key, title, note, bars, empty, data, layout, height };
}

// ------------------------------------------------------------------------------------------------------------- tokens

function tokenPanel(/** @type {any} */ tokens, /** @type {any} */ filters, /** @type {Theme} */ theme, /** @type {number} */ width, /** @type {number} */ _all) {
  const names = Object.keys(TOKEN_LABELS).filter((name) => tokens[name].n);
  const room = 84;
  const isOn = (/** @type {string} */ name) => !Object.keys(TOKEN_LABELS).some((n) => n in filters) || name in filters;
  const bars = names.map((name, point) => ({
    label: `${TOKEN_LABELS[name]} tokens`,
    value: `${formatInteger(tokens[name].sum)} in ${runs(tokens[name].n)}`,
    filter: /** @type {[string, any]} */ ([name, { min: 1 }]),
    on: isOn(name),
    at: [{ trace: 0, point }],
  }));
  const height = Math.max(1, names.length) * BAR + 10;
  const layout = base(theme, width, height);
  layout.margin = { l: room + 6, r: 58, t: 4, b: 4, pad: 6 };
  Object.assign(layout.yaxis, { range: [names.length - 0.5, -0.5], tickvals: names.map((_, i) => i), ticktext: names.map((n) => TOKEN_LABELS[n]), tickfont: { size: 12, color: theme.fg } });
  Object.assign(layout.xaxis, { visible: false, rangemode: "tozero" });
  const data = [
    {
      type: "bar", orientation: "h", x: names.map((n) => tokens[n].sum), y: names.map((_, i) => i),
      marker: { color: names.map((n) => (isOn(n) ? theme.done : faded(theme.done))) },
      text: names.map((n) => formatCount(tokens[n].sum)), textposition: "outside", cliponaxis: false, textfont: { color: theme.fg }, hoverinfo: "none",
    },
  ];
  return { key: "tokens", title: "Tokens by class", note: "", bars, empty: "No token counts here", data, layout, height };
}

// ------------------------------------------------------------------------------------------------------ distributions

/** 200 ms · 3.7 min: short enough to stand below an axis. @param {number} ms */
export function tickDuration(ms) {
  for (const [size, unit] of /** @type {const} */ ([[86_400_000, "d"], [3_600_000, "h"], [60_000, "min"], [1000, "s"]])) {
    if (ms >= size) return `${Number((ms / size).toPrecision(2))} ${unit}`;
  }
  return `${Number(ms.toPrecision(2))} ms`;
}

/** Where a number lies on an axis of bins, in bins. @param {number} value @param {number[]} edges */
export function binPosition(value, edges) {
  const last = edges.length - 2;
  let i = 0;
  while (i < last && value >= edges[i + 1]) i++;
  const [low, high] = [edges[i], edges[i + 1]];
  return i + Math.max(0, Math.min(1, high > low ? (value - low) / (high - low) : 0)) - 0.5;
}

function binPanel(/** @type {string} */ key, /** @type {string} */ title, /** @type {string} */ column, /** @type {number[]} */ edges, /** @type {any} */ found, /** @type {any} */ filters, /** @type {Theme} */ theme, /** @type {number} */ width, /** @type {any} */ { format, tick, missing }) {
  const n = Math.max(0, edges.length - 1);
  const rule = filters[column];
  const rangeOf = (/** @type {number} */ i) => {
    const range = {};
    if (i > 0) range.min = edges[i];
    if (i < n - 1) range.below = edges[i + 1];
    return n === 1 ? { min: edges[0] } : range;
  };
  const isOn = (/** @type {number} */ i) => {
    if (!rule) return true;
    if (rule.is_null) return false;
    return edges[i] >= (rule.min ?? -Infinity) - 1e-12 && edges[i + 1] <= (rule.below ?? rule.max ?? Infinity) + 1e-12;
  };
  const words = (/** @type {number} */ i) => (i === 0 ? `under ${format(edges[1])}` : i === n - 1 ? `${format(edges[i])} and more` : `${format(edges[i])} to ${format(edges[i + 1])}`);
  const all = found.n + found.missing;
  const bars = found.counts.map((/** @type {number} */ count, /** @type {number} */ i) => ({
    label: n === 1 ? `${format(edges[0])} to ${format(edges[1])}` : words(i),
    value: share(count, all),
    filter: [column, rangeOf(i)],
    on: isOn(i),
    at: [{ trace: 0, point: i }],
  }));
  const gap = 1.6;
  if (found.missing) {
    bars.push({ label: missing === "none" ? `no ${title.toLowerCase()}` : missing, value: share(found.missing, all), filter: [column, { is_null: true }], on: !rule || rule.is_null === true, at: [{ trace: 1, point: 0 }] });
  }
  const height = 132;
  const layout = base(theme, width, height);
  layout.margin = { l: 8, r: found.missing ? 22 : 12, t: 22, b: 22, pad: 0 };
  layout.bargap = 0.12;
  const room = found.missing ? gap + 1 : 0;
  // A label as wide as the widest, and none that reaches into the one of the missing bar.
  const slot = (width - 8 - layout.margin.r) / (n + 0.2 + room);
  const widest = Math.max(...edges.map((e) => textWidth(tick(e)))) + 8;
  const every = Math.max(1, Math.ceil(widest / slot));
  const isFree = (/** @type {number} */ i) => !found.missing || (n + gap - i) * slot > (widest + textWidth(missing)) / 2;
  const ticks = edges.map((_, i) => i).filter((i) => i % every === 0 && isFree(i));
  Object.assign(layout.xaxis, {
    range: [-0.6, n - 0.4 + room],
    tickvals: [...ticks.map((i) => i - 0.5), ...(found.missing ? [n - 0.5 + gap] : [])],
    ticktext: [...ticks.map((i) => tick(edges[i])), ...(found.missing ? [missing] : [])],
    tickangle: 0,
  });
  Object.assign(layout.yaxis, { visible: false, range: [0, 1.02 * Math.max(1, ...found.counts, Math.min(found.missing, n ? 1.3 * Math.max(1, ...found.counts) : found.missing))] });
  layout.shapes = [];
  layout.annotations = [];
  for (const q of ["p50", "p95", "p99"]) {
    if (found[q] === null || !n) continue;
    const x = binPosition(found[q], edges);
    layout.shapes.push({ type: "line", x0: x, x1: x, y0: 0, y1: 1, yref: "paper", line: { color: theme.muted, width: 1, dash: "dot" } });
    layout.annotations.push({ x, y: 1, yref: "paper", yanchor: "bottom", text: q, showarrow: false, font: { size: 10, color: theme.muted } });
  }
  apart(layout.annotations, n + room, width);
  const data = [
    { type: "bar", x: found.counts.map((/** @type {any} */ _, /** @type {number} */ i) => i), y: found.counts, marker: { color: found.counts.map((/** @type {any} */ _, /** @type {number} */ i) => (isOn(i) ? theme.done : faded(theme.done))) }, hoverinfo: "none" },
  ];
  if (found.missing) {
    const b = bars[bars.length - 1];
    // Many unpriced runs would flatten the priced ones: then their bar is cut, hatched and says its number.
    const most = 1.3 * Math.max(1, ...found.counts);
    const isCut = n > 0 && found.missing > most;
    const colour = b.on ? theme.other : faded(theme.other);
    data.push({
      type: "bar", x: [n - 0.5 + gap], y: [isCut ? most : found.missing], width: [1.1], hoverinfo: "none",
      marker: { color: [colour], pattern: isCut ? { shape: "/", fgcolor: theme.bg, bgcolor: colour, size: 6, solidity: 0.25 } : {} },
      text: isCut ? [formatInteger(found.missing)] : [], textposition: "outside", constraintext: "none", cliponaxis: false, textfont: { size: 11, color: theme.fg },
    });
  }
  const said = ["p50", "p95", "p99"].filter((q) => found[q] !== null).map((q) => `${q} ${format(found[q])}`).join(" · ");
  const absent = found.missing ? `${formatInteger(found.missing)} ${missing === "none" ? "without" : missing}` : "";
  return { key, title, note: [said, absent].filter(Boolean).join(" · "), bars, empty: `No run has a ${title.toLowerCase()}`, data, layout, height };
}

/** Drop labels that would stand on one another; the note has the numbers. */
function apart(/** @type {any[]} */ labels, /** @type {number} */ bins, /** @type {number} */ width) {
  const least = (26 * (bins + 0.4)) / Math.max(1, width - 20);
  for (let i = 1; i < labels.length; i++) {
    if (labels[i].x - labels[i - 1].x < least) labels.splice(i--, 1);
  }
}

// ---------------------------------------------------------------------------------------------------------- over time

const OUTCOMES = /** @type {const} */ (["completed", "failed", "other"]);

function timePanel(/** @type {any} */ found, /** @type {any} */ bins, /** @type {any} */ rule, /** @type {Theme} */ theme, /** @type {number} */ width) {
  const n = bins ? bins.bins : 0;
  const untimed = found.untimed.completed + found.untimed.failed + found.untimed.other;
  const colours = { completed: theme.done, failed: theme.failed, other: theme.other };
  const edge = (/** @type {number} */ i) => bins.start + i * bins.width;
  const low = rule?.min === undefined ? -Infinity : Date.parse(rule.min);
  const high = rule?.below === undefined && rule?.max === undefined ? Infinity : Date.parse(rule.below ?? rule.max);
  const isOn = (/** @type {number} */ i) => !rule || (!rule.is_null && edge(i) + bins.width > low && edge(i) < high);
  const counts = (/** @type {number} */ i) => OUTCOMES.map((o) => found[o][i]);
  const words = (/** @type {number[]} */ c) => `${runs(c[0] + c[1] + c[2])}: ${c[0]} completed, ${c[1]} failed${c[2] ? `, ${c[2]} other` : ""}`;
  const indices = Array.from({ length: n }, (_, i) => i);
  const bars = indices.map((i) => ({
    label: i === 0 && bins.earlier ? `before ${spanLabel(edge(1), bins.width).split(" to ")[0]}` : i === n - 1 && bins.later ? `${spanLabel(edge(i), bins.width).split(" to ")[0]} and later` : spanLabel(edge(i), bins.width),
    value: words(counts(i)),
    filter: /** @type {[string, any]} */ (["started_at", snapped([edge(i), edge(i + 1)], bins)]),
    on: isOn(i),
    at: OUTCOMES.map((_, trace) => ({ trace, point: i })),
  }));
  if (untimed) {
    bars.push({
      label: "no time", value: words(OUTCOMES.map((o) => found.untimed[o])), filter: ["started_at", { is_null: true }],
      on: !rule || rule.is_null === true, at: OUTCOMES.map((_, i) => ({ trace: (n ? 3 : 0) + i, point: 0 })),
    });
  }
  const height = 170;
  const layout = base(theme, width, height);
  layout.barmode = "stack";
  layout.bargap = 0.12;
  layout.margin = { l: 34, r: 8, t: 8, b: 34, pad: 2 };
  const end = n && untimed ? Math.max(0.7, 1 - 84 / Math.max(200, width)) : 1;
  const top = Math.max(untimed, ...indices.map((i) => counts(i)[0] + counts(i)[1] + counts(i)[2]));
  Object.assign(layout.yaxis, { rangemode: "tozero", ...(top < 4 ? { dtick: 1 } : { nticks: 4 }), showgrid: true, gridcolor: theme.line, griddash: "dot" });
  const data = [];
  if (n) {
    // tick labels in UTC: Plotly reads the numbers as such
    Object.assign(layout.xaxis, { type: "date", range: [edge(0), edge(n)], domain: [0, end], nticks: Math.max(3, Math.floor(width / 110)) });
    layout.dragmode = "select";
    layout.selectdirection = "h";
    for (const o of OUTCOMES) {
      data.push({
        type: "bar", name: o, x: indices.map((i) => edge(i) + bins.width / 2), width: bins.width * 0.88, y: found[o],
        marker: { color: indices.map((i) => (isOn(i) ? colours[o] : faded(colours[o]))) }, hoverinfo: "none",
        selected: { marker: { opacity: 1 } }, unselected: { marker: { opacity: 1 } },
      });
    }
    if (rule && !rule.is_null && (low > edge(0) || high < edge(n))) {
      layout.shapes = [{ type: "rect", xref: "x", yref: "paper", x0: Math.max(low, edge(0)), x1: Math.min(high, edge(n)), y0: 0, y1: 1, fillcolor: theme.accent, opacity: 0.12, line: { width: 0 }, layer: "below" }];
    }
  }
  if (untimed) {
    const last = n ? "2" : "";
    const axis = { ...base(theme, width, height).xaxis, domain: n ? [end + 0.02, 1] : [0, Math.min(1, 120 / Math.max(120, width))], range: [-0.8, 0.8], tickvals: [0], ticktext: ["no time"], anchor: "y" };
    layout[`xaxis${last}`] = axis;
    const lit = bars[bars.length - 1].on;
    for (const o of OUTCOMES) {
      data.push({ type: "bar", name: o, xaxis: `x${last}`, yaxis: "y", x: [0], width: [0.9], y: [found.untimed[o]], marker: { color: [lit ? colours[o] : faded(colours[o])] }, hoverinfo: "none" });
    }
  }
  const note = [bins ? `a bar is ${formatSpan(bins.width)}, UTC; drag to choose a time` : "", bins?.earlier ? "the first bar holds all earlier" : "", bins?.later ? "the last bar holds all later" : "", untimed ? `${runs(untimed)} without a time beside it` : ""].filter(Boolean).join(" · ");
  return { key: "time", title: "Over time", note, bars, empty: "No run has a time", data, layout, height, brush: bins };
}

const iso = (/** @type {number} */ ms) => new Date(ms).toISOString();

/** 10 min, 3 h, 1 d @param {number} ms */
export function formatSpan(ms) {
  for (const [size, unit] of /** @type {const} */ ([[86_400_000, "d"], [3_600_000, "h"], [60_000, "min"], [1000, "s"]])) {
    if (ms >= size) return `${Number((ms / size).toPrecision(3))} ${unit}`;
  }
  return `${ms} ms`;
}

/** 2026-11-21 08:00 to 09:00 UTC */
function spanLabel(/** @type {number} */ start, /** @type {number} */ width) {
  const [a, b] = [iso(start), iso(start + width)];
  if (width % 86_400_000 === 0) return width === 86_400_000 ? a.slice(0, 10) : `${a.slice(0, 10)} to ${iso(start + width - 1).slice(0, 10)}`;
  const clock = width < 1000 ? [11, 23] : width < 60_000 ? [11, 19] : [11, 16];
  return `${a.slice(0, 10)} ${a.slice(clock[0], clock[1])} to ${b.slice(clock[0], clock[1])}`;
}

/** A brushed range, widened to whole bars. @param {[number, number]} range ms @param {any} bins */
export function snapped(range, bins) {
  const first = Math.max(0, Math.floor((Math.min(...range) - bins.start) / bins.width));
  const last = Math.min(bins.bins, Math.ceil((Math.max(...range) - bins.start) / bins.width));
  if (last <= first) return null;
  const rule = {};
  if (first > 0 || !bins.earlier) rule.min = iso(bins.start + first * bins.width);
  if (last < bins.bins || !bins.later) rule.below = iso(bins.start + last * bins.width);
  return Object.keys(rule).length ? rule : null;
}

// ---------------------------------------------------------------------------------------------------------- by group

function groupPanel(/** @type {any[]} */ groups, /** @type {string} */ group, /** @type {any} */ rule, /** @type {Theme} */ theme, /** @type {number} */ width, /** @type {any} */ meta) {
  const chosen = Array.isArray(rule) ? rule : null;
  const shown = groups.filter((g) => g.runs || chosen?.includes(g.value));
  const isOn = (/** @type {any} */ g) => !chosen || chosen.includes(g.value);
  const rate = (/** @type {any} */ s) => (s.n ? `${formatPercent(s.rate)} (${Math.round(s.low * 100)}–${Math.round(s.high * 100)} %, n = ${formatInteger(s.n)})` : "no finished run");
  const price = (/** @type {any} */ c) => (c.sum === null ? "unpriced" : `${formatCost(c.sum)}${c.unpriced ? ` + ${formatInteger(c.unpriced)} unpriced` : ""}`);
  const bars = shown.map((g, point) => ({
    label: String(g.value ?? "none"),
    value: `${runs(g.runs)}, success ${rate(g.success)}, p50 ${formatDuration(g.p50)}, ${price(g.cost)}`,
    filter: /** @type {[string, any]} */ ([group, g.value]),
    on: isOn(g),
    at: [0, 1, 2].map((trace) => ({ trace, point })),
  }));
  const rows = shown.length;
  const wide = width > 560;
  const roomy = width > 860;
  const room = labelRoom(shown.map((g) => g.value), Math.min(width, 560));
  const height = Math.max(1, rows) * (BAR + 4) + 46;
  const layout = base(theme, width, height);
  layout.barmode = "stack";
  layout.margin = { l: room + 6, r: wide ? 8 : 22, t: 20, b: 26, pad: 6 };
  const range = [rows - 0.5, -0.5];
  Object.assign(layout.yaxis, { range, tickvals: shown.map((_, i) => i), ticktext: shown.map((g) => label(g.value, room)), tickfont: { size: 12, color: theme.fg } });
  const split = roomy ? [[0, 0.34], [0.42, 0.7]] : wide ? [[0, 0.4], [0.5, 0.84]] : [[0, 0.46], [0.58, 1]];
  Object.assign(layout.xaxis, { domain: split[0], visible: false, rangemode: "tozero" });
  layout.xaxis2 = { ...base(theme, 1, 1).xaxis, domain: split[1], range: [-3, 103], tickvals: [0, 50, 100], ticktext: ["0 %", "50 %", "100 %"], showgrid: true, gridcolor: theme.line, griddash: "dot", anchor: "y" };
  const colours = { completed: theme.done, failed: theme.failed, other: theme.other };
  const y = shown.map((_, i) => i);
  /** @type {any[]} */
  const data = OUTCOMES.map((o) => ({
    type: "bar", orientation: "h", name: o, x: shown.map((g) => g[o]), y, hoverinfo: "none",
    marker: { color: shown.map((g) => (isOn(g) ? colours[o] : faded(colours[o]))) },
  }));
  const finished = shown.map((g, i) => ({ g, i })).filter(({ g }) => g.success.n);
  data.push({
    type: "scatter", mode: "markers", xaxis: "x2", yaxis: "y",
    x: finished.map(({ g }) => g.success.rate * 100), y: finished.map(({ i }) => i), customdata: finished.map(({ i }) => i),
    error_x: { type: "data", symmetric: false, array: finished.map(({ g }) => (g.success.high - g.success.rate) * 100), arrayminus: finished.map(({ g }) => (g.success.rate - g.success.low) * 100), color: theme.muted, thickness: 1.5, width: 4 },
    marker: { size: 9, color: finished.map(({ g }) => (isOn(g) ? theme.done : faded(theme.done))), line: { color: theme.bg, width: 1 } }, hoverinfo: "none",
  });
  const small = { size: 11, color: theme.muted };
  const text = (/** @type {any} */ x, /** @type {any} */ at, /** @type {string} */ words, more = {}) => ({ x, xref: "paper", xanchor: "left", y: at, yref: "y", yanchor: "middle", text: words, showarrow: false, font: { size: 12, color: theme.fg }, ...more });
  const heading = (/** @type {any} */ x, /** @type {string} */ words) => text(x, 1, words, { yref: "paper", yanchor: "bottom", font: small });
  layout.annotations = [heading(split[0][0], "runs"), heading(split[1][0], wide ? "success rate, 95 % interval" : "success, 95 %")];
  shown.forEach((g, i) => layout.annotations.push(text(g.runs, i, ` ${formatInteger(g.runs)}`, { xref: "x", font: small })));
  // room for the number behind the longest bar
  layout.xaxis.range = [0, Math.max(1, ...shown.map((g) => g.runs)) * 1.22];
  const column = (/** @type {number} */ x, /** @type {string} */ name, /** @type {(g: any) => string} */ words) => {
    layout.annotations.push(heading(x, name), ...shown.map((g, i) => text(x, i, escapePlotly(words(g)))));
  };
  if (wide) column(roomy ? 0.74 : 0.88, "p50", (g) => formatDuration(g.p50));
  if (roomy) column(0.84, "cost", (g) => price(g.cost));
  const others = meta.values[group].length - groups.length;
  const note = others > 0 ? `the ${groups.length} with most runs; ${others}${meta.values[group].length >= 500 ? "+" : ""} more in the picker above` : "";
  return { key: "groups", title: `By ${GROUP_LABELS[group].toLowerCase()}`, note, bars, empty: "No runs", data, layout, height };
}
