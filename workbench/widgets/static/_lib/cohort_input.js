// @ts-check
// Pointer, wheel and keys over the graph of a cohort, turned into what they mean. No drawing, no state of the graph.

const SLACK = 4; // px the pointer may move and still click

/**
 * @param {HTMLElement} stage
 * @param {{ isDown: () => boolean, pan: (px: number) => void, click: (x: number, y: number) => void, hover: (x: number, y: number) => void,
 *   leave: () => void, zoom: (factor: number, px: number) => void, focused: () => boolean }} to `px`: along the main axis
 * @returns {() => void} stops it
 */
export function cohortPointer(stage, to) {
  /** @type {{ id: number, x: number, y: number, last: number, moved: boolean } | null} */
  let drag = null;
  const place = (/** @type {MouseEvent} */ event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const main = (/** @type {number} */ x, /** @type {number} */ y) => (to.isDown() ? y : x);
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const [x, y] = place(event);
    drag = { id: event.pointerId, x, y, last: main(x, y), moved: false };
    stage.focus({ preventScroll: true });
  });
  stage.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (!drag) return to.hover(x, y);
    if (!drag.moved && Math.hypot(x - drag.x, y - drag.y) > SLACK) {
      drag.moved = true;
      stage.setPointerCapture(event.pointerId);
      stage.classList.add("wb-dragging");
      to.leave();
    }
    if (drag.moved) to.pan(main(x, y) - drag.last);
    drag.last = main(x, y);
  });
  const end = (/** @type {PointerEvent} */ event, /** @type {boolean} */ done) => {
    if (!drag || event.pointerId !== drag.id) return;
    const { moved } = drag;
    drag = null;
    stage.classList.remove("wb-dragging");
    if (done && !moved) to.click(...place(event));
  };
  stage.addEventListener("pointerup", (event) => end(event, true));
  stage.addEventListener("pointercancel", (event) => end(event, false));
  // Not "pointerleave": Chromium (156) leaves it out where what lies under the pointer was drawn anew meanwhile.
  let isInside = false;
  const wander = (/** @type {PointerEvent} */ event) => {
    const was = isInside;
    isInside = stage.contains(/** @type {Node} */ (event.composedPath()[0]));
    if (was && !isInside && !drag?.moved) (drag = null), to.leave();
  };
  document.addEventListener("pointermove", wander, true);
  document.addEventListener("pointerout", wanderOut);
  function wanderOut(/** @type {PointerEvent} */ event) {
    if (!event.relatedTarget && isInside && !drag?.moved) (isInside = false), to.leave(); // out of the window
  }
  stage.addEventListener(
    "wheel",
    (event) => {
      // The page keeps its scrolling unless the graph is meant: by a modifier, or because it has the focus.
      if (!(event.ctrlKey || event.metaKey || event.shiftKey || to.focused())) return;
      event.preventDefault();
      const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 400 : 1;
      const isSideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
      if (isSideways || event.shiftKey) to.pan(-(isSideways ? event.deltaX : event.deltaY) * unit);
      else to.zoom(1.0015 ** (event.deltaY * unit), main(...place(event)));
    },
    { passive: false },
  );
  return () => {
    document.removeEventListener("pointermove", wander, true);
    document.removeEventListener("pointerout", wanderOut);
  };
}

/** What a key means over the graph. @param {KeyboardEvent} event @param {boolean} isDown @returns {[string, any?] | null} */
export function cohortKey(event, isDown) {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  const [next, previous, up, down] = isDown ? ["ArrowDown", "ArrowUp", "ArrowLeft", "ArrowRight"] : ["ArrowRight", "ArrowLeft", "ArrowUp", "ArrowDown"];
  if (event.shiftKey && (event.key === next || event.key === previous)) return ["pan", event.key === next ? 0.4 : -0.4];
  switch (event.key) {
    case next: return ["walk", "next"];
    case previous: return ["walk", "previous"];
    case up: return ["walk", "up"];
    case down: return ["walk", "down"];
    case "Home": return ["end", "start"];
    case "End": return ["end", "end"];
    case "Enter": case " ": return ["select"];
    case "n": return ["divergence", 1];
    case "p": return ["divergence", -1];
    case "d": return ["first"];
    case "+": case "=": return ["zoom", 0.6];
    case "-": case "_": return ["zoom", 1 / 0.6];
    case "f": return ["fit"];
    case "r": return ["rare"];
    case "o": return ["outcome"];
    case "Escape": return ["clear"];
    default: return null;
  }
}
