// @ts-check
// What a key means to a player. Pure.

/** Shown by "?", and read to a screen reader. */
export const REPLAY_KEYS = [
  ["Space", "play or pause"],
  ["← →", "one step back or on; with Shift ten"],
  ["Home End", "first or last step"],
  ["e  E", "next or previous error"],
  ["t  T", "next or previous tool call"],
  ["c  C", "next or previous change: of a watched value, else of the state"],
  ["m  M", "next or previous note, pin, checkpoint or fork"],
  ["p", "pin this step, or take the pin away"],
  ["n", "write a note"],
  ["k", "make this step a checkpoint"],
  ["f", "fork from here"],
  ["r", "go back to here"],
  ["1 2 3 4", "step, messages, notes, branches"],
  ["/", "search the state"],
  ["w  o", "in the state: watch the value, ask who wrote it"],
  ["?", "these keys"],
];

/**
 * @param {{ key: string, shiftKey?: boolean, ctrlKey?: boolean, metaKey?: boolean, altKey?: boolean }} event
 * @param {"text" | "tree" | "button" | "tab" | ""} inside where the focus is
 * @returns {[string, any?] | null}
 */
export function replayKey(event, inside = "") {
  if (event.ctrlKey || event.metaKey || event.altKey || inside === "text") return null;
  const { key } = event;
  const moves = key.startsWith("Arrow") || key === "Home" || key === "End";
  if (inside === "tree" && (moves || key === "Enter")) return null;
  if (inside === "tab" && moves) return null;
  if ((inside === "button" || inside === "tab") && (key === " " || key === "Enter")) return null;
  switch (key) {
    case " ": return ["play"];
    case "ArrowLeft": return ["step", event.shiftKey ? -10 : -1];
    case "ArrowRight": return ["step", event.shiftKey ? 10 : 1];
    case "PageUp": return ["step", -10];
    case "PageDown": return ["step", 10];
    case "Home": return ["edge", -1];
    case "End": return ["edge", 1];
    case "e": return ["error", 1];
    case "E": return ["error", -1];
    case "t": return ["call", 1];
    case "T": return ["call", -1];
    case "c": return ["change", 1];
    case "C": return ["change", -1];
    case "m": return ["mark", 1];
    case "M": return ["mark", -1];
    case "p": return ["pin"];
    case "n": return ["note"];
    case "k": return ["checkpoint"];
    case "f": return ["fork"];
    case "r": return ["rollback"];
    case "1": case "2": case "3": case "4": return ["tab", Number(key) - 1];
    case "/": return ["search"];
    case "?": return ["help"];
    case "Escape": return ["close"];
    default: return null;
  }
}
