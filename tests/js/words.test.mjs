// Which words of two texts differ.
import assert from "node:assert/strict";
import { test } from "node:test";
import { elided, shortened, wordDiff, wordsOf } from "../../workbench/widgets/static/_lib/words.js";

const joined = (/** @type {any[]} */ pieces) => pieces.map((p) => p.text).join("");
const marked = (/** @type {any[]} */ pieces) => pieces.filter((p) => p.changed).map((p) => p.text);

test("a changed word is marked on both sides", () => {
  const { a, b, rewritten } = wordDiff("The order was sent on Monday.", "The order was lost on Monday.");
  assert.deepEqual([marked(a), marked(b), rewritten], [["sent"], ["lost"], false]);
});

test("an inserted word is marked on its side only", () => {
  const { a, b } = wordDiff("book the flight now please", "book the direct flight now please");
  assert.deepEqual(marked(a), []);
  assert.deepEqual(marked(b), ["direct"]);
});

test("changed words with blanks between them are one mark", () => {
  const { b } = wordDiff("one two three four five six seven", "one zwei drei four five six seven");
  assert.deepEqual(marked(b), ["zwei drei"]);
});

test("a rewritten text is marked as a whole", () => {
  const { a, rewritten } = wordDiff("Where is my order?", "Please cancel everything at once, thank you");
  assert.equal(rewritten, true);
  assert.equal(a.length, 1);
});

test("equal and empty texts", () => {
  assert.deepEqual(marked(wordDiff("same text", "same text").a), []);
  assert.deepEqual(wordDiff("", ""), { a: [], b: [], rewritten: false });
  assert.deepEqual(marked(wordDiff("", "new").b), ["new"]);
});

test("pieces joined are the texts, whatever the texts", () => {
  let seed = 7;
  const next = (/** @type {number} */ n) => (seed = (seed * 48271) % 2147483647) % n;
  const words = ["a", "b", "größe", "日本", " ", "\n", "!", "{", "\ud83d\ude00", "42"];
  for (let k = 0; k < 500; k++) {
    const text = () => Array.from({ length: next(30) }, () => words[next(words.length)]).join("");
    const [x, y] = [text(), text()];
    const { a, b } = wordDiff(x, y);
    assert.equal(joined(a), x);
    assert.equal(joined(b), y);
    const kept = (/** @type {any[]} */ pieces) => wordsOf(pieces.filter((p) => !p.changed).map((p) => p.text).join(""));
    assert.ok(kept(a).length <= wordsOf(x).length);
  }
});

test("what is kept on both sides is the same text", () => {
  let seed = 11;
  const next = (/** @type {number} */ n) => (seed = (seed * 48271) % 2147483647) % n;
  for (let k = 0; k < 300; k++) {
    const x = Array.from({ length: 40 }, () => `w${next(12)}`);
    const y = x.map((w) => (next(6) === 0 ? `v${next(9)}` : w)).filter(() => next(12) !== 0);
    const { a, b, rewritten } = wordDiff(x.join(" "), y.join(" "));
    if (rewritten) continue;
    const words = (/** @type {any[]} */ pieces) => pieces.filter((p) => !p.changed).flatMap((p) => p.text.match(/\w+/g) ?? []);
    assert.deepEqual(words(a), words(b));
    assert.ok(words(a).length >= 20);
  }
});

test("very different long texts take no long time", () => {
  const x = Array.from({ length: 20000 }, (_, k) => `a${k}`).join(" ");
  const y = Array.from({ length: 20000 }, (_, k) => `b${k}`).join(" ");
  const start = performance.now();
  assert.equal(wordDiff(x, y).rewritten, true);
  assert.ok(performance.now() - start < 1500);
});

test("long equal pieces are cut to what stands beside a change", () => {
  const { a } = wordDiff(`${"x ".repeat(1000)}old${" y".repeat(1000)}`, `${"x ".repeat(1000)}new${" y".repeat(1000)}`);
  const shown = elided(a, 50);
  assert.deepEqual(shown.map((p) => p.left.length > 0), [true, false, false, false, true]);
  assert.equal(shown.map((p) => p.text + p.left).join(""), joined(a));
  assert.ok(shown.map((p) => p.text).join("").length < 120);
});

test("what leads to a change is shortened between words and never longer", () => {
  const text = "search_direct_flight(origin=JFK, destination=SEA, date=2024-05-";
  assert.equal(shortened(text, 100), text);
  assert.equal(shortened(text, 44), "search_direct_flight … SEA, date=2024-05-");
  for (let room = 0; room < 80; room++) assert.ok(shortened(text, room).length <= Math.max(room + 1, 16));
});
