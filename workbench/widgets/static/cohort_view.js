// @ts-check
// The browser half of CohortView: it lays the graph out, draws, pans, zooms, folds and filters by itself; the kernel lists the runs
// behind a step when there are too many to send. See cohort_view.py.
// Long, because it is one closure over one state: level, view, selection. What needs no state is in _lib/cohort_*.js.
import { cohortKey, cohortPointer } from "./_lib/cohort_input.js";
import { bandAt, boxAt, END, layerSums, layOut, neighbour, START } from "./_lib/cohort_layout.js";
import { divergenceList, runList } from "./_lib/cohort_lists.js";
import { barOf, fitCanvas, paintCohort, paintCohortMap } from "./_lib/cohort_paint.js";
import { differenceWords, divergenceWords, nodeSpoken, nodeWords, pWords, replayCode, runsWords, sidesOf, sidesWords } from "./_lib/cohort_words.js";
import { emptyState, fill, h, liveRegion, mountRoot, uniqueId } from "./_lib/dom.js";
import { formatInteger, formatPercent } from "./_lib/format.js";
import { showWidget } from "./_lib/opened.js";
import { oneLine } from "./_lib/text.js";
import { tokens } from "./_lib/theme.js";
import { minimapPointer } from "./_lib/timeline_input.js";
import { clampView, fitView, panBy, toT, toX, zoomAt } from "./_lib/timescale.js";
import { connectWire, unpack } from "./_lib/wire.js";

const NARROW = 640; // px of a cell below which the graph runs from top to bottom
const WIDE = 980; // px from which on the ranking stands beside the graph
const SIDE = 340;
const PAD = 8;
const MAP = 38;
const DOWN_HEIGHT = 560;
const ROOM = { right: 31, down: 84 }; // px for a label: above a bar, or along it
const PITCH = { right: 124, down: 66 }; // px between layers at which labels are read well
const FAR = { right: 62, down: 34 }; // px below which only marked steps keep their labels
const MOST = 300; // elements for steps in sight; the canvas draws all
const MARKED = 5; // divergences marked in the graph and its map; in the graph also those that are no chance
const SURE = 0.05;
const OUTCOMES = ["all", "good", "failed"];
const HINT = "Arrows walk · Enter lists the runs · N and P: divergences · D: the first · + − zoom · F: all · R: rare steps · O: outcome · Escape. Drag pans; after a click the wheel zooms.";

/** @param {{ model: any, el: HTMLElement, host?: any }} context */
function render({ model, el, host }) {
  const head = model.get("_head");
  const mount = mountRoot({ el, model, name: "cohort-view", label: "Cohort: good and failed runs on one graph", themed: () => later() });
  const { root, guard } = mount;
  const { facts, arrays } = unpack(model.get("_graph"));
  const status = liveRegion();
  /** @type {[number, number]} */
  const runs = [head.good, head.failed];
  const n = arrays.node.length;
  if (!n) {
    root.append(h("div", { class: "wb-co-summary", role: "note" }, head.summary), emptyState("No steps to align", "A cohort needs runs with steps, some good and some failed: bench.cohort(task=…, good=…) says which are good."));
    return () => mount.close();
  }
  const wire = connectWire(model, { gone: mount.gone });
  const rowOf = new Map(Array.from(arrays.node, (/** @type {number} */ id, row) => [id, row]));
  const nodes = { n, position: arrays.position, good: arrays.n_good, failed: arrays.n_failed, runs };
  const ranks = new Map(); // row of a node → its divergences, best first
  for (const row of head.divergences) {
    const at = rowOf.get(row.node);
    if (at !== undefined) ranks.set(at, [...(ranks.get(at) ?? []), row]);
  }
  const about = (/** @type {number} */ row) => ({
    good: arrays.n_good[row], failed: arrays.n_failed[row], label: facts.labels[row], type: facts.types[row] ?? "", step: arrays.step[row],
    variants: arrays.n_variants[row], repeats: arrays.n_repeats[row], moved: arrays.n_moved[row], errors: arrays.n_errors[row],
  });

  // ---- state -----------------------------------------------------------------------------------------------------
  let isDown = false;
  let length = 600; // px of the main axis
  let isNew = true;
  /** @type {import("./_lib/cohort_layout.js").CohortLayout} */
  let layout = layOut(nodes, [], { source: [], target: [], good: [], failed: [], back: [] }, { room: 0 });
  let sums = layerSums(layout);
  /** @type {[number, number]} */
  let view = [0, 1];
  let colors = /** @type {any} */ ({});
  let cursor = START; // the node that keys move
  /** @type {{ node: number | null, band: any }} */
  let hover = { node: null, band: null };
  /** @type {Map<number, HTMLElement>} */
  let made = new Map();
  const id = uniqueId("cohort");

  // ---- elements --------------------------------------------------------------------------------------------------
  const first = head.divergences[0] ?? null;
  const go = h("button", { class: "wb-button wb-co-go", type: "button", title: "D", on: { click: () => guard(() => chooseRank(first.rank)) } }, "Show where");
  const summary = h(
    "div",
    { class: "wb-co-summary", role: "note" },
    h("span", { class: "wb-co-sign", "aria-hidden": "true" }, first ? "◆" : "="),
    h("div", { class: "wb-co-words" }, head.task ? h("div", { class: "wb-muted wb-co-task", title: head.task }, oneLine(head.task, 200)) : null, h("div", { class: "wb-co-sentence" }, head.summary)),
    first ? go : null,
  );
  const outcomes = h("div", { class: "wb-co-outcomes", role: "radiogroup", "aria-label": "Runs to show" });
  const fold = h("select", { class: "wb-input wb-co-fold", "aria-label": "Fold rare steps", title: "Fold rare steps (R)", on: { change: () => guard(() => setLeast(Number(fold.value))) } });
  for (const level of facts.levels) fold.append(h("option", { value: level.least }, level.least === 1 ? "Show every step" : `Fold steps of fewer than ${formatInteger(level.least)} runs`));
  const button = (/** @type {string} */ sign, /** @type {string} */ label, /** @type {() => void} */ act) => h("button", { class: "wb-button", type: "button", "aria-label": label, title: label, on: { click: () => guard(act) } }, sign);
  const bar = h(
    "div",
    { class: "wb-toolbar wb-co-bar" },
    outcomes,
    fold,
    h("span", { class: "wb-spacer" }),
    button("−", "Zoom out (−)", () => zoom(1 / 0.6)),
    button("+", "Zoom in (+)", () => zoom(0.6)),
    button("Fit", "Show the whole graph (F)", () => setView(fitView(layout.layers, 2))),
  );
  const canvas = /** @type {HTMLCanvasElement} */ (h("canvas", { class: "wb-co-canvas", "aria-hidden": "true" }));
  const labels = h("div", { class: "wb-co-labels", role: "presentation" });
  const stage = h("div", { class: "wb-co-stage", role: "listbox", tabindex: "0", "aria-label": `Graph of ${formatInteger(n)} steps. ${HINT}` }, canvas, labels);
  const map = /** @type {HTMLCanvasElement} */ (h("canvas", { class: "wb-co-map", "aria-hidden": "true" }));
  const card = h("div", { class: "wb-co-card", hidden: true, "aria-hidden": "true" });
  const folded = h("div", { class: "wb-co-folded wb-muted wb-small" });
  const plot = h("div", { class: "wb-co-plot" }, stage, map, folded, h("div", { class: "wb-co-hint wb-muted wb-small" }, HINT), card);
  const left = h("div", { class: "wb-co-left" }, plot);
  const ranking = divergenceList({ rows: head.divergences, select: (rank) => guard(() => chooseRank(rank)) });
  const list = runList({
    load: async (start) => {
      const [node, rank, outcome] = [model.get("node"), model.get("rank"), model.get("outcome")];
      const ahead = start === 0 ? model.get("_ahead")[rank !== null ? `d${rank}` : `n${node}`] : undefined;
      // A page that holds all of its rows can be filtered here.
      if (ahead && (outcome === "all" || ahead.rows.length === ahead.total)) {
        const rows = ahead.rows.filter((/** @type {any} */ row) => outcome === "all" || row.outcome === outcome);
        return { rows, total: outcome === "all" ? ahead.total : rows.length };
      }
      return /** @type {any} */ (await wire.request("runs", { node, rank, outcome, start }));
    },
    picked: () => model.get("picked"),
    pick: (ids) => (set({ picked: ids }), sayCode()),
    open: head.can_open && !wire.offline ? (run, step) => guard(() => openRun(run, step)) : null,
    close: () => guard(clear),
    say: status.say,
  });
  const openedTitle = h("strong", { class: "wb-co-opened-title" });
  const openedNote = h("p", { class: "wb-co-opened-note wb-muted", role: "alert" });
  const openedView = h("div", { class: "wb-co-opened-view" });
  const opened = h(
    "div",
    { class: "wb-co-opened", hidden: true },
    h("div", { class: "wb-co-runs-head" }, openedTitle, h("span", { class: "wb-spacer" }), button("×", "Close the opened run", () => closeOpened())),
    openedNote,
    openedView,
  );
  root.append(summary, bar, h("div", { class: "wb-co-main" }, left, ranking.el), opened, status.el);
  left.append(list.el);

  function readColors() {
    const found = tokens(root, ["c0", "c1", "bg", "fg", "accent"]);
    colors = { good: found.c0, failed: found.c1, bg: found.bg, fg: found.fg, accent: found.accent };
  }

  // ---- traits ----------------------------------------------------------------------------------------------------
  function set(/** @type {Record<string, any>} */ values) {
    for (const [key, value] of Object.entries(values)) model.set(key, value);
    model.save_changes();
  }
  const selectedRow = () => rowOf.get(model.get("node")) ?? null;

  function chooseNode(/** @type {number | null} */ row) {
    set({ node: row === null ? null : arrays.node[row], rank: null, picked: [] });
  }

  function chooseRank(/** @type {number | null} */ rank) {
    const found = head.divergences.find((/** @type {any} */ row) => row.rank === rank);
    if (!found) return set({ rank: null, node: null, picked: [] });
    set({ rank, node: found.node, picked: [] });
    status.say(`Divergence ${rank}: ${divergenceWords(found)}: ${sidesWords(found)}.`);
  }

  const clear = () => (set({ node: null, rank: null, picked: [] }), stage.focus({ preventScroll: true }));
  const levelAt = () => Math.max(0, facts.levels.findIndex((/** @type {any} */ level) => level.least === model.get("min_runs")));

  function setLeast(/** @type {number} */ least) {
    if (least !== model.get("min_runs")) set({ min_runs: least });
  }

  /** Fold less where the step to show is folded away. */
  function unfoldFor(/** @type {number} */ row) {
    if (layout.boxOf.has(row)) return;
    for (let k = levelAt() - 1; k >= 0; k--) {
      if (arrays[`kept${k}`].includes(row)) return setLeast(facts.levels[k].least);
    }
  }

  // ---- what is shown ---------------------------------------------------------------------------------------------
  function arrange() {
    const k = levelAt();
    const flows = { source: arrays[`source${k}`], target: arrays[`target${k}`], good: arrays[`n_good${k}`], failed: arrays[`n_failed${k}`], back: arrays[`is_back${k}`] };
    const before = layout.boxOf.size > 2 ? middleNode() : null;
    const width = plot.clientWidth;
    layout = isDown
      ? layOut(nodes, arrays[`kept${k}`], flows, { cross: Math.max(120, width - 2 * PAD - 2), room: ROOM.down }, "slot")
      : layOut(nodes, arrays[`kept${k}`], flows, { room: ROOM.right, least: root.clientWidth >= WIDE ? 300 : 220 });
    sums = layerSums(layout);
    stage.style.height = `${isDown ? Math.min(DOWN_HEIGHT, Math.max(160, layout.layers * PITCH.down)) : layout.cross + 2 * PAD + 2}px`;
    length = isDown ? stage.clientHeight : stage.clientWidth;
    for (const element of made.values()) element.remove();
    made = new Map();
    if (!layout.boxOf.has(cursor)) cursor = START;
    if (isNew || before === null) view = firstView();
    else view = around(layout.boxes[/** @type {number} */ (layout.boxOf.get(before) ?? 0)].layer);
    fold.value = String(facts.levels[k].least);
    sayFolded(facts.levels[k], k);
  }

  const readable = () => Math.max(2, length / (isDown ? PITCH.down : PITCH.right));

  /** The window with a layer two fifths from its beginning, as wide as reads well. */
  function around(/** @type {number} */ layer) {
    const width = Math.min(layout.layers, readable());
    return width >= layout.layers * 0.98 ? fitView(layout.layers, 2) : clampView([layer + 0.5 - width * 0.4, layer + 0.5 + width * 0.6], layout.layers, 2);
  }

  function firstView() {
    const row = selectedRow() ?? (first ? rowOf.get(first.node) : undefined);
    const box = row === undefined ? undefined : layout.boxOf.get(row);
    return around(box === undefined ? 0 : layout.boxes[box].layer);
  }

  /** A node near the middle of the view, to stay there when the layout changes. */
  function middleNode() {
    const chosen = selectedRow();
    if (chosen !== null) return chosen;
    const at = (view[0] + view[1]) / 2 - 0.5;
    let best = START;
    let least = Infinity;
    for (const box of layout.boxes) {
      const off = Math.abs(box.layer - at) - (box.good + box.failed) / (runs[0] + runs[1] + 1);
      if (!box.isWay && off < least) (best = box.node), (least = off);
    }
    return best;
  }

  function sayFolded(/** @type {any} */ level, /** @type {number} */ k) {
    const parts = [];
    if (level.folded) parts.push(`${formatInteger(level.folded)} step${level.folded === 1 ? "" : "s"}`);
    if (level.hidden) parts.push(`${formatInteger(level.hidden)} flow${level.hidden === 1 ? "" : "s"}`);
    const less = k > 0 ? facts.levels[0].least : null;
    fill(
      folded,
      parts.length ? `Rare ones are folded: ${parts.join(" and ")}. ` : null,
      parts.length && less !== null ? h("button", { class: "wb-more", type: "button", on: { click: () => guard(() => setLeast(less)) } }, "show them") : null,
      head.left_out ? ` ${runsWords(head.left_out)} of no outcome or without steps are left out.` : null,
    );
  }

  function drawOutcomes() {
    const now = model.get("outcome");
    const had = outcomes.contains(root.ownerDocument.activeElement);
    fill(
      outcomes,
      OUTCOMES.map((name) => {
        const count = name === "all" ? runs[0] + runs[1] : name === "good" ? runs[0] : runs[1];
        const text = name === "all" ? "All" : name === "good" ? "✓ Good" : "✕ Failed";
        return h(
          "button",
          { class: `wb-chip wb-co-chip-${name}`, type: "button", role: "radio", "aria-checked": String(name === now), tabindex: name === now ? "0" : "-1", on: { click: () => set({ outcome: name }) } },
          name === "all" ? null : h("span", { class: `wb-swatch wb-co-swatch-${name}` }),
          `${text} ${formatInteger(count)}`,
        );
      }),
    );
    if (had) /** @type {HTMLElement} */ (outcomes.querySelector("[aria-checked='true']")).focus();
  }
  outcomes.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: 2, ArrowUp: 2 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    turnOutcome(by);
  });
  const turnOutcome = (by = 1) => {
    const next = OUTCOMES[(OUTCOMES.indexOf(model.get("outcome")) + by) % 3];
    set({ outcome: next });
    status.say(next === "all" ? "All runs" : `${next} runs only`);
  };

  // ---- drawing ---------------------------------------------------------------------------------------------------
  let waiting = 0;
  const later = () => void (waiting ||= requestAnimationFrame(() => ((waiting = 0), draw())));
  let painted = 0;

  function draw() {
    if (!stage.clientWidth) return;
    // Anew each time: a host may tell of a theme before its styles are there.
    readColors();
    if (!colors.good) return void setTimeout(later, 50);
    const [width, height] = [stage.clientWidth, stage.clientHeight];
    length = isDown ? height : width;
    const chosen = selectedRow();
    const lit = hover.node !== null || hover.band ? hover : { node: chosen, band: null };
    paintCohort(fitCanvas(canvas, width, height), { layout, view, length, isDown, pad: PAD, outcome: model.get("outcome"), colors, runs: runs[0] + runs[1], lit });
    drawLabels();
    const isWhole = view[1] - view[0] >= layout.layers;
    map.hidden = isWhole;
    if (!isWhole) {
      const marks = head.divergences.slice(0, MARKED).flatMap((/** @type {any} */ row) => layout.boxOf.get(/** @type {number} */ (rowOf.get(row.node))) ?? []);
      paintCohortMap(fitCanvas(map, map.clientWidth, MAP), { sums, view, width: map.clientWidth, height: MAP, marks: marks.map((/** @type {number} */ b) => layout.boxes[b].layer), colors });
    }
    root.dataset.painted = String(++painted);
  }

  /** Elements of the steps in sight, the busiest first where there are too many. */
  function drawLabels() {
    const pitch = length / (view[1] - view[0]);
    stage.classList.toggle("wb-co-far", pitch < (isDown ? FAR.down : FAR.right));
    let seen = [];
    for (const [b, box] of layout.boxes.entries()) if (!box.isWay && box.layer + 1.5 >= view[0] && box.layer - 0.5 <= view[1]) seen.push(b);
    if (seen.length > MOST) {
      const weight = (/** @type {number} */ b) => layout.boxes[b].good + layout.boxes[b].failed + (ranks.has(layout.boxes[b].node) || layout.boxes[b].node === cursor ? 1e9 : 0);
      seen = seen.sort((a, b) => weight(b) - weight(a)).slice(0, MOST);
    }
    const wanted = new Map();
    for (const b of seen) {
      const element = made.get(b) ?? makeLabel(b);
      made.delete(b);
      wanted.set(b, element);
      if (!element.isConnected) labels.append(element);
      placeLabel(element, b, pitch);
    }
    for (const element of made.values()) element.remove();
    made = wanted;
    const active = made.get(layout.boxOf.get(cursor) ?? -1);
    if (active) stage.setAttribute("aria-activedescendant", active.id);
    else stage.removeAttribute("aria-activedescendant");
  }

  function makeLabel(/** @type {number} */ b) {
    const box = layout.boxes[b];
    const isEnd = box.node < 0;
    const marks = (ranks.get(box.node) ?? []).filter((/** @type {any} */ row) => row.rank <= MARKED || row.p_adjusted <= SURE);
    const name = isEnd ? (box.node === START ? "start" : "end") : facts.labels[box.node];
    return h(
      "div",
      { class: `wb-co-node${isEnd ? " wb-co-end" : ""}${marks.length ? " wb-co-parts" : ""}${marks[0] === first && first ? " wb-co-first" : ""}`, id: `${id}-${b}`, role: "option", "aria-label": isEnd ? name : nodeSpoken(about(box.node), runs, marks[0]), data: { node: isEnd ? name : String(arrays.node[box.node]) } },
      h("span", { class: "wb-co-bar-mark", "aria-hidden": "true" }),
      h(
        "span",
        { class: "wb-co-text" },
        h("span", { class: "wb-co-name" }, marks.length ? h("span", { class: "wb-co-flag" }, `◆ ${marks[0].rank}`) : null, oneLine(name, 80)),
        h("span", { class: "wb-co-counts" }, h("span", { class: "wb-co-good" }, `✓ ${formatInteger(box.good)}`), h("span", { class: "wb-co-failed" }, `✕ ${formatInteger(box.failed)}`)),
      ),
    );
  }

  function placeLabel(/** @type {HTMLElement} */ element, /** @type {number} */ b, /** @type {number} */ pitch) {
    const box = layout.boxes[b];
    const thick = barOf(pitch);
    const at = toX(box.layer + 0.5, view, length) - thick / 2;
    const { style } = element;
    const mark = /** @type {HTMLElement} */ (element.firstElementChild).style;
    if (isDown) {
      style.left = `${PAD + box.cross}px`;
      style.top = `${at - 30}px`;
      style.width = `${Math.max(box.size, ROOM.down)}px`;
      style.height = "40px";
      [mark.left, mark.top, mark.width, mark.height] = ["0", "30px", `${box.size}px`, `${thick}px`];
    } else {
      style.left = `${at}px`;
      style.top = `${PAD + box.cross - ROOM.right}px`;
      style.width = `${Math.max(10, pitch * freeLayers(b) - 10)}px`;
      style.height = `${ROOM.right + box.size}px`;
      [mark.left, mark.top, mark.width, mark.height] = ["0", `${ROOM.right}px`, `${thick}px`, `${box.size}px`];
    }
    element.classList.toggle("wb-co-cursor", box.node === cursor);
    element.setAttribute("aria-selected", String(box.node >= 0 && box.node === selectedRow()));
  }

  /** For how many layers a label may run on before it meets another one. */
  function freeLayers(/** @type {number} */ b) {
    const box = layout.boxes[b];
    for (let k = 1; k < 3; k++) {
      const meets = (layout.byLayer[box.layer + k] ?? []).some((other) => {
        const one = layout.boxes[other];
        return !one.isWay && one.cross - ROOM.right < box.cross && one.cross + one.size > box.cross - ROOM.right;
      });
      if (meets || box.layer + k >= layout.layers) return k;
    }
    return 3;
  }

  // ---- moving ----------------------------------------------------------------------------------------------------
  function setView(/** @type {[number, number]} */ wanted) {
    view = wanted;
    later();
  }
  function zoom(/** @type {number} */ factor, /** @type {number | null} */ px = null) {
    const box = layout.boxOf.get(cursor);
    const seen = box !== undefined && cursor !== START ? layout.boxes[box].layer + 0.5 : NaN;
    const at = px !== null ? toT(px, view, length) : seen >= view[0] && seen <= view[1] ? seen : (view[0] + view[1]) / 2;
    setView(zoomAt(view, factor, at, layout.layers, 2));
  }
  function reveal(/** @type {number} */ node) {
    const b = layout.boxOf.get(node);
    if (b === undefined) return;
    const at = layout.boxes[b].layer + 0.5;
    if (at - 0.5 < view[0] || at + 1 > view[1]) {
      const width = view[1] - view[0];
      setView(clampView([at - width * 0.4, at + width * 0.6], layout.layers, 2));
    } else later();
  }
  function moveTo(/** @type {number} */ node) {
    cursor = node;
    reveal(node);
    if (node >= 0) status.say(nodeSpoken(about(node), runs, ranks.get(node)?.[0]));
    else status.say(node === START ? `Start of ${runsWords(runs[0] + runs[1])}` : "End");
    showCardFor(node);
  }

  // ---- the card --------------------------------------------------------------------------------------------------
  function showCard(/** @type {any} */ content, /** @type {number} */ x, /** @type {number} */ y) {
    fill(card, content);
    card.hidden = false;
    const box = plot.getBoundingClientRect();
    const inside = stage.getBoundingClientRect();
    const left = inside.left - box.left + x + 14;
    card.style.left = `${Math.max(0, left + card.offsetWidth > box.width ? Math.min(left, box.width) - card.offsetWidth - 28 : left)}px`;
    const top = inside.top - box.top + y + 16;
    // Above the pointer where it would hang out of the cell, which would cut it off.
    card.style.top = `${box.top + top + card.offsetHeight <= root.getBoundingClientRect().bottom ? top : Math.max(0, top - 30 - card.offsetHeight)}px`;
  }

  function nodeCard(/** @type {number} */ row) {
    const words = nodeWords(about(row), runs);
    return [
      h("div", { class: "wb-co-card-title" }, words.title),
      h("div", { class: "wb-muted" }, words.place),
      h("div", {}, words.support),
      h("div", {}, words.rates),
      h("div", {}, words.difference),
      words.more ? h("div", { class: "wb-muted" }, words.more) : null,
      (ranks.get(row) ?? []).slice(0, 3).map((/** @type {any} */ found) =>
        h(
          "div",
          { class: "wb-co-card-part" },
          h("div", {}, h("span", { class: "wb-co-flag" }, `◆ ${found.rank}`), ` ${found.class}: ${divergenceWords(found, 90)}`),
          h("div", { class: "wb-muted" }, sidesWords(found)),
          h("div", { class: "wb-muted" }, `${differenceWords(sidesOf(found))}; ${pWords(found.p_adjusted)}`),
        ),
      ),
      h("div", { class: "wb-muted wb-small" }, "click: its runs"),
    ];
  }

  function bandCard(/** @type {any} */ band) {
    const name = (/** @type {number} */ b) => {
      const { node } = layout.boxes[b];
      return node === START ? "start" : node === END ? "end" : oneLine(facts.labels[node], 60);
    };
    const count = band.good + band.failed;
    return [
      h("div", { class: "wb-co-card-title" }, `${name(band.from)} → ${name(band.to)}`),
      h("div", {}, `${runsWords(count)}: ${formatInteger(band.good)} good, ${formatInteger(band.failed)} failed (${formatPercent(Math.round((band.failed / count) * 100) / 100)})`),
      band.isBack ? h("div", { class: "wb-muted" }, "against the order of the other runs") : null,
    ];
  }

  function showCardFor(/** @type {number} */ node) {
    const b = layout.boxOf.get(node);
    if (b === undefined || node < 0) return void (card.hidden = true);
    const box = layout.boxes[b];
    const at = toX(box.layer + 0.5, view, length);
    const cross = PAD + box.cross + box.size / 2;
    showCard(nodeCard(node), isDown ? cross : at, isDown ? at : cross);
  }

  // ---- pointer and keys ------------------------------------------------------------------------------------------
  function under(/** @type {number} */ x, /** @type {number} */ y) {
    const [main, cross] = isDown ? [y, x - PAD] : [x, y - PAD];
    const layer = toT(main, view, length) - 0.5;
    const pitch = length / (view[1] - view[0]);
    // The label belongs to its bar.
    const labelled = [...made].find(([b, element]) => {
      const box = layout.boxes[b];
      if (stage.classList.contains("wb-co-far")) return false;
      const text = /** @type {HTMLElement} */ (element.lastElementChild);
      const [left, top] = [element.offsetLeft, element.offsetTop];
      return box.node >= 0 && x >= left && x <= left + text.offsetWidth && y >= top && y <= top + text.offsetHeight;
    });
    const b = labelled ? labelled[0] : boxAt(layout, layer, cross, Math.max(7 / pitch, 0.04));
    if (b >= 0) return { node: layout.boxes[b].node, band: null };
    return { node: null, band: bandAt(layout, layer, cross, model.get("outcome")) };
  }

  const unpoint = cohortPointer(stage, {
    isDown: () => isDown,
    focused: () => root.ownerDocument.activeElement === stage,
    pan: (px) => setView(panBy(view, (-px / length) * (view[1] - view[0]), layout.layers, 2)),
    zoom: (factor, px) => zoom(factor, px),
    leave: () => {
      hover = { node: null, band: null };
      card.hidden = true;
      stage.classList.remove("wb-co-over");
      later();
    },
    hover: (x, y) => {
      const found = under(x, y);
      const isSame = found.node === hover.node && found.band === hover.band;
      hover = found.node !== null && found.node < 0 ? { node: null, band: null } : found;
      stage.classList.toggle("wb-co-over", hover.node !== null);
      if (hover.node !== null) showCard(nodeCard(hover.node), x, y);
      else if (hover.band) showCard(bandCard(hover.band), x, y);
      else card.hidden = true;
      if (!isSame) later();
    },
    click: (x, y) => {
      const { node } = under(x, y);
      if (node === null || node < 0) return;
      cursor = node;
      card.hidden = true;
      guard(() => chooseNode(node));
    },
  });

  const acts = {
    walk: (/** @type {any} */ way) => moveTo(neighbour(layout, cursor === START && !layout.boxOf.has(START) ? END : cursor, way)),
    pan: (/** @type {number} */ share) => setView(panBy(view, share * (view[1] - view[0]), layout.layers, 2)),
    end: (/** @type {string} */ which) => moveTo(which === "start" ? START : END),
    select: () => cursor >= 0 && chooseNode(cursor === selectedRow() && model.get("rank") === null ? null : cursor),
    divergence: (/** @type {number} */ by) => {
      const rows = head.divergences;
      const at = rows.findIndex((/** @type {any} */ row) => row.rank === model.get("rank"));
      const next = rows[at < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, at + by))];
      if (next) chooseRank(next.rank);
    },
    first: () => first && chooseRank(first.rank),
    zoom: (/** @type {number} */ factor) => zoom(factor),
    fit: () => setView(fitView(layout.layers, 2)),
    rare: () => {
      const k = levelAt();
      const back = facts.levels[k > 0 ? 0 : Math.max(0, usualLevel)].least;
      setLeast(back);
      status.say(back === 1 ? "Every step is shown" : `Steps of fewer than ${back} runs are folded`);
    },
    outcome: () => turnOutcome(),
    clear: () => clear(),
  };
  const usualLevel = levelAt() || Math.min(1, facts.levels.length - 1);

  root.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.target !== stage) {
      if (event.key === "Escape" && list.el.contains(/** @type {Node} */ (event.target))) (event.preventDefault(), event.stopPropagation(), guard(clear));
      return;
    }
    const found = cohortKey(event, isDown);
    if (!found) return;
    event.preventDefault();
    event.stopPropagation();
    guard(() => acts[/** @type {"walk"} */ (found[0])](found[1]));
  });
  stage.addEventListener("blur", () => void (card.hidden = true));
  minimapPointer(map, {
    edges: () => [(view[0] / layout.layers) * map.clientWidth, (view[1] / layout.layers) * map.clientWidth],
    move: (x0, x1) => setView(clampView([(x0 / map.clientWidth) * layout.layers, (x1 / map.clientWidth) * layout.layers], layout.layers, 2)),
  });

  // ---- what changes ----------------------------------------------------------------------------------------------
  async function sayCode() {
    const picked = model.get("picked");
    if (wire.offline) return list.setCode(picked.length ? replayCode(picked[0], undefined) : "");
    try {
      list.setCode((await wire.request("code")).code);
    } catch {
      list.setCode(""); // the list itself says why
    }
  }

  function showRuns() {
    const [rank, row] = [model.get("rank"), selectedRow()];
    ranking.mark(rank);
    const outcome = model.get("outcome") === "all" ? "" : ` (${model.get("outcome")} only)`;
    if (rank !== null) {
      const found = head.divergences.find((/** @type {any} */ one) => one.rank === rank);
      list.show([h("strong", {}, `Divergence ${rank}`), ` · runs that ${found.fails === "with" ? "have" : "lack"} ${oneLine(found.label, 90)}: the side that fails more${outcome}`]);
    } else if (row !== null) list.show([h("strong", {}, `Step ${arrays.step[row]}`), ` · ${oneLine(facts.labels[row], 90)}${outcome}`]);
    else return void list.show(null);
    sayCode();
  }

  // ---- an opened run -----------------------------------------------------------------------------------------------
  async function openRun(/** @type {string} */ run, /** @type {number | null} */ step) {
    list.setOpened(run, step);
    fill(openedNote);
    try {
      await wire.request("open", { run, step });
      await drawOpened();
      status.say(step === null ? `Opened run ${run}` : `Opened run ${run} at step ${step}`);
    } catch (error) {
      fill(openedNote, `This run cannot be opened: ${/** @type {Error} */ (error).message}`);
      opened.hidden = false;
    }
    opened.scrollIntoView({ block: "nearest" });
  }

  async function drawOpened() {
    const { run, name, step } = model.get("_place");
    if (run === undefined) return;
    list.setOpened(run, step);
    fill(openedTitle, oneLine(name || run.slice(0, 8), 80), step === null ? null : `, opened at step ${step}`);
    opened.hidden = false;
    const isShown = await showWidget(openedView, model.get("_opened"), host);
    if (!isShown && model.get("_opened")) fill(openedNote, "This host shows no widget in another one. In a cell of its own: view.opened");
  }

  function closeOpened() {
    opened.hidden = true;
    list.setOpened(null, null);
    (list.el.hidden ? stage : list.list).focus({ preventScroll: true });
  }

  const heard = {
    _place: () => drawOpened(),
    node: () => {
      const row = selectedRow();
      if (row !== null) (cursor = row), unfoldFor(row), reveal(row);
      showRuns();
      later();
    },
    rank: () => (showRuns(), later()),
    picked: () => (list.redraw(), sayCode()),
    outcome: () => (drawOutcomes(), showRuns(), later()),
    min_runs: () => (arrange(), later()),
  };
  // Several traits come at once: what they mean together is looked at once.
  let due = new Set();
  const listeners = Object.keys(heard).map((name) => {
    const hear = () => {
      if (!due.size) queueMicrotask(() => { const now = due; due = new Set(); if (now.has("rank")) now.delete(now.has("node") ? "rank" : ""); for (const one of now) guard(() => heard[/** @type {"node"} */ (one)]()); });
      due.add(name);
    };
    model.on(`change:${name}`, hear);
    return [`change:${name}`, hear];
  });

  let width = 0;
  const watcher = new ResizeObserver(() => {
    if (!root.clientWidth || root.clientWidth === width) return later();
    width = root.clientWidth;
    isDown = width < NARROW;
    root.classList.toggle("wb-co-down", isDown);
    root.classList.toggle("wb-co-wide", width >= WIDE);
    arrange();
    isNew = false;
    draw();
  });
  root.style.setProperty("--wb-co-side", `${SIDE}px`);
  drawOutcomes();
  watcher.observe(root);
  showRuns();
  guard(drawOpened);

  return () => {
    for (const [name, hear] of listeners) model.off(name, hear);
    watcher.disconnect();
    unpoint();
    cancelAnimationFrame(waiting);
    wire.close();
    mount.close();
  };
}

export default { render };
