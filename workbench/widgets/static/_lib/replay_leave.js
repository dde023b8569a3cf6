// @ts-check
// Leaving a run at a step: fork with an edited state, or go back. What will happen is said beforehand.
import { fill, h } from "./dom.js";
import { forkWords, rollbackWords } from "./replay_words.js";
import { CHANGE_SIGNS, valueLine } from "./state_tree.js";
import { oneLine } from "./text.js";
import { pointerWords } from "./tree_rows.js";

/**
 * @param {{ wire: any, guard: (f: () => any) => any, at: () => { position: number, step: number, last: number, after: number },
 *   done: (what: "fork" | "rollback") => void, closed: () => void }} options
 */
export function leavePanel({ wire, guard, at, done, closed }) {
  /** @type {Map<string, string>} */
  const edits = new Map(); // pointer → JSON text
  let mode = /** @type {"fork" | "rollback"} */ ("fork");
  let planned = /** @type {any} */ (null);
  const title = h("strong", {});
  const words = h("p", { class: "wb-rp-words", role: "status" });
  const name = h("input", { class: "wb-input", maxlength: "200", placeholder: "Name of the branch (optional)", "aria-label": "Name of the branch" });
  const reason = h("input", { class: "wb-input", maxlength: "500", placeholder: "Why (optional)", "aria-label": "Reason" });
  const list = h("div", { class: "wb-rp-edits" });
  const raw = h("textarea", { class: "wb-input wb-mono", rows: "3", spellcheck: "false", "aria-label": "JSON patch", placeholder: '[{"op": "replace", "path": "/cart/total", "value": 0}]' });
  const more = h("details", {}, h("summary", { class: "wb-small wb-muted" }, "JSON patch (RFC 6902): add, remove, move, …"), raw);
  const plan = h("div", { class: "wb-rp-plan" });
  const go = h("button", { class: "wb-button wb-rp-primary", type: "button" }, "Fork from here");
  const hint = h("p", { class: "wb-muted wb-small" }, "To change the state, press “edit” beside a value in the tree.");
  const forkPart = h("div", {}, hint, list, more, plan);
  const el = h(
    "section",
    { class: "wb-rp-panel", hidden: true, tabindex: "-1", "aria-label": "Leave the run at this step" },
    h("div", { class: "wb-rp-panel-head" }, title, h("button", { class: "wb-button wb-rp-small", type: "button", "aria-label": "Close (Esc)", on: { click: () => close() } }, "×")),
    words,
    forkPart,
    h("div", { class: "wb-rp-note-row" }, name, reason, go),
  );
  raw.addEventListener("input", () => changed());
  name.addEventListener("input", () => say());
  go.addEventListener("click", () => guard(leave));
  for (const input of [name, reason]) input.addEventListener("keydown", (/** @type {KeyboardEvent} */ e) => e.key === "Enter" && (e.preventDefault(), go.click()));

  const askPlan = wire.newest("plan", (/** @type {any} */ answer, /** @type {any} */ args) => {
    if (args.position !== at().position) return;
    planned = answer;
    drawPlan();
  }, (/** @type {any} */ error) => ((planned = { problem: error.message }), drawPlan()), 150);

  /** The operations, or what is wrong with them. @returns {{ patch: any[], problem?: string }} */
  function patch() {
    const ops = [];
    for (const [pointer, text] of edits) {
      try {
        ops.push({ op: "replace", path: pointer, value: JSON.parse(text) });
      } catch (error) {
        return { patch: [], problem: `${pointerWords(pointer)} is no JSON: ${/** @type {Error} */ (error).message}. A text needs quotes: "like this".` };
      }
    }
    if (!raw.value.trim()) return { patch: ops };
    try {
      const given = JSON.parse(raw.value);
      if (!Array.isArray(given)) return { patch: [], problem: "The patch must be a list of operations: [ … ]." };
      return { patch: [...ops, ...given] };
    } catch (error) {
      return { patch: [], problem: `The patch is no JSON: ${/** @type {Error} */ (error).message}` };
    }
  }

  function changed() {
    planned = null;
    const made = patch();
    if (made.problem) planned = { problem: made.problem };
    else if (made.patch.length) askPlan({ position: at().position, patch: made.patch });
    else planned = { changes: [] };
    drawPlan();
  }

  function drawPlan() {
    const problem = planned?.problem;
    raw.setAttribute("aria-invalid", String(Boolean(problem)));
    fill(plan, problem ? h("p", { class: "wb-rp-problem", role: "alert" }, problem) : (planned?.changes ?? []).slice(0, 30).map((/** @type {any} */ one) =>
      h("div", { class: "wb-rp-change" }, h("span", { class: "wb-rp-sign" }, CHANGE_SIGNS[one.kind]), h("span", { class: "wb-rp-change-path" }, oneLine(pointerWords(one.pointer), 80)), " ", one.before ? valueLine(one.before, 40) : null, one.before && one.after ? " → " : null, one.after ? valueLine(one.after, 40) : null)));
    say();
  }

  function say() {
    const here = at();
    fill(title, mode === "fork" ? `Fork from step ${here.step}` : `Go back to step ${here.step}`);
    const bad = mode === "fork" && (!planned || planned.problem);
    fill(words, mode === "fork" ? forkWords(here.step, planned?.changes?.length ?? 0, name.value) : rollbackWords(here.step, here.last, here.after));
    go.textContent = mode === "fork" ? "Fork from here" : "Go back to here";
    go.disabled = Boolean(bad);
  }

  function drawEdits() {
    hint.hidden = edits.size > 0;
    fill(list, [...edits].map(([pointer, text]) => {
      const area = h("textarea", { class: "wb-input wb-mono", rows: String(Math.min(8, text.split("\n").length + 1)), spellcheck: "false", "aria-label": `New value of ${pointerWords(pointer)}` });
      area.value = text;
      area.addEventListener("input", () => (edits.set(pointer, area.value), changed()));
      return h("div", { class: "wb-rp-edit", "data-edit": pointer }, h("div", { class: "wb-rp-note-head" }, h("span", { class: "wb-mono wb-small" }, oneLine(pointerWords(pointer), 100)),
        h("button", { class: "wb-button wb-rp-small", type: "button", "aria-label": `Leave ${pointerWords(pointer)} as it is`, on: { click: () => (edits.delete(pointer), drawEdits(), changed()) } }, "×")), area);
    }));
  }

  async function leave() {
    const { position } = at();
    go.disabled = true;
    const answer = mode === "fork" ? await wire.request("fork", { position, patch: patch().patch, name: name.value }) : await wire.request("rollback", { position, reason: reason.value });
    go.disabled = false;
    if (answer.problem) return void fill(mode === "fork" ? plan : words, h("span", { class: "wb-rp-problem", role: "alert" }, answer.problem));
    edits.clear();
    name.value = reason.value = raw.value = "";
    close();
    done(mode);
  }

  function close() {
    if (el.hidden) return;
    el.hidden = true;
    closed();
  }

  /** @param {"fork" | "rollback"} wanted */
  function open(wanted) {
    mode = wanted;
    el.hidden = false;
    forkPart.hidden = name.hidden = mode !== "fork";
    reason.hidden = mode === "fork";
    drawEdits();
    changed();
    (mode === "fork" ? name : reason).focus({ preventScroll: true });
  }

  return {
    el,
    open,
    close,
    /** The player stands on another step. */
    moved: () => void (el.hidden || (mode === "fork" ? changed() : say())),
    /** @param {string} pointer */
    async edit(pointer) {
      if (!edits.has(pointer)) {
        const answer = await wire.request("value", { position: at().position, pointer });
        if (answer.problem) throw new Error(answer.problem);
        edits.set(pointer, answer.text);
      }
      open("fork");
      /** @type {HTMLElement | null} */ (list.querySelector(`[data-edit="${CSS.escape(pointer)}"] textarea`))?.focus();
    },
    end: () => askPlan.close(),
  };
}
