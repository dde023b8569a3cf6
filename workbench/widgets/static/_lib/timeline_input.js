// @ts-check
// Pointer, wheel and keys of a timeline, turned into what they mean. No drawing, no state of the timeline.

/** Pixels the pointer may move and still click. */
const STILL = 4;

/**
 * Drag to pan, shift-drag or brush mode to select, click, double click, hover.
 * @param {HTMLElement} stage
 * @param {{ brushing: () => boolean, pan: (dx: number) => void, brush: (x0: number, x1: number, done: boolean) => void,
 *   click: (x: number, y: number) => void, double: (x: number) => void, hover: (x: number, y: number) => void, leave: () => void,
 *   wheel: (kind: "zoom" | "pan", amount: number, x: number) => void, focused: () => boolean,
 *   passed: () => void }} to `passed`: a wheel turned here and scrolls the page
 */
export function stagePointer(stage, to) {
  /** @type {{ id: number, x: number, y: number, last: number, kind: "" | "pan" | "brush" } | null} */
  let drag = null;
  const place = (/** @type {MouseEvent} */ event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const stop = (/** @type {PointerEvent} */ event, /** @type {boolean} */ done) => {
    if (!drag || event.pointerId !== drag.id) return;
    const [x, y] = place(event);
    const { kind } = drag;
    const from = drag.x;
    drag = null;
    stage.classList.remove("wb-dragging", "wb-brushing");
    if (kind === "brush") to.brush(from, x, true);
    else if (!kind && done) to.click(x, y);
  };
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const [x, y] = place(event);
    drag = { id: event.pointerId, x, y, last: x, kind: "" };
    stage.setPointerCapture(event.pointerId);
    stage.focus({ preventScroll: true });
  });
  stage.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (!drag) return to.hover(x, y);
    if (!drag.kind && Math.abs(x - drag.x) > STILL) {
      drag.kind = event.shiftKey || to.brushing() ? "brush" : "pan";
      stage.classList.add(drag.kind === "pan" ? "wb-dragging" : "wb-brushing");
      to.leave();
    }
    if (drag.kind === "pan") to.pan(x - drag.last);
    if (drag.kind === "brush") to.brush(drag.x, x, false);
    drag.last = x;
  });
  stage.addEventListener("pointerup", (event) => stop(event, true));
  stage.addEventListener("pointercancel", (event) => stop(event, false));
  stage.addEventListener("pointerleave", () => drag || to.leave());
  stage.addEventListener("dblclick", (event) => to.double(place(event)[0]));
  stage.addEventListener(
    "wheel",
    (event) => {
      // The page keeps its scrolling unless this timeline is meant: by a modifier, or because it has the focus.
      const meant = event.ctrlKey || event.metaKey || event.shiftKey || to.focused();
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (!meant) return to.passed();
      event.preventDefault();
      const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
      if (sideways || event.shiftKey) to.wheel("pan", (sideways ? event.deltaX : event.deltaY) * unit, place(event)[0]);
      else to.wheel("zoom", event.deltaY * unit, place(event)[0]);
    },
    { passive: false },
  );
}

/**
 * The view on the minimap: drag it, drag its edges, click beside it.
 * @param {HTMLElement} map @param {{ edges: () => [number, number], move: (x0: number, x1: number) => void }} to pixels
 */
export function minimapPointer(map, to) {
  const GRIP = 7;
  /** @type {{ kind: "low" | "high" | "both", x: number, edges: [number, number] } | null} */
  let drag = null;
  const at = (/** @type {PointerEvent} */ event) => event.clientX - map.getBoundingClientRect().left;
  map.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const x = at(event);
    let [low, high] = to.edges();
    /** @type {"low" | "high" | "both"} */
    let kind = "both";
    const wide = high - low > 3 * GRIP;
    if (wide && Math.abs(x - low) <= GRIP) kind = "low";
    else if (wide && Math.abs(x - high) <= GRIP) kind = "high";
    else if (x < low - GRIP || x > high + GRIP) {
      const half = (high - low) / 2;
      [low, high] = [x - half, x + half];
      to.move(low, high);
    }
    drag = { kind, x, edges: [low, high] };
    map.setPointerCapture(event.pointerId);
  });
  map.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const by = at(event) - drag.x;
    const [low, high] = drag.edges;
    if (drag.kind === "both") to.move(low + by, high + by);
    else if (drag.kind === "low") to.move(Math.min(low + by, high - 2), high);
    else to.move(low, Math.max(high + by, low + 2));
  });
  const end = () => void (drag = null);
  map.addEventListener("pointerup", end);
  map.addEventListener("pointercancel", end);
}

/** What a key means on the stage. @param {KeyboardEvent} event @returns {[string, any?] | null} */
export function stageKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const far = event.shiftKey ? 0.5 : 0.1;
  switch (event.key) {
    case "ArrowLeft": return ["pan", -far];
    case "ArrowRight": return ["pan", far];
    case "ArrowUp": return ["lane", -1];
    case "ArrowDown": return ["lane", 1];
    case "+": case "=": return ["zoom", 0.5];
    case "-": case "_": return ["zoom", 2];
    case "Home": return ["edge", "start"];
    case "End": return ["edge", "end"];
    case "f": case "F": return ["fit"];
    case "n": return ["step", 1];
    case "p": return ["step", -1];
    case "Enter": return ["open"];
    case "Escape": return ["clear"];
    case "/": return ["search"];
    default: return null;
  }
}
