// @ts-check
// Elements without markup: agent output is hostile text, so everything goes through textContent.
import { plainText } from "./text.js";
import { watchTheme } from "./theme.js";
import { KernelGoneError } from "./wire.js";

/**
 * An element. Properties: `class`, `style` (object), `data` (object), `on` (event → listener), anything else an attribute
 * (true → present, false / null / undefined → absent). Children: elements, or values shown as plain text.
 * @param {string} tag @param {Record<string, any>} [props] @param {...any} children @returns {any}
 */
export function h(tag, props = {}, ...children) {
  const el = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") el.className = value;
    else if (key === "style") for (const [k, v] of Object.entries(value)) el.style.setProperty(k, String(v));
    else if (key === "data") Object.assign(el.dataset, value);
    else if (key === "on") for (const [name, f] of Object.entries(value)) el.addEventListener(name, f);
    else el.setAttribute(key, value === true ? "" : plainText(value));
  }
  append(el, children);
  return el;
}

/** @param {Element} el @param {any[]} children */
function append(el, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    el.append(child instanceof Node ? child : plainText(child));
  }
}

/** Replace all children. @param {Element} el @param {...any} children */
export function fill(el, ...children) {
  el.replaceChildren();
  append(el, children);
  return el;
}

let ids = 0;
/** An id no other element has, for `aria-*` references. @param {string} name */
export function uniqueId(name) {
  return `wb-${name}-${Math.random().toString(36).slice(2, 8)}-${++ids}`;
}

/**
 * The root of a widget in `el`: class, theme, label, static view hidden, errors shown.
 * @param {{ el: HTMLElement, model: any, name: string, label: string, themed?: (dark: boolean) => void }} options
 */
export function mountRoot({ el, model, name, label, themed }) {
  const root = h("section", { class: `wb wb-${name}`, "aria-label": label });
  const unguard = keepKeys(root);
  el.append(root);
  const stop = watchTheme(root, themed);
  hideStatic(el, model.get("_static_id"));
  return {
    root,
    /** Run, and show what goes wrong in the widget instead of losing it in the console. @param {() => any} f */
    guard(f) {
      try {
        const value = f();
        return value instanceof Promise ? value.catch((error) => showError(root, error)) : value;
      } catch (error) {
        showError(root, error);
      }
    },
    /** Say, once and quietly, that the kernel has ended. */
    gone() {
      if (root.querySelector(":scope > .wb-gone")) return;
      root.prepend(h("div", { class: "wb-gone", role: "status" }, new KernelGoneError().message));
    },
    close() {
      stop();
      unguard();
      root.remove();
    },
  };
}

/**
 * Keep single keys from JupyterLab, for which "x" cuts the cell and "dd" deletes it. Its shortcuts match the focused element
 * itself, so that is where its mark must stand; on the root it comes too late. Ctrl+S and the like stay JupyterLab's.
 * @param {HTMLElement} root @returns {() => void} stops it
 */
function keepKeys(root) {
  const mark = (/** @type {KeyboardEvent} */ event) => {
    const target = event.target;
    if (!(target instanceof Element) || !root.contains(target)) return;
    const ours = !(event.ctrlKey || event.metaKey || event.altKey);
    if (ours) target.setAttribute("data-lm-suppress-shortcuts", "true");
    else target.removeAttribute("data-lm-suppress-shortcuts");
  };
  window.addEventListener("keydown", mark, true); // before the document's own listener
  return () => window.removeEventListener("keydown", mark, true);
}

/** Hide the static view that this live view replaces: the nearest one, as two open notebooks may share its id. */
function hideStatic(/** @type {HTMLElement} */ el, /** @type {string} */ id) {
  if (!id) return;
  const wanted = `[data-wb-static="${CSS.escape(id)}"]`;
  const hide = () => {
    for (let up = el.parentElement; up; up = up.parentElement) {
      const found = up.querySelectorAll(wanted);
      if (!found.length) continue;
      for (const still of found) {
        const output = still.closest(".jp-OutputArea-child, .output_area, .cell-output-ipywidget-background") ?? still;
        /** @type {HTMLElement} */ (output).style.display = "none";
      }
      return;
    }
  };
  hide();
  requestAnimationFrame(hide); // a host may attach the output after rendering it
}

/** @param {any} error */
export function errorPane(error) {
  const message = error instanceof Error ? error.message : String(error);
  return h(
    "div",
    { class: "wb-error-pane", role: "alert" },
    h("strong", {}, "This did not work. "),
    h("span", { class: "wb-error-text" }, message),
    h("button", { class: "wb-button wb-error-close", "aria-label": "Close this message", on: { click: (/** @type {any} */ e) => e.target.closest(".wb-error-pane").remove() } }, "×"),
  );
}

/** Put an error pane on top of a root; the newest replaces the one before. @param {HTMLElement} root @param {any} error */
export function showError(root, error) {
  if (error instanceof KernelGoneError) return; // the widget's notice says so
  root.querySelector(":scope > .wb-error-pane")?.remove();
  root.prepend(errorPane(error));
  console.warn("workbench:", error);
}

/** @param {string} title @param {string} hint what to do about it */
export function emptyState(title, hint) {
  return h("div", { class: "wb-empty", role: "note" }, h("div", { class: "wb-empty-title" }, title), h("div", { class: "wb-empty-hint" }, hint));
}

/** What a screen reader says next; invisible. */
export function liveRegion() {
  const el = h("div", { class: "wb-sr", role: "status", "aria-live": "polite" });
  return { el, say: (/** @type {string} */ text) => void (el.textContent = plainText(text)) };
}

const FIRST = 600;
/**
 * Text that may be long: its beginning, then "show more".
 * @param {string} text what is here @param {{ size?: number, more?: (offset: number) => Promise<string>, step?: number, first?: number }} [options]
 *   `size`: length of the whole; `more`: the piece from an offset on, asked from the kernel.
 */
export function longText(text, { size = text.length, more, step = 20_000, first = FIRST } = {}) {
  const body = h("span", { class: "wb-long-text" }, text.slice(0, first));
  if (size <= first) return body;
  let shown = Math.min(first, text.length);
  const button = h("button", { class: "wb-more", type: "button" });
  const label = () => (button.textContent = `show more (${shown.toLocaleString("en-US")} of ${size.toLocaleString("en-US")} characters)`);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const piece = shown < text.length ? text.slice(shown, shown + step) : await more?.(shown);
      if (!piece) return void (button.textContent = "the rest is not here");
      body.append(plainText(piece));
      shown += piece.length;
      if (shown >= size) button.remove();
      else label();
    } catch (error) {
      button.textContent = plainText(/** @type {Error} */ (error).message);
    } finally {
      button.disabled = false;
    }
  });
  label();
  return h("span", { class: "wb-long" }, body, button);
}

const PAGE = 100;
/**
 * A JSON value as an expandable tree of <details>; children are made when they are opened.
 * @param {any} value
 * @param {{ key?: string, pointer?: string, open?: number, cuts?: Record<string, number>,
 *   more?: (pointer: string, offset: number) => Promise<string>,
 *   moreEntries?: (pointer: string, offset: number) => Promise<any> }} [options]
 *   `cuts`: JSON pointer → full size of a string, list or object of which only the beginning is here; `more`, `moreEntries`: ask for
 *   the rest of it (`{ entries: [key, value][], cuts }`); `open`: levels opened at first.
 */
export function jsonTree(value, { key, pointer = "", open = 1, cuts = {}, more, moreEntries } = {}) {
  const name = key === undefined ? null : h("span", { class: "wb-json-key" }, key, ": ");
  if (value === null || typeof value !== "object") {
    const kind = value === null ? "null" : typeof value;
    const shown =
      typeof value === "string"
        ? longText(value, { size: cuts[pointer] ?? value.length, more: more && ((offset) => more(pointer, offset)) })
        : h("span", {}, String(value));
    shown.classList.add("wb-json-value", `wb-json-${kind}`);
    return h("div", { class: "wb-json-leaf" }, name, shown);
  }
  const isList = Array.isArray(value);
  const entries = isList ? value.map((v, i) => [String(i), v]) : Object.entries(value);
  const size = cuts[pointer] ?? entries.length;
  const inside = h("div", { class: "wb-json-children" });
  const el = h("details", { class: "wb-json", open: open > 0 && size > 0 }, h("summary", {}, name, h("span", { class: "wb-json-hint" }, isList ? `[${size}]` : `{${size}}`)), inside);
  let known = cuts;
  let made = 0;
  const make = () => {
    for (const [k, v] of entries.slice(made, made + PAGE)) {
      const below = `${pointer}/${k.replace(/~/g, "~0").replace(/\//g, "~1")}`;
      inside.append(jsonTree(v, { key: k, pointer: below, open: open - 1, cuts: known, more, moreEntries }));
    }
    made = Math.min(entries.length, made + PAGE);
    if (made >= size) return;
    const button = h("button", { class: "wb-more", type: "button" }, `show more (${made} of ${size})`);
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        if (made >= entries.length) {
          const rest = await moreEntries?.(pointer, made);
          if (!rest?.entries.length) return void (button.textContent = "the rest is not here");
          entries.push(...rest.entries);
          known = { ...known, ...rest.cuts };
        }
        button.remove();
        make();
      } catch (error) {
        button.textContent = plainText(/** @type {Error} */ (error).message);
      }
    });
    inside.append(button);
  };
  if (el.open) make();
  else el.addEventListener("toggle", () => el.open && !made && make());
  return el;
}
