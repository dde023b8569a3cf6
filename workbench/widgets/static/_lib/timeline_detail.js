// @ts-check
// The pane beside a timeline that shows one event: its fields, and its data as a tree.
import { fill, h } from "./dom.js";
import { eventDetail } from "./event_detail.js";
import { oneLine } from "./text.js";

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
  const render = (row, detail) => fill(body, eventDetail(detail, { wire, row }));

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
