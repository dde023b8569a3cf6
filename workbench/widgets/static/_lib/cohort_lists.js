// @ts-check
// Beside the graph of a cohort: the ranking of divergences, and the runs behind what is selected.
import { differenceWords, divergenceWords, failWords, pWords, replayCode, runsWords, sidesOf } from "./cohort_words.js";
import { fill, h } from "./dom.js";
import { formatInteger } from "./format.js";
import { oneLine } from "./text.js";

const RANKS = 12;

/**
 * @param {{ rows: any[], select: (rank: number | null) => void }} options
 */
export function divergenceList({ rows, select }) {
  let shown = RANKS;
  let current = /** @type {number | null} */ (null);
  const list = h("div", { class: "wb-co-ranks", role: "listbox", "aria-label": "Divergences, the one to look at first on top", tabindex: rows.length ? "0" : "-1" });
  const more = h("button", { class: "wb-more", type: "button", on: { click: () => ((shown = rows.length), draw()) } });
  const el = h("div", { class: "wb-co-side" }, h("div", { class: "wb-co-head" }, "Where failed runs part"), list, more);

  function draw() {
    if (!rows.length) return void fill(list, h("p", { class: "wb-muted wb-co-none" }, "Nothing that these runs did or said goes with failing."));
    const at = rows.findIndex((row) => row.rank === current);
    fill(list, rows.slice(0, Math.max(shown, at + 1)).map(item));
    more.hidden = shown >= rows.length;
    more.textContent = `show all ${formatInteger(rows.length)}`;
    const chosen = list.querySelector("[aria-selected='true']");
    if (chosen) list.setAttribute("aria-activedescendant", chosen.id);
    else list.removeAttribute("aria-activedescendant");
  }

  function item(/** @type {any} */ row) {
    const id = `${listId}-${row.rank}`;
    const sure = row.p_adjusted <= 0.05;
    return h(
      "div",
      { class: `wb-co-rank${sure ? "" : " wb-co-chance"}`, role: "option", id, "aria-selected": String(row.rank === current), data: { rank: String(row.rank) }, on: { click: () => select(row.rank === current ? null : row.rank) } },
      h(
        "div",
        { class: "wb-co-rank-top" },
        h("span", { class: "wb-co-flag" }, `◆ ${row.rank}`),
        h("span", { class: `wb-co-class wb-co-class-${row.class}` }, row.class),
        h("span", { class: "wb-muted" }, `step ${row.step}`),
        h("span", { class: "wb-co-p wb-muted" }, pWords(row.p_adjusted), sure ? null : " · may be chance"),
      ),
      h("div", { class: "wb-co-what" }, divergenceWords(row)),
      rates(row),
      row.n_alike > 0 ? h("div", { class: "wb-muted wb-small" }, row.n_alike === 1 ? "1 more step divides the runs in the same way" : `${formatInteger(row.n_alike)} more steps divide the runs in the same way`) : null,
    );
  }

  const listId = `wb-co-${Math.random().toString(36).slice(2, 8)}`;
  list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const at = rows.findIndex((row) => row.rank === current);
    const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? 0 : at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    select(rows[Math.max(0, Math.min(rows.length - 1, to))].rank);
  });
  draw();
  return {
    el,
    list,
    mark(/** @type {number | null} */ rank) {
      if (rank === current) return;
      current = rank;
      draw();
      const chosen = /** @type {HTMLElement | null} */ (list.querySelector("[aria-selected='true']"));
      if (!chosen) return;
      // Within the list only: the page stays where it is.
      const [top, bottom] = [chosen.offsetTop, chosen.offsetTop + chosen.offsetHeight];
      if (top < list.scrollTop) list.scrollTop = top;
      else if (bottom > list.scrollTop + list.clientHeight) list.scrollTop = bottom - list.clientHeight;
    },
  };
}

/** Two bars, the side that fails more and the other, the difference and its interval. @param {any} row */
function rates(row) {
  const sides = sidesOf(row);
  const line = (/** @type {string} */ name, /** @type {number} */ failed, /** @type {number} */ n) => {
    const share = n ? failed / n : 0;
    return h(
      "div",
      { class: "wb-co-rate" },
      h("span", { class: "wb-co-rate-name" }, name),
      h("span", { class: "wb-co-track", "aria-hidden": "true" }, h("span", { class: "wb-co-fill", style: { width: `${(share * 100).toFixed(1)}%` } })),
      h("span", { class: "wb-co-rate-n" }, failWords(failed, n)),
    );
  };
  return h(
    "div",
    { class: "wb-co-rates" },
    line("then", ...sides.then),
    line("else", ...sides.other),
    h("div", { class: "wb-small wb-muted" }, differenceWords(sides)),
  );
}

/**
 * The runs behind a step or a divergence, to open and to tick.
 * @param {{ load: (start: number) => Promise<{ rows: any[], total: number }>, picked: () => string[], pick: (ids: string[]) => void,
 *   open: ((run: string, step: number | null) => void) | null, close: () => void, say: (text: string) => void }} options
 *   `open`: show a run at a step (null: its first); null where there is nothing to show runs from: then a click ticks
 */
export function runList({ load, picked, pick, open, close, say }) {
  let turn = 0;
  /** @type {any[]} */ let rows = [];
  let total = 0;
  let current = 0;
  /** @type {{ run: string | null, step: number | null }} */
  let opened = { run: null, step: null };
  const title = h("div", { class: "wb-co-runs-title" });
  const note = h("span", { class: "wb-muted wb-small" });
  const code = h("code", { class: "wb-co-code", tabindex: "0", "aria-label": "Python of this selection" });
  const copy = h("button", { class: "wb-button", type: "button", on: { click: () => copyText(code.textContent ?? "") } }, "Copy code");
  const list = h("div", { class: "wb-co-runs-list", role: "listbox", "aria-multiselectable": "true", "aria-label": "Runs at this step", tabindex: "0" });
  const more = h("button", { class: "wb-more", type: "button", on: { click: () => extend() } });
  const failing = h("button", { class: "wb-button", type: "button", on: { click: () => tick(rows.filter((r) => r.outcome === "failed").map((r) => r.id)) } }, "Tick failed");
  const none = h("button", { class: "wb-button", type: "button", on: { click: () => tick([]) } }, "Untick");
  const shut = h("button", { class: "wb-button", type: "button", "aria-label": "Close the list of runs", title: "Close (Escape)", on: { click: close } }, "×");
  const el = h(
    "div",
    { class: "wb-co-runs", hidden: true },
    h("div", { class: "wb-co-runs-head" }, title, h("span", { class: "wb-spacer" }), failing, none, shut),
    note,
    list,
    more,
    h("div", { class: "wb-co-code-line" }, code, copy),
  );
  const listId = `wb-co-runs-${Math.random().toString(36).slice(2, 8)}`;

  async function copyText(/** @type {string} */ text) {
    try {
      await navigator.clipboard.writeText(text);
      say("Copied");
    } catch {
      // Pages without the right to the clipboard: mark it, the user's own Ctrl+C takes it.
      const range = document.createRange();
      range.selectNodeContents(code);
      document.getSelection()?.removeAllRanges();
      document.getSelection()?.addRange(range);
      say("Press Ctrl+C to copy");
    }
  }

  function tick(/** @type {string[]} */ ids) {
    pick(ids);
    draw();
  }

  function toggle(/** @type {number} */ at) {
    const { id } = rows[at];
    const now = picked();
    current = at;
    tick(now.includes(id) ? now.filter((x) => x !== id) : [...now, id]);
  }

  /** Open a run; one that is open goes on to the next of its steps here. */
  function show(/** @type {number} */ at, /** @type {number | undefined} */ step = undefined) {
    const { id, steps } = rows[at];
    const next = opened.run === id ? steps[(steps.indexOf(opened.step) + 1) % steps.length] : steps[0];
    current = at;
    open?.(id, step ?? next ?? null);
  }

  function stepOf(/** @type {any} */ row, /** @type {number} */ at, /** @type {number} */ step) {
    const isOpen = opened.run === row.id && opened.step === step;
    const click = (/** @type {Event} */ event) => (event.stopPropagation(), show(at, step));
    return h("span", { class: `wb-co-step${isOpen ? " wb-co-open" : ""}`, data: { step: String(step) }, on: open ? { click } : {} }, String(step));
  }

  function item(/** @type {any} */ row, /** @type {number} */ at) {
    const on = picked().includes(row.id);
    const failed = row.outcome === "failed";
    const isOpen = row.id === opened.run;
    const place = row.steps.length ? `at step ${row.steps[0]}` : "at its beginning";
    const steps = row.steps.length ? ["step ", row.steps.map((/** @type {number} */ step) => [stepOf(row, at, step), " "])] : "before its first step";
    const ticks = (/** @type {Event} */ event) => (event.stopPropagation(), toggle(at));
    return h(
      "div",
      {
        class: `wb-co-run${at === current ? " wb-co-current" : ""}${isOpen ? " wb-co-run-open" : ""}`,
        role: "option", id: `${listId}-${at}`, "aria-selected": String(on), "aria-current": isOpen ? "true" : null, data: { run: row.id },
        title: open ? `Open ${place} (Enter)` : replayCode(row.id, row.steps[0]),
        on: { click: () => (open ? show(at) : toggle(at)) },
      },
      h("span", { class: "wb-co-tick", "aria-hidden": "true", title: "Tick (Space)", on: { click: ticks } }, on ? "☑" : "☐"),
      h("span", { class: `wb-co-outcome wb-co-${row.outcome}` }, failed ? "✕ failed" : "✓ good"),
      // Ids that are made one after the other begin alike: their ends differ.
      h("span", { class: "wb-co-id", title: row.id }, row.name ? oneLine(row.name, 60) : row.id.slice(0, 8), h("span", { class: "wb-muted wb-mono" }, ` ${row.id.slice(-4)}`)),
      h("span", { class: "wb-co-steps" }, steps),
      h("span", { class: "wb-co-label" }, oneLine(row.label, 160), row.marks.map((/** @type {string} */ mark) => h("span", { class: "wb-co-mark" }, mark))),
      open ? h("span", { class: "wb-co-play", "aria-hidden": "true" }, "▶") : null,
    );
  }

  function draw() {
    fill(list, rows.map(item));
    more.hidden = rows.length >= total;
    more.textContent = `show more (${formatInteger(rows.length)} of ${formatInteger(total)})`;
    const n = picked().length;
    const hint = open ? "click one to replay it there, tick some to narrow the selection" : "tick some to narrow the selection";
    note.textContent = n ? `${runsWords(n)} ticked` : `${runsWords(total)}; ${hint}`;
    failing.disabled = !rows.some((row) => row.outcome === "failed");
    none.disabled = !n;
    if (rows.length) list.setAttribute("aria-activedescendant", `${listId}-${current}`);
    else list.removeAttribute("aria-activedescendant");
  }

  async function extend() {
    const mine = turn;
    more.disabled = true;
    try {
      const page = await load(rows.length);
      if (mine !== turn) return;
      rows = [...rows, ...page.rows];
      total = page.total;
      draw();
    } catch (error) {
      if (mine !== turn) return;
      fill(list, rows.map(item), h("p", { class: "wb-muted wb-co-none", role: "alert" }, `These runs cannot be listed: ${/** @type {Error} */ (error).message}`));
    } finally {
      more.disabled = false;
    }
  }

  list.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !rows.length) return;
    const to = { ArrowDown: current + 1, ArrowUp: current - 1, PageDown: current + 8, PageUp: current - 8, Home: 0, End: rows.length - 1 }[event.key];
    if (to !== undefined) current = Math.max(0, Math.min(rows.length - 1, to));
    else if (event.key === "Enter" && open) show(current);
    else if (event.key === " " || event.key === "Enter") toggle(current);
    else return;
    event.preventDefault();
    event.stopPropagation();
    draw();
    const row = /** @type {HTMLElement} */ (list.children[current]);
    if (row.offsetTop < list.scrollTop) list.scrollTop = row.offsetTop;
    else if (row.offsetTop + row.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = row.offsetTop + row.offsetHeight - list.clientHeight;
  });

  return {
    el,
    list,
    /** @param {any} heading text or elements; null closes */
    show(heading) {
      turn++;
      rows = [];
      total = 0;
      current = 0;
      el.hidden = heading === null;
      if (heading === null) return;
      fill(title, heading);
      fill(list, h("p", { class: "wb-muted wb-co-none" }, "…"));
      note.textContent = "";
      more.hidden = true;
      return extend();
    },
    redraw: () => void (el.hidden || draw()),
    /** Mark the run that is open. @param {string | null} run @param {number | null} step */
    setOpened(run, step) {
      opened = { run, step };
      if (!el.hidden && rows.length) draw();
    },
    setCode: (/** @type {string} */ text) => void (code.textContent = text),
  };
}
