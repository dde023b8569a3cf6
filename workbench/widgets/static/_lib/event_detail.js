// @ts-check
// One event: its fields, and its data as a tree.
import { h, jsonTree, longText } from "./dom.js";
import { oneLine } from "./text.js";
import { markWords } from "./timeline_words.js";

/** What a reader looks for comes first, then the data, then whatever else the frame has. */
const ORDER = ["name", "event_type", "severity", "agent", "category", "timestamp", "duration_ms", "step_number"];

/**
 * @param {{ fields: Record<string, string>, data: any, cuts: Record<string, number> }} detail
 * @param {{ wire: any, row: number }} from where the rest of what was cut is asked for: verbs "text" and "entries"
 * @returns {any[]} elements
 */
export function eventDetail(detail, { wire, row }) {
  const list = (/** @type {string[]} */ names, kind = "wb-tl-fields") =>
    h("dl", { class: kind }, names.map((name) => [h("dt", {}, name), h("dd", {}, fieldValue(name, detail.fields[name]))]));
  const rest = Object.keys(detail.fields).filter((n) => !ORDER.includes(n));
  const mark = markWords(detail.fields);
  const note = mark && h("p", { class: "wb-tl-mark", role: "note" }, h("span", { class: "wb-tl-mark-sign", "aria-hidden": "true" }, mark[0]), oneLine(mark[1], 200));
  const parts = [note, list(ORDER.filter((n) => n in detail.fields))];
  if (detail.data !== null && detail.data !== undefined) {
    parts.push(
      h("h4", { class: "wb-tl-data-title" }, "data"),
      jsonTree(detail.data, {
        open: 2,
        cuts: detail.cuts,
        more: async (pointer, offset) => (await wire.request("text", { row, pointer, offset })).text,
        moreEntries: (pointer, offset) => wire.request("entries", { row, pointer, offset }),
      }),
    );
  }
  if (rest.length) parts.push(h("details", { class: "wb-tl-rest" }, h("summary", {}, "ids and other fields"), list(rest, "wb-tl-others")));
  return parts;
}

/** @param {string} name @param {string} text */
function fieldValue(name, text) {
  const shown = longText(text);
  if (name === "severity") shown.classList.add(`wb-severity-${text.toLowerCase().replace(/[^a-z]/g, "")}`);
  return shown;
}
