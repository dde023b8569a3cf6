// @ts-check
// The card that follows the pointer over a timeline.
import { fill, h } from "./dom.js";
import { formatInteger, formatPercent, formatTime } from "./format.js";
import { ERROR_SEVERITY, ESTIMATED, MOMENT, WARNING_SEVERITY } from "./lod.js";
import { oneLine } from "./text.js";
import { eventWords, placeWords } from "./timeline_words.js";

/**
 * @param {{ root: HTMLElement, plot: () => HTMLElement, stage: HTMLElement, wire: any }} where
 */
export function hoverCard({ root, plot, stage, wire }) {
  const el = h("div", { class: "wb-tl-card", hidden: true, "aria-hidden": "true" });
  /** What the card is about: a late answer about something else is dropped. */
  let about = "";
  const peek = wire.newest("peek", (/** @type {any} */ answer, /** @type {any} */ args) => add(`row ${args.row}`, answer.text), () => {}, 120);
  const count = wire.newest(
    "count",
    (/** @type {any} */ answer, /** @type {any} */ args) => add(`cell ${args.start} ${args.first}`, `${formatInteger(answer.n_events)} events in this lane, ${formatInteger(answer.n_errors)} errors`),
    () => {},
    120,
  );

  function add(/** @type {string} */ subject, /** @type {string} */ text) {
    if (text && subject === about && !el.hidden) el.append(h("div", { class: "wb-tl-card-text" }, oneLine(text, 220)));
  }

  function place(/** @type {number} */ x, /** @type {number} */ y) {
    el.hidden = false;
    const box = stage.getBoundingClientRect();
    const base = plot().getBoundingClientRect();
    el.style.left = `${Math.max(0, Math.min(box.left - base.left + x + 14, base.width - el.offsetWidth - 4))}px`;
    const top = box.top - base.top + y + 18;
    // Above the pointer where it would hang out of the cell, which would cut it off.
    const fits = base.top + top + el.offsetHeight <= root.getBoundingClientRect().bottom;
    el.style.top = `${fits ? top : Math.max(0, top - 30 - el.offsetHeight)}px`;
  }

  return {
    el,
    /** @param {any} scene @param {any} item @param {boolean} absolute @param {number} x @param {number} y */
    showItem(scene, item, absolute, x, y) {
      if (about !== `row ${item.row}`) {
        about = `row ${item.row}`;
        const words = eventWords(scene, item, absolute);
        const severity = scene.severities[item.severity][0];
        const sign = item.severity >= ERROR_SEVERITY ? "▼ " : item.severity === WARNING_SEVERITY ? "● " : "";
        const length = scene.unit === "ms" && item.flags & MOMENT ? "a moment" : words.length;
        const notes = [words.place, length, words.mark, item.flags & ESTIMATED ? "time estimated from the event before" : null];
        fill(
          el,
          h("div", { class: "wb-tl-card-title" }, oneLine(item.label, 80)),
          h("div", {}, h("span", { class: `wb-severity-${severity}` }, `${sign}${severity}`), ` · ${oneLine(words.lane, 40)}`),
          h("div", { class: "wb-muted" }, notes.filter(Boolean).join(" · ")),
          scene.unit === "ms" && !absolute ? h("div", { class: "wb-muted" }, formatTime(scene.origin + item.start)) : null,
        );
        if (!wire.offline) peek({ row: item.row });
      }
      place(x, y);
    },
    /** @param {any} scene @param {any} cell `{ from, to, n, errors, first, tracks, hidden }` @param {boolean} absolute @param {number} x @param {number} y */
    showCell(scene, cell, absolute, x, y) {
      if (about !== `cell ${cell.from} ${cell.first}`) {
        about = `cell ${cell.from} ${cell.first}`;
        const share = cell.errors ? `, ${formatPercent((cell.errors - 1) / 254)} errors` : "";
        fill(
          el,
          h("div", { class: "wb-tl-card-title" }, `${placeWords(scene, cell.from, absolute)} … ${placeWords(scene, cell.to, absolute)}`),
          h("div", {}, `${formatInteger(cell.n)} in this row${share}`),
          h("div", { class: "wb-muted" }, "zoom in to see each, click for the nearest"),
        );
        if (!wire.offline) count({ start: cell.from, end: cell.to, first: cell.first, tracks: cell.tracks, hidden: cell.hidden });
      }
      place(x, y);
    },
    hide() {
      el.hidden = true;
      about = "";
    },
    close() {
      peek.close();
      count.close();
    },
  };
}
