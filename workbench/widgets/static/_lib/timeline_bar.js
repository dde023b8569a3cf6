// @ts-check
// The toolbar and the legend of a timeline: elements and their events, no state but what the elements hold.
import { fill, h } from "./dom.js";
import { formatCount } from "./format.js";
import { oneLine } from "./text.js";

const SEVERITY_SIGNS = { warning: "●", error: "▼", critical: "▼" };
const WORDS = { agent: "agent", span: "nesting", category: "category", event_type: "type", execution: "run", severity: "severity" };

/**
 * @param {{ choices: { lanes: string[], colors: string[] }, on: Record<string, (value?: any) => void> }} options
 *   `on`: lanes, colors, search, hit (±1), zoom (factor), fit, brush
 */
export function toolbar({ choices, on }) {
  const select = (/** @type {string} */ label, /** @type {string[]} */ values, /** @type {(v: string) => void} */ changed) => {
    const el = h("select", { class: "wb-select", "aria-label": label }, values.map((v) => h("option", { value: v }, WORDS[v] ?? v)));
    el.addEventListener("change", () => changed(el.value));
    return el;
  };
  const button = (/** @type {string} */ text, /** @type {string} */ label, /** @type {() => void} */ click) =>
    h("button", { class: "wb-button", type: "button", title: label, "aria-label": label, on: { click } }, text);
  const lanes = select("Lanes by", choices.lanes, on.lanes);
  const colors = select("Colour by", choices.colors, on.colors);
  const search = h("input", { class: "wb-input", type: "search", placeholder: "Search (/)", "aria-label": "Search names, types and data" });
  const hits = h("span", { class: "wb-tl-hits", role: "status" });
  search.addEventListener("input", () => on.search(search.value));
  search.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter") on.hit(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") {
      search.value = "";
      on.search("");
      on.leave();
    } else return void event.stopPropagation();
    event.preventDefault();
    event.stopPropagation();
  });
  const brush = button("Select", "Drag to select a range (or hold shift and drag)", on.brush);
  brush.setAttribute("aria-pressed", "false");
  const el = h(
    "div",
    { class: "wb-toolbar", role: "toolbar", "aria-label": "Timeline" },
    h("label", { class: "wb-muted wb-small" }, "lanes ", lanes),
    h("label", { class: "wb-muted wb-small" }, "colour ", colors),
    h("span", { class: "wb-tl-search", role: "search" }, search, button("↑", "Previous match (shift+Enter)", () => on.hit(-1)), button("↓", "Next match (Enter)", () => on.hit(1)), hits),
    h("span", { class: "wb-spacer" }),
    h("span", { class: "wb-tl-buttons" }, brush, button("−", "Zoom out (−)", () => on.zoom(2)), button("+", "Zoom in (+)", () => on.zoom(0.5)), button("Fit", "Show everything (f)", on.fit)),
  );
  return { el, lanes, colors, search, hits, brush };
}

/**
 * Chips that hide and show classes; a click toggles one, with alt or a second click on the only one left all come back.
 * @param {HTMLElement} el @param {any} scene @param {{ colors: Set<string>, severities: Set<string> }} hidden
 * @param {string} colorsBy @param {string[]} palette @param {() => void} changed
 */
export function drawLegend(el, scene, hidden, colorsBy, palette, changed) {
  const chip = (/** @type {string} */ name, /** @type {number} */ n, /** @type {Set<string>} */ set, /** @type {any} */ sign) =>
    h(
      "button",
      {
        class: "wb-chip", type: "button", "aria-pressed": String(!set.has(name)), "data-name": name,
        title: `${name}: ${n.toLocaleString("en-US")} events. Click to ${set.has(name) ? "show" : "hide"}.`,
        on: {
          click: () => {
            set.has(name) ? set.delete(name) : set.add(name);
            changed();
          },
        },
      },
      sign,
      oneLine(name, 28),
      h("span", { class: "wb-muted" }, formatCount(n)),
    );
  const colors = scene.classes.map(([name, n], i) => (n ? chip(name, n, hidden.colors, h("span", { class: "wb-swatch", style: { background: palette[i % palette.length] } })) : null));
  // Severities that colour stands for already are not listed twice.
  const severities =
    colorsBy === "severity"
      ? []
      : scene.severities.map(([name, n]) => (n ? chip(name, n, hidden.severities, SEVERITY_SIGNS[name] ? h("span", { class: `wb-tl-sign wb-severity-${name}` }, SEVERITY_SIGNS[name]) : null) : null));
  const focused = el.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement).dataset.name : null;
  fill(el, colors, severities.some(Boolean) ? h("span", { class: "wb-tl-legend-gap" }) : null, severities);
  if (focused !== null && focused !== undefined) /** @type {HTMLElement} */ (el.querySelector(`[data-name="${CSS.escape(focused)}"]`))?.focus();
}
