// @ts-check
// The rows of a state tree: what is open, what changed, what is asked for. Pure; nodes come from _state.py.

/** @typedef {[string, string, number, string]} TreeEntry key, kind, size, text */
/** @typedef {Record<string, { size: number, pages: Record<string, TreeEntry[]> }>} TreeNodes */
/** @typedef {{ kind: string, pointer: string, before: any, after: any }} TreeChange */

const TREE_PAGE = 100; // entries of a page; _state.PAGE

/** @param {string} pointer @param {string} key */
export function pointerBelow(pointer, key) {
  return `${pointer}/${key.replace(/~/g, "~0").replace(/\//g, "~1")}`;
}

/** The parts of a JSON pointer. @param {string} pointer */
export function pointerKeys(pointer) {
  return pointer.split("/").slice(1).map((part) => part.replace(/~1/g, "/").replace(/~0/g, "~"));
}

/** @param {string} pointer */
export function pointerParent(pointer) {
  return pointer.slice(0, pointer.lastIndexOf("/"));
}

/** As a person says it: cart.items[0].price @param {string} pointer */
export function pointerWords(pointer) {
  if (!pointer) return "the whole state";
  let said = "";
  for (const key of pointerKeys(pointer)) {
    if (/^\d+$/.test(key)) said += `[${key}]`;
    else if (/^[\p{L}_$][\p{L}\p{N}_$-]*$/u.test(key)) said += said ? `.${key}` : key;
    else said += `[${JSON.stringify(key)}]`;
  }
  return said;
}

/** Which rows a step changed, which hold something that it changed, and what it took away. @param {TreeChange[]} changes */
export function changeMarks(changes) {
  const own = new Map();
  const inside = new Set();
  /** @type {Map<string, TreeChange[]>} */
  const removed = new Map();
  for (const change of changes) {
    const parent = pointerParent(change.pointer);
    if (change.kind === "removed") removed.set(parent, [...(removed.get(parent) ?? []), change]);
    else own.set(change.pointer, change.kind);
    if (!change.pointer) continue;
    for (let up = parent; ; up = pointerParent(up)) {
      inside.add(up);
      if (!up) break;
    }
  }
  return { own, inside, removed };
}

/**
 * The rows that are to be seen, from the top.
 * @param {TreeEntry | [string, number, string]} root kind, size and text of the whole state
 * @param {TreeNodes} nodes
 * @param {Map<string, Set<number>>} open pointer → pages
 * @param {ReturnType<typeof changeMarks>} marks
 * @param {number} [most]
 */
export function treeRows(root, nodes, open, marks, most = 4_000) {
  /** @type {any[]} */
  const rows = [];
  const [kind, size, text] = /** @type {any} */ (root);
  if (kind !== "object" && kind !== "array") return [{ type: "value", pointer: "", key: "", kind, size, text, depth: 0, mark: marks.own.get("") ?? null }];

  const list = (/** @type {string} */ pointer, /** @type {string} */ kindHere, /** @type {number} */ depth) => {
    const node = nodes[pointer];
    if (!node) return void rows.push({ type: "wait", pointer, depth });
    const pages = [...(open.get(pointer) ?? [0])].sort((a, b) => a - b);
    let next = 0;
    for (const page of pages) {
      const from = page * TREE_PAGE;
      if (from >= node.size && node.size > 0) continue;
      if (from > next) rows.push({ type: "more", pointer, depth, from: next, to: from, page: page - 1 });
      const entries = node.pages[String(page)];
      next = Math.min(node.size, from + TREE_PAGE);
      if (!entries) {
        rows.push({ type: "wait", pointer, depth });
        continue;
      }
      for (const [i, entry] of entries.entries()) {
        if (rows.length >= most) return;
        one(pointerBelow(pointer, entry[0]), entry, depth, from + i, node.size);
      }
    }
    if (next < node.size) rows.push({ type: "more", pointer, depth, from: next, to: node.size, page: Math.floor(next / TREE_PAGE) });
    if (kindHere === "object") {
      for (const change of marks.removed.get(pointer) ?? []) {
        rows.push({ type: "ghost", pointer: change.pointer, key: pointerKeys(change.pointer).pop(), depth, before: change.before });
      }
    }
  };
  const one = (/** @type {string} */ pointer, /** @type {any} */ [key, kindHere, sizeHere, textHere], /** @type {number} */ depth, /** @type {number} */ place, /** @type {number} */ of) => {
    const holds = (kindHere === "object" || kindHere === "array") && sizeHere > 0;
    const isOpen = holds && open.has(pointer);
    rows.push({
      type: "value", pointer, key, kind: kindHere, size: sizeHere, text: textHere, depth, holds, isOpen, place, of,
      mark: marks.own.get(pointer) ?? null, inside: marks.inside.has(pointer) || marks.removed.has(pointer),
    });
    if (isOpen) list(pointer, kindHere, depth + 1);
  };
  list("", kind, 0);
  return rows;
}

/** What to ask for: the pages of all containers that are open, and not inside a closed one. @param {Map<string, Set<number>>} open */
export function wantedPages(open) {
  /** @type {Record<string, number[]>} */
  const wanted = {};
  for (const [pointer, pages] of open) {
    let seen = true;
    for (let up = pointer; up && seen; ) seen = open.has((up = pointerParent(up)));
    if (seen) wanted[pointer] = [...pages];
  }
  return wanted;
}
