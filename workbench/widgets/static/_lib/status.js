// @ts-check
// The status of a run by shape first, colour second.
const NS = "http://www.w3.org/2000/svg";
const SHAPES = {
  completed: ["M7 0a7 7 0 1 0 0 14A7 7 0 0 0 7 0z", "M3.6 7.2l2.4 2.4 4.4-5"],
  failed: ["M4.1 0h5.8L14 4.1v5.8L9.9 14H4.1L0 9.9V4.1z", "M4.4 4.4l5.2 5.2M9.6 4.4l-5.2 5.2"],
  running: ["", "M7 1a6 6 0 1 1-6 6M7 4v3.4l2.2 1.4"],
  pending: ["", "M7 1a6 6 0 1 0 0 12A6 6 0 0 0 7 1z"],
  cancelled: ["", "M7 1a6 6 0 1 0 0 12A6 6 0 0 0 7 1zM2.8 11.2l8.4-8.4"],
};

/** An SVG element. @param {string} tag @param {Record<string, any>} props @param {...any} children */
export function svg(tag, props, ...children) {
  const el = document.createElementNS(NS, tag);
  for (const [key, value] of Object.entries(props)) el.setAttribute(key, String(value));
  el.append(...children);
  return el;
}

/** @param {string | null} status */
export function statusIcon(status) {
  const known = status !== null && status in SHAPES ? status : "pending";
  const [area, line] = SHAPES[known];
  const icon = svg("svg", { viewBox: "0 0 14 14", width: 14, height: 14, class: `wb-status wb-status-${known}`, "aria-hidden": "true" });
  if (area) icon.append(svg("path", { d: area, class: "wb-status-area" }));
  icon.append(svg("path", { d: line, class: "wb-status-line" }));
  return icon;
}
