// @ts-check
// Numbers and charts of a set of runs. Filtering happens here when the columns are here, in the kernel when they are not.
import { aggregate } from "./_lib/aggregate.js";
import { fill, h, showError, uniqueId } from "./_lib/dom.js";
import { formatCost, formatCount, formatDuration, formatInteger, formatPercent } from "./_lib/format.js";
import { library } from "./_lib/library.js";
import { GROUP_LABELS, panels, snapped } from "./_lib/panels.js";
import { facetButton, filterLabel, rangeFilter } from "./_lib/run_filters.js";
import { mountRuns } from "./_lib/run_model.js";
import { readTable } from "./_lib/table.js";
import { tokens } from "./_lib/theme.js";
import { connectWire } from "./_lib/wire.js";

const CONFIG = { displayModeBar: false, responsive: false, scrollZoom: false, doubleClick: false, showAxisDragHandles: false };
const WIDE = new Set(["time", "groups"]);

/** @param {{ model: any, el: HTMLElement, host?: any }} context */
function render({ model, el, host }) {
  /** @type {any} */
  let Plotly = null;
  const mount = mountRuns({ el, model, name: "dashboard", label: "Dashboard of runs", themed: () => drawCharts() });
  const { root, meta, pops, status, byName, save, filters, setFilter } = mount;
  if (mount.isEmpty) return () => mount.close();

  const wire = connectWire(model, { gone: mount.gone });
  const table = meta.in_browser ? readTable(model.get("_header"), model.get("_data")) : null;
  const faults = meta.faults && table ? readFaults(model.get("_fault_data"), meta.faults) : null;
  /** @type {any} */
  let result = null;
  /** @type {any[]} */
  let drawn = [];
  let turn = 0;
  let isClosed = false;

  const group = () => model.get("group");

  // ------------------------------------------------------------------------------------------------------- above
  const groupSelect = h(
    "select",
    { class: "wb-select", "aria-label": "Compare by", on: { change: (/** @type {any} */ e) => save("group", e.target.value) } },
    meta.groups.map((/** @type {string} */ name) => h("option", { value: name }, `by ${GROUP_LABELS[name].toLowerCase()}`)),
  );
  const facetButtons = meta.groups.map((/** @type {string} */ name) =>
    facetButton(name, GROUP_LABELS[name], { pops, counts: () => meta.values[name], chosen: () => filters()[name] ?? [], choose: (values) => setFilter(name, values), trends: {} }),
  );
  const ranges = ["started_at", "execution_time_ms", "cost_usd"].map((name) => {
    const c = byName.get(name);
    const button = h("button", { class: "wb-button wb-db-range", type: "button", "aria-haspopup": "dialog", "aria-expanded": "false", data: { filter: name } }, `${{ started_at: "Time", execution_time_ms: "Duration", cost_usd: "Cost" }[name]} ▾`);
    button.addEventListener("click", () => pops.toggle(button, `Filter by ${c.label}`, () => rangeFilter(c, filters()[name], null, (rule) => setFilter(name, rule))));
    return button;
  });
  const chips = h("div", { class: "wb-db-chips", role: "group", "aria-label": "Active filters" });
  const facts = h("div", { class: "wb-db-facts", role: "list", "aria-label": "In short" });
  const grid = h("div", { class: "wb-db-grid" });
  root.append(
    h("div", { class: "wb-toolbar" }, ranges, facetButtons.map((/** @type {any} */ b) => b.el), h("span", { class: "wb-spacer" }), groupSelect),
    chips, facts, legend(), grid, status.el,
  );

  function legend() {
    const key = (/** @type {string} */ name, /** @type {string} */ words) => h("span", { class: "wb-db-key" }, h("i", { class: `wb-swatch wb-db-${name}` }), words);
    return h("div", { class: "wb-db-legend wb-small wb-muted" }, key("done", "completed"), key("failed", "failed"), key("other", "running, pending, cancelled"), h("span", {}, "Click a bar to filter by it; Ctrl adds."));
  }

  function drawChips() {
    const entries = Object.entries(filters());
    fill(
      chips,
      entries.map(([name, rule]) =>
        h("span", { class: "wb-chip wb-filter" }, filterLabel(byName.get(name) ?? { label: name }, rule), h("button", { class: "wb-filter-x", type: "button", "aria-label": `Remove the filter ${byName.get(name)?.label ?? name}`, on: { click: () => setFilter(name, null) } }, "×")),
      ),
      entries.length ? h("button", { class: "wb-button wb-filter-clear", type: "button", on: { click: () => save("filters", {}) } }, "Clear filters") : null,
    );
  }

  function drawFacts() {
    const { headline: r, total } = result;
    const s = r.success;
    const fact = (/** @type {string} */ key, /** @type {string} */ name, /** @type {string} */ big, /** @type {any} */ ...small) =>
      h("div", { class: "wb-db-fact", role: "listitem", data: { fact: key } }, h("div", { class: "wb-db-small" }, name), h("div", { class: "wb-db-big" }, big), small.filter(Boolean).map((words) => h("div", { class: "wb-db-small" }, words)));
    const sum = Object.values(r.tokens).reduce((a, /** @type {any} */ t) => a + (t.sum ?? 0), 0);
    const known = Object.values(r.tokens).some((/** @type {any} */ t) => t.n);
    fill(
      facts,
      fact("runs", "Runs", formatInteger(r.runs), r.runs < total ? `of ${formatInteger(total)}` : null, r.other ? `${formatInteger(r.other)} not finished` : null),
      fact("success", "Success rate", s.n ? formatPercent(s.rate) : "–", s.n ? `${Math.round(s.low * 100)}–${Math.round(s.high * 100)} %, 95 % interval` : null, `n = ${formatInteger(s.n)} finished`),
      fact("duration", "Duration, p50", formatDuration(r.duration.p50), r.duration.n ? `p95 ${formatDuration(r.duration.p95)}` : null, r.duration.n ? `p99 ${formatDuration(r.duration.p99)}` : null),
      fact("tokens", "Tokens", known ? formatCount(sum) : "–", known ? `${formatCount(r.tokens.output_tokens.sum)} output` : null, known && sum ? `${formatPercent((r.tokens.cache_read_tokens.sum ?? 0) / sum)} from cache` : null),
      fact("cost", "Cost", r.cost.priced ? formatCost(r.cost.sum) : "–", r.cost.unpriced ? `${formatInteger(r.cost.unpriced)} unpriced` : null, `${formatInteger(r.cost.priced)} priced`),
      fact("errors", "Failures", formatInteger(r.errors), r.runs ? `${formatPercent(r.errors / r.runs)} of runs` : null),
    );
  }

  // ------------------------------------------------------------------------------------------------------- panels
  /** @type {Map<string, any>} */
  const frames = new Map();
  let waiting = 0;
  let isStale = false;
  let tries = 0;
  const sized = new ResizeObserver(() => {
    const isOff = isStale || frames.size === 0 || [...frames.values()].some((f) => Math.abs(f.box.clientWidth - f.width) >= 2);
    if (isOff && root.clientWidth) waiting ||= requestAnimationFrame(() => ((waiting = 0), drawCharts()));
  });
  sized.observe(root);
  function frameOf(/** @type {any} */ panel) {
    let f = frames.get(panel.key);
    if (f) return f;
    const id = uniqueId("panel");
    const chart = h("div", { class: "wb-db-chart", "aria-hidden": "true" });
    const options = h("div", { class: "wb-sr" });
    // One stop for the keyboard; the arrow keys walk its bars.
    const box = h("div", { class: "wb-db-box", tabindex: 0, role: "listbox", "aria-multiselectable": "true", "aria-labelledby": `${id}-title`, "aria-describedby": `${id}-note` }, chart, options);
    const title = h("h4", { class: "wb-db-title", id: `${id}-title` });
    const note = h("div", { class: "wb-db-note", id: `${id}-note` });
    const cursor = h("div", { class: "wb-db-cursor", "aria-hidden": "true" });
    const panelEl = h("section", { class: `wb-db-panel${WIDE.has(panel.key) ? " wb-db-wide" : ""}`, data: { panel: panel.key } }, h("header", {}, title, note), box, cursor);
    grid.append(panelEl);
    sized.observe(box);
    f = { id, el: panelEl, chart, options, box, title, note, cursor, at: -1, panel, width: 0 };
    box.addEventListener("keydown", (/** @type {KeyboardEvent} */ e) => keyed(f, e));
    box.addEventListener("blur", () => point(f, -1));
    frames.set(panel.key, f);
    return f;
  }

  function themeNow() {
    const t = tokens(root, ["fg", "fg-muted", "line", "bg", "c0", "c1", "c7", "accent"]);
    return { fg: t.fg, muted: t["fg-muted"], line: t.line, bg: t.bg, done: t.c0, failed: t.c1, other: t.c7, accent: t.accent, font: getComputedStyle(root).fontFamily };
  }

  function drawCharts() {
    if (!result || isClosed) return;
    if (!root.clientWidth) {
      // A hidden tab, or a host between two themes: the observer calls when there is room again; where the size comes back
      // within one frame it does not, hence the timer.
      isStale = true;
      if (tries++ < 20) setTimeout(() => isStale && drawCharts(), 100);
      return;
    }
    isStale = false;
    tries = 0;
    const width = (/** @type {string} */ key) => {
      const f = frames.get(key);
      f.width = f.box.clientWidth;
      return Math.max(200, Math.floor(f.width));
    };
    // Twice at first: the frames must be there before their widths are known.
    if (!frames.size) for (const panel of panels(result, meta, filters(), group(), themeNow(), () => 300)) frameOf(panel);
    drawn = panels(result, meta, filters(), group(), themeNow(), width);
    for (const panel of drawn) drawPanel(frameOf(panel), panel);
  }

  function drawPanel(/** @type {any} */ f, /** @type {any} */ panel) {
    f.panel = panel;
    f.title.textContent = panel.title;
    f.note.textContent = panel.note;
    if (!panel.bars.length) purge(f);
    f.chart.style.height = `${panel.height}px`;
    fill(f.options, panel.bars.map((/** @type {any} */ b, /** @type {number} */ i) => h("div", { role: "option", id: `${f.id}-${i}`, "aria-selected": String(isChosen(b)) }, `${b.label}: ${b.value}`)));
    if (!panel.bars.length) {
      purge(f);
      fill(f.chart, h("div", { class: "wb-db-none" }, panel.empty));
      return;
    }
    if (!Plotly) return void fill(f.chart, h("div", { class: "wb-db-none" }, "…"));
    if (!f.hasPlot) {
      f.chart.replaceChildren();
      f.hasPlot = true;
      f.drawing = Plotly.newPlot(f.chart, panel.data, panel.layout, CONFIG);
      f.chart.on("plotly_click", (/** @type {any} */ e) => clicked(f, e));
      f.chart.on("plotly_selected", (/** @type {any} */ e) => brushed(f, e));
      // Our own card instead of Plotly's label: plain text, and it fits however low the chart is.
      f.chart.on("plotly_hover", (/** @type {any} */ e) => card(f, barOf(f, e.points[0]), e.event));
      f.chart.on("plotly_unhover", () => card(f, f.panel.bars[f.at] ?? null));
    } else f.drawing = Plotly.react(f.chart, panel.data, { ...panel.layout, selections: [] }, CONFIG);
    f.el.dataset.drawn = String(turn);
  }

  /** Forget a chart, later: what Plotly has begun (a drawing, a hover on a timer) goes on in a purged element and fails. */
  function purge(/** @type {any} */ f) {
    if (!f.hasPlot) return;
    f.hasPlot = false;
    const old = f.chart;
    f.chart = h("div", { class: "wb-db-chart", "aria-hidden": "true" });
    old.replaceWith(f.chart);
    f.drawing.finally(() => setTimeout(() => Plotly.purge(old), 1000));
  }

  /** Is this very bar what its filter names? */
  function isChosen(/** @type {any} */ bar) {
    const [name, value] = bar.filter;
    const rule = filters()[name];
    if (rule === undefined) return false;
    if (Array.isArray(rule)) return rule.includes(value);
    return JSON.stringify(sortedKeys(rule)) === JSON.stringify(sortedKeys(value));
  }

  function choose(/** @type {any} */ bar, /** @type {boolean} */ adds) {
    const [name, value] = bar.filter;
    const rule = filters()[name];
    if (typeof value === "object" && value !== null) setFilter(name, isChosen(bar) ? null : value);
    else if (adds && Array.isArray(rule)) setFilter(name, rule.includes(value) ? rule.filter((v) => v !== value) : [...rule, value]);
    else setFilter(name, Array.isArray(rule) && rule.length === 1 && rule[0] === value ? null : [value]);
    status.say(`${bar.label}: ${bar.value}`);
  }

  function barOf(/** @type {any} */ f, /** @type {any} */ hit) {
    const number = hit.customdata ?? hit.pointNumber;
    const isHere = (/** @type {any} */ a) => (hit.customdata !== undefined || a.trace === hit.curveNumber) && a.point === number;
    return f.panel.bars.find((/** @type {any} */ b) => b.at.some(isHere)) ?? null;
  }

  /** What a bar is and how many: beside the pointer, or in the corner for the keyboard. */
  function card(/** @type {any} */ f, /** @type {any} */ bar, /** @type {MouseEvent | undefined} */ event = undefined) {
    fill(f.cursor, bar ? [h("strong", {}, bar.label.length > 120 ? `${bar.label.slice(0, 119)}…` : bar.label), ` ${bar.value}`] : null);
    const { style } = f.cursor;
    style.left = style.top = style.right = "";
    if (!bar || !event) return;
    const box = f.el.getBoundingClientRect();
    const x = event.clientX - box.left + 12;
    style.right = "auto";
    style.left = `${Math.max(4, Math.min(x, box.width - f.cursor.offsetWidth - 4))}px`;
    style.top = `${Math.max(4, event.clientY - box.top - f.cursor.offsetHeight - 10)}px`;
  }

  function clicked(/** @type {any} */ f, /** @type {any} */ event) {
    const bar = barOf(f, event.points[0]);
    if (bar) choose(bar, event.event?.ctrlKey || event.event?.metaKey || event.event?.shiftKey);
  }

  function brushed(/** @type {any} */ f, /** @type {any} */ event) {
    const range = event?.range?.x;
    if (!range || !f.panel.brush) return;
    const ms = range.map((/** @type {any} */ x) => (typeof x === "number" ? x : Date.parse(`${String(x).replace(" ", "T")}Z`)));
    const rule = snapped(ms, f.panel.brush);
    if (rule) setFilter("started_at", rule);
  }

  // ----------------------------------------------------------------------------------------------------- keyboard
  function keyed(/** @type {any} */ f, /** @type {KeyboardEvent} */ e) {
    const n = f.panel.bars.length;
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -n, End: n }[e.key];
    if (by !== undefined && n) {
      const from = f.at;
      point(f, Math.max(0, Math.min(n - 1, f.at < 0 && Math.abs(by) === 1 ? 0 : f.at + by)));
      if (e.shiftKey && f.panel.brush && from >= 0) extend(f, from);
    } else if ((e.key === "Enter" || e.key === " ") && f.at >= 0) choose(f.panel.bars[f.at], e.ctrlKey || e.metaKey || e.shiftKey);
    else if (e.key === "Escape" && Object.keys(filters()).length) save("filters", {});
    else return;
    e.preventDefault();
    e.stopPropagation();
  }

  /** Shift and an arrow on the time axis: the range reaches from where it began to the cursor. */
  function extend(/** @type {any} */ f, /** @type {number} */ from) {
    const bins = f.panel.brush;
    if (f.at >= bins.bins) return;
    f.origin ??= from;
    const [a, b] = [Math.min(f.origin, f.at), Math.max(f.origin, f.at)];
    const rule = snapped([bins.start + (a + 0.5) * bins.width, bins.start + (b + 0.5) * bins.width], bins);
    if (rule) setFilter("started_at", rule);
  }

  function point(/** @type {any} */ f, /** @type {number} */ at) {
    f.at = at;
    if (at < 0) f.origin = undefined;
    const bar = f.panel.bars[at];
    card(f, bar);
    if (bar) f.box.setAttribute("aria-activedescendant", `${f.id}-${at}`);
    else f.box.removeAttribute("aria-activedescendant");
    if (!f.hasPlot) return;
    const accent = themeNow().fg;
    f.panel.data.forEach((/** @type {any} */ trace, /** @type {number} */ t) => {
      if (trace.type !== "bar") return;
      const widths = trace.x.map((/** @type {any} */ _, /** @type {number} */ p) => (bar?.at.some((/** @type {any} */ a) => a.trace === t && a.point === p) ? 2 : 0));
      Plotly.restyle(f.chart, { "marker.line.width": [widths], "marker.line.color": accent }, [t]);
    });
  }

  // ------------------------------------------------------------------------------------------------ keep it true
  async function refresh() {
    const mine = ++turn;
    const next = table ? aggregate(table, meta.plan, filters(), group(), faults) : await wire.request("aggregate", { filters: filters(), group: group() });
    if (mine !== turn || isClosed) return;
    result = next;
    groupSelect.value = group();
    for (const button of facetButtons) button.update();
    drawChips();
    drawFacts();
    drawCharts();
    root.dataset.turn = String(mine);
    root.dataset.runs = String(result.headline.runs);
  }
  const changed = () => mount.guard(refresh);
  model.on("change:filters", changed);
  model.on("change:group", changed);
  changed();
  library(meta.library, model.get("_plotly"), host).then(
    (loaded) => {
      Plotly = loaded;
      mount.guard(drawCharts);
      root.dataset.charts = "true";
    },
    (error) => showError(root, error),
  );

  return () => {
    isClosed = true;
    for (const f of frames.values()) purge(f);
    model.off("change:filters", changed);
    model.off("change:group", changed);
    sized.disconnect();
    cancelAnimationFrame(waiting);
    wire.close();
    mount.close();
  };
}

function readFaults(/** @type {any} */ block, /** @type {string[]} */ names) {
  const bytes = block?.byteLength ? block.buffer.slice(block.byteOffset, block.byteOffset + block.byteLength) : new ArrayBuffer(0);
  const all = new Uint32Array(bytes);
  const n = all.length / 3;
  const pick = (/** @type {number} */ k) => Uint32Array.from({ length: n }, (_, i) => all[3 * i + k]);
  return { names, rows: pick(0), codes: pick(1), counts: pick(2), shown: Math.min(8, names.length) };
}

function sortedKeys(/** @type {any} */ o) {
  return Object.fromEntries(Object.entries(o).sort(([a], [b]) => (a < b ? -1 : 1)));
}

export default { render };
