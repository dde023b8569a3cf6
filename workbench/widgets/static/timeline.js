// @ts-check
// The browser half of Timeline: it draws, pans, zooms and filters by itself; the kernel sends finer levels of detail, finds,
// and gives the data of an event. See timeline.py.
// Long, because it is one closure over one state: view, tiles, selection, search. What needs no state is in _lib/timeline_*.js.
import { emptyState, fill, h, liveRegion, mountRoot, uniqueId } from "./_lib/dom.js";
import { formatInteger, formatTime } from "./_lib/format.js";
import { laneAt, laneOfTrack, layLanes, trackAt } from "./_lib/lanes.js";
import { firstFrom, hitItem, itemAt, labelOf, MATCHED, nextItem, profile, readItems, readTile } from "./_lib/lod.js";
import { oneLine, plainText } from "./_lib/text.js";
import { reducedMotion } from "./_lib/theme.js";
import { drawLegend, toolbar } from "./_lib/timeline_bar.js";
import { hoverCard } from "./_lib/timeline_card.js";
import { detailPane } from "./_lib/timeline_detail.js";
import { minimapPointer, stageKey, stagePointer } from "./_lib/timeline_input.js";
import { wheelHint } from "./_lib/timeline_hint.js";
import { timelineLook } from "./_lib/timeline_look.js";
import { cellBitmap, drawAxis, drawCells, drawGrid, drawItems, drawMinimap, drawOverlay, prepare } from "./_lib/timeline_paint.js";
import { eventWords, placeWords, sceneWords, stepWords, viewWords } from "./_lib/timeline_words.js";
import { clampView, fitView, narrowest, panBy, reveal, toT, toX, zoomAt } from "./_lib/timescale.js";
import { connectWire, NoKernelError, unpack } from "./_lib/wire.js";

const AXIS = 24;
const MINI = 40;
const NARROW = 640;
const REACH = 7; // px beside an event that still hit it
const HELP =
  "Arrow keys left and right move, plus and minus zoom, F shows everything, N and P go to the next and previous event, up and down to the lane above and below, Enter opens the event, slash searches, Escape clears.";

/** @param {{ model: any, el: HTMLElement, signal: AbortSignal }} context */
function render({ model, el }) {
  const mounted = mountRoot({ el, model, name: "timeline", label: "Timeline", themed: () => (readLook(), invalidate()) });
  const { root, guard } = mounted;
  let scene = model.get("_scene");
  if (!scene.n) {
    root.append(emptyState("No events", "This frame has no rows. Loosen its filters, or look at another run."));
    root.dataset.painted = "empty";
    return () => mounted.close();
  }
  const wire = connectWire(model, { gone: mounted.gone });

  // ---- state -----------------------------------------------------------------------------------------------------
  let look = /** @type {any} */ ({});
  let layout = layLanes(scene.lanes, model.get("height"));
  /** @type {[number, number]} */
  let view = model.get("viewport");
  let width = 600;
  let absolute = false;
  let brushing = false;
  let overview = readTile({ bins: 0 });
  let head = readItems({});
  /** @type {any} */
  let tile = null; // the kernel's newest answer, null until it comes
  let bitmaps = new Map();
  let miniProfile = { counts: new Float64Array(0), errors: new Uint8Array(0) };
  const hidden = { colors: new Set(), severities: new Set() };
  /** @type {{ text: string, n: number, starts: any, track: any, rows: Set<number>, row: any } | null} */
  let hits = null;
  /** @type {any} */ let hover = null;
  /** @type {any} */ let cursor = null;
  /** @type {any} */ let selected = null;
  /** @type {[number, number] | null} */ let range = null;
  let frames = 0;
  const least = () => narrowest(scene.unit);

  // ---- elements --------------------------------------------------------------------------------------------------
  const bar = toolbar({
    choices: scene.choices,
    on: {
      lanes: (v) => setTrait("lanes", v),
      colors: (v) => setTrait("colors", v),
      search: (text) => searchSoon(text),
      hit: (step) => guard(() => gotoHit(step)),
      zoom: (factor) => setView(zoomAt(view, factor, cursorInView() ?? (view[0] + view[1]) / 2, scene.span, least())),
      fit: () => setView(fitView(scene.span, least())),
      brush: () => setBrushing(!brushing),
      leave: () => stage.focus(),
    },
  });
  const legend = h("div", { class: "wb-tl-legend", role: "group", "aria-label": "Legend: click to hide or show" });
  const unit = h("button", { class: "wb-tl-unit", type: "button", on: { click: () => ((absolute = !absolute), sayUnit(), invalidate()) } });
  const axisCanvas = h("canvas", { "aria-hidden": "true" });
  const labels = h("div", { class: "wb-tl-labels", role: "group", "aria-label": "Lanes" });
  const canvas = h("canvas", { "aria-hidden": "true" });
  const overlay = h("canvas", { "aria-hidden": "true" });
  const helpId = uniqueId("help");
  const stage = h("div", { class: "wb-tl-stage", tabindex: "0", role: "application", "aria-roledescription": "timeline", "aria-describedby": helpId }, canvas, overlay);
  const scroll = h("div", { class: "wb-tl-scroll" }, labels, stage);
  const mini = h("canvas", { class: "wb-tl-mini", role: "img", "aria-label": "Overview of the whole axis; the outlined part is in view" });
  const card = hoverCard({ root, plot: () => plot, stage, wire });
  const hint = wheelHint();
  const live = liveRegion();
  const detail = detailPane({ wire, said: model.get("_said") ?? {}, onClose: () => (detail.hide(), stage.focus()), onStep: (d) => guard(() => step(d, true)) });
  const chosen = h("div", { class: "wb-tl-chosen" });
  const counted = h("span");
  const inView = h("span");
  const plot = h(
    "div",
    { class: "wb-tl-plot" },
    h("div", { class: "wb-tl-axis-row" }, unit, h("div", {}, axisCanvas)),
    scroll,
    h("div", { class: "wb-tl-mini-row" }, h("div", { class: "wb-tl-mini-label" }, "overview"), h("div", {}, mini)),
    card.el,
    hint.el,
  );
  const frame = h("div", { class: "wb-tl-frame" }, plot, detail.el);
  const status = h("div", { class: "wb-tl-status" }, counted, inView, chosen);
  root.append(bar.el, legend, frame, status, h("div", { class: "wb-sr", id: helpId }, HELP), live.el);

  // ---- theme and size ----------------------------------------------------------------------------------------------
  function readLook() {
    look = timelineLook(root, model.get("colors") === "severity");
    bitmaps = new Map();
    drawLegend(legend, scene, hidden, model.get("colors"), look.colors, filtered);
  }

  function resize() {
    root.classList.toggle("wb-narrow", root.clientWidth < NARROW);
    const room = stage.clientWidth;
    if (room > 0) width = room;
    invalidate();
  }

  // ---- the scene ---------------------------------------------------------------------------------------------------
  function readScene() {
    scene = model.get("_scene");
    layout = layLanes(scene.lanes, model.get("height"));
    const sent = unpack(model.get("_overview"));
    overview = readTile({ ...sent.facts, ...sent.arrays });
    const first = unpack(model.get("_head"));
    head = readItems({ ...first.facts, ...first.arrays });
    tile = null;
    bitmaps = new Map();
    hover = cursor = null;
    if (selected) selected = null;
    miniProfile = profile(overview.bins ? overview : { ...overview, items: scene.whole ? head : overview.items }, 240, scene.span);
    bar.lanes.value = model.get("lanes");
    bar.colors.value = model.get("colors");
    root.dataset.n = scene.n;
    stage.setAttribute("aria-label", `Timeline of ${formatInteger(scene.n)} events on ${scene.lanes.length} lanes`);
    drawLabels();
    fill(counted, sceneWords(scene));
    sayUnit();
    readLook();
    resize();
    ask();
  }

  function drawLabels() {
    const names = scene.lanes.map(([name]) => name);
    fill(
      labels,
      layout.lanes.map((lane, i) =>
        h(
          "button",
          {
            class: "wb-tl-lane", type: "button", style: { top: `${lane.y}px`, height: `${lane.h}px` }, "aria-pressed": "false", "data-lane": names[i],
            title: `${names[i]}: ${formatInteger(lane.n)} events, ${formatInteger(lane.errors)} errors. Click to select.`,
            on: { click: () => select({ kind: "lane", lane: names[i] }) },
          },
          h("span", { class: "wb-tl-lane-name" }, laneName(names[i])),
          lane.errors ? h("span", { class: "wb-tl-lane-errors" }, `▼${formatInteger(lane.errors)}`) : null,
          h("span", { class: "wb-tl-lane-count" }, formatInteger(lane.n)),
        ),
      ),
    );
    for (const el of [labels, stage]) el.style.height = `${layout.height}px`;
    scroll.style.maxHeight = `${model.get("height")}px`;
  }

  /** Ids of runs are long and differ at their end as much as at their start. @param {string} name */
  function laneName(name) {
    return model.get("lanes") === "execution" && /^[0-9a-f-]{36}$/.test(name) ? `${name.slice(0, 8)}…${name.slice(-4)}` : oneLine(name, 40);
  }

  // ---- drawing -----------------------------------------------------------------------------------------------------
  let asked = 0;
  function invalidate() {
    if (!asked) asked = requestAnimationFrame(() => ((asked = 0), guard(draw)));
  }

  const isShown = (/** @type {any} */ items) => (/** @type {number} */ i) =>
    !hidden.colors.has(scene.classes[items.color[i]]?.[0]) && !hidden.severities.has(scene.severities[items.severity[i]][0]);
  const isMatched = (/** @type {any} */ items) => (hits ? (/** @type {number} */ i) => (items.flags[i] & MATCHED) !== 0 || hits?.rows.has(items.row[i]) : null);

  /** The tiles to draw, the coarse first; with everything here there is one. */
  function layers() {
    if (scene.whole) return [{ complete: true, items: head, start: 0, end: scene.span }];
    return tile ? [overview, tile] : [overview];
  }

  function draw() {
    const about = { view, width, layout, look, axis: { unit: scene.unit, origin: scene.origin, absolute }, height: AXIS };
    const ctx = prepare(canvas, width, layout.height);
    drawGrid(ctx, about);
    for (const layer of layers()) {
      const covers = layer === tile;
      if (covers) {
        const x0 = toX(layer.start, view, width);
        ctx.save();
        ctx.beginPath();
        ctx.rect(x0, 0, toX(layer.end, view, width) - x0, layout.height);
        ctx.clip();
        ctx.clearRect(0, 0, width, layout.height);
        drawGrid(ctx, about);
      }
      if (!layer.complete) drawCells(ctx, about, bitmap(layer), layer);
      const items = layer.items;
      if (layer.complete || covers || !tile) drawItems(ctx, about, items, { shown: isShown(items), matched: isMatched(items) });
      if (covers) ctx.restore();
    }
    drawAxis(prepare(axisCanvas, width, AXIS), about);
    drawMap();
    drawOver();
    inView.textContent = viewWords(scene, view, absolute);
    frames++;
    const top = layers()[layers().length - 1];
    root.dataset.mode = top.complete ? "exact" : "cells";
    root.dataset.frames = String(frames);
    root.dataset.items = String(top.items.n);
    root.dataset.view = view.map((v) => v.toFixed(3)).join(" ");
    if (!root.dataset.painted) root.dataset.painted = String(performance.timeOrigin + performance.now());
  }

  function bitmap(/** @type {any} */ layer) {
    let made = bitmaps.get(layer);
    if (!made) {
      made = cellBitmap(layer, layout, look, (color) => !hidden.colors.has(scene.classes[color]?.[0]));
      bitmaps = new Map([...bitmaps].filter(([key]) => key === overview)).set(layer, made);
    }
    return made;
  }

  function drawOver() {
    const about = { view, width, layout, look };
    const cells = hits && !scene.whole ? hits : null;
    drawOverlay(prepare(overlay, width, layout.height), about, { hover, cursor, selected, range, hits: cells });
  }

  function drawMap() {
    drawMinimap(prepare(mini, width, MINI), { width, height: MINI, profile: miniProfile, hits, span: scene.span, view, whole: fitView(scene.span, least()), look });
  }

  // ---- the view ------------------------------------------------------------------------------------------------------
  const askView = wire.newest(
    "view",
    (answer) => {
      tile = readTile(answer);
      invalidate();
    },
    (error) => {
      if (!(error instanceof NoKernelError)) guard(() => { throw error; });
    },
    50,
  );
  function ask() {
    if (scene.whole || wire.offline) return;
    const margin = (view[1] - view[0]) * 0.1;
    askView({ start: view[0] - margin, end: view[1] + margin, width: Math.round(width * 1.2), hidden: hiddenNames() });
  }
  const hiddenNames = () => ({ colors: [...hidden.colors], severities: [...hidden.severities] });

  let saving = /** @type {any} */ (0);
  function setView(/** @type {[number, number]} */ next, tell = true) {
    view = clampView(next, scene.span, least());
    invalidate();
    ask();
    if (!tell) return;
    clearTimeout(saving);
    saving = setTimeout(saveView, 120);
  }
  function saveView() {
    model.set("viewport", [...view]);
    model.save_changes();
  }
  const cursorInView = () => (cursor && cursor.start >= view[0] && cursor.start <= view[1] ? cursor.start : null);

  /** Glide to a view; at once where motion is unwanted. @param {[number, number]} to */
  function glide(to) {
    if (reducedMotion()) return setView(to);
    const from = view;
    const begun = performance.now();
    const go = () => {
      const t = Math.min(1, (performance.now() - begun) / 160);
      const s = t * (2 - t);
      setView([from[0] + (to[0] - from[0]) * s, from[1] + (to[1] - from[1]) * s], t === 1);
      if (t < 1) requestAnimationFrame(go);
    };
    go();
  }

  function setTrait(/** @type {string} */ name, /** @type {any} */ value) {
    hidden.colors.clear();
    model.set(name, value);
    model.save_changes();
    if (wire.offline) live.say("Changing lanes and colours needs the kernel.");
  }

  function filtered() {
    readLook();
    invalidate();
    ask();
    const n = hidden.colors.size + hidden.severities.size;
    live.say(n ? `${n} kinds hidden` : "everything shown");
    if (hits && !wire.offline) search(hits.text);
  }

  // ---- finding events ------------------------------------------------------------------------------------------------
  /** What lies under the pointer among the events at hand. */
  function under(/** @type {number} */ x, /** @type {number} */ y) {
    const track = trackAt(layout, y);
    if (track < 0) return null;
    const reach = (REACH / width) * (view[1] - view[0]);
    for (const layer of layers().reverse()) {
      const i = hitItem(layer.items, track, toT(x, view, width), reach, isShown(layer.items));
      if (i >= 0) return itemAt(layer.items, i);
    }
    return null;
  }

  async function clickAt(/** @type {number} */ x, /** @type {number} */ y) {
    const item = under(x, y);
    if (item) return choose(item);
    const lane = layout.lanes[laneAt(layout, y)];
    const finest = layers()[layers().length - 1];
    if (!lane || finest.complete) return clear();
    const found = await one("near", { at: toT(x, view, width), first: lane.first, tracks: lane.rows });
    if (found) choose(found);
  }

  /** Ask the kernel for one event. @param {string} verb @param {any} args */
  async function one(verb, args) {
    const answer = await wire.request(verb, { ...args, hidden: hiddenNames() });
    return answer.found ? itemAt(readItems(answer), 0) : null;
  }

  async function step(/** @type {number} */ direction, open = false, matches = false) {
    const from = cursor ?? selected;
    let next = null;
    if (scene.whole || wire.offline) {
      const shown = isShown(head);
      const at = from ? head.row.indexOf(from.row) : firstFrom(head.start, direction > 0 ? view[0] : view[1]) - (direction > 0 ? 1 : 0);
      const wanted = matches && hits ? (/** @type {number} */ i) => shown(i) && !!hits?.rows.has(head.row[i]) : shown;
      const i = nextItem(head, at, direction, wanted);
      if (i >= 0) next = itemAt(head, i);
    } else {
      next = await one("step", { row: from ? from.row : null, direction, at: direction > 0 ? view[0] : view[1], matches });
    }
    if (!next) return live.say(stepWords(direction, matches, wire.offline && !scene.whole));
    goto(next);
    if (open || !detail.el.hidden) choose(next);
  }

  async function changeLane(/** @type {number} */ direction) {
    const at = cursor ?? selected;
    const from = at ? laneOfTrack(layout, at.track) : direction > 0 ? -1 : layout.lanes.length;
    const when = at ? at.start : (view[0] + view[1]) / 2;
    for (let i = from + direction; i >= 0 && i < layout.lanes.length; i += direction) {
      const lane = layout.lanes[i];
      const found = scene.whole || wire.offline ? nearest(lane, when) : await one("near", { at: when, first: lane.first, tracks: lane.rows });
      if (found) return goto(found);
    }
    live.say("no further lane");
  }

  function nearest(/** @type {any} */ lane, /** @type {number} */ when) {
    const shown = isShown(head);
    let best = -1;
    for (let i = 0; i < head.n; i++) {
      if (head.track[i] < lane.first || head.track[i] >= lane.first + lane.rows || !shown(i)) continue;
      if (best < 0 || Math.abs(head.start[i] - when) < Math.abs(head.start[best] - when)) best = i;
    }
    return best < 0 ? null : itemAt(head, best);
  }

  function goto(/** @type {any} */ item) {
    cursor = item;
    const to = reveal(view, item.start, item.end, scene.span, least());
    if (to[0] !== view[0]) glide(to);
    const lane = layout.lanes[laneOfTrack(layout, item.track)];
    if (lane) {
      const y = layout.tops[item.track];
      if (y < scroll.scrollTop || y + layout.row > scroll.scrollTop + scroll.clientHeight) scroll.scrollTop = Math.max(0, y - scroll.clientHeight / 2);
    }
    invalidate();
    live.say(describe(item).join(", "));
  }

  const when = (/** @type {number} */ t) => placeWords(scene, t, absolute);
  const describe = (/** @type {any} */ item) => Object.values(eventWords(scene, item, absolute)).filter((word) => word !== null);

  // ---- choosing ------------------------------------------------------------------------------------------------------
  function choose(/** @type {any} */ item) {
    cursor = selected = item;
    range = null;
    card.hide();
    select({ kind: "events", rows: [item.row] });
    guard(() => detail.show(item));
    live.say(`Selected: ${describe(item).join(", ")}`);
  }

  function select(/** @type {any} */ selection) {
    if (selection.kind !== "events") selected = null;
    if (selection.kind !== "range") range = null;
    model.set("selection", selection);
    model.save_changes();
    invalidate();
  }

  let choices = 0;
  async function showChosen() {
    const selection = model.get("selection") ?? {};
    root.dataset.selection = selection.kind ?? "";
    for (const button of labels.children) button.setAttribute("aria-pressed", String(selection.kind === "lane" && selection.lane === button.dataset.lane));
    if (!selection.kind) return fill(chosen);
    const what = selection.kind === "lane" ? `lane ${oneLine(selection.lane, 30)}` : selection.kind === "range" ? `${when(selection.start)} … ${when(selection.end)}` : "";
    if (wire.offline) return fill(chosen, h("span", {}, what || "1 event"));
    const mine = ++choices;
    try {
      // The selection goes along: the trait may reach the kernel after this request.
      const { code, n } = await wire.request("code", { selection });
      if (mine !== choices) return;
      const text = plainText(code);
      const copy = h("button", { class: "wb-button", type: "button", title: "Copy the Python that makes this selection", on: { click: () => copyText(copy, text) } }, "Copy code");
      fill(chosen, h("span", {}, `${formatInteger(n)} ${n === 1 ? "event" : "events"} selected${what && `, ${what}`}`), h("code", {}, text), copy);
    } catch (error) {
      fill(chosen, what);
      if (!(error instanceof NoKernelError)) guard(() => { throw error; });
    }
  }

  /** @param {HTMLElement} button @param {string} text */
  async function copyText(button, text) {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // No permission, or an insecure page: mark the code, so that the usual keys copy it.
      const code = chosen.querySelector("code");
      if (code) getSelection()?.selectAllChildren(code);
      button.textContent = "Press Ctrl+C";
    }
  }

  function clear() {
    if (!detail.el.hidden) detail.hide();
    selected = cursor = hover = null;
    range = null;
    card.hide();
    if (Object.keys(model.get("selection") ?? {}).length) select({});
    resize();
  }

  function setBrushing(/** @type {boolean} */ on) {
    brushing = on;
    bar.brush.setAttribute("aria-pressed", String(on));
    stage.style.cursor = on ? "col-resize" : "";
  }

  // ---- search --------------------------------------------------------------------------------------------------------
  let searchTimer = /** @type {any} */ (0);
  function searchSoon(/** @type {string} */ text) {
    clearTimeout(searchTimer);
    searchTimer = setTimeout(() => guard(() => search(text)), 200);
  }

  let searches = 0;
  async function search(/** @type {string} */ text) {
    const mine = ++searches;
    const wanted = text.trim();
    if (!wanted) {
      hits = null;
      bar.hits.textContent = "";
      if (!wire.offline) await wire.request("search", { text: "" });
    } else {
      const answer = wire.offline ? searchHere(wanted) : await wire.request("search", { text: wanted, hidden: hiddenNames() });
      if (mine !== searches) return;
      hits = { text: wanted, n: answer.n, starts: answer.starts, track: answer.track, row: answer.row, rows: new Set(answer.row) };
      bar.hits.textContent = `${formatInteger(answer.n)} ${answer.n === 1 ? "match" : "matches"}`;
      if (answer.n && !Array.from(hits.starts).some((t) => t >= view[0] && t <= view[1])) {
        cursor = null;
        await gotoHit(1, true);
      }
    }
    root.dataset.hits = hits ? String(hits.n) : "";
    invalidate();
    ask();
  }

  /** Without a kernel: what was sent. */
  function searchHere(/** @type {string} */ text) {
    const low = text.toLowerCase();
    const said = model.get("_said") ?? {};
    const at = [];
    for (let i = 0; i < head.n; i++) {
      const detail = said[String(head.row[i])];
      if (labelOf(head, i).toLowerCase().includes(low) || (detail && JSON.stringify(detail).toLowerCase().includes(low))) at.push(i);
    }
    return { n: at.length, starts: at.map((i) => head.start[i]), track: at.map((i) => head.track[i]), row: at.map((i) => head.row[i]) };
  }

  async function gotoHit(/** @type {number} */ direction, anywhere = false) {
    if (!hits?.n) return;
    if (anywhere && hits.row.length) cursor = null;
    await step(direction, false, true);
    if (anywhere && !cursor) await step(-direction, false, true);
  }

  // ---- the hover card ------------------------------------------------------------------------------------------------
  function hoverAt(/** @type {number} */ x, /** @type {number} */ y) {
    const item = under(x, y);
    stage.classList.toggle("wb-on-item", !!item);
    if (item?.row !== hover?.row) ((hover = item), drawOver());
    if (item) return card.showItem(scene, item, absolute, x, y);
    const lane = layout.lanes[laneAt(layout, y)];
    const top = layers()[layers().length - 1];
    const bin = top.complete ? -1 : Math.floor(((toT(x, view, width) - top.start) / (top.end - top.start)) * top.bins);
    const track = trackAt(layout, y);
    const cell = track * (top.bins ?? 0) + bin;
    if (!lane || track < 0 || bin < 0 || bin >= top.bins || !top.count[cell]) return leaveCard();
    const edge = (/** @type {number} */ i) => top.start + (i / top.bins) * (top.end - top.start);
    const about = { from: edge(bin), to: edge(bin + 1), n: top.count[cell], errors: top.errors[cell], first: lane.first, tracks: lane.rows, hidden: hiddenNames() };
    card.showCell(scene, about, absolute, x, y);
  }

  function leaveCard() {
    card.hide();
    stage.classList.remove("wb-on-item");
    if (hover) ((hover = null), drawOver());
  }

  // ---- words ---------------------------------------------------------------------------------------------------------
  function sayUnit() {
    unit.textContent = scene.unit === "steps" ? "steps" : absolute ? "UTC" : "since start";
    unit.disabled = scene.unit === "steps";
    unit.title = scene.unit === "steps" ? "The source has no times" : `Starts ${formatTime(scene.origin)}. Click for ${absolute ? "time since the start" : "time of day, UTC"}.`;
  }

  // ---- input ---------------------------------------------------------------------------------------------------------
  const perPixel = () => (view[1] - view[0]) / width;
  stagePointer(stage, {
    brushing: () => brushing,
    focused: () => document.activeElement === stage,
    pan: (dx) => setView(panBy(view, -dx * perPixel(), scene.span, least())),
    brush: (x0, x1, done) => {
      const ends = [x0, x1].map((x) => Math.min(Math.max(0, x), width)).sort((a, b) => a - b);
      range = [toT(ends[0], view, width), toT(ends[1], view, width)];
      if (!done) return drawOver();
      selected = null;
      detail.hide();
      select({ kind: "range", start: range[0], end: range[1], hidden: hiddenNames() });
      live.say(`Selected from ${when(range[0])} to ${when(range[1])}`);
    },
    click: (x, y) => guard(() => clickAt(x, y)),
    double: (x) => glide(zoomAt(view, 0.25, toT(x, view, width), scene.span, least())),
    hover: hoverAt,
    leave: leaveCard,
    passed: hint.show,
    wheel: (kind, amount, x) => {
      leaveCard();
      if (kind === "pan") setView(panBy(view, amount * perPixel(), scene.span, least()));
      else setView(zoomAt(view, Math.exp(Math.max(-240, Math.min(240, amount)) * 0.0022), toT(x, view, width), scene.span, least()));
    },
  });
  stage.addEventListener("focus", hint.hide);
  minimapPointer(mini, {
    edges: () => {
      const whole = fitView(scene.span, least());
      return [toX(view[0], whole, width), toX(view[1], whole, width)];
    },
    move: (x0, x1) => {
      const whole = fitView(scene.span, least());
      setView([toT(x0, whole, width), toT(x1, whole, width)]);
    },
  });
  const actions = {
    pan: (share) => glide(panBy(view, share * (view[1] - view[0]), scene.span, least())),
    zoom: (factor) => glide(zoomAt(view, factor, cursorInView() ?? (view[0] + view[1]) / 2, scene.span, least())),
    edge: (which) => {
      const w = view[1] - view[0];
      glide(clampView(which === "start" ? [-0.02 * w, 0.98 * w] : [scene.span - 0.98 * w, scene.span + 0.02 * w], scene.span, least()));
    },
    fit: () => glide(fitView(scene.span, least())),
    lane: (direction) => guard(() => changeLane(direction)),
    step: (direction) => guard(() => step(direction)),
    open: () => (cursor ? choose(cursor) : guard(() => step(1, true))),
    clear,
    search: () => bar.search.focus(),
  };
  root.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target !== stage && !(event.key === "Escape" && detail.el.contains(target))) return;
    const meant = stageKey(event);
    if (!meant) return;
    event.preventDefault();
    event.stopPropagation();
    actions[meant[0]](meant[1]);
    if (meant[0] === "clear") stage.focus();
  });

  // ---- the model -----------------------------------------------------------------------------------------------------
  const onScene = () => guard(readScene);
  const onView = () => {
    const told = model.get("viewport");
    if (told[0] !== view[0] || told[1] !== view[1]) ((view = told), invalidate(), ask());
  };
  const onSelection = () => {
    // Another view of the same widget, or Python, may have chosen.
    const told = model.get("selection") ?? {};
    range = told.kind === "range" ? [told.start, told.end] : null;
    if (told.kind !== "events" || told.rows?.[0] !== selected?.row) selected = null;
    invalidate();
    guard(showChosen);
  };
  model.on("change:_head", onScene);
  model.on("change:viewport", onView);
  model.on("change:selection", onSelection);
  let lastWidth = 0;
  const watcher = new ResizeObserver(() => {
    if (stage.clientWidth === lastWidth) return;
    // A host may render before it attaches the element: only then are there colours and a size.
    if (lastWidth === 0) readLook();
    lastWidth = stage.clientWidth;
    resize();
    ask();
  });
  for (const watched of [root, stage]) watcher.observe(watched);
  readScene();
  if (view[0] === 0 && view[1] === scene.span) view = fitView(scene.span, least());
  onSelection();

  return () => {
    watcher.disconnect();
    model.off("change:_head", onScene);
    model.off("change:viewport", onView);
    model.off("change:selection", onSelection);
    clearTimeout(saving);
    clearTimeout(searchTimer);
    if (asked) cancelAnimationFrame(asked);
    askView.close();
    card.close();
    hint.hide();
    wire.close();
    mounted.close();
  };
}

export default { render };
