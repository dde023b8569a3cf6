// @ts-check
// What is inside a row of a difference: the same part of both sides beside each other, the words that differ marked.
import { fill, h, longText } from "./dom.js";
import { plainText } from "./text.js";
import { elided, wordDiff } from "./words.js";

/**
 * @typedef {{ title: string, skip: number, equal: boolean, a: string | null, b: string | null, sizes: [number, number] }} DiffBlock
 *   `a`, `b`: the texts from character `skip` on, as far as they were sent; `sizes`: lengths of the whole texts
 * @typedef {(block: number, side: "a" | "b", start: number, stop: number) => Promise<string>} AskPiece
 */

/** @param {DiffBlock[]} blocks @param {[string, string]} names @param {AskPiece} ask @param {() => void} grown */
export function diffBlocks(blocks, names, ask, grown) {
  if (!blocks.length) return h("div", { class: "wb-muted wb-dv-nothing" }, "There is nothing more in this row.");
  return h("div", { class: "wb-dv-blocks" }, blocks.map((block, k) => oneBlock(block, k, names, ask, grown)));
}

function oneBlock(/** @type {DiffBlock} */ block, /** @type {number} */ k, /** @type {[string, string]} */ names, /** @type {AskPiece} */ ask, /** @type {() => void} */ grown) {
  const mono = /^(arguments|result|\/|document)/.test(block.title);
  const title = h("div", { class: "wb-dv-title" }, block.title, block.equal ? h("span", { class: "wb-muted" }, " · the same in both") : null);
  const sides = /** @type {("a" | "b")[]} */ (["a", "b"]).filter((side) => block[side] !== null);
  if (sides.length < 2) {
    const side = sides[0] ?? "a";
    const size = block.sizes[side === "a" ? 0 : 1];
    const more = (/** @type {number} */ at) => ask(k, side, at, size).finally(grown);
    const pane = h("div", { class: `wb-dv-pane wb-dv-pane-${block.equal ? "both" : side}` }, longText(plainText(block[side]), { size, more }));
    pane.addEventListener("click", () => requestAnimationFrame(grown));
    if (!block.equal) pane.prepend(h("span", { class: "wb-dv-side" }, names[side === "a" ? 0 : 1]));
    return h("div", { class: `wb-dv-block wb-dv-${block.equal ? "same" : `only-${side}`}${mono ? " wb-mono" : ""}` }, title, pane);
  }
  const panes = sides.map((side) => h("div", { class: `wb-dv-pane wb-dv-pane-${side}` }));
  compared({ block, k, names, panes, ask, grown });
  return h("div", { class: `wb-dv-block${mono ? " wb-mono" : ""}` }, title, h("div", { class: "wb-dv-panes" }, panes));
}

/** Two texts beside each other. What was cut at either end is asked for, and the words are compared again. */
function compared(/** @type {any} */ { block, k, names, panes, ask, grown }) {
  const sides = /** @type {const} */ (["a", "b"]);
  let skip = block.skip;
  const texts = { a: block.a, b: block.b };

  const draw = () => {
    const words = wordDiff(plainText(texts.a), plainText(texts.b));
    sides.forEach((side, s) => {
      const rest = block.sizes[s] - skip - texts[side].length;
      fill(
        panes[s],
        h("span", { class: "wb-dv-side" }, names[s]),
        skip > 0 ? button(`⋯ ${count(skip)} equal characters before`, async () => {
          const start = Math.max(0, skip - 20_000);
          const before = await ask(k, "a", start, skip);
          skip = start;
          texts.a = before + texts.a;
          texts.b = before + texts.b;
          draw();
        }) : null,
        h("span", { class: `wb-dv-text${words.rewritten ? " wb-dv-rewritten" : ""}` }, elided(words[side]).map(piece)),
        rest > 0 ? button(`show more (${count(rest)} characters)`, async () => {
          const start = skip + texts[side].length;
          const more = await ask(k, side, start, block.sizes[s]);
          if (!more) throw new Error("the rest is not here");
          texts[side] += more;
          draw();
        }) : null,
      );
    });
    grown();
  };

  const piece = (/** @type {any} */ { text, changed, left }) => {
    if (!left) return changed ? h("mark", { class: "wb-dv-word" }, text) : text;
    const more = h("button", { class: "wb-more wb-dv-elided", type: "button" }, `⋯ ${count(left.length)} equal characters ⋯`);
    more.addEventListener("click", () => (more.replaceWith(left), grown()));
    return more;
  };
  draw();
}

function button(/** @type {string} */ label, /** @type {() => Promise<void>} */ act) {
  const el = h("button", { class: "wb-more", type: "button" }, label);
  el.addEventListener("click", async () => {
    el.disabled = true;
    try {
      await act();
    } catch (error) {
      el.textContent = plainText(/** @type {Error} */ (error).message);
    }
    el.disabled = false;
  });
  return el;
}

const count = (/** @type {number} */ n) => n.toLocaleString("en-US");
