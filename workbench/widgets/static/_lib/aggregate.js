// @ts-check
/**
 * The dashboard's numbers from typed columns, every panel filtered by the others: the twin of _aggregate.py. No DOM.
 */
import { isNumeric, passing, quantile, sortedNumbers } from "./table.js";

export const TOKEN_CLASSES = ["input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"];
const Z975 = 1.959963984540054;

/** Wilson's 95 % interval. @param {number} successes @param {number} n @returns {[number, number] | null} */
export function wilson(successes, n) {
  if (!n) return null;
  const p = successes / n;
  const z2 = Z975 * Z975;
  const centre = (p + z2 / (2 * n)) / (1 + z2 / n);
  const half = (Z975 / (1 + z2 / n)) * Math.sqrt((p * (1 - p)) / n + z2 / (4 * n * n));
  return [successes === 0 ? 0 : centre - half, successes === n ? 1 : centre + half];
}

/**
 * @param {import("./table.js").Table} table @param {any} plan bins and groups, from the kernel
 * @param {Record<string, any>} filters @param {string} group
 * @param {{names: string[], rows: ArrayLike<number>, codes: ArrayLike<number>, counts: ArrayLike<number>} | null} [faults]
 */
export function aggregate(table, plan, filters, group, faults) {
  const fails = failingOf(table, filters, faults);
  const cache = new Map();
  const rows = (/** @type {string[]} */ ...skip) => {
    const names = Object.keys(filters).filter((name) => skip.includes(name));
    const key = names.join("\n");
    if (!cache.has(key)) cache.set(key, keptOf(table.rows, fails, new Set(names)));
    return cache.get(key);
  };
  const column = (/** @type {string} */ name) => table.columns.get(name);
  return {
    total: table.rows,
    headline: headlineOf(table, rows()),
    status: countedOf(column("status"), rows("status"), plan.statuses, true),
    time: overTimeOf(table, rows("started_at"), plan.time),
    duration: binnedOf(column("execution_time_ms"), rows("execution_time_ms"), plan.edges.execution_time_ms),
    cost: binnedOf(column("cost_usd"), rows("cost_usd"), plan.edges.cost_usd),
    tokens: tokensOf(table, rows(...TOKEN_CLASSES)),
    errors: countedOf(column("error_kind"), rows("error_kind"), plan.kinds, false),
    groups: groupsOf(table, rows(group), group, plan.groups[group]),
    faults: faults ? faultCountsOf(table.rows, rows("fault"), faults) : null,
  };
}

/** Per filter: which rows it refuses. */
function failingOf(/** @type {any} */ table, /** @type {any} */ filters, /** @type {any} */ faults) {
  const fails = new Map();
  for (const [name, rule] of Object.entries(filters)) {
    fails.set(name, name === "fault" ? withoutFaultOf(table.rows, rule, faults) : passing(table, { [name]: rule }));
  }
  return fails;
}

function withoutFaultOf(/** @type {number} */ n, /** @type {string[]} */ names, /** @type {any} */ faults) {
  const pass = new Uint8Array(n);
  const wanted = new Set(names.map((name) => faults?.names.indexOf(name)));
  for (let i = 0; i < (faults?.rows.length ?? 0); i++) if (wanted.has(faults.codes[i])) pass[faults.rows[i]] = 1;
  return pass;
}

function keptOf(/** @type {number} */ n, /** @type {Map<string, Uint8Array>} */ fails, /** @type {Set<string>} */ skip) {
  const masks = [...fails].filter(([name]) => !skip.has(name)).map(([, mask]) => mask);
  const rows = new Int32Array(n);
  let count = 0;
  outer: for (let i = 0; i < n; i++) {
    for (const mask of masks) if (!mask[i]) continue outer;
    rows[count++] = i;
  }
  return rows.subarray(0, count);
}

function headlineOf(/** @type {any} */ table, /** @type {Int32Array} */ rows) {
  const o = outcomesOf(table, rows);
  const durations = sortedNumbers(table.columns.get("execution_time_ms"), rows);
  const kinds = table.columns.get("error_kind");
  let errors = 0;
  for (const row of rows) if (kinds?.data[row]) errors++;
  return {
    runs: rows.length,
    ...o,
    success: successOf(o),
    duration: { n: durations.length, ...quantilesOf(durations) },
    tokens: tokensOf(table, rows),
    cost: costOf(table, rows),
    errors,
  };
}

/** Code of each status: 0 other, 1 completed, 2 failed. */
function outcomeCodesOf(/** @type {any} */ table) {
  const status = table.columns.get("status");
  return status.values.map((/** @type {any} */ v) => (v === "completed" ? 1 : v === "failed" ? 2 : 0));
}

function outcomesOf(/** @type {any} */ table, /** @type {Int32Array} */ rows) {
  const kind = outcomeCodesOf(table);
  const data = table.columns.get("status").data;
  const n = [0, 0, 0];
  for (const row of rows) n[kind[data[row]]]++;
  return { completed: n[1], failed: n[2], other: n[0] };
}

function successOf(/** @type {{completed: number, failed: number}} */ { completed, failed }) {
  const n = completed + failed;
  const interval = wilson(completed, n);
  return { n, rate: n ? completed / n : null, low: interval && interval[0], high: interval && interval[1] };
}

const quantilesOf = (/** @type {Float64Array} */ sorted) => ({
  p50: quantile(sorted, 0.5),
  p95: quantile(sorted, 0.95),
  p99: quantile(sorted, 0.99),
});

function costOf(/** @type {any} */ table, /** @type {Int32Array} */ rows) {
  const { sum, n } = totalOf(table.columns.get("cost_usd"), rows);
  return { sum: n ? sum : null, priced: n, unpriced: rows.length - n };
}

function totalOf(/** @type {any} */ column, /** @type {Int32Array} */ rows) {
  let sum = 0;
  let n = 0;
  if (!column || !isNumeric(column)) return { sum, n };
  const data = column.data;
  const isInt = column.kind === "int";
  for (const row of rows) {
    const value = data[row];
    if (isInt ? value === -2147483648 : Number.isNaN(value)) continue;
    sum += value;
    n++;
  }
  return { sum, n };
}

function tokensOf(/** @type {any} */ table, /** @type {Int32Array} */ rows) {
  return Object.fromEntries(
    TOKEN_CLASSES.map((name) => {
      const { sum, n } = totalOf(table.columns.get(name), rows);
      return [name, { sum: n ? sum : null, n }];
    }),
  );
}

function countedOf(/** @type {any} */ column, /** @type {Int32Array} */ rows, /** @type {any[]} */ top, /** @type {boolean} */ withNull) {
  const place = column.values.map((/** @type {any} */ v) => top.indexOf(v));
  const counts = new Array(top.length).fill(0);
  let rest = 0;
  for (const row of rows) {
    const code = column.data[row];
    if (place[code] >= 0) counts[place[code]]++;
    else if (code || withNull) rest++;
  }
  return { counts, rest };
}

function binnedOf(/** @type {any} */ column, /** @type {Int32Array} */ rows, /** @type {number[]} */ edges) {
  const sorted = sortedNumbers(column, rows);
  const counts = new Array(Math.max(0, edges.length - 1)).fill(0);
  let bin = 0;
  // The outer edges do not cut: the first bin takes what lies below, the last what lies above.
  for (const value of sorted) {
    while (bin < counts.length - 1 && value >= edges[bin + 1]) bin++;
    if (counts.length) counts[bin]++;
  }
  return { counts, missing: rows.length - sorted.length, n: sorted.length, ...quantilesOf(sorted) };
}

function overTimeOf(/** @type {any} */ table, /** @type {Int32Array} */ rows, /** @type {any} */ bins) {
  const names = ["other", "completed", "failed"];
  const series = names.map(() => new Array(bins ? bins.bins : 0).fill(0));
  const untimed = [0, 0, 0];
  const kind = outcomeCodesOf(table);
  const status = table.columns.get("status").data;
  const started = table.columns.get("started_at").data;
  for (const row of rows) {
    const at = started[row];
    const outcome = kind[status[row]];
    if (Number.isNaN(at) || !bins) untimed[outcome]++;
    else series[outcome][Math.max(0, Math.min(bins.bins - 1, Math.floor((at - bins.start) / bins.width)))]++;
  }
  return {
    completed: series[1],
    failed: series[2],
    other: series[0],
    untimed: { completed: untimed[1], failed: untimed[2], other: untimed[0] },
  };
}

function groupsOf(/** @type {any} */ table, /** @type {Int32Array} */ rows, /** @type {string} */ group, /** @type {any[]} */ top) {
  const column = table.columns.get(group);
  const place = column.values.map((/** @type {any} */ v) => top.indexOf(v));
  const members = top.map(() => /** @type {number[]} */ ([]));
  for (const row of rows) {
    const at = place[column.data[row]];
    if (at >= 0) members[at].push(row);
  }
  return top.map((value, i) => {
    const mine = Int32Array.from(members[i]);
    const o = outcomesOf(table, mine);
    const p50 = quantile(sortedNumbers(table.columns.get("execution_time_ms"), mine), 0.5);
    return { value, runs: mine.length, ...o, success: successOf(o), p50, cost: costOf(table, mine) };
  });
}

function faultCountsOf(/** @type {number} */ n, /** @type {Int32Array} */ rows, /** @type {any} */ faults) {
  const pass = new Uint8Array(n);
  for (const row of rows) pass[row] = 1;
  const counts = new Array(faults.names.length).fill(0);
  for (let i = 0; i < faults.rows.length; i++) if (pass[faults.rows[i]]) counts[faults.codes[i]] += faults.counts[i];
  const shown = faults.shown ?? counts.length;
  return { counts: counts.slice(0, shown), rest: counts.slice(shown).reduce((a, b) => a + b, 0) };
}
