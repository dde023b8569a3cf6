// @ts-check
// A virtual ARIA grid: a fixed set of row elements moves over any number of rows. It draws; the widget decides.
import { emptyState, fill, h, uniqueId } from "./dom.js";
import { barShare, barsPath, bodyHeight, linePath, moved, relativeTime, scrollFor, visibleRows } from "./rows.js";
import { cellText, shownNumber, shownTime } from "./run_filters.js";
import { statusIcon, svg } from "./status.js";
import { cell } from "./table.js";
import { plainText } from "./text.js";

const ROW = 30;
const MARK = 34;
const ASCII = /^[\x20-\x7e]*$/;

/**
 * @param {{ meta: any, row: (at: number) => any, isSelected: (id: string) => boolean, sort: () => any[],
 *   setSort: (keys: any[]) => void, filters: () => any, openFilter: (column: any, button: HTMLElement) => void,
 *   select: (at: number, how: any) => void, open: (at: number) => void, copy: () => void, clear: () => void,
 *   say: (text: string) => void, focusSearch: () => void }} widget
 */
export function makeGrid(widget) {
  const { meta } = widget;
  const prefix = uniqueId("row");
  /** @type {any[]} */
  let columns = [];
  let total = 0;
  let active = 0;
  /** @type {any} */
  let summary = null;
  /** @type {any[]} */
  let pool = [];
  let frame = 0;
  let now = Date.now();

  const head = h("div", { class: "wb-eb-head", role: "row", "aria-rowindex": 1 });
  const body = h("div", { class: "wb-eb-body", role: "rowgroup" });
  const note = h("div", { class: "wb-eb-note" });
  const el = h("div", { class: "wb-eb-grid", role: "grid", tabindex: 0, "aria-label": "Runs", "aria-multiselectable": "true" }, head, body, note);

  // ------------------------------------------------------------------------------------------------------------- head
  function drawHead() {
    const sort = widget.sort();
    const filters = widget.filters();
    fill(
      head,
      h(
        "div",
        { class: "wb-eb-th wb-eb-mark", role: "columnheader", "aria-colindex": 1 },
        h("button", { class: "wb-eb-all", type: "button", title: "Select all", "aria-label": "Select all runs of this view", on: { click: () => widget.select(0, "all") } }, "☐"),
      ),
      columns.map((c, i) => {
        const place = sort.findIndex((key) => key.column === c.name);
        const key = sort[place];
        const arrow = key ? `${key.descending ? "▼" : "▲"}${sort.length > 1 ? place + 1 : ""}` : "";
        const scale = meta.scales[c.name];
        const isRange = c.kind === "number" || c.kind === "time";
        const filter = isRange
          ? h("button", { class: "wb-eb-funnel", type: "button", "aria-haspopup": "dialog", "aria-label": `Filter by ${c.label}`, "aria-pressed": String(c.name in filters), title: `Filter by ${c.label}`, data: { filter: c.name } }, funnel())
          : null;
        filter?.addEventListener("click", () => widget.openFilter(c, filter));
        return h(
          "div",
          { class: `wb-eb-th wb-eb-${c.kind}`, role: "columnheader", "aria-colindex": i + 2, "aria-sort": key ? (key.descending ? "descending" : "ascending") : "none", data: { column: c.name } },
          h(
            "div",
            { class: "wb-eb-th-line" },
            h(
              "button",
              { class: "wb-eb-sort", type: "button", title: `Sort by ${c.label} (Shift: as a further key)`, on: { click: (/** @type {any} */ e) => sortBy(c.name, e.shiftKey) } },
              h("span", { class: "wb-eb-label" }, c.label),
              c.unit ? h("span", { class: "wb-eb-unit" }, c.unit) : null,
              h("span", { class: "wb-eb-arrow", "aria-hidden": "true" }, arrow),
            ),
          ),
          h("div", { class: "wb-eb-th-line" }, scale ? bins(c.name, scale) : h("span", { class: "wb-spacer" }), filter),
        );
      }),
    );
  }

  function bins(/** @type {string} */ name, /** @type {any} */ scale) {
    const top = Math.max(1, ...scale.bins);
    const held = summary?.bins?.[name] ?? scale.bins;
    return svg(
      "svg",
      { class: "wb-eb-hist", viewBox: "0 0 72 16", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("path", { d: barsPath(scale.bins, 72, 16, top), class: "wb-eb-bins-all" }),
      svg("path", { d: barsPath(held, 72, 16, top), class: "wb-eb-bins" }),
    );
  }
  const funnel = () => svg("svg", { viewBox: "0 0 12 12", width: 11, height: 11, "aria-hidden": "true" }, svg("path", { d: "M1 1.5h10L7.2 6.2v4L4.8 9V6.2z" }));

  function sortBy(/** @type {string} */ name, /** @type {boolean} */ adds) {
    const sort = widget.sort();
    const key = sort.find((k) => k.column === name);
    const c = columns.find((column) => column.name === name);
    // Largest, newest first: that is what one looks for in numbers and times.
    const firstDescending = c.kind === "number" || c.kind === "time";
    const next = !key ? { column: name, descending: firstDescending } : key.descending === firstDescending ? { column: name, descending: !firstDescending } : null;
    const others = adds ? sort.filter((k) => k.column !== name) : [];
    if (adds && key && next) return widget.setSort(sort.map((k) => (k === key ? next : k)));
    widget.setSort(next ? [...others, next] : others);
    widget.say(next ? `Sorted by ${c.label}, ${next.descending ? "descending" : "ascending"}` : "Not sorted by this column any more");
  }

  // ------------------------------------------------------------------------------------------------------------- rows
  function makeRow(/** @type {number} */ slot) {
    const cells = columns.map((c, i) => {
      const text = document.createTextNode("");
      const parts = /** @type {any} */ ({ text });
      const td = h("div", { class: `wb-eb-td wb-eb-${c.kind}`, role: "gridcell", "aria-colindex": i + 2 });
      if (c.kind === "status") td.append((parts.icon = h("span", { class: "wb-eb-icon" })), text);
      else if (c.kind === "number") td.append(h("span", { class: "wb-eb-value" }, text), h("span", { class: "wb-eb-bar" }, (parts.bar = h("i"))));
      else if (c.kind === "time") td.append(h("span", { class: "wb-eb-ago" }, text), h("span", { class: "wb-eb-when" }, (parts.when = document.createTextNode(""))));
      else td.append(text);
      if (c.name === "agent_type" && Object.keys(meta.trends.agent_type ?? {}).length) {
        td.append(svg("svg", { class: "wb-eb-line", width: 44, height: 16, "aria-hidden": "true" }, (parts.line = svg("path", {}))));
        td.classList.add("wb-eb-with-line");
      }
      parts.td = td;
      return parts;
    });
    const mark = h("div", { class: "wb-eb-td wb-eb-mark", role: "gridcell", "aria-colindex": 1 }, h("span", { class: "wb-eb-check", "aria-hidden": "true" }));
    const row = h("div", { class: "wb-eb-row", role: "row", id: `${prefix}-${slot}` }, mark, cells.map((c) => c.td));
    body.append(row);
    return { row, cells, at: -1, table: null, place: -1, status: undefined, state: "" };
  }

  function drawRow(/** @type {any} */ line, /** @type {number} */ at, /** @type {number} */ y) {
    line.row.style.transform = `translateY(${y}px)`;
    const found = widget.row(at);
    const id = found ? cellText(found.table, "id", found.row) : "";
    const state = `${found && widget.isSelected(id) ? "s" : ""}${at === active ? "a" : ""}`;
    if (line.state !== state || line.at !== at) {
      line.row.setAttribute("aria-selected", String(state.includes("s")));
      line.row.classList.toggle("wb-eb-active-row", at === active);
      line.state = state;
    }
    if (line.at === at && line.table === (found?.table ?? null) && line.place === (found?.row ?? -1)) return;
    line.row.setAttribute("aria-rowindex", String(at + 2));
    line.at = at;
    line.table = found?.table ?? null;
    line.place = found?.row ?? -1;
    line.row.classList.toggle("wb-eb-waiting", !found);
    columns.forEach((c, i) => drawCell(line.cells[i], c, found));
  }

  function drawCell(/** @type {any} */ parts, /** @type {any} */ c, /** @type {any} */ found) {
    const value = found ? cell(found.table.columns.get(c.name), found.row) : null;
    if (!found) {
      parts.text.data = "·";
      if (parts.bar) parts.bar.style.width = "0";
      if (parts.when) parts.when.data = "";
      return;
    }
    if (c.kind === "number") {
      parts.text.data = shownNumber(/** @type {number | null} */ (value), c);
      parts.bar.style.width = `${100 * barShare(/** @type {number | null} */ (value), meta.scales[c.name])}%`;
      parts.td.classList.toggle("wb-eb-null", value === null);
    } else if (c.kind === "time") {
      parts.text.data = relativeTime(/** @type {number | null} */ (value), now);
      parts.when.data = value === null ? "" : shownTime(/** @type {number} */ (value));
    } else {
      const text = value === null ? "–" : String(value);
      const shown = ASCII.test(text) ? text : plainText(text).replace(/\n/g, " ⏎ ");
      parts.text.data = shown.length > 300 ? `${shown.slice(0, 300)}…` : shown;
      parts.td.title = shown.length > 14 ? shown.slice(0, 1000) : "";
      parts.td.classList.toggle("wb-eb-null", value === null);
      if (parts.icon && parts.status !== value) fill(parts.icon, statusIcon(/** @type {any} */ (value)));
      parts.status = value;
      if (parts.line) parts.line.setAttribute("d", linePath(meta.trends.agent_type[text] ?? [], 44, 16));
    }
  }

  const viewport = () => Math.max(ROW, el.clientHeight - head.offsetHeight);

  function draw() {
    frame = 0;
    const { first, last, top } = visibleRows(el.scrollTop, viewport(), total, ROW);
    const count = last - first;
    while (pool.length < count) pool.push(makeRow(pool.length));
    const used = new Set();
    for (let at = first; at < last; at++) {
      const slot = at % pool.length;
      used.add(slot);
      drawRow(pool[slot], at, top + (at - first) * ROW);
      pool[slot].row.hidden = false;
    }
    pool.forEach((line, slot) => {
      if (used.has(slot)) return;
      line.row.hidden = true;
      line.at = -1;
    });
    const line = pool.length ? pool[active % pool.length] : null;
    if (line?.at === active) el.setAttribute("aria-activedescendant", line.row.id);
    else el.removeAttribute("aria-activedescendant");
  }
  const redraw = () => (frame ||= requestAnimationFrame(draw));
  el.addEventListener("scroll", () => (frame ||= requestAnimationFrame(draw)), { passive: true });
  const sized = new ResizeObserver(() => (frame ||= requestAnimationFrame(draw)));
  sized.observe(el);

  // ------------------------------------------------------------------------------------------------- pointer and keys
  const rowOf = (/** @type {Event} */ e) => {
    const row = /** @type {HTMLElement} */ (e.target).closest?.(".wb-eb-row");
    return row ? pool.find((line) => line.row === row)?.at ?? null : null;
  };
  body.addEventListener("click", (/** @type {MouseEvent} */ e) => {
    const at = rowOf(e);
    if (at === null) return;
    setActive(at);
    const isMark = /** @type {HTMLElement} */ (e.target).closest(".wb-eb-mark");
    widget.select(at, e.shiftKey ? "range" : e.ctrlKey || e.metaKey || isMark ? "toggle" : "only");
  });
  // Shift-click would select the text between the two clicks, a double click a word; dragging over a text still does.
  body.addEventListener("mousedown", (/** @type {MouseEvent} */ e) => (e.shiftKey || e.detail > 1) && e.preventDefault());
  body.addEventListener("dblclick", (e) => {
    const at = rowOf(e);
    if (at !== null) widget.open(at);
  });
  el.addEventListener("keydown", (/** @type {KeyboardEvent} */ e) => {
    if (e.target !== el) return;
    const control = e.ctrlKey || e.metaKey;
    const to = control && e.key !== "Home" && e.key !== "End" ? null : moved(e.key, active, total, Math.max(1, Math.floor(viewport() / ROW) - 1));
    if (to !== null) {
      setActive(to);
      if (e.shiftKey) widget.select(to, "range");
    } else if (e.key === " ") widget.select(active, e.shiftKey ? "range" : "toggle");
    else if (e.key === "Enter") widget.open(active);
    else if (e.key === "Escape") widget.clear();
    else if (e.key === "/") widget.focusSearch();
    else if (control && e.key.toLowerCase() === "a") widget.select(0, "all");
    else if (control && e.key.toLowerCase() === "c" && !String(getSelection())) widget.copy();
    else if (e.key === "ArrowLeft" || e.key === "ArrowRight") el.scrollLeft += e.key === "ArrowLeft" ? -80 : 80;
    else return;
    e.preventDefault();
    e.stopPropagation();
  });

  function setActive(/** @type {number} */ at) {
    active = at;
    el.scrollTop = scrollFor(at, el.scrollTop, viewport(), total, ROW);
    draw();
  }

  return {
    el,
    redraw,
    setView(/** @type {any} */ next) {
      summary = next;
      now = Date.now();
      total = next.rows;
      active = Math.min(active, Math.max(0, total - 1));
      el.setAttribute("aria-rowcount", String(total + 1));
      body.style.height = `${bodyHeight(total, ROW)}px`;
      for (const line of pool) line.at = -1;
      drawHead();
      draw();
    },
    setColumns(/** @type {any[]} */ next, /** @type {number} */ height) {
      columns = next;
      el.style.maxHeight = `${height}px`;
      el.setAttribute("aria-colcount", String(columns.length + 1));
      el.style.setProperty("--wb-eb-columns", `${MARK}px ${columns.map((c) => `minmax(${c.width}px, ${c.kind === "text" ? `${c.width}fr` : `${c.width}px`})`).join(" ")}`);
      el.style.setProperty("--wb-eb-least", `${MARK + columns.reduce((sum, c) => sum + c.width, 0)}px`);
      body.replaceChildren();
      pool = [];
      drawHead();
      draw();
    },
    message(/** @type {string | undefined} */ title = undefined, /** @type {string} */ hint = "") {
      fill(note, title ? emptyState(title, hint) : null);
    },
    toTop() {
      el.scrollTop = 0;
      active = 0;
    },
    close() {
      cancelAnimationFrame(frame);
      sized.disconnect();
    },
  };
}
