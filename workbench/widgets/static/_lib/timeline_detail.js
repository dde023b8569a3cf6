// @ts-check
// The pane beside a timeline that shows one event: its fields, and its data as a tree.
import { fill, h, jsonTree, longText } from "./dom.js";
import { oneLine } from "./text.js";
import { markWords } from "./timeline_words.js";

/** What a reader looks for comes first, then the data, then whatever else the frame has. */
const ORDER = ["name", "event_type", "severity", "agent", "category", "timestamp", "duration_ms", "step_number"];

/**
 * @param {{ wire: any, said: Record<string, any>, onClose: () => void, onStep: (direction: number) => void }} options
 *   `said`: details sent with the widget, by row
 */
export function detailPane({ wire, said, onClose, onStep }) {
  const title = h("h3", { class: "wb-tl-detail-title" });
  const body = h("div", { class: "wb-tl-detail-body" });
  const button = (/** @type {string} */ text, /** @type {string} */ label, /** @type {() => void} */ click) =>
    h("button", { class: "wb-button", type: "button", title: label, "aria-label": label, on: { click } }, text);
  const el = h(
    "aside",
    { class: "wb-tl-detail", hidden: true, "aria-label": "Details of the event", tabindex: "-1" },
    h("div", { class: "wb-tl-detail-head" }, title, button("‹", "Previous event (p)", () => onStep(-1)), button("›", "Next event (n)", () => onStep(1)), button("×", "Close the details (Esc)", onClose)),
    body,
  );
  let open = -1;

  /** @param {any} item */
  async function show(item) {
    open = item.row;
    el.hidden = false;
    fill(title, oneLine(item.label, 80) || "event");
    const had = said[String(item.row)];
    if (had) return render(item.row, had);
    fill(body, h("p", { class: "wb-muted" }, "…"));
    try {
      const detail = await wire.request("detail", { row: item.row });
      if (open === item.row) render(item.row, detail);
    } catch (error) {
      if (open === item.row) fill(body, h("p", { class: "wb-muted" }, "The fields of this event are in the kernel. ", /** @type {Error} */ (error).message));
    }
  }

  /** @param {number} row @param {any} detail */
  function render(row, detail) {
    const list = (/** @type {string[]} */ names, kind = "wb-tl-fields") =>
      h("dl", { class: kind }, names.map((name) => [h("dt", {}, name), h("dd", {}, value(name, detail.fields[name]))]));
    const rest = Object.keys(detail.fields).filter((n) => !ORDER.includes(n));
    const { data } = detail;
    const mark = markWords(detail.fields);
    const note = mark && h("p", { class: "wb-tl-mark", role: "note" }, h("span", { class: "wb-tl-mark-sign", "aria-hidden": "true" }, mark[0]), oneLine(mark[1], 200));
    fill(body, note, list(ORDER.filter((n) => n in detail.fields)));
    if (data !== null && data !== undefined) {
      body.append(
        h("h4", { class: "wb-tl-data-title" }, "data"),
        jsonTree(data, {
          open: 2,
          cuts: detail.cuts,
          more: async (pointer, offset) => (await wire.request("text", { row, pointer, offset })).text,
          moreEntries: (pointer, offset) => wire.request("entries", { row, pointer, offset }),
        }),
      );
    }
    if (rest.length) body.append(h("details", { class: "wb-tl-rest" }, h("summary", {}, "ids and other fields"), list(rest, "wb-tl-others")));
  }

  /** @param {string} name @param {string} text */
  function value(name, text) {
    const shown = longText(text);
    if (name === "severity") shown.classList.add(`wb-severity-${text.toLowerCase().replace(/[^a-z]/g, "")}`);
    return shown;
  }

  return {
    el,
    show,
    hide() {
      open = -1;
      el.hidden = true;
    },
    get row() {
      return open;
    },
  };
}
