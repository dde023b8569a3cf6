// @ts-check
// Which words of two texts differ. No DOM.

const WORD = /\s+|[\p{L}\p{N}_]+|[^\s\p{L}\p{N}_]/gu;
const MAX_EDITS = 600;
// With fewer words in common than this share, marking words would be confetti: the text was rewritten.
const REWRITTEN = 0.3;

/** @param {string} text @returns {string[]} words, runs of blanks, single signs */
export function wordsOf(text) {
  return text.match(WORD) ?? [];
}

/**
 * @typedef {{ text: string, changed: boolean }} Piece
 * @param {string} a @param {string} b
 * @returns {{ a: Piece[], b: Piece[], rewritten: boolean }} both texts in pieces; joined they are the texts
 */
export function wordDiff(a, b) {
  const x = wordsOf(a);
  const y = wordsOf(b);
  let head = 0;
  while (head < x.length && head < y.length && x[head] === y[head]) head++;
  let tail = 0;
  while (tail < x.length - head && tail < y.length - head && x[x.length - 1 - tail] === y[y.length - 1 - tail]) tail++;
  const keptX = new Uint8Array(x.length).fill(1, 0, head).fill(1, x.length - tail);
  const keptY = new Uint8Array(y.length).fill(1, 0, head).fill(1, y.length - tail);
  for (const [i, j] of commonWords(x.slice(head, x.length - tail), y.slice(head, y.length - tail))) {
    keptX[head + i] = 1;
    keptY[head + j] = 1;
  }
  const weight = (/** @type {string[]} */ words, /** @type {Uint8Array | null} */ kept) =>
    words.reduce((sum, word, k) => sum + (/\S/.test(word) && (!kept || kept[k]) ? word.length : 0), 0);
  const common = weight(x, keptX);
  const longest = Math.max(weight(x, null), weight(y, null));
  const rewritten = longest > 0 && common / longest < REWRITTEN;
  return { a: pieces(x, keptX, rewritten), b: pieces(y, keptY, rewritten), rewritten };
}

/** Index pairs of a longest common subsequence (Myers 1986), or none where more than MAX_EDITS edits are needed. */
function commonWords(/** @type {string[]} */ x, /** @type {string[]} */ y) {
  const n = x.length;
  const m = y.length;
  const most = Math.min(n + m, MAX_EDITS);
  const ends = new Int32Array(2 * most + 3);
  const trace = [];
  for (let d = 0; d <= most; d++) {
    trace.push(ends.slice(most - d, most + d + 3));
    for (let k = -d; k <= d; k += 2) {
      const at = most + 1 + k;
      let i = k === -d || (k !== d && ends[at - 1] < ends[at + 1]) ? ends[at + 1] : ends[at - 1] + 1;
      let j = i - k;
      while (i < n && j < m && x[i] === y[j]) i++, j++;
      ends[at] = i;
      if (i >= n && j >= m) return walkBack(trace, n, m);
    }
  }
  return [];
}

function walkBack(/** @type {Int32Array[]} */ trace, /** @type {number} */ n, /** @type {number} */ m) {
  const pairs = [];
  let i = n;
  let j = m;
  for (let d = trace.length - 1; d >= 0; d--) {
    const ends = trace[d]; // of round d - 1, diagonals -d-1 … d+1
    const k = i - j;
    const at = d + 1 + k;
    const down = k === -d || (k !== d && ends[at - 1] < ends[at + 1]);
    const before = down ? k + 1 : k - 1;
    const startI = d === 0 ? 0 : ends[d + 1 + before];
    const startJ = d === 0 ? 0 : startI - before;
    const fromI = d === 0 ? 0 : down ? startI : startI + 1;
    while (i > fromI && j > (d === 0 ? 0 : fromI - k)) pairs.push([--i, --j]);
    i = startI;
    j = startJ;
  }
  return pairs.reverse();
}

/** Neighbours joined; a lone blank or sign between two changed words counts as changed. */
function pieces(/** @type {string[]} */ words, /** @type {Uint8Array} */ kept, /** @type {boolean} */ all) {
  /** @type {Piece[]} */
  const out = [];
  const changed = words.map((_, k) => all || !kept[k]);
  for (let k = 1; k < words.length - 1; k++) {
    if (!changed[k] && changed[k - 1] && changed[k + 1] && !/[\p{L}\p{N}]/u.test(words[k])) changed[k] = true;
  }
  // Blanks at the edge of a mark say nothing.
  const isEdge = (/** @type {number} */ k) => /^\s/.test(words[k]) && Boolean(changed[k - 1]) !== Boolean(changed[k + 1]);
  const edges = words.flatMap((_, k) => (changed[k] && !all && isEdge(k) ? [k] : []));
  for (const k of edges) changed[k] = false;
  for (let k = 0; k < words.length; k++) {
    const last = out[out.length - 1];
    if (last && last.changed === changed[k]) last.text += words[k];
    else out.push({ text: words[k], changed: changed[k] });
  }
  return out;
}

/**
 * Long equal pieces shortened to what stands beside a change.
 * @param {Piece[]} list @param {number} [keep] characters kept on either side
 * @returns {(Piece & { left: string })[]} `left`: what was left out at this place ("" = nothing)
 */
export function elided(list, keep = 120) {
  const out = [];
  list.forEach((piece, k) => {
    const isFirst = k === 0;
    const isLast = k === list.length - 1;
    const room = keep * (isFirst || isLast ? 1 : 2);
    if (piece.changed || piece.text.length <= room + 80 || list.length === 1) return void out.push({ ...piece, left: "" });
    const before = isFirst ? "" : piece.text.slice(0, keep);
    const after = isLast ? "" : piece.text.slice(-keep);
    const left = piece.text.slice(before.length, piece.text.length - after.length);
    if (before) out.push({ text: before, changed: false, left: "" });
    out.push({ text: "", changed: false, left });
    if (after) out.push({ text: after, changed: false, left: "" });
  });
  return out;
}

/**
 * A text that leads to a change, its middle left out where it has more than `room` characters; cut between words if one
 * is near. @param {string} text @param {number} room
 */
export function shortened(text, room) {
  if (text.length <= Math.max(room, 16)) return text;
  const start = Math.max(6, Math.floor((room - 3) * 0.5));
  const end = Math.max(6, Math.floor((room - 3) * 0.5));
  const first = text.slice(0, start).replace(/[^\p{L}\p{N}]*[\p{L}\p{N}_]*$/u, (cut) => (cut.length < start / 2 ? "" : cut));
  const last = text.slice(-end).replace(/^[\p{L}\p{N}_]*[^\p{L}\p{N}_]+/u, (cut) => (cut.length < end / 2 ? "" : cut));
  return `${first} … ${last}`;
}
