// @ts-check
// The association of two groups with an outcome, as workbench/replay/association.py has it. Pure.

const Z95 = 1.959963984540054;

/** Wilson's score interval of a share. @param {number} k @param {number} n @returns {[number, number]} */
function wilson(k, n) {
  const p = k / n;
  const middle = p + Z95 ** 2 / (2 * n);
  const half = Z95 * Math.sqrt((p * (1 - p)) / n + Z95 ** 2 / (4 * n * n));
  const size = 1 + Z95 ** 2 / n;
  return [(middle - half) / size, (middle + half) / size];
}

/**
 * How a share differs between two groups, with its 95 % interval (Newcombe 1998, method 10).
 * @param {number} k1 @param {number} n1 @param {number} k2 @param {number} n2
 * @returns {{ difference: number, low: number, high: number } | null} null: a group is empty
 */
export function newcombe(k1, n1, k2, n2) {
  if (!n1 || !n2) return null;
  const [p1, p2] = [k1 / n1, k2 / n2];
  const [l1, u1] = wilson(k1, n1);
  const [l2, u2] = wilson(k2, n2);
  const difference = p1 - p2;
  return {
    difference,
    low: difference - Math.sqrt((p1 - l1) ** 2 + (u2 - p2) ** 2),
    high: difference + Math.sqrt((u1 - p1) ** 2 + (p2 - l2) ** 2),
  };
}
