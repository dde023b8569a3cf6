// @ts-check
// Two runs or two states side by side: a sentence, filters, and a list of aligned rows that open to what is inside them.
import { diffBlocks } from "./_lib/diff_blocks.js";
import { foldRows, itemOf, nextDifference, RowHeights } from "./_lib/diff_rows.js";
import { emptyState, fill, h, liveRegion, mountRoot, uniqueId } from "./_lib/dom.js";
import { cell, readTable } from "./_lib/table.js";
import { oneLine } from "./_lib/text.js";
import { shortened, wordDiff } from "./_lib/words.js";
import { connectWire } from "./_lib/wire.js";

const DIFF_SIGNS = { equal: "=", changed: "≠", added: "+", removed: "−" };
const GUESS = 31;
const OVERSCAN = 300;
const NARROW = 620;

/** @param {{ model: any, el: HTMLElement }} context */
function render({ model, el }) {
  const head = model.get("_head");
  const isRuns = head.mode === "runs";
  const noun = isRuns ? "step" : "part";
  const mount = mountRoot({ el, model, name: "diff-view", label: isRuns ? "Difference of two runs" : "Difference of two states" });
  const { root } = mount;
  root.classList.toggle("wb-dv-states", !isRuns);
  const table = readTable(model.get("_header"), model.get("_rows"));
  const n = table.rows;
  const column = (/** @type {string} */ name) => (/** @type {number} */ row) => /** @type {any} */ (cell(table.columns.get(name), row));
  const category = column("category");
  const kind = column("kind");
  const [stepA, stepB, labelA, labelB, depth] = ["a_step", "b_step", "a_label", "b_label", "depth"].map(column);
  const categories = Array.from({ length: n }, (_, row) => category(row));
  const labels = Object.fromEntries(head.kinds.map((/** @type {any} */ k) => [k.name, k.label]));

  const wire = connectWire(model, { gone: mount.gone });
  const status = liveRegion();
  const unfolded = new Uint8Array(n);
  const opened = new Set(head.first === null ? [] : [head.first]);
  const inside = new Map(Object.entries(model.get("_ahead")).map(([row, blocks]) => [Number(row), blocks]));
  const gridId = uniqueId("diff");
  /** @type {import("./_lib/diff_rows.js").DiffItem[]} */
  let items = [];
  /** @type {number[]} */
  let shown = []; // rows that differ in a way that is on
  let heights = new RowHeights(0, GUESS);
  /** @type {Map<string, HTMLElement>} */
  let drawn = new Map();
  let revealing = -1; // a row that was just opened and waits for what is inside it
  let current = model.get("position") ?? head.first ?? 0;

  // ------------------------------------------------------------------------------------------------------- the top
  const go = h("button", { class: "wb-button wb-dv-go", type: "button" }, "Show it");
  go.addEventListener("click", () => jump(head.first));
  const summary = h(
    "div",
    { class: `wb-dv-summary${head.first === null ? " wb-dv-equal" : ""}`, role: "note" },
    h("span", { class: "wb-dv-sign", "aria-hidden": "true" }, head.first === null ? "=" : "≠"),
    h("span", { class: "wb-dv-sentence" }, head.summary),
    head.first === null ? null : go,
  );
  const previous = h("button", { class: "wb-button", type: "button", title: "Previous difference (p)", "aria-label": "Previous difference", on: { click: () => step(-1) } }, "▲");
  const next = h("button", { class: "wb-button", type: "button", title: "Next difference (n)", "aria-label": "Next difference", on: { click: () => step(1) } }, "▼");
  const place = h("span", { class: "wb-dv-place wb-muted" });
  const chips = h("div", { class: "wb-dv-chips", role: "group", "aria-label": "Kinds of difference" });
  const folds = h("button", { class: "wb-button", type: "button", on: { click: toggleFolds } });
  const names = head.names.map((/** @type {string} */ name, /** @type {number} */ k) => {
    const size = isRuns ? `${head.sizes[k].toLocaleString("en-US")} step${head.sizes[k] === 1 ? "" : "s"}` : head.sizes[k];
    return [name, head.titles[k], size].filter(Boolean).join(" · ");
  });
  const grid = h("div", { class: "wb-dv-grid", id: gridId, role: "grid", tabindex: "0", "aria-label": `Aligned ${noun}s`, "aria-rowcount": n });
  const canvas = h("div", { class: "wb-dv-canvas", role: "presentation" });
  grid.append(canvas);
  const heads = h(
    "div",
    { class: "wb-dv-heads", "aria-hidden": "true" },
    h("span", { class: "wb-dv-gutter" }),
    names.map((/** @type {string} */ name) => h("span", { class: "wb-dv-name", title: name }, name)),
  );
  root.append(summary, status.el);
  if (!n) {
    root.append(emptyState("Nothing to compare", "Neither side has any content. Compare two runs with bench.compare(a, b)."));
    return () => (wire.close(), mount.close());
  }
  const hint = h("div", { class: "wb-dv-hint", role: "note" });
  root.append(h("div", { class: "wb-toolbar" }, h("span", { class: "wb-dv-jump" }, previous, next, place), chips, h("span", { class: "wb-spacer" }), folds), hint, heads, grid);

  // -------------------------------------------------------------------------------------------------- what is shown
  function arrange() {
    const on = new Set(model.get("kinds"));
    const differs = (/** @type {number} */ row) => on.has(categories[row]);
    // Containers on the way to a difference stand as long as one below them is shown.
    const stands = new Uint8Array(n);
    shown = [];
    /** @type {boolean[]} by depth: a row that stands was met further down, in the container that is still to come */
    const below = [];
    for (let row = n - 1; row >= 0; row--) {
      const level = depth(row);
      const isParent = categories[row] === "parent";
      if (differs(row)) shown.push(row);
      if (differs(row) || (isParent && below[level + 1])) below[level] = true;
      stands[row] = differs(row) || (isParent && below[level + 1]) ? 1 : 0;
      if (isParent) below.length = level + 1;
    }
    shown.reverse();
    items = foldRows(n, (row) => stands[row] === 1, (row) => unfolded[row] === 1 || opened.has(row));
    heights = new RowHeights(items.length, GUESS);
    for (const element of drawn.values()) element.remove();
    drawn = new Map();
    drawChips(on);
    const hidden = head.kinds.reduce((/** @type {number} */ sum, /** @type {any} */ k) => sum + (on.has(k.name) ? 0 : k.count), 0);
    fill(
      hint,
      shown.length || !hidden
        ? null
        : h("span", { class: "wb-muted" }, `No difference of the chosen kinds; ${hidden.toLocaleString("en-US")} of other kinds ${hidden === 1 ? "is" : "are"} folded away. `,
            h("button", { class: "wb-more", type: "button", on: { click: () => choose(head.kinds.map((/** @type {any} */ k) => k.name)) } }, "show all")),
    );
    folds.textContent = items.some((item) => item.stop - item.row > 1) ? "Unfold all" : "Fold equal";
    folds.disabled = !items.some((item) => item.stop - item.row > 1) && !unfolded.some((x) => x);
    sayPlace();
  }

  function drawChips(/** @type {Set<string>} */ on) {
    const focused = /** @type {HTMLElement | null} */ (root.ownerDocument.activeElement)?.dataset?.kind;
    const made = head.kinds.map((/** @type {any} */ k) =>
      h(
        "button",
        {
          class: `wb-chip wb-dv-chip-${k.name}`, type: "button", "aria-pressed": String(on.has(k.name)), data: { kind: k.name },
          disabled: k.count === 0, title: `${on.has(k.name) ? "Fold" : "Show"} these ${k.count} rows`,
          on: { click: () => choose(on.has(k.name) ? [...on].filter((x) => x !== k.name) : [...on, k.name]) },
        },
        `${k.label} ${k.count.toLocaleString("en-US")}`,
      ),
    );
    fill(chips, made);
    if (focused) /** @type {HTMLElement | null} */ (chips.querySelector(`[data-kind="${focused}"]`))?.focus();
  }

  function choose(/** @type {string[]} */ kinds) {
    model.set("kinds", head.kinds.map((/** @type {any} */ k) => k.name).filter((/** @type {string} */ name) => kinds.includes(name)));
    model.save_changes();
  }

  function toggleFolds() {
    const any = items.some((item) => item.stop - item.row > 1);
    unfolded.fill(any ? 1 : 0);
    arrange();
    draw();
    show(current);
  }

  function sayPlace() {
    const at = shown.indexOf(current);
    const total = shown.length.toLocaleString("en-US");
    place.textContent = shown.length ? `${at >= 0 ? (at + 1).toLocaleString("en-US") : "–"} of ${total}` : "0 differences";
    previous.disabled = nextDifference(shown, current, -1) < 0;
    next.disabled = nextDifference(shown, current, 1) < 0;
  }

  // ------------------------------------------------------------------------------------------------------- the list
  let waiting = 0;
  const later = () => void (waiting ||= requestAnimationFrame(() => ((waiting = 0), draw())));

  /** Draw what is in sight, measure it, and go on until the measures fit. What is at the top of the window stays there. */
  function draw() {
    // Hidden for a moment, as by a switch of the theme: a list without room would let go of its rows.
    if (!root.clientWidth) return;
    for (let round = 0; round < 4; round++) {
      const top = grid.scrollTop;
      const anchor = heights.at(top);
      const offset = top - heights.top(anchor);
      const from = heights.at(Math.max(0, top - OVERSCAN));
      const until = heights.at(top + grid.clientHeight + OVERSCAN);
      const wanted = new Map();
      for (let k = from; k <= until && k < items.length; k++) {
        const key = `${items[k].row}-${items[k].stop}`;
        const element = drawn.get(key) ?? makeItem(items[k]);
        drawn.delete(key);
        wanted.set(key, element);
        if (!element.isConnected) canvas.append(element);
        element.style.top = `${heights.top(k)}px`;
      }
      for (const [key, element] of drawn) if (!element.contains(root.ownerDocument.activeElement)) element.remove(); else wanted.set(key, element);
      drawn = wanted;
      let moved = false;
      for (let k = from; k <= until && k < items.length; k++) {
        const height = /** @type {HTMLElement} */ (drawn.get(`${items[k].row}-${items[k].stop}`)).offsetHeight;
        if (height && heights.set(k, height)) moved = true;
      }
      canvas.style.height = `${heights.total()}px`;
      if (!moved) break;
      const wantedTop = heights.top(anchor) + offset;
      if (Math.abs(grid.scrollTop - wantedTop) > 0.5) grid.scrollTop = wantedTop;
      for (let k = from; k <= until && k < items.length; k++) {
        const element = drawn.get(`${items[k].row}-${items[k].stop}`);
        if (element) element.style.top = `${heights.top(k)}px`;
      }
    }
    mark();
  }

  function mark() {
    const active = drawn.get(keyOf(current));
    for (const element of drawn.values()) {
      const row = Number(element.dataset.row);
      const isCurrent = element === active;
      element.classList.toggle("wb-dv-current", isCurrent);
      if (element.getAttribute("role") === "row") element.setAttribute("aria-selected", String(row === model.get("position")));
    }
    if (active) grid.setAttribute("aria-activedescendant", active.id);
    else grid.removeAttribute("aria-activedescendant");
  }

  const keyOf = (/** @type {number} */ row) => {
    const item = items[itemOf(items, row)];
    return item ? `${item.row}-${item.stop}` : "";
  };

  function makeItem(/** @type {import("./_lib/diff_rows.js").DiffItem} */ item) {
    return item.stop - item.row > 1 ? makeFold(item) : makeRow(item.row);
  }

  function makeFold(/** @type {import("./_lib/diff_rows.js").DiffItem} */ { row, stop }) {
    const size = stop - row;
    let differing = 0;
    for (let k = row; k < stop; k++) if (categories[k] !== "equal" && categories[k] !== "parent") differing++;
    const equal = size - differing;
    const many = (/** @type {number} */ x, /** @type {string} */ what) => `${x.toLocaleString("en-US")} ${what}${x === 1 ? "" : "s"}`;
    const text = [equal ? many(equal, `equal ${noun}`) : null, differing ? many(differing, "hidden difference") : null].filter(Boolean).join(", ");
    const element = h(
      "div",
      { class: "wb-dv-fold", role: "row", id: `${gridId}-${row}`, data: { row: String(row) }, "aria-rowindex": row + 1, title: "Click to unfold" },
      h("span", { role: "gridcell" }, `⋯ ${text}`),
    );
    element.addEventListener("click", () => unfold(row, stop));
    return element;
  }

  function unfold(/** @type {number} */ row, /** @type {number} */ stop) {
    unfolded.fill(1, row, stop);
    current = row;
    arrange();
    draw();
    mark();
    status.say(`${stop - row} rows unfolded`);
  }

  function makeRow(/** @type {number} */ row) {
    const what = categories[row];
    const isParent = what === "parent";
    const change = isParent ? "parent" : kind(row);
    const isOpen = opened.has(row);
    const isFirst = row === head.first;
    const says = isParent || change === "equal" ? null : what === "structure" ? `only in ${head.names[change === "added" ? 1 : 0]}` : (labels[what] ?? "").toLowerCase();
    const element = h(
      "div",
      {
        class: `wb-dv-row wb-dv-${change}${isFirst ? " wb-dv-first" : ""}${what === "text" ? " wb-dv-wording" : ""}`,
        role: "row", id: `${gridId}-${row}`, data: { row: String(row) }, "aria-rowindex": row + 1,
        "aria-expanded": isParent ? undefined : String(isOpen),
      },
      h(
        "div",
        { class: "wb-dv-line" },
        h(
          "span",
          { class: "wb-dv-gutter", role: "gridcell" },
          h("span", { class: "wb-dv-sign", "aria-hidden": "true" }, isParent ? "" : DIFF_SIGNS[/** @type {"equal"} */ (change)]),
          h("span", { class: says ? "wb-dv-what" : "wb-sr" }, says ?? (isParent ? "holds differences" : "equal")),
          isFirst ? h("span", { class: "wb-dv-flag" }, "first") : null,
        ),
        side(row, "a", change),
        side(row, "b", change),
      ),
    );
    if (!isParent) element.querySelector(".wb-dv-line").addEventListener("click", () => pick(row));
    if (isOpen && !isParent) openInto(element, row);
    return element;
  }

  function side(/** @type {number} */ row, /** @type {"a" | "b"} */ which, /** @type {string} */ change) {
    const isA = which === "a";
    const number = isA ? stepA(row) : stepB(row);
    const own = isA ? labelA(row) : labelB(row);
    const isEqual = change === "equal";
    const text = own ?? (isEqual ? labelA(row) : null);
    const name = head.names[isA ? 0 : 1];
    const content = text === null
      ? h("span", { class: "wb-dv-absent", "aria-label": `nothing in ${name}` })
      : change === "changed"
        ? changedLabel(row, which)
        : oneLine(text, 400);
    return h(
      "span",
      { class: `wb-dv-cell wb-dv-cell-${which}${text === null ? " wb-dv-empty" : ""}`, role: "gridcell", data: { side: name.length < 3 ? name : isA ? "A" : "B" }, style: depth(row) ? { "--wb-dv-depth": depth(row) } : {} },
      isRuns ? h("span", { class: "wb-dv-number", title: `Step of ${name}` }, number ?? "") : null,
      h("span", { class: "wb-dv-label" }, content),
    );
  }

  /** The words that differ marked; where the line is too long for its place, what comes before them shortened. */
  function changedLabel(/** @type {number} */ row, /** @type {"a" | "b"} */ which) {
    const both = wordDiff(oneLine(labelA(row), 400), oneLine(labelB(row), 400));
    const pieces = both[which];
    const lead = pieces[0];
    if (lead && !lead.changed) {
      const rest = pieces.reduce((sum, p) => sum + p.text.length, 0) - lead.text.length;
      lead.text = shortened(lead.text, Math.floor(room - Math.min(rest, room * 0.45)));
    }
    return pieces.map((p) => (p.changed && !both.rewritten ? h("mark", { class: "wb-dv-word" }, p.text) : p.text));
  }

  async function openInto(/** @type {HTMLElement} */ element, /** @type {number} */ row) {
    const body = h("div", { class: "wb-dv-inside" }, h("span", { class: "wb-muted" }, "…"));
    element.append(body);
    try {
      const blocks = inside.get(row) ?? (await wire.request("open", { position: row })).blocks;
      inside.set(row, blocks);
      const ask = async (/** @type {number} */ block, /** @type {string} */ which, /** @type {number} */ start, /** @type {number} */ stop) =>
        (await wire.request("more", { position: row, block, side: which, start, stop })).text;
      fill(body, diffBlocks(blocks, head.names, ask, later));
      if (row === revealing) {
        revealing = -1; // once: a row made again by scrolling must not pull the list back
        requestAnimationFrame(() => (draw(), reveal(row)));
      }
    } catch (error) {
      fill(body, h("span", { class: "wb-dv-failed", role: "alert" }, `This row cannot be opened: ${/** @type {Error} */ (error).message}`));
    }
    later();
  }

  // ------------------------------------------------------------------------------------------------------- moving
  function select(/** @type {number} */ row) {
    current = row;
    if (model.get("position") !== row) {
      model.set("position", row);
      model.save_changes();
    }
  }

  /** Select a row, and open it or close it. */
  function pick(/** @type {number} */ row) {
    if (root.ownerDocument.getSelection()?.toString()) return; // the user marks text
    select(row);
    if (opened.has(row)) opened.delete(row);
    else opened.add((revealing = row));
    const key = keyOf(row);
    drawn.get(key)?.remove();
    drawn.delete(key);
    draw();
    reveal(row);
    sayPlace();
    grid.focus({ preventScroll: true });
  }

  /** Scroll as little as shows what was opened, its first line in any case. */
  function reveal(/** @type {number} */ row) {
    const k = itemOf(items, row);
    const top = heights.top(k);
    const least = Math.min(top, top + heights.heights[k] - grid.clientHeight);
    if (grid.scrollTop < least) {
      grid.scrollTop = least;
      draw();
    }
  }

  /** Bring a row into sight, a third from the top. */
  function show(/** @type {number} */ row) {
    const k = itemOf(items, row);
    for (let round = 0; round < 3; round++) {
      const top = heights.top(k);
      const bottom = top + heights.heights[k];
      const inSight = top >= grid.scrollTop && bottom <= grid.scrollTop + grid.clientHeight;
      if (!inSight) grid.scrollTop = Math.max(0, top - grid.clientHeight / 4);
      draw();
    }
  }

  /** Go to a row that differs: select, open and show it. */
  function jump(/** @type {number} */ row) {
    select(row);
    if (!opened.has(row)) {
      opened.add(row);
      const key = keyOf(row);
      drawn.get(key)?.remove();
      drawn.delete(key);
    }
    if (items[itemOf(items, row)].stop - items[itemOf(items, row)].row > 1) arrange();
    show(row);
    sayPlace();
    grid.focus({ preventScroll: true });
    const at = shown.indexOf(row);
    status.say(`Difference ${at + 1} of ${shown.length}: ${labels[categories[row]] ?? ""}. ${oneLine(labelA(row) ?? "nothing", 80)}; ${oneLine(labelB(row) ?? "nothing", 80)}`);
  }

  function step(/** @type {1 | -1} */ direction) {
    const row = nextDifference(shown, current, direction);
    if (row >= 0) jump(row);
  }

  function move(/** @type {number} */ by) {
    const k = Math.min(items.length - 1, Math.max(0, itemOf(items, current) + by));
    current = items[k].row;
    show(current);
    sayPlace();
  }

  const keys = {
    n: () => step(1),
    p: () => step(-1),
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    PageDown: () => move(10),
    PageUp: () => move(-10),
    Home: () => move(-Infinity),
    End: () => move(Infinity),
    Enter: () => activate(),
    " ": () => activate(),
  };

  function activate() {
    const item = items[itemOf(items, current)];
    if (item.stop - item.row > 1) unfold(item.row, item.stop);
    else if (categories[item.row] !== "parent") pick(item.row);
  }

  root.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const inGrid = event.target === grid;
    const act = keys[/** @type {"n"} */ (event.key)];
    if (!act || (!inGrid && event.key !== "n" && event.key !== "p")) return;
    event.preventDefault();
    event.stopPropagation();
    mount.guard(act);
  });

  grid.addEventListener("scroll", later);
  let width = 0;
  let room = 80; // characters of a label that are seen
  const watcher = new ResizeObserver(() => {
    if (!root.clientWidth) return;
    if (root.clientWidth === width) return later();
    width = root.clientWidth;
    root.classList.toggle("wb-dv-narrow", width < NARROW);
    heads.style.paddingRight = `${grid.offsetWidth - grid.clientWidth - 2}px`;
    room = Math.max(20, (width < NARROW ? width - 110 : (width - 260) / 2) / (isRuns ? 6.6 : 7.4));
    // Every height may have changed with the width, and every shortened line.
    const row = items[heights.at(grid.scrollTop)]?.row ?? 0;
    heights = new RowHeights(items.length, GUESS);
    for (const element of drawn.values()) element.remove();
    drawn = new Map();
    grid.scrollTop = heights.top(itemOf(items, row));
    draw();
    if (isNew) (isNew = false), show(current);
  });
  let isNew = true;
  watcher.observe(root);

  const changedKinds = () => (arrange(), draw(), show(current));
  const changedPosition = () => {
    const row = model.get("position");
    if (row !== null && row !== current) {
      current = row;
      if (items[itemOf(items, row)].stop - items[itemOf(items, row)].row > 1) unfolded[row] = 1, arrange();
      show(row);
    }
    mark();
    sayPlace();
  };
  model.on("change:kinds", changedKinds);
  model.on("change:position", changedPosition);

  arrange();
  requestAnimationFrame(() => (draw(), show(current)));
  return () => {
    model.off("change:kinds", changedKinds);
    model.off("change:position", changedPosition);
    watcher.disconnect();
    cancelAnimationFrame(waiting);
    wire.close();
    mount.close();
  };
}

export default { render };
