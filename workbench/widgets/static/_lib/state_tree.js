// @ts-check
// A JSON state as a tree whose containers are asked for when they are opened: marks of what changed, search, keys.
import { fill, h, longText } from "./dom.js";
import { formatInteger } from "./format.js";
import { oneLine } from "./text.js";
import { changeMarks, pointerBelow, pointerKeys, pointerParent, pointerWords, treeRows, wantedPages } from "./tree_rows.js";

export const CHANGE_SIGNS = { added: "+", removed: "−", changed: "≠" };
const OPEN_AT_FIRST = 12; // entries: smaller objects of the first level show what is in them

/** A value in one line. @param {any} value kind, size, text @param {number} [room] @returns {any} */
export function valueLine(value, room = 120) {
  if (!value) return h("span", { class: "wb-muted" }, "nothing");
  const [kind, size, text] = value;
  if (kind === "object" || kind === "array") {
    const braces = kind === "object" ? `{${formatInteger(size)}}` : `[${formatInteger(size)}]`;
    return h("span", { class: "wb-json-hint" }, braces, text ? ` ${oneLine(text, room)}` : "");
  }
  const shown = kind === "string" ? `"${oneLine(text, room)}"${size > text.length ? " …" : ""}` : oneLine(text, room);
  return h("span", { class: `wb-json-${kind}` }, shown);
}

/**
 * @param {{ wire: any, guard: (f: () => any) => any, ask: () => void, on: { watch: (pointer: string) => void,
 *   origin: (pointer: string) => void, edit: (pointer: string) => void }, watched: () => string[], say: (text: string) => void }} options
 *   `ask`: the open containers have changed, ask for their pages
 */
export function stateTree({ wire, guard, ask, on, watched, say }) {
  /** @type {Map<string, Set<number>>} */
  let open = new Map([["", new Set([0])]]);
  let isFirst = true;
  let position = -1;
  /** @type {any} */ let root = ["null", 0, "null"];
  /** @type {any} */ let nodes = {};
  let marks = changeMarks([]);
  /** @type {any[]} */ let rows = [];
  let current = "";
  /** @type {Set<string>} */ let hits = new Set();
  const el = h("div", { class: "wb-rp-tree", role: "tree", "aria-label": "State after this step" });

  /** Show the state of a step; what is open stays open. @param {any} answer */
  function show(answer) {
    position = answer.position;
    root = answer.root;
    nodes = answer.nodes;
    marks = changeMarks(answer.changes ?? []);
    if (isFirst && nodes[""]) openSmall();
    draw();
  }

  /** At first what is small is open, so that a small state is read at a glance. */
  function openSmall() {
    isFirst = false;
    const small = (nodes[""].pages["0"] ?? []).filter(([, kind, size]) => (kind === "object" || kind === "array") && size > 0 && size <= OPEN_AT_FIRST);
    if (small.length > 8) return;
    const known = small.map(([key]) => pointerBelow("", key)).filter((pointer) => !wire.offline || nodes[pointer]);
    for (const pointer of known) open.set(pointer, new Set([0]));
    if (known.some((pointer) => !nodes[pointer])) ask();
  }

  /** Pages that came later. @param {any} answer */
  function add(answer) {
    if (answer.position !== position) return;
    for (const [pointer, node] of Object.entries(answer.nodes)) {
      nodes[pointer] = { ...node, pages: { ...(nodes[pointer]?.pages ?? {}), .../** @type {any} */ (node).pages } };
    }
    draw();
  }

  function draw() {
    const hadFocus = el.contains(document.activeElement);
    const top = el.scrollTop;
    rows = treeRows(root, nodes, open, marks);
    if (!rows.some((row) => row.pointer === current && row.type === "value")) current = rows.find((row) => row.type === "value")?.pointer ?? "";
    fill(el, rows.map(line));
    el.scrollTop = top;
    if (hadFocus) focusRow(false);
  }

  /** @param {any} row */
  function line(row) {
    const style = { "padding-left": `${4 + row.depth * 14}px` };
    if (row.type === "wait") return h("div", { class: "wb-rp-row wb-muted", style }, wire.offline ? "in the kernel" : "…");
    if (row.type === "more") {
      const label = `show ${formatInteger(row.from)} to ${formatInteger(row.to - 1)}`;
      return h("div", { class: "wb-rp-row", style }, h("button", { class: "wb-more", type: "button", "data-more": row.pointer, on: { click: () => openPage(row.pointer, row.page) } }, label));
    }
    if (row.type === "ghost") {
      return h("div", { class: "wb-rp-row wb-rp-ghost", style, "data-ghost": row.pointer }, h("span", { class: "wb-rp-sign" }, CHANGE_SIGNS.removed), h("s", {}, oneLine(row.key, 80), ": ", valueLine(row.before, 80)));
    }
    const isCurrent = row.pointer === current;
    const sign = row.mark ? CHANGE_SIGNS[row.mark] : row.inside ? "•" : "";
    const title = row.mark ? `${row.mark} in this step` : row.inside ? "something in it changed in this step" : "";
    return h(
      "div",
      {
        class: `wb-rp-row${row.mark ? ` wb-rp-${row.mark}` : ""}${hits.has(row.pointer) ? " wb-rp-hit" : ""}${watched().includes(row.pointer) ? " wb-rp-is-watched" : ""}`,
        style, role: "treeitem", "data-pointer": row.pointer, tabindex: isCurrent ? "0" : "-1", "aria-level": String(row.depth + 1), "aria-selected": String(isCurrent),
        "aria-expanded": row.holds ? String(row.isOpen) : null, "aria-setsize": row.of, "aria-posinset": row.place === undefined ? null : row.place + 1,
        on: { click: (/** @type {any} */ event) => clicked(event, row) },
      },
      h("span", { class: "wb-rp-twist", "aria-hidden": "true" }, row.holds ? (row.isOpen ? "▾" : "▸") : ""),
      h("span", { class: "wb-rp-sign", title, "aria-label": title || null }, sign),
      row.pointer ? h("span", { class: "wb-json-key" }, oneLine(row.key, 80) || '""', ": ") : null,
      h("span", { class: "wb-rp-value" }, shownValue(row)),
      wire.offline ? null : actions(row),
    );
  }

  /** @param {any} row */
  function shownValue(row) {
    if (row.kind !== "string") return row.isOpen ? valueLine([row.kind, row.size, ""]) : valueLine([row.kind, row.size, row.text], 60);
    if (!row.size) return h("span", { class: "wb-muted" }, '""');
    const at = position;
    const more = async (/** @type {number} */ offset) => (await wire.request("state_text", { position: at, pointer: row.pointer, offset })).text;
    return longText(row.text, { size: row.size, more, first: 120 });
  }

  /** @param {any} row */
  function actions(row) {
    const is = watched().includes(row.pointer);
    const button = (/** @type {string} */ text, /** @type {string} */ label, /** @type {() => void} */ click) =>
      h("button", { class: "wb-rp-act", type: "button", title: label, "aria-label": `${label}: ${pointerWords(row.pointer)}`, tabindex: "-1", on: { click } }, text);
    return h(
      "span",
      { class: "wb-rp-acts" },
      button(is ? "unwatch" : "watch", is ? "Watch no longer (w)" : "Mark every step that changes it (w)", () => on.watch(row.pointer)),
      button("who wrote it?", "Where does this value come from? (o)", () => on.origin(row.pointer)),
      button("edit", "Change it in a fork from this step", () => on.edit(row.pointer)),
    );
  }

  function clicked(/** @type {any} */ event, /** @type {any} */ row) {
    if (event.target.closest("button")) return;
    current = row.pointer;
    // Who marks text to copy it does not mean to open anything.
    if (row.holds && !String(getSelection())) toggle(row);
    else draw();
    focusRow(false);
  }

  /** @param {any} row */
  function toggle(row) {
    if (open.has(row.pointer)) open.delete(row.pointer);
    else open.set(row.pointer, new Set([0]));
    draw();
    if (open.has(row.pointer) && !nodes[row.pointer]) ask();
  }

  function openPage(/** @type {string} */ pointer, /** @type {number} */ page) {
    open.set(pointer, new Set([...(open.get(pointer) ?? [0]), page]));
    draw();
    ask();
  }

  function focusRow(scroll = true) {
    const found = /** @type {HTMLElement | null} */ (el.querySelector(`[data-pointer="${CSS.escape(current)}"]`));
    found?.focus({ preventScroll: true });
    if (scroll) scrollTo(found);
  }

  function scrollTo(/** @type {HTMLElement | null} */ row) {
    if (!row) return;
    const box = row.getBoundingClientRect();
    const room = el.getBoundingClientRect();
    if (box.top < room.top) el.scrollTop -= room.top - box.top + 8;
    else if (box.bottom > room.bottom) el.scrollTop += box.bottom - room.bottom + 8;
  }

  function move(/** @type {number} */ by) {
    const values = rows.filter((row) => row.type === "value");
    const at = values.findIndex((row) => row.pointer === current);
    const next = values[Math.min(values.length - 1, Math.max(0, at + by))];
    if (next) choose(next.pointer);
  }

  function choose(/** @type {string} */ pointer) {
    current = pointer;
    draw();
    focusRow();
  }

  el.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /** @type {HTMLElement} */ (event.target).closest("button")) return;
    const row = rows.find((one) => one.type === "value" && one.pointer === current);
    const values = () => rows.filter((one) => one.type === "value");
    if (event.key === "ArrowDown") move(1);
    else if (event.key === "ArrowUp") move(-1);
    else if (event.key === "Home") choose(values()[0]?.pointer ?? "");
    else if (event.key === "End") choose(values().at(-1)?.pointer ?? "");
    else if (event.key === "ArrowRight" && row?.holds) row.isOpen ? move(1) : toggle(row);
    else if (event.key === "ArrowLeft" && row) row.isOpen ? toggle(row) : row.depth && choose(pointerParent(current));
    else if (event.key === "Enter" && row?.holds) toggle(row);
    else if (event.key === "w" && !wire.offline) on.watch(current);
    else if (event.key === "o" && !wire.offline) on.origin(current);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });

  /** Open the way to a value and show it. @param {string} pointer @param {Record<string, number>} [pages] its ancestors' pages, where they are known */
  async function reveal(pointer, pages) {
    const known = pages ?? (wire.offline ? {} : (await wire.request("way", { position, pointer })).pages);
    let up = "";
    const way = [""];
    for (const key of pointerKeys(pointer).slice(0, -1)) way.push((up = pointerBelow(up, key)));
    for (const one of way) open.set(one, new Set([...(open.get(one) ?? [0]), known[one] ?? 0]));
    if (!wire.offline) add(await wire.request("pages", { position, pages: wantedPages(open) }));
    current = pointer;
    draw();
    scrollTo(el.querySelector(`[data-pointer="${CSS.escape(pointer)}"]`));
    say(pointerWords(pointer));
  }

  return {
    el,
    show,
    add,
    reveal: (/** @type {string} */ pointer, /** @type {any} */ pages) => guard(() => reveal(pointer, pages)),
    draw,
    wanted: () => wantedPages(open),
    /** @param {string[]} pointers */
    mark(pointers) {
      hits = new Set(pointers);
      draw();
    },
    get current() {
      return current;
    },
  };
}
