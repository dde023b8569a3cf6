// @ts-check
// Filters of a run table as one sees them: pickers of values, ranges of numbers and times, and their words.
import { fill, h } from "./dom.js";
import { barsPath, linePath } from "./rows.js";
import { svg } from "./status.js";
import { cell } from "./table.js";

/** A cell as text. @param {import("./table.js").Table} table @param {string} name @param {number} row */
export function cellText(table, name, row) {
  const value = cell(table.columns.get(name), row);
  return value === null ? "" : String(value);
}

/** A number in its column's unit, without the unit. @param {number | null} value @param {any} column */
export function shownNumber(value, column) {
  if (value === null || Number.isNaN(value)) return column.name === "cost_usd" ? "unpriced" : "–";
  return format(column.digits ?? 0).format(value / (column.divide ?? 1));
}
const formats = new Map();
function format(/** @type {number} */ digits) {
  if (!formats.has(digits)) {
    formats.set(digits, new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  }
  return formats.get(digits);
}

/** 2026-11-21 08:20, with seconds or milliseconds where `unit` is finer than a minute. @param {number} ms @param {number} [unit] ms */
export const shownTime = (ms, unit = 60_000) => new Date(ms).toISOString().slice(0, unit < 1000 ? 23 : unit < 60_000 ? 19 : 16).replace("T", " ");
/** The coarsest unit in which all these times are whole: a minute, a second or a millisecond. @param {number[]} times ms */
const unitOf = (times) => [60_000, 1000].find((unit) => times.every((ms) => ms % unit === 0)) ?? 1;

/** "Duration (s): 2 to 10" @param {any} column @param {any} rule */
export function filterLabel(column, rule) {
  const name = column.unit && column.kind === "number" ? `${column.label} (${column.unit})` : column.label;
  if (typeof rule === "string") return `${name}: “${rule.length > 40 ? `${rule.slice(0, 39)}…` : rule}”`;
  const short = (/** @type {any} */ v) => (v === null ? "none" : String(v).length > 40 ? `${String(v).slice(0, 39)}…` : String(v));
  if (Array.isArray(rule)) return `${name}: ${rule.slice(0, 2).map(short).join(", ")}${rule.length > 2 ? ` +${rule.length - 2}` : ""}`;
  if (rule.is_null) return `${name}: ${column.name === "cost_usd" ? "unpriced" : "none"}`;
  const ms = (/** @type {any} */ v) => (typeof v === "number" ? v : Date.parse(v));
  const unit = column.kind === "time" ? unitOf([rule.min, rule.max, rule.below].filter((v) => v !== undefined).map(ms)) : 0;
  const say = (/** @type {any} */ v) => (column.kind === "time" ? shownTime(ms(v), unit) : String(Number((v / (column.divide ?? 1)).toPrecision(4))));
  const parts = [];
  if (rule.min !== undefined) parts.push(`≥ ${say(rule.min)}`);
  if (rule.max !== undefined) parts.push(`≤ ${say(rule.max)}`);
  if (rule.below !== undefined) parts.push(`< ${say(rule.below)}`);
  return `${name} ${parts.join(" and ")}`;
}

/**
 * A button that opens a list of values with counts, a search box and a small line of their durations over time.
 * @param {string} name @param {string} label
 * @param {{ pops: any, counts: () => [string | null, number][], chosen: () => any[], choose: (values: any[]) => void, trends: Record<string, (number | null)[]> }} options
 */
export function facetButton(name, label, { pops, counts, chosen, choose, trends }) {
  const el = h("button", { class: "wb-button wb-eb-picker", type: "button", "aria-haspopup": "dialog", "aria-expanded": "false", data: { facet: name } });
  const update = () => {
    const n = chosen().length;
    el.textContent = n ? `${label} (${n}) ▾` : `${label} ▾`;
    el.setAttribute("aria-pressed", String(n > 0));
  };

  function content() {
    const box = h("input", { class: "wb-input", type: "search", placeholder: `Find ${label.toLowerCase()}`, "aria-label": `Find ${label.toLowerCase()}` });
    const list = h("div", { class: "wb-pop-list" });
    const draw = () => {
      const word = box.value.toLowerCase();
      const values = new Map(counts());
      for (const value of chosen()) if (!values.has(value)) values.set(value, 0);
      const found = [...values].filter(([v]) => String(v ?? "none").toLowerCase().includes(word));
      fill(list, found.slice(0, 200).map(([value, n]) => item(value, n)), found.length ? null : h("div", { class: "wb-muted" }, "Nothing like that"));
    };
    const item = (/** @type {string | null} */ value, /** @type {number} */ n) => {
      const toggle = (/** @type {any} */ e) => {
        const now = new Set(chosen());
        if (e.target.checked) now.add(value);
        else now.delete(value);
        choose([...now]);
      };
      const line = linePath(trends[String(value)] ?? [], 48, 14);
      return h(
        "label",
        { class: "wb-pop-item", title: String(value ?? "none") },
        h("input", { type: "checkbox", checked: chosen().includes(value), on: { change: toggle } }),
        h("span", { class: "wb-pop-name" }, value ?? "none"),
        line ? svg("svg", { width: 48, height: 14, class: "wb-eb-line", role: "img", "aria-label": "duration over time" }, svg("path", { d: line })) : null,
        h("span", { class: "wb-count" }, n.toLocaleString("en-US")),
      );
    };
    box.addEventListener("input", draw);
    draw();
    return h("div", {}, box, list);
  }
  el.addEventListener("click", () => pops.toggle(el, label, content));
  update();
  return { el, update };
}

/** From, to and "none" for a number or time. @param {any} column @param {any} rule @param {any} scale @param {(rule: any) => void} set */
export function rangeFilter(column, rule, scale, set) {
  const isTime = column.kind === "time";
  const shown = (/** @type {any} */ v) => {
    if (v === undefined) return "";
    return isTime ? new Date(v).toISOString().slice(0, 23).replace(".000", "") : String(Number((v / (column.divide ?? 1)).toPrecision(8)));
  };
  const read = (/** @type {HTMLInputElement} */ input) => {
    if (input.value === "") return undefined;
    if (isTime) return new Date(`${input.value}${input.value.length === 16 ? ":00" : ""}Z`).toISOString();
    return Number(input.value) * (column.divide ?? 1);
  };
  const field = (/** @type {string} */ label, /** @type {any} */ value) => {
    const input = h("input", { class: "wb-input", type: isTime ? "datetime-local" : "number", step: isTime ? 1 : "any", value: shown(value), "aria-label": `${column.label} ${label}` });
    return [h("label", { class: "wb-pop-field" }, h("span", {}, label), input), input];
  };
  const [lowField, low] = field("from", rule?.min);
  const [highField, high] = field("to", rule?.max ?? rule?.below);
  const none = h("input", { type: "checkbox", checked: rule?.is_null === true });
  const apply = () => {
    if (none.checked) return set({ is_null: true });
    const next = {};
    const [min, max] = [read(low), read(high)];
    if (min !== undefined) next.min = min;
    if (max !== undefined) next.max = max;
    set(Object.keys(next).length ? next : null);
  };
  low.addEventListener("change", apply);
  high.addEventListener("change", apply);
  none.addEventListener("change", apply);
  const picture = scale?.bins ? svg("svg", { viewBox: "0 0 240 40", class: "wb-eb-picture", "aria-hidden": "true" }, svg("path", { d: barsPath(scale.bins, 240, 40), class: "wb-eb-bins" })) : null;
  return h(
    "div",
    { class: "wb-pop-range" },
    h("div", { class: "wb-small wb-muted" }, column.unit ? `${column.label} in ${column.unit}` : column.label),
    picture,
    lowField,
    highField,
    h("label", { class: "wb-pop-item" }, none, h("span", {}, column.name === "cost_usd" ? "only unpriced" : "only runs without")),
    h("button", { class: "wb-button", type: "button", on: { click: () => { low.value = high.value = ""; none.checked = false; set(null); } } }, "Clear"),
  );
}
