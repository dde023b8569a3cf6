// @ts-check
// What a player says in words. Pure.
import { formatDuration, formatInteger } from "./format.js";
import { STEP_ABANDONED, STEP_ERROR, STEP_SHARED, STEP_WARNING } from "./scrubber.js";
import { oneLine } from "./text.js";

const plural = (/** @type {number} */ n, /** @type {string} */ word) => `${formatInteger(n)} ${word}${n === 1 ? "" : "s"}`;

/** A step for a screen reader and the status line. @param {any} steps @param {number} position @param {string[]} kinds @param {string} [name] */
export function placeOfStep(steps, position, kinds, name = "") {
  const flags = steps.flags[position];
  const at = steps.at[position];
  return [
    `step ${formatInteger(steps.number[position])}`,
    `${formatInteger(position + 1)} of ${formatInteger(steps.n)}`,
    [kinds[steps.kind[position]]?.replace("_", " "), oneLine(name, 40)].filter(Boolean).join(" "),
    Number.isFinite(at) ? `+${formatDuration(at)}` : null,
    flags & STEP_ERROR ? "error" : flags & STEP_WARNING ? "warning" : null,
    flags & STEP_SHARED ? "shared with the run it left" : null,
    flags & STEP_ABANDONED ? "abandoned" : null,
  ].filter(Boolean).join(" · ");
}

/** What a fork will do, said beforehand. @param {number} step @param {number} edits @param {string} name */
export function forkWords(step, edits, name) {
  const called = name.trim() ? `“${oneLine(name, 60)}”` : "of the same name";
  const state = edits ? `with ${plural(edits, "change")} to the state` : "with the state as it is";
  return `A new branch ${called} begins after step ${formatInteger(step)}, ${state}. Nothing runs yet, and this run stays as it is.`;
}

/** What going back will do. @param {number} step @param {number} last number of the branch's last step @param {number} after steps behind it */
export function rollbackWords(step, last, after) {
  if (!after) return "This is the last step of this branch: the branch becomes the head, and nothing is abandoned.";
  const which = after === 1 ? `Step ${formatInteger(last)} stays` : `The ${formatInteger(after)} steps behind it, up to ${formatInteger(last)}, stay`;
  return `A new branch from step ${formatInteger(step)} becomes the head. ${which} in this run as an abandoned future, which you find under Branches.`;
}

/** Why there is nowhere to jump. @param {string} what @param {number} direction */
export function nowhereWords(what, direction) {
  return `No ${what} ${direction > 0 ? "after" : "before"} this step.`;
}

/** What a step changed. @param {number} n @param {boolean} more @param {boolean} known */
export function changedWords(n, more, known) {
  if (!known) return "No state is known at this step.";
  if (!n) return "Nothing of the state changed in this step.";
  return `${more ? "More than " : ""}${plural(n, "change")} in this step`;
}

/** A branch in one line. @param {any} branch */
export function branchWords(branch) {
  const own = branch.last === null ? null : branch.from === null ? plural(branch.last + 1, "step") : branch.last > branch.from ? `steps ${formatInteger(branch.from + 1)} to ${formatInteger(branch.last)}` : "no steps of its own";
  const left = branch.was_head && branch.last !== null && (branch.head_until ?? -1) < branch.last ? (branch.head_until === null ? "abandoned" : `abandoned after step ${formatInteger(branch.head_until)}`) : null;
  return [branch.from === null ? null : `from step ${formatInteger(branch.from)}`, own, branch.status, left].filter(Boolean).join(" · ");
}
