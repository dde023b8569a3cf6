// @ts-check
// A table of runs: filters above, a virtual grid, what is selected below. Rows come from typed columns or from the kernel.
import { fill, h, showError } from "./_lib/dom.js";
import { cellText, facetButton, filterLabel, rangeFilter } from "./_lib/run_filters.js";
import { makeGrid } from "./_lib/run_grid.js";
import { mountRuns } from "./_lib/run_model.js";
import { showWidget } from "./_lib/opened.js";
import { kernelRows, localRows } from "./_lib/rows.js";
import { readTable } from "./_lib/table.js";
import { connectWire, NoKernelError } from "./_lib/wire.js";
import { statusIcon } from "./_lib/status.js";

const FACET_LABELS = { agent_type: "Agent", model: "Model", task: "Task", source: "Source", error_type: "Failure" };

/** @param {{ model: any, el: HTMLElement, host?: any }} context */
function render({ model, el, host }) {
  const mount = mountRuns({ el, model, name: "execution-browser", label: "Runs" });
  const { root, meta, pops, status, byName, save, filters, setFilter } = mount;
  if (mount.isEmpty) return () => mount.close();

  const wire = connectWire(model, { gone: mount.gone });
  const first = readTable(model.get("_header"), model.get("_data"));
  const isWhole = first.rows >= meta.rows;
  /** @type {import("./_lib/rows.js").RowSource} */
  let source = isWhole
    ? localRows(first, meta)
    : kernelRows(wire.request, (block) => readTable(block.header, block.data), first, {
        tileRows: meta.tile_rows,
        initial: meta.initial,
        arrived: () => grid.redraw(),
        failed: lost,
      });
  let isPartial = wire.offline && !isWhole;
  if (isPartial) source = localRows(first, meta);
  /** @type {import("./_lib/rows.js").Summary | null} */
  let summary = null;
  let selected = new Set(model.get("selected_ids"));
  let turn = 0;

  /** Without the kernel the rows that were sent remain: say so, and go on with them. */
  function lost(/** @type {any} */ error) {
    if (!(error instanceof NoKernelError)) return showError(root, error);
    if (isPartial) return;
    isPartial = true;
    source = localRows(first, meta);
    refresh();
  }

  // ---------------------------------------------------------------------------------------------------- above the grid
  const search = h("input", {
    class: "wb-input wb-eb-search", type: "search", placeholder: "Search all text", "aria-label": "Search all text",
    value: filters().search ?? "",
  });
  let typing = 0;
  search.addEventListener("input", () => {
    clearTimeout(typing);
    typing = window.setTimeout(() => setFilter("search", search.value.trim() ? search.value : null), 150);
  });
  const chips = h("div", { class: "wb-eb-chips", role: "group", "aria-label": "Status" });
  const pickers = h("div", { class: "wb-eb-pickers" });
  const active = h("div", { class: "wb-eb-active", role: "group", "aria-label": "Active filters" });
  const chooser = h("button", { class: "wb-button wb-eb-columns", type: "button", "aria-haspopup": "dialog" }, "Columns ▾");
  chooser.addEventListener("click", () => pops.toggle(chooser, "Columns", columnList));
  root.append(
    h("div", { class: "wb-toolbar" }, search, chips, h("span", { class: "wb-spacer" }), pickers),
    active,
  );

  function columnList() {
    const shown = new Set(model.get("columns"));
    const toggle = (/** @type {string} */ name, /** @type {boolean} */ on) => {
      const now = new Set(model.get("columns"));
      if (on) now.add(name);
      else now.delete(name);
      const order = meta.columns.map((/** @type {any} */ c) => c.name);
      save("columns", order.filter((/** @type {string} */ n) => now.has(n)));
    };
    return h(
      "div",
      { class: "wb-pop-list" },
      meta.columns.map((/** @type {any} */ c) =>
        h(
          "label",
          { class: "wb-pop-item" },
          h("input", { type: "checkbox", checked: shown.has(c.name), on: { change: (/** @type {any} */ e) => toggle(c.name, e.target.checked) } }),
          h("span", { class: "wb-pop-name" }, c.label),
          h("span", { class: "wb-muted wb-small" }, c.unit),
        ),
      ),
    );
  }

  function drawChips() {
    const chosen = filters().status;
    const counts = summary?.facets.status ?? [];
    const known = new Map(counts);
    for (const value of chosen ?? []) if (!known.has(value)) known.set(value, 0);
    const focused = root.ownerDocument.activeElement?.getAttribute?.("data-status");
    fill(
      chips,
      [...known].map(([value, n]) =>
        h(
          "button",
          {
            class: "wb-chip wb-eb-status-chip", type: "button", data: { status: String(value) },
            "aria-pressed": String(!chosen || chosen.includes(value)),
            title: chosen?.includes(value) && chosen.length === 1 ? "Show every status" : `Show ${value} runs (Ctrl: add or remove)`,
            on: { click: (/** @type {any} */ e) => pickStatus(value, e.ctrlKey || e.metaKey || e.shiftKey) },
          },
          statusIcon(value),
          h("span", {}, String(value ?? "no status")),
          h("span", { class: "wb-count" }, n.toLocaleString("en-US")),
        ),
      ),
    );
    if (focused) chips.querySelector(`[data-status="${CSS.escape(focused)}"]`)?.focus();
  }

  function pickStatus(/** @type {any} */ value, /** @type {boolean} */ adds) {
    const chosen = filters().status;
    if (!adds) return setFilter("status", chosen?.length === 1 && chosen[0] === value ? null : [value]);
    const now = new Set(chosen ?? []);
    if (now.has(value)) now.delete(value);
    else now.add(value);
    setFilter("status", [...now]);
  }

  const facetButtons = meta.facets
    .filter((/** @type {string} */ name) => name in FACET_LABELS)
    .map((/** @type {string} */ name) =>
      facetButton(name, FACET_LABELS[name], {
        pops,
        counts: () => summary?.facets[name] ?? [],
        chosen: () => filters()[name] ?? [],
        choose: (/** @type {any[]} */ values) => setFilter(name, values),
        trends: meta.trends[name] ?? {},
      }),
    );
  fill(pickers, facetButtons.map((/** @type {any} */ b) => b.el), chooser);

  function drawActive() {
    const entries = Object.entries(filters()).filter(([name]) => name !== "status");
    fill(
      active,
      entries.map(([name, rule]) =>
        h(
          "span",
          { class: "wb-chip wb-filter" },
          filterLabel(name === "search" ? { label: "Text" } : byName.get(name) ?? { label: name }, rule),
          h("button", { class: "wb-filter-x", type: "button", "aria-label": `Remove the filter ${name}`, on: { click: () => clearOne(name) } }, "×"),
        ),
      ),
      entries.length || filters().status
        ? h("button", { class: "wb-button wb-filter-clear", type: "button", on: { click: () => save("filters", {}) } }, "Clear filters")
        : null,
    );
  }
  const clearOne = (/** @type {string} */ name) => {
    setFilter(name, null);
    grid.el.focus({ preventScroll: true });
  };

  // --------------------------------------------------------------------------------------------------------- the grid
  const grid = makeGrid({
    meta,
    row: (at) => source.row(at),
    isSelected: (id) => selected.has(id),
    sort: () => model.get("sort") ?? [],
    setSort: (keys) => save("sort", keys),
    filters,
    openFilter(column, button) {
      pops.toggle(button, `Filter by ${column.label}`, () =>
        rangeFilter(column, filters()[column.name], meta.scales[column.name], (rule) => setFilter(column.name, rule)),
      );
    },
    select,
    open,
    copy,
    clear: () => setSelected([]),
    say: status.say,
    focusSearch: () => search.focus(),
  });
  const footer = h("div", { class: "wb-eb-footer" });
  const opened = h("div", { class: "wb-eb-opened" });
  root.append(grid.el, footer, opened, status.el);

  // -------------------------------------------------------------------------------------------------------- selection
  let anchor = 0;
  /** @param {number} at @param {"only" | "toggle" | "range" | "all"} how */
  async function select(at, how) {
    try {
      if (how === "all") return setSelected(await source.ids(0, limited(summary?.rows ?? 0)));
      if (how === "range") {
        const [from, to] = [Math.min(anchor, at), Math.max(anchor, at)];
        limited(to - from);
        return setSelected(await source.ids(from, to + 1));
      }
      anchor = at;
      const place = source.row(at);
      const id = place ? cellText(place.table, "id", place.row) : (await source.ids(at, at + 1))[0];
      if (id === undefined) return;
      if (how === "only") return setSelected([id]);
      const next = new Set(selected);
      if (!next.delete(id)) next.add(id);
      setSelected([...next]);
    } catch (error) {
      lost(error);
    }
  }
  function limited(/** @type {number} */ n) {
    if (n > meta.most_selected) throw new Error(`${n.toLocaleString("en-US")} runs are too many to select; filter to ${meta.most_selected.toLocaleString("en-US")} or fewer.`);
    return n;
  }
  function setSelected(/** @type {string[]} */ ids) {
    save("selected_ids", ids);
    status.say(`${ids.length.toLocaleString("en-US")} selected`);
  }
  async function copy() {
    const text = [...selected].join("\n");
    if (!text) return;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without the permission, or in a page that is not secure, the old way still works.
      const box = h("textarea", { class: "wb-sr" });
      box.value = text;
      root.append(box);
      box.select();
      document.execCommand("copy");
      box.remove();
      grid.el.focus({ preventScroll: true });
    }
    status.say(`${selected.size} ids copied`);
    copied.textContent = "Copied";
    setTimeout(() => (copied.textContent = "Copy ids"), 1500);
  }
  const copied = h("button", { class: "wb-button wb-eb-copy", type: "button", on: { click: copy } }, "Copy ids");
  const unselect = h("button", { class: "wb-button wb-eb-unselect", type: "button", on: { click: () => setSelected([]) } }, "Clear selection");

  function drawFooter() {
    const rows = (summary?.rows ?? 0).toLocaleString("en-US");
    const all = (isPartial ? first.rows : meta.rows).toLocaleString("en-US");
    fill(
      footer,
      h("span", { class: "wb-eb-total" }, rows === all ? `${all} runs` : `${rows} of ${all} runs`),
      isPartial ? h("span", { class: "wb-muted" }, `the first of ${meta.rows.toLocaleString("en-US")}: the others are with the kernel, which does not answer`) : null,
      h("span", { class: "wb-spacer" }),
      selected.size ? [h("span", {}, `${selected.size.toLocaleString("en-US")} selected`), copied, unselect] : h("span", { class: "wb-muted wb-eb-hint" }, "Click, Space or Ctrl+A to select · Enter to open"),
    );
  }

  async function open(/** @type {number} */ at) {
    const place = source.row(at);
    if (!place) return;
    const id = cellText(place.table, "id", place.row);
    try {
      const answer = await wire.request("open", { id });
      status.say(answer.callbacks ? `Opened ${id}` : `Run ${id}`);
    } catch (error) {
      if (!(error instanceof NoKernelError)) showError(root, error);
    }
  }
  const drawOpened = () => mount.guard(() => showWidget(opened, model.get("_opened"), host));

  // ------------------------------------------------------------------------------------------------------- keep it true
  async function refresh() {
    const mine = ++turn;
    try {
      const next = await source.view(filters(), model.get("sort") ?? []);
      if (mine !== turn) return;
      summary = next;
    } catch (error) {
      return lost(error);
    }
    drawChips();
    drawActive();
    drawFooter();
    for (const button of facetButtons) button.update();
    grid.setView(summary);
    if (summary.rows === 0) grid.message("No run passes these filters", "Remove one above, or clear them all.");
    else grid.message();
    root.dataset.rows = String(summary.rows);
    root.dataset.turn = String(mine);
  }
  const onFilters = () => {
    if (document.activeElement !== search) search.value = filters().search ?? "";
    grid.toTop();
    refresh();
  };
  const onSelected = () => {
    selected = new Set(model.get("selected_ids"));
    drawFooter();
    grid.redraw();
  };
  const onColumns = () => grid.setColumns(model.get("columns").map((/** @type {string} */ n) => byName.get(n)).filter(Boolean), model.get("height"));
  model.on("change:filters", onFilters);
  model.on("change:sort", onFilters);
  model.on("change:selected_ids", onSelected);
  model.on("change:columns", onColumns);
  model.on("change:height", onColumns);
  model.on("change:_opened", drawOpened);
  onColumns();
  refresh();
  drawOpened();

  return () => {
    clearTimeout(typing);
    model.off("change:filters", onFilters);
    model.off("change:sort", onFilters);
    model.off("change:selected_ids", onSelected);
    model.off("change:columns", onColumns);
    model.off("change:height", onColumns);
    model.off("change:_opened", drawOpened);
    grid.close();
    wire.close();
    mount.close();
  };
}

export default { render };
