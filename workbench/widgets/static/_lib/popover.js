// @ts-check
// One small dialog at a time below the button that opened it, inside its widget.
import { h } from "./dom.js";

/** @param {HTMLElement} root */
export function popovers(root) {
  /** @type {{ el: HTMLElement, opener: HTMLElement } | null} */
  let now = null;

  function close(/** @type {boolean} */ refocus = false) {
    if (!now) return;
    now.el.remove();
    now.opener.setAttribute("aria-expanded", "false");
    if (refocus) now.opener.focus();
    now = null;
  }
  const outside = (/** @type {Event} */ e) => {
    const path = e.composedPath();
    if (now && !path.includes(now.el) && !path.includes(now.opener)) close();
  };
  document.addEventListener("pointerdown", outside, true);

  return {
    /** @param {HTMLElement} opener @param {string} label @param {() => HTMLElement} content */
    toggle(opener, label, content) {
      const again = now?.opener === opener;
      close();
      if (again) return;
      const el = h("div", { class: "wb-pop", role: "dialog", "aria-label": label }, content());
      el.addEventListener("keydown", (/** @type {KeyboardEvent} */ e) => {
        if (e.key === "Escape") close(true);
        e.stopPropagation();
      });
      root.append(el);
      const box = root.getBoundingClientRect();
      const at = opener.getBoundingClientRect();
      el.style.top = `${at.bottom - box.top + 4}px`;
      el.style.left = `${Math.max(0, Math.min(at.left - box.left, box.width - el.offsetWidth - 2))}px`;
      opener.setAttribute("aria-expanded", "true");
      now = { el, opener };
      /** @type {HTMLElement | null} */ (el.querySelector("input, select, button"))?.focus({ preventScroll: true });
    },
    close() {
      close();
      document.removeEventListener("pointerdown", outside, true);
    },
  };
}
