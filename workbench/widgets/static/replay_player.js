// @ts-check
// The browser half of ReplayPlayer: it draws the steps, plays and jumps by itself; the kernel gives the state and the event
// of a step, a part at a time, and writes notes and branches. See replay_player.py.
// Long, because it is one closure over one position. What needs no state is in _lib/.
import { fill, h, liveRegion, mountRoot, uniqueId } from "./_lib/dom.js";
import { eventDetail } from "./_lib/event_detail.js";
import { formatInteger } from "./_lib/format.js";
import { REPLAY_KEYS, replayKey } from "./_lib/replay_keys.js";
import { leavePanel } from "./_lib/replay_leave.js";
import { branchesPane, messagesPane, notesPane, originPane } from "./_lib/replay_side.js";
import { changedWords, nowhereWords, placeOfStep } from "./_lib/replay_words.js";
import { fitsWhole, lensAt, nextFlagged, nextPlace, placeAt, placeOfNumber, readSteps, STEP_ABANDONED, STEP_CALL, STEP_ERROR, STEP_SHARED, STEP_WARNING, stripColumns } from "./_lib/scrubber.js";
import { drawLens, drawLensFrame, drawStrip, markSign, STRIP_HEIGHT } from "./_lib/scrubber_paint.js";
import { CHANGE_SIGNS, stateTree, valueLine } from "./_lib/state_tree.js";
import { svg } from "./_lib/status.js";
import { oneLine } from "./_lib/text.js";
import { timelineLook } from "./_lib/timeline_look.js";
import { prepare } from "./_lib/timeline_paint.js";
import { pointerWords } from "./_lib/tree_rows.js";
import { connectWire, NoKernelError } from "./_lib/wire.js";

const NARROW = 700;
const TABS = ["step", "messages", "notes", "branches"];
const TAB_WORDS = { step: "Step", messages: "Messages", notes: "Notes", branches: "Branches" };
const CHANGES_SHOWN = 6;
const SPOKEN = "Space plays, arrow keys left and right step, E goes to the next error, T to the next tool call, C to the next change, question mark lists all keys.";

/** @param {{ model: any, el: HTMLElement }} context */
function render({ model, el }) {
  const mounted = mountRoot({ el, model, name: "replay-player", label: "Replay player", themed: () => (readLook(), invalidate()) });
  const { root, guard } = mounted;
  const wire = connectWire(model, { gone: mounted.gone });

  // ---- state -----------------------------------------------------------------------------------------------------
  let scene = model.get("_scene");
  let steps = readSteps(model.get("_steps"));
  let position = model.get("position");
  let tab = model.get("tab");
  let marks = model.get("_marks");
  let columns = stripColumns(steps, 600);
  let look = /** @type {any} */ ({});
  let width = 600;
  let lens = /** @type {{ first: number, count: number, cell: number } | null} */ (null);
  let hover = -1;
  let playing = /** @type {any} */ (0);
  /** @type {any} */ let answer = null; // what is shown of a step
  /** @type {Map<string, number[]>} */ const changes = new Map(); // watched pointer → positions
  let hits = { hits: /** @type {any[]} */ ([]), n: 0, is_whole: true };
  let hit = -1;

  // ---- elements --------------------------------------------------------------------------------------------------
  const button = (/** @type {any} */ text, /** @type {string} */ label, /** @type {() => void} */ click, more = {}) =>
    h("button", { class: "wb-button wb-rp-button", type: "button", title: label, "aria-label": label, on: { click: () => guard(click) }, ...more }, text);
  const play = button("▶", "Play (space)", () => togglePlay(), { "data-do": "play" });
  const number = h("input", { class: "wb-input wb-rp-number", type: "text", inputmode: "numeric", "aria-label": "Step number", title: "Type the number of a step, Enter goes there" });
  const total = h("span", { class: "wb-muted wb-small wb-rp-total" });
  const speed = h("select", { class: "wb-select", "aria-label": "Speed", title: "Steps per second" }, scene.speeds.map((/** @type {number} */ one) => h("option", { value: String(one) }, `${one}/s`)));
  const jump = (/** @type {string} */ what, /** @type {string} */ sign, /** @type {string} */ words, /** @type {string} */ key) =>
    h("span", { class: "wb-rp-jump", role: "group", "aria-label": words },
      button("‹", `Previous ${words} (${key.toUpperCase()})`, () => go({ [what]: -1 }), { "data-do": `${what}-back` }),
      h("span", { class: "wb-rp-jump-name" }, h("span", { class: `wb-rp-jump-sign wb-rp-sign-${what}`, "aria-hidden": "true" }, sign), words.split(",")[0]),
      button("›", `Next ${words} (${key})`, () => go({ [what]: 1 }), { "data-do": what }));
  const kernelOnly = wire.offline ? { disabled: true } : {};
  const pin = button("● Pin", "Pin this step (p)", () => togglePin(), { ...kernelOnly, "aria-pressed": "false", "data-do": "pin" });
  const bar = h(
    "div",
    { class: "wb-toolbar wb-rp-bar-top", role: "toolbar", "aria-label": "Replay" },
    h("span", { class: "wb-rp-group" }, button("|◂", "First step (Home)", () => moveTo(0), { "data-do": "first" }), button("◂", "One step back (←)", () => moveTo(position - 1), { "data-do": "back" }), play,
      button("▸", "One step on (→)", () => moveTo(position + 1), { "data-do": "on" }), button("▸|", "Last step (End)", () => moveTo(steps.n - 1), { "data-do": "last" }), speed),
    h("label", { class: "wb-rp-group wb-small wb-muted" }, "step ", number, total),
    h("span", { class: "wb-rp-group wb-rp-jumps" }, jump("error", "▼", "error", "e"), jump("call", "■", "tool call", "t"), jump("change", "≠", "change", "c"), jump("mark", "◆", "mark, note or fork", "m")),
    h("span", { class: "wb-spacer" }),
    h("span", { class: "wb-rp-group" }, pin, button("✎ Note", "Write a note on this step (n)", () => write("note"), { ...kernelOnly, "data-do": "note" }), button([forkIcon(), " Fork"], "Fork from here (f)", () => leave.open("fork"), { ...kernelOnly, "data-do": "fork" }),
      button("↶ Go back", "Make this step the head; what comes after stays (r)", () => leave.open("rollback"), { ...kernelOnly, "data-do": "rollback" }),
      button("↻", "Read the run again", refresh, { ...kernelOnly, "data-do": "refresh" }), button("?", "Keys (?)", () => toggleHelp(), { "data-do": "help", "aria-expanded": "false" })),
  );
  const helpId = uniqueId("replay-keys");
  const help = h("dl", { class: "wb-rp-panel wb-rp-keys", hidden: true }, REPLAY_KEYS.map(([keys, words]) => [h("dt", {}, keys), h("dd", {}, words)]));
  const strip = h("canvas", { "aria-hidden": "true" });
  const near = h("canvas", { "aria-hidden": "true" });
  const slider = h("div", { class: "wb-rp-slider", role: "slider", tabindex: "0", "aria-label": "Step", "aria-describedby": helpId, "aria-valuemin": "1" },
    h("div", { class: "wb-rp-strip", "data-strip": "all" }, strip), h("div", { class: "wb-rp-strip", "data-strip": "lens" }, near));
  const legend = h("div", { class: "wb-rp-legend wb-small wb-muted" });
  const here = h("div", { class: "wb-rp-heading" });
  const live = liveRegion();

  const tree = stateTree({
    wire, guard, ask: () => askPages({ position, pages: tree.wanted() }), watched: () => model.get("watched"), say: live.say,
    on: { watch: toggleWatch, origin: (pointer) => guard(() => askOrigin(pointer)), edit: (pointer) => guard(() => edit(pointer)) },
  });
  const search = h("input", { class: "wb-input", type: "search", placeholder: "Search the state (/)", "aria-label": "Search keys and values of the state" });
  const found = h("span", { class: "wb-small wb-muted wb-rp-found", role: "status" });
  const derived = h("span", { class: "wb-rp-tag", hidden: true, title: "The source records no state: this one was made from the conversation" }, "rebuilt from the conversation");
  const changeTitle = h("div", { class: "wb-rp-change-title" });
  const changeList = h("div", { class: "wb-rp-changes" });
  const watchList = h("div", { class: "wb-rp-watches" });
  const problem = h("div", { class: "wb-rp-problem", role: "alert", hidden: true });
  const statePart = h(
    "section",
    { class: "wb-rp-state", "aria-label": "State" },
    h("div", { class: "wb-rp-pane-head" }, h("h3", { class: "wb-rp-title" }, "State"), derived, h("span", { class: "wb-rp-search", role: "search" }, search, button("↑", "Previous match (shift+Enter)", () => gotoHit(-1)), button("↓", "Next match (Enter)", () => gotoHit(1)), found)),
    watchList, changeTitle, changeList, problem, tree.el,
  );

  const notes = notesPane({
    offline: wire.offline,
    on: { add: (kind, text) => asked("note", { position, kind, text }), edit: (note, text) => asked("edit_note", { note, text }), remove: (note) => guard(() => asked("remove_note", { note })), go: (place) => moveTo(place) },
  });
  const branches = branchesPane({ offline: wire.offline, on: { choose: (run) => guard(() => changeBranch(run)) } });
  const messages = messagesPane({ wire, on: { go: (step) => moveTo(placeOfNumber(steps, step)) } });
  const origin = originPane({ on: { go: (place) => moveTo(place), close: () => ((origin.el.hidden = true), slider.focus()) } });
  const leave = leavePanel({
    wire, guard,
    at: () => ({ position, step: steps.number[position], last: steps.number[steps.n - 1], after: steps.n - 1 - position }),
    done: (what) => (live.say(what === "fork" ? "Forked: the new branch is shown." : "Went back: the new head is shown."), setTab("branches"), slider.focus()),
    closed: () => slider.focus(),
  });
  const panels = Object.fromEntries(TABS.map((name) => [name, h("div", { class: "wb-rp-panel-body", role: "tabpanel", id: uniqueId(name), tabindex: "-1", "aria-label": TAB_WORDS[name], "data-panel": name })]));
  panels.notes.append(notes.el);
  panels.branches.append(branches.el);
  panels.messages.append(messages.el);
  const tabs = Object.fromEntries(TABS.map((name) => [name, h("button", { class: "wb-rp-tab", type: "button", role: "tab", "aria-controls": panels[name].id, "data-tab": name, on: { click: () => setTab(name) } }, TAB_WORDS[name])]));
  const tabBar = h("div", { class: "wb-rp-tabs wb-rp-pane-head", role: "tablist", "aria-label": "What to see of the step" }, TABS.map((name) => tabs[name]));
  const side = h("section", { class: "wb-rp-side", "aria-label": "Step" }, tabBar, TABS.map((name) => panels[name]));
  const status = h("div", { class: "wb-rp-status wb-small" });
  root.append(bar, slider, legend, help, leave.el, origin.el, here, h("div", { class: "wb-rp-panes" }, statePart, side), status, h("div", { class: "wb-sr", id: helpId }, SPOKEN), live.el);

  // ---- looks -----------------------------------------------------------------------------------------------------
  function readLook() {
    look = timelineLook(root, false);
    drawLegend();
  }

  function resize() {
    root.classList.toggle("wb-narrow", root.clientWidth < NARROW);
    if (slider.clientWidth > 0) width = slider.clientWidth;
    columns = stripColumns(steps, width);
    invalidate();
  }

  function readScene() {
    scene = model.get("_scene");
    steps = readSteps(model.get("_steps"));
    position = Math.min(position, steps.n - 1);
    lens = null;
    changes.clear();
    notes.read(steps);
    root.dataset.n = String(steps.n);
    root.dataset.run = scene.run;
    total.textContent = `of ${formatInteger(steps.number[steps.n - 1])}`;
    slider.setAttribute("aria-valuemax", String(steps.n));
    resize();
    drawLegend();
    for (const path of model.get("watched")) guard(() => askChanges(path));
  }

  function drawLegend() {
    const seen = new Map();
    let any = 0;
    for (let i = 0; i < steps.n; i++) {
      seen.set(steps.kind[i], (seen.get(steps.kind[i]) ?? 0) + 1);
      any |= steps.flags[i];
    }
    const kinds = [...seen].sort((a, b) => a[0] - b[0]).map(([kind, n]) =>
      h("span", { class: "wb-rp-key" }, h("span", { class: "wb-swatch", style: { background: look.colors?.[kind % 8] ?? "" } }), `${scene.kinds[kind].replace("_", " ")} ${formatInteger(n)}`));
    const signs = [
      [any & STEP_ERROR, "▼ error", "wb-severity-error"], [any & STEP_WARNING, "● warning", "wb-severity-warning"],
      ...["checkpoint", "pin", "note"].map((kind) => [marks.notes.some((/** @type {any} */ one) => one.kind === kind), `${markSign(kind)} ${kind}`, ""]),
      [marks.forks.length, [forkIcon(), "fork"], "wb-rp-fork-sign"],
    ].filter(([is]) => is).map(([, text, kind]) => h("span", { class: `wb-rp-key ${kind}` }, text));
    fill(legend, kinds, signs,
      any & STEP_SHARED ? h("span", { class: "wb-rp-key" }, h("span", { class: "wb-swatch wb-rp-pale" }), "shared with the run it left") : null,
      any & STEP_ABANDONED ? h("span", { class: "wb-rp-key" }, h("span", { class: "wb-swatch wb-rp-left" }), "abandoned") : null);
  }

  // ---- drawing -----------------------------------------------------------------------------------------------------
  let drawing = 0;
  let frames = 0;
  function invalidate() {
    if (!drawing) drawing = requestAnimationFrame(() => ((drawing = 0), guard(draw)));
  }

  const allMarks = () => [...marks.notes, ...marks.forks.map((/** @type {any} */ one) => ({ ...one, kind: "fork" }))];
  const watchedChanges = () => new Set([...changes].filter(([path]) => model.get("watched").includes(path)).flatMap(([, places]) => places));

  function draw() {
    const isWhole = fitsWhole(steps.n, width);
    lens = isWhole ? null : lensAt(lens?.first ?? null, position, steps.n, width);
    near.parentElement.hidden = isWhole;
    const about = { width, steps, columns, marks: allMarks(), changes: watchedChanges(), position, look, hover: -1 };
    const ctx = prepare(strip, width, STRIP_HEIGHT);
    if (lens) drawLensFrame(ctx, lens, steps.n, width, look);
    drawStrip(ctx, { ...about, hover: lens ? -1 : hover });
    if (lens) drawLens(prepare(near, width, STRIP_HEIGHT), { ...about, lens, hover });
    frames++;
    root.dataset.frames = String(frames);
    root.dataset.lens = lens ? `${lens.first} ${lens.count}` : "";
    root.dataset.painted = "yes";
  }

  function say() {
    const name = answer?.position === position ? answer.detail?.fields?.name ?? "" : "";
    const words = placeOfStep(steps, position, scene.kinds, name);
    slider.setAttribute("aria-valuenow", String(position + 1));
    slider.setAttribute("aria-valuetext", words);
    fill(here, words);
    root.dataset.position = String(position);
    if (document.activeElement !== number) number.value = String(steps.number[position]);
    const isPinned = pinHere() !== undefined;
    pin.setAttribute("aria-pressed", String(isPinned));
    sayCode();
  }

  function sayCode() {
    const path = [`bench.replay('${scene.run}')`, `position=${position}`, tab === "step" ? "" : `tab='${tab}'`].filter(Boolean);
    const watched = model.get("watched");
    if (watched.length) path.push(`watched=[${watched.map((/** @type {string} */ one) => pythonText(one)).join(", ")}]`);
    const code = `workbench.ReplayPlayer(${path.join(", ")})`;
    if (status.dataset.code === code) return;
    status.dataset.code = code;
    const copy = h("button", { class: "wb-button wb-rp-small", type: "button", title: "Copy the Python that makes this view", on: { click: () => navigator.clipboard?.writeText(code).then(() => live.say("Copied"), () => live.say("The browser does not let this page copy.")) } }, "Copy");
    fill(status, h("code", {}, code), copy);
  }

  // ---- moving ------------------------------------------------------------------------------------------------------
  // Answers on the way of a drag are shown, but none after a later one.
  const turns = new WeakMap();
  let turn = 0;
  let shownTurn = 0;
  const askNewest = wire.newest("step", (/** @type {any} */ got, /** @type {any} */ args) => args.run === scene.run && turns.get(args) >= shownTurn && ((shownTurn = turns.get(args)), show(got)), failed, 40);
  function askStep() {
    const args = { position, pages: tree.wanted(), run: scene.run };
    turns.set(args, ++turn);
    askNewest(args);
  }
  const askPages = wire.newest("pages", (/** @type {any} */ got) => tree.add(got), failed, 40);
  const askMessages = wire.newest("messages", (/** @type {any} */ got) => got.position === position && messages.show(got), failed, 120);
  function failed(/** @type {Error} */ error) {
    if (!(error instanceof NoKernelError)) return void guard(() => { throw error; });
    statePart.classList.remove("wb-stale");
    if (error.constructor === NoKernelError) tell(error.message);
  }

  /** A sentence where a person looks, and for a screen reader. @param {string} text */
  function tell(text) {
    live.say(text);
    fill(found, hits.n ? found.textContent : "");
    fill(here, placeOfStep(steps, position, scene.kinds), h("span", { class: "wb-rp-told" }, ` ${text}`));
  }

  /** @param {number} to @param {{ save?: boolean, quiet?: boolean }} [how] */
  function moveTo(to, { save = true, quiet = false } = {}) {
    const next = Math.min(steps.n - 1, Math.max(0, to));
    const moved = next !== position;
    position = next;
    invalidate();
    say();
    if (!moved && answer?.position === position) return;
    lookAt();
    leave.moved();
    if (tab === "notes") notes.draw(marks.notes, position);
    if (tab === "branches") branches.move(steps.number[position]);
    if (save) saveSoon();
    if (!quiet && !playing) live.say(slider.getAttribute("aria-valuetext") ?? "");
  }

  function lookAt() {
    const said = model.get("_said")?.[String(position)];
    const isEnough = said && Object.keys(tree.wanted()).every((pointer) => said.nodes[pointer]) && model.get("watched").every((/** @type {string} */ path) => path in said.watched);
    if (said && (isEnough || wire.offline)) return (shownTurn = ++turn), show(said);
    if (wire.offline) return void (fill(panels.step, h("p", { class: "wb-muted" }, "This step was not saved in this page.")), tree.show({ position, root: ["null", 0, ""], nodes: {}, changes: [] }), fill(changeTitle, "The state of this step is in the kernel."), fill(changeList));
    statePart.classList.add("wb-stale");
    askStep();
    if (tab === "messages") askMessages({ position });
  }

  let saving = /** @type {any} */ (0);
  let savedAt = 0;
  function saveSoon() {
    if (saving) return;
    // At most four times a second: the kernel hears where the player is, not every step on the way.
    saving = setTimeout(() => {
      saving = 0;
      savedAt = performance.now();
      if (model.get("position") === position) return;
      model.set("position", position);
      model.save_changes();
    }, Math.max(60, savedAt + 250 - performance.now()));
  }

  /** Jump to the next or previous of a kind. @param {Record<string, number>} what */
  async function go(what) {
    const [[kind, direction]] = Object.entries(what);
    let to = -1;
    let words = "";
    if (kind === "error") [to, words] = [nextFlagged(steps, position, direction, STEP_ERROR), "error"];
    else if (kind === "call") [to, words] = [nextFlagged(steps, position, direction, STEP_CALL), "tool call"];
    else if (kind === "mark") [to, words] = [nextPlace(allMarks().map((one) => one.position), position, direction), "note, pin, checkpoint or fork"];
    else {
      if (wire.offline) return tell("Finding changes needs the kernel.");
      const watched = model.get("watched");
      const paths = watched.length ? watched : [""];
      for (const path of paths) await askChanges(path);
      to = nextPlace(paths.flatMap((/** @type {string} */ path) => changes.get(path) ?? []), position, direction);
      words = watched.length ? "change of a watched value" : "change of the state";
    }
    if (to < 0) return tell(nowhereWords(words, direction));
    moveTo(to);
  }

  async function askChanges(/** @type {string} */ path) {
    if (changes.has(path) || wire.offline) return;
    const run = scene.run;
    const got = await wire.request("changes", { path });
    if (run !== scene.run) return;
    changes.set(path, got.positions);
    drawWatched();
    invalidate();
  }

  // ---- playing -----------------------------------------------------------------------------------------------------
  function togglePlay() {
    if (playing) return pause();
    if (position >= steps.n - 1) moveTo(0);
    sayPlay(true);
    const tick = () => {
      if (position >= steps.n - 1) return pause();
      moveTo(position + 1, { quiet: true });
      playing = setTimeout(tick, 1000 / model.get("speed"));
    };
    playing = setTimeout(tick, 1000 / model.get("speed"));
    live.say("Playing");
  }

  function pause() {
    clearTimeout(playing);
    if (!playing) return;
    playing = 0;
    sayPlay(false);
    saveSoon();
    live.say(`Paused, ${slider.getAttribute("aria-valuetext")}`);
  }

  function sayPlay(/** @type {boolean} */ on) {
    play.textContent = on ? "❚❚" : "▶";
    for (const [name, text] of [["title", on ? "Pause (space)" : "Play (space)"], ["aria-label", on ? "Pause (space)" : "Play (space)"]]) play.setAttribute(name, text);
    play.setAttribute("aria-pressed", String(on));
    root.dataset.playing = String(on);
  }

  // ---- a step ------------------------------------------------------------------------------------------------------
  /** @param {any} got */
  function show(got) {
    answer = got;
    statePart.classList.remove("wb-stale");
    problem.hidden = !got.problem;
    problem.textContent = got.problem ?? "";
    derived.hidden = !got.is_derived;
    tree.show(got);
    drawChanges();
    drawWatched();
    drawStep();
    say();
    if (hits.hits.length && search.value.trim()) searchSoon();
    if (tab === "messages" && !wire.offline && messages.position !== position) askMessages({ position });
    root.dataset.shown = String(got.position);
    root.dataset.shownCount = String(Number(root.dataset.shownCount ?? 0) + 1);
  }

  function drawStep() {
    const detail = answer?.detail;
    fill(panels.step, detail ? eventDetail(detail, { wire, row: answer.position }) : h("p", { class: "wb-muted" }, "Of this step there is a state and no event."));
  }

  let allChanges = false;
  function drawChanges() {
    const list = answer.changes ?? [];
    fill(changeTitle, changedWords(list.length, answer.has_more_changes, !(answer.root[0] === "null" && !list.length && !answer.problem)));
    const shown = allChanges ? list : list.slice(0, CHANGES_SHOWN);
    fill(changeList, shown.map((/** @type {any} */ one) =>
      h("button", { class: `wb-rp-change wb-rp-${one.kind}`, type: "button", "data-change": one.pointer, title: "Show it in the tree", on: { click: () => tree.reveal(one.kind === "removed" ? one.pointer.slice(0, one.pointer.lastIndexOf("/")) : one.pointer) } },
        h("span", { class: "wb-rp-sign", "aria-label": one.kind }, CHANGE_SIGNS[one.kind]), h("span", { class: "wb-rp-change-path" }, oneLine(pointerWords(one.pointer), 80)),
        h("span", { class: "wb-rp-change-values" }, one.before ? valueLine(one.before, 60) : null, one.before && one.after ? " → " : null, one.after ? valueLine(one.after, 60) : null))),
      list.length > CHANGES_SHOWN ? h("button", { class: "wb-more", type: "button", on: { click: () => ((allChanges = !allChanges), drawChanges()) } }, allChanges ? "fewer" : `all ${formatInteger(list.length)}`) : null);
  }

  function drawWatched() {
    const watched = model.get("watched");
    watchList.hidden = !watched.length;
    fill(watchList, watched.map((/** @type {string} */ path) => {
      const places = changes.get(path);
      const isChanged = places?.includes(position);
      const step = (/** @type {number} */ direction) => () => guard(async () => {
        await askChanges(path);
        const to = nextPlace(changes.get(path) ?? [], position, direction);
        to < 0 ? tell(nowhereWords(`change of ${pointerWords(path)}`, direction)) : moveTo(to);
      });
      return h("div", { class: `wb-rp-watch${isChanged ? " wb-rp-changed" : ""}`, "data-watch": path },
        h("span", { class: "wb-rp-change-path" }, oneLine(pointerWords(path), 60)), h("span", { class: "wb-rp-watch-value" }, valueLine(answer?.watched?.[path] ?? null, 60)),
        h("span", { class: "wb-muted wb-small wb-rp-watch-n" }, places ? `${formatInteger(places.length)} ${places.length === 1 ? "change" : "changes"}` : ""),
        button("‹", `Previous change of ${pointerWords(path)}`, step(-1)), button("›", `Next change of ${pointerWords(path)}`, step(1)), button("×", `Watch ${pointerWords(path)} no longer`, () => toggleWatch(path)));
    }));
  }

  function toggleWatch(/** @type {string} */ pointer) {
    const watched = model.get("watched");
    const is = watched.includes(pointer);
    if (!is && watched.length >= 20) return tell("Twenty values are watched; take one away first.");
    model.set("watched", is ? watched.filter((/** @type {string} */ one) => one !== pointer) : [...watched, pointer]);
    model.save_changes();
    live.say(is ? `${pointerWords(pointer)} is watched no longer` : `Watching ${pointerWords(pointer)}`);
  }

  async function askOrigin(/** @type {string} */ pointer) {
    origin.wait(pointer);
    origin.show(await wire.request("origin", { position, path: pointer }));
  }

  async function edit(/** @type {string} */ pointer) {
    pause();
    await leave.edit(pointer);
  }

  // ---- searching -----------------------------------------------------------------------------------------------------
  let searching = /** @type {any} */ (0);
  const askFind = wire.newest("find", (/** @type {any} */ got, /** @type {any} */ args) => {
    if (args.position !== position || args.text !== search.value.trim()) return;
    hits = got;
    tree.mark(got.hits.map((/** @type {any} */ one) => one.pointer));
    if (args.text !== found.dataset.text) hit = -1;
    found.dataset.text = args.text;
    sayHits();
    if (hit < 0 && got.hits.length && document.activeElement === search) gotoHit(1);
  }, failed, 150);
  function searchSoon() {
    clearTimeout(searching);
    const text = search.value.trim();
    if (text) return void (searching = setTimeout(() => (wire.offline ? tell("Searching the state needs the kernel.") : askFind({ position, text })), 120));
    hits = { hits: [], n: 0, is_whole: true };
    hit = -1;
    fill(found);
    delete found.dataset.text;
    tree.mark([]);
  }
  function sayHits() {
    const place = hit >= 0 ? `${formatInteger(hit + 1)} of ` : "";
    fill(found, search.value.trim() ? `${place}${formatInteger(hits.n)}${hits.is_whole ? "" : "+"} ${hits.n === 1 ? "match" : "matches"}` : "");
    root.dataset.hits = String(hits.n);
  }
  function gotoHit(/** @type {number} */ direction) {
    if (!hits.hits.length) return;
    hit = (hit + direction + hits.hits.length) % hits.hits.length;
    if (hit < 0) hit = hits.hits.length - 1;
    sayHits();
    const one = hits.hits[hit];
    tree.reveal(one.pointer, one.pages);
  }
  search.addEventListener("input", searchSoon);
  search.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter") gotoHit(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") ((search.value = ""), searchSoon(), slider.focus());
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  // ---- notes and branches ----------------------------------------------------------------------------------------------
  /** Ask for a change; what is wrong with it is shown. @param {string} verb @param {any} args @returns {Promise<boolean>} */
  async function asked(verb, args) {
    try {
      const got = await wire.request(verb, args);
      if (got.problem) throw new Error(got.problem);
      return true;
    } catch (error) {
      guard(() => { throw error; });
      return false;
    }
  }
  const pinHere = () => marks.notes.find((/** @type {any} */ one) => one.kind === "pin" && one.position === position && !one.is_recorded);
  async function togglePin() {
    const is = pinHere();
    await (is ? asked("remove_note", { note: is.id }) : asked("note", { position, kind: "pin", text: "" }));
    live.say(is ? "The pin is taken away" : "Pinned");
  }
  function write(/** @type {string} */ kind) {
    pause();
    setTab("notes");
    notes.write(kind);
  }
  async function changeBranch(/** @type {string} */ run) {
    pause();
    if (run !== scene.run) await wire.request("branch", { run });
  }
  async function refresh() {
    const got = await wire.request("refresh");
    tell(got.n_new ? `${formatInteger(got.n_new)} new steps` : "Nothing new");
  }

  function setTab(/** @type {string} */ name, save = true) {
    tab = name;
    for (const one of TABS) {
      tabs[one].setAttribute("aria-selected", String(one === tab));
      tabs[one].tabIndex = one === tab ? 0 : -1;
      panels[one].hidden = one !== tab;
    }
    if (tab === "messages") {
      if (wire.offline) messages.note("The messages are in the kernel.");
      else if (messages.position !== position) askMessages({ position });
    }
    if (tab === "notes") notes.draw(marks.notes, position);
    if (tab === "branches") branches.draw(marks.branches, steps.number[position]);
    sayCode();
    if (!save || model.get("tab") === tab) return;
    model.set("tab", tab);
    model.save_changes();
  }

  // ---- input -----------------------------------------------------------------------------------------------------------
  function toggleHelp(on = help.hidden) {
    help.hidden = !on;
    bar.querySelector('[data-do="help"]')?.setAttribute("aria-expanded", String(on));
  }
  const actions = {
    play: togglePlay,
    step: (by) => moveTo(position + by),
    edge: (direction) => moveTo(direction < 0 ? 0 : steps.n - 1),
    error: (direction) => guard(() => go({ error: direction })),
    call: (direction) => guard(() => go({ call: direction })),
    change: (direction) => guard(() => go({ change: direction })),
    mark: (direction) => guard(() => go({ mark: direction })),
    pin: () => guard(togglePin),
    note: () => write("note"),
    checkpoint: () => write("checkpoint"),
    fork: () => (pause(), leave.open("fork")),
    rollback: () => (pause(), leave.open("rollback")),
    tab: (place) => setTab(TABS[place]),
    search: () => search.focus(),
    help: () => toggleHelp(),
    close: () => (leave.close(), (origin.el.hidden = true), toggleHelp(false), slider.focus()),
  };
  const NEEDS_KERNEL = ["pin", "note", "checkpoint", "fork", "rollback"];
  root.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const isText = target.matches("textarea, select, input");
    if (isText && event.key === "Escape") {
      event.preventDefault();
      event.stopPropagation();
      return actions.close();
    }
    const inside = isText ? "text" : target.matches('[role="tab"]') ? "tab" : target.matches("button, summary") ? "button" : tree.el.contains(target) ? "tree" : "";
    if (inside === "tab" && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      const next = TABS[(TABS.indexOf(tab) + (event.key === "ArrowRight" ? 1 : TABS.length - 1)) % TABS.length];
      setTab(next);
      tabs[next].focus();
      return void (event.preventDefault(), event.stopPropagation());
    }
    const meant = replayKey(event, /** @type {any} */ (inside));
    if (!meant) return;
    event.preventDefault();
    event.stopPropagation();
    if (wire.offline && NEEDS_KERNEL.includes(meant[0])) return tell("This needs the kernel.");
    actions[meant[0]](meant[1]);
  });

  /** Where a pointer is, as a position. @param {PointerEvent} event @param {HTMLElement} on */
  function placeUnder(event, on) {
    const x = event.clientX - on.getBoundingClientRect().left;
    if (on.dataset.strip === "all" || !lens) return placeAt(x, width, steps.n);
    return Math.min(steps.n - 1, Math.max(0, lens.first + Math.floor(x / lens.cell)));
  }
  for (const on of /** @type {HTMLElement[]} */ ([strip.parentElement, near.parentElement])) {
    let dragging = false;
    on.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      dragging = true;
      on.setPointerCapture(event.pointerId);
      slider.focus({ preventScroll: true });
      pause();
      moveTo(placeUnder(event, on));
    });
    on.addEventListener("pointermove", (event) => {
      const place = placeUnder(event, on);
      if (dragging) return moveTo(place, { quiet: true });
      if (place === hover) return;
      hover = place;
      on.title = placeOfStep(steps, place, scene.kinds) + marksAt(place);
      invalidate();
    });
    const end = () => {
      if (!dragging) return;
      dragging = false;
      live.say(slider.getAttribute("aria-valuetext") ?? "");
    };
    on.addEventListener("pointerup", end);
    on.addEventListener("pointercancel", end);
    on.addEventListener("pointerleave", () => ((hover = -1), invalidate()));
  }
  const marksAt = (/** @type {number} */ place) => allMarks().filter((one) => one.position === place).map((one) => `\n${markSign(one.kind)} ${one.kind}: ${oneLine(one.text ?? one.name ?? "", 80)}`).join("");
  number.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    const wanted = Number(number.value.replace(/[,\s]/g, ""));
    if (!Number.isFinite(wanted)) return tell(`${oneLine(number.value, 20)} is no step number.`);
    moveTo(placeOfNumber(steps, wanted));
    number.value = String(steps.number[position]);
    slider.focus();
  });
  number.addEventListener("blur", () => (number.value = String(steps.number[position])));
  speed.addEventListener("change", () => (model.set("speed", Number(speed.value)), model.save_changes()));

  // ---- the model -----------------------------------------------------------------------------------------------------
  const onScene = () => guard(() => {
    pause();
    position = model.get("position");
    answer = null;
    readScene();
    onMarks();
    lookAt();
    say();
  });
  const onMarks = () => guard(() => {
    marks = model.get("_marks");
    drawLegend();
    invalidate();
    if (tab === "notes") notes.draw(marks.notes, position);
    if (tab === "branches") branches.draw(marks.branches, steps.number[position]);
    say();
  });
  const onPosition = () => {
    const told = model.get("position");
    if (told !== position && told < steps.n) moveTo(told, { save: false });
  };
  const onTab = () => model.get("tab") !== tab && setTab(model.get("tab"), false);
  const onWatched = () => {
    for (const path of model.get("watched")) guard(() => askChanges(path));
    tree.draw();
    if (!wire.offline) askStep();
    drawWatched();
    invalidate();
    sayCode();
  };
  const onSpeed = () => {
    const told = String(model.get("speed"));
    if (![...speed.options].some((/** @type {any} */ one) => one.value === told)) speed.append(h("option", { value: told }, `${told}/s`));
    speed.value = told;
  };
  const heard = { _scene: onScene, _marks: onMarks, position: onPosition, tab: onTab, watched: onWatched, speed: onSpeed };
  for (const [name, f] of Object.entries(heard)) model.on(`change:${name}`, f);
  let lastWidth = 0;
  const watcher = new ResizeObserver(() => {
    if (slider.clientWidth === lastWidth) return;
    // A host may render before it attaches the element: only then are there colours and a size.
    if (lastWidth === 0) readLook();
    lastWidth = slider.clientWidth;
    resize();
  });
  watcher.observe(slider);
  for (const part of [tree.el, ...Object.values(panels)]) part.style.maxHeight = `${model.get("height")}px`;
  readLook();
  readScene();
  onSpeed();
  setTab(tab, false);
  lookAt();
  say();

  return () => {
    clearTimeout(playing);
    clearTimeout(saving);
    clearTimeout(searching);
    if (drawing) cancelAnimationFrame(drawing);
    watcher.disconnect();
    for (const [name, f] of Object.entries(heard)) model.off(`change:${name}`, f);
    for (const ask of [askNewest, askPages, askMessages, askFind]) ask.close();
    leave.end();
    wire.close();
    mounted.close();
  };
}

/** A sign that every font has. */
function forkIcon() {
  return svg("svg", { viewBox: "0 0 12 12", width: 11, height: 11, "aria-hidden": "true", class: "wb-rp-icon" }, svg("path", { d: "M3 12V7M3 7V1M3 7C3 5 9 5 9 1", fill: "none", stroke: "currentColor", "stroke-width": "1.6" }));
}

/** A text as Python writes it. @param {string} text */
function pythonText(text) {
  const escaped = [...text].map((c) => (c === "\\" || c === "'" ? `\\${c}` : c < " " || /[\u007f-\u00a0\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069]/.test(c) ? `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}` : c));
  return `'${escaped.join("")}'`;
}

export default { render };
