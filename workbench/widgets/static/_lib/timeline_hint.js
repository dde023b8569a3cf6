// @ts-check
// The words for a wheel that scrolls the page because the timeline under it is not the one meant.
import { h } from "./dom.js";

const SHOWN = 2000;

export function wheelHint() {
  const el = h("div", { class: "wb-tl-hint", role: "status", "aria-live": "polite" });
  let timer = /** @type {any} */ (0);
  const hide = () => {
    clearTimeout(timer);
    el.classList.remove("wb-shown");
  };
  return {
    el,
    hide,
    /** Said once for a turn of the wheel, however many events it has. */
    show() {
      clearTimeout(timer);
      timer = setTimeout(hide, SHOWN);
      if (el.classList.contains("wb-shown")) return;
      el.textContent = "Click the timeline, then the wheel zooms";
      el.classList.add("wb-shown");
    },
  };
}
