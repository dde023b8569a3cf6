// @ts-check
// What stands beside the state: notes, branches, messages, and who wrote a value. Elements and what they ask for.
import { fill, h, longText } from "./dom.js";
import { formatInteger, formatTime } from "./format.js";
import { branchWords } from "./replay_words.js";
import { markSign } from "./scrubber_paint.js";
import { oneLine } from "./text.js";
import { pointerWords } from "./tree_rows.js";

/** A button that asks once before it does something. @param {string} text @param {string} sure @param {() => void} go */
function sureButton(text, sure, go) {
  const button = h("button", { class: "wb-button wb-rp-small", type: "button" }, text);
  let asked = false;
  const calm = () => ((asked = false), (button.textContent = text));
  button.addEventListener("click", () => (asked ? (calm(), go()) : ((asked = true), (button.textContent = sure))));
  button.addEventListener("blur", calm);
  return button;
}

const NOTE_ORDER = ["note", "checkpoint", "pin"];

/**
 * Notes, pins and checkpoints: of this step to write, of all steps to read.
 * @param {{ on: { add: (kind: string, text: string) => Promise<boolean>, edit: (id: string, text: string) => Promise<boolean>, remove: (id: string) => void, go: (position: number) => void }, offline: boolean }} options
 */
export function notesPane({ on, offline }) {
  const kind = h("select", { class: "wb-select", "aria-label": "Kind" }, NOTE_ORDER.map((name) => h("option", { value: name }, name)));
  const text = h("textarea", { class: "wb-input wb-rp-note-text", rows: "2", maxlength: "20000", "aria-label": "Text of the note", placeholder: "What is to be said about this step" });
  const save = h("button", { class: "wb-button", type: "submit" }, "Save");
  const heading = h("span", { class: "wb-muted wb-small" });
  const form = h("form", { class: "wb-rp-note-form" }, heading, text, h("div", { class: "wb-rp-note-row" }, kind, save));
  const list = h("ul", { class: "wb-rp-notes" });
  const el = h("div", {}, offline ? null : form, list);
  const words = { note: "What is to be said about this step", checkpoint: "Name of the checkpoint", pin: "A pin needs no text" };
  kind.addEventListener("change", () => ((text.placeholder = words[kind.value]), (text.disabled = kind.value === "pin")));
  form.addEventListener("submit", async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (kind.value !== "pin" && !text.value.trim()) return void text.focus();
    if (await on.add(kind.value, text.value.trim())) text.value = "";
  });
  text.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) (event.preventDefault(), event.stopPropagation(), form.requestSubmit());
  });
  let steps = /** @type {any} */ (null);
  let editing = "";

  /** @param {any[]} notes @param {number} position */
  function draw(notes, position) {
    heading.textContent = `On step ${formatInteger(steps.number[position])}:`;
    const sorted = [...notes].sort((a, b) => a.position - b.position);
    fill(list, sorted.length ? sorted.map((note) => item(note, position, notes)) : h("li", { class: "wb-muted" }, "Nothing is noted on this run yet."));
  }

  /** @param {any} note @param {number} position @param {any[]} notes */
  function item(note, position, notes) {
    const isHere = note.position === position;
    const go = h("button", { class: "wb-more wb-rp-go", type: "button", on: { click: () => on.go(note.position) } }, `step ${formatInteger(steps.number[note.position])}`);
    const about = [note.is_recorded ? "by the agent" : note.author, note.at === null ? null : formatTime(note.at).slice(0, 16)].filter(Boolean).join(" · ");
    const changeable = !offline && !note.is_recorded;
    const body = editing === note.id ? editor(note, notes, position) : h("div", { class: "wb-rp-note-body" }, longText(note.text, { first: 400 }));
    return h(
      "li",
      { class: `wb-rp-note${isHere ? " wb-rp-here" : ""}`, "data-note": note.id, "data-kind": note.kind },
      h("div", { class: "wb-rp-note-head" }, h("span", { "aria-hidden": "true" }, markSign(note.kind)), h("span", {}, note.kind), go, h("span", { class: "wb-muted wb-small wb-rp-about" }, about),
        changeable && note.kind !== "pin" && editing !== note.id ? h("button", { class: "wb-button wb-rp-small", type: "button", on: { click: () => ((editing = note.id), draw(notes, position), list.querySelector("textarea")?.focus()) } }, "Edit") : null,
        changeable ? sureButton("Remove", "Remove it?", () => on.remove(note.id)) : null),
      note.text || editing === note.id ? body : null,
    );
  }

  /** @param {any} note @param {any[]} notes @param {number} position */
  function editor(note, notes, position) {
    const area = h("textarea", { class: "wb-input wb-rp-note-text", rows: "3", "aria-label": `Text of the ${note.kind}` });
    area.value = note.text;
    const done = () => ((editing = ""), draw(notes, position));
    return h(
      "div",
      {},
      area,
      h("div", { class: "wb-rp-note-row" },
        h("button", { class: "wb-button wb-rp-small", type: "button", on: { click: async () => { editing = ""; if (!(await on.edit(note.id, area.value.trim()))) editing = note.id; } } }, "Save"),
        h("button", { class: "wb-button wb-rp-small", type: "button", on: { click: done } }, "Cancel")),
    );
  }

  return {
    el,
    draw,
    read: (/** @type {any} */ read) => void (steps = read),
    write(/** @type {string} */ wanted) {
      kind.value = wanted;
      kind.dispatchEvent(new Event("change"));
      (wanted === "pin" ? save : text).focus();
    },
  };
}

/**
 * The lineage tree: each branch a bar over the steps that it has, the head named, what was abandoned hatched.
 * @param {{ on: { choose: (run: string) => void }, offline: boolean }} options
 */
export function branchesPane({ on, offline }) {
  const el = h("div", { class: "wb-rp-branches", role: "list", "aria-label": "Branches of this run" });
  let most = 1;
  const place = (/** @type {number} */ step) => `${(100 * Math.min(step + 0.5, most)) / most}%`;
  return {
    el,
    /** @param {number} step */
    move(step) {
      for (const now of el.querySelectorAll(".wb-rp-bar-now")) now.style.left = place(step);
    },
    /** @param {any[]} branches @param {number} step the number of the step that is seen */
    draw(branches, step) {
      most = Math.max(0, ...branches.map((one) => one.last ?? 0)) + 1;
      const percent = (/** @type {number} */ n) => `${(100 * n) / most}%`;
      fill(el, branches.map((one) => {
        const from = one.from === null ? 0 : one.from + 1;
        const to = (one.last ?? from) + 1;
        const cut = one.was_head ? Math.min(to, (one.head_until ?? -1) + 1) : to;
        const part = (/** @type {number} */ a, /** @type {number} */ b, /** @type {string} */ kind) => (b > a ? h("span", { class: kind, style: { left: percent(a), width: percent(b - a) } }) : null);
        const words = branchWords(one);
        return h(
          "div",
          { role: "listitem" },
          h(
            "button",
            {
              class: `wb-rp-branch${one.is_shown ? " wb-rp-here" : ""}`, type: "button", "data-run": one.id, "aria-current": one.is_shown ? "true" : null, disabled: offline,
              title: `${one.id}: ${words}`, on: { click: () => on.choose(one.id) },
            },
            h("span", { class: "wb-rp-branch-name", style: { "padding-left": `${Math.max(0, one.depth - 1) * 14}px` } }, one.depth ? h("span", { class: "wb-muted", "aria-hidden": "true" }, "└ ") : null, oneLine(one.name || "unnamed", 60), " ", h("span", { class: "wb-muted wb-mono wb-small" }, one.id.slice(-6)),
              one.is_head ? h("span", { class: "wb-rp-tag" }, "head") : null, one.is_shown ? h("span", { class: "wb-rp-tag wb-rp-tag-here" }, "shown") : null),
            h("span", { class: "wb-muted wb-small" }, words),
            h("span", { class: "wb-rp-bar", "aria-hidden": "true" }, part(0, from, "wb-rp-bar-shared"), part(from, Math.max(cut, from), "wb-rp-bar-own"), part(Math.max(cut, from), to, "wb-rp-bar-left"), h("span", { class: "wb-rp-bar-now", style: { left: place(step) } })),
          ),
        );
      }));
    },
  };
}

const MESSAGE_CHANGES = { added: "+ new", changed: "≠ changed", dropped: "− dropped", compacted: "− compacted" };

/**
 * The messages as the model saw them.
 * @param {{ wire: any, on: { go: (step: number) => void } }} options
 */
export function messagesPane({ wire, on }) {
  const el = h("div", { class: "wb-rp-messages" });
  let position = -1;
  /** @type {any[]} */ let messages = [];
  let n = 0;
  let start = 0;

  /** @param {any} answer */
  function show(answer) {
    position = answer.position;
    [messages, n, start] = [answer.messages, answer.n_given, answer.start];
    if (answer.none) return void fill(el, h("p", { class: "wb-muted" }, answer.none));
    draw(answer.tokens);
    el.parentElement.scrollTop = el.parentElement.scrollHeight; // the last is what the model answered to
  }

  /** @param {number} tokens */
  function draw(tokens) {
    const first = messages[0];
    const head = first ? `The model call at step ${formatInteger(first.call_step)} saw ${formatInteger(n)} ${n === 1 ? "message" : "messages"}, ${formatInteger(tokens)} tokens${first.is_reconstructed ? ", rebuilt from the conversation" : ""}.` : "The model saw no messages.";
    const earlier = start > 0 ? h("button", { class: "wb-more", type: "button", on: { click: () => more(Math.max(0, start - 40), tokens) } }, `show ${formatInteger(Math.min(40, start))} earlier`) : null;
    fill(el, h("p", { class: "wb-muted wb-small" }, head), earlier, messages.map(message));
  }

  async function more(/** @type {number} */ from, /** @type {number} */ tokens) {
    const at = position;
    const answer = await wire.request("messages", { position, start: from });
    if (at !== position) return;
    messages = [...answer.messages.slice(0, start - from), ...messages];
    start = from;
    draw(tokens);
  }

  /** @param {any} one */
  function message(one) {
    const change = MESSAGE_CHANGES[one.change];
    return h(
      "article",
      { class: `wb-rp-message wb-rp-m-${one.change ?? "kept"}`, "data-kind": one.kind },
      h("header", {}, h("strong", {}, one.kind, one.name ? ` · ${oneLine(one.name, 40)}` : ""), change ? h("span", { class: "wb-rp-tag" }, change) : null,
        h("span", { class: "wb-muted" }, `${formatInteger(one.tokens)} ${one.tokens === 1 ? "token" : "tokens"}`),
        one.step_number === null ? null : h("button", { class: "wb-more wb-rp-go", type: "button", on: { click: () => on.go(one.step_number) } }, `step ${formatInteger(one.step_number)}`)),
      longText(one.text ?? "", { first: 500, size: Math.min(one.n_chars ?? 0, (one.text ?? "").length) }),
      (one.n_chars ?? 0) > (one.text ?? "").length ? h("div", { class: "wb-muted wb-small" }, `${formatInteger(one.n_chars)} characters; the whole text is in the step that added it`) : null,
    );
  }

  return { el, show, get position() { return position; }, note: (/** @type {string} */ text) => fill(el, h("p", { class: "wb-muted" }, text)) };
}

/**
 * Who wrote a value: rows from the change of the state back to where the value came from.
 * @param {{ on: { go: (position: number) => void, close: () => void } }} options
 */
export function originPane({ on }) {
  const title = h("strong", {});
  const body = h("div", { class: "wb-rp-origin-body" });
  const el = h("section", { class: "wb-rp-panel wb-rp-origin", hidden: true, tabindex: "-1", "aria-label": "Who wrote this value" },
    h("div", { class: "wb-rp-panel-head" }, title, h("button", { class: "wb-button wb-rp-small", type: "button", "aria-label": "Close (Esc)", on: { click: on.close } }, "×")), body);

  return {
    el,
    /** @param {string} path */
    wait(path) {
      el.hidden = false;
      fill(title, `Who wrote ${oneLine(pointerWords(path), 80)}?`);
      fill(body, h("p", { class: "wb-muted" }, "…"));
      el.focus({ preventScroll: true });
    },
    /** @param {any} answer */
    show(answer) {
      if (answer.none) return void fill(body, h("p", { class: "wb-muted" }, answer.none));
      const shown = answer.rows.filter((/** @type {any} */ row) => row.is_origin || row.depth === 0);
      const others = answer.rows.filter((/** @type {any} */ row) => !shown.includes(row));
      fill(body, h("ol", { class: "wb-rp-origins" }, shown.map(item)),
        others.length ? h("details", {}, h("summary", { class: "wb-muted wb-small" }, `${formatInteger(others.length)} other places that hold it`), h("ol", { class: "wb-rp-origins" }, others.map(item))) : null);
    },
  };

  /** @param {any} row */
  function item(row) {
    const where = row.step_number === null ? null : row.position === null ? `step ${formatInteger(row.step_number)} of run ${row.execution_id.slice(-6)}`
      : h("button", { class: "wb-more wb-rp-go", type: "button", on: { click: () => on.go(row.position) } }, `step ${formatInteger(row.step_number)}`);
    return h(
      "li",
      { style: { "margin-left": `${row.depth * 14}px` }, "data-source": row.source },
      h("div", {}, h("strong", {}, row.source), row.name ? ` ${oneLine(row.name, 60)}` : "", " ", where, row.match ? h("span", { class: "wb-muted wb-small" }, ` ${row.match} match`) : null),
      row.value === null ? null : h("div", { class: "wb-mono wb-small wb-rp-origin-value" }, oneLine(row.value, 200)),
      row.text ? h("div", { class: "wb-muted wb-small" }, oneLine(row.text, 240)) : null,
    );
  }
}
