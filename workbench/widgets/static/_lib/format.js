// @ts-check
// Numbers as people read them. Units: durations in ms, times in ms since 1970 UTC, money in USD. null and NaN are "–".
const ABSENT = "–";

/** @param {number | null | undefined} n */
function missing(n) {
  return n === null || n === undefined || Number.isNaN(n);
}

/** 950 µs · 12 ms · 1.83 s · 4 min 05 s · 3 h 20 min · 2 d 04 h @param {number | null | undefined} ms */
export function formatDuration(ms) {
  if (missing(ms)) return ABSENT;
  const n = /** @type {number} */ (ms);
  const sign = n < 0 ? "−" : "";
  const a = Math.abs(n);
  if (a === 0) return "0 ms";
  if (a < 0.9995) return `${sign}${trim(a * 1000)} µs`;
  if (a < 999.5) return `${sign}${trim(a)} ms`;
  if (a < 59_950) return `${sign}${trim(a / 1000)} s`;
  const s = Math.round(a / 1000);
  const two = (/** @type {number} */ x) => String(x).padStart(2, "0");
  if (s < 3600) return `${sign}${Math.floor(s / 60)} min ${two(s % 60)} s`;
  const m = Math.round(s / 60);
  if (m < 1440) return `${sign}${Math.floor(m / 60)} h ${two(m % 60)} min`;
  const h = Math.round(s / 3600);
  return `${sign}${Math.floor(h / 24)} d ${two(h % 24)} h`;
}

/** Three significant digits at most. @param {number} x */
function trim(x) {
  return String(Number(x.toPrecision(3)));
}

/** 999 · 12.3k · 4.56M @param {number | null | undefined} n */
export function formatCount(n) {
  if (missing(n)) return ABSENT;
  const a = Math.abs(/** @type {number} */ (n));
  if (a < 1000) return trim(/** @type {number} */ (n));
  for (const [size, unit] of /** @type {const} */ ([[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]])) {
    if (a >= size * 0.9995) return `${trim(/** @type {number} */ (n) / size)}${unit}`;
  }
  return "1k";
}

/** 12,345 @param {number | null | undefined} n */
export function formatInteger(n) {
  return missing(n) ? ABSENT : Math.round(/** @type {number} */ (n)).toLocaleString("en-US");
}

/** $0.00042 · $0.12 · $1,234.50; null is "unpriced" @param {number | null | undefined} usd */
export function formatCost(usd) {
  if (missing(usd)) return "unpriced";
  const n = /** @type {number} */ (usd);
  if (n === 0) return "$0";
  const digits = Math.abs(n) < 0.01 ? { maximumSignificantDigits: 2 } : { minimumFractionDigits: 2, maximumFractionDigits: 2 };
  return n.toLocaleString("en-US", { style: "currency", currency: "USD", ...digits });
}

/** 12 B · 3.4 kB · 50 MB @param {number | null | undefined} n */
export function formatBytes(n) {
  if (missing(n)) return ABSENT;
  let x = /** @type {number} */ (n);
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (x < 1000 || unit === "GB") return `${trim(x)} ${unit}`;
    x /= 1000;
  }
  return ABSENT;
}

/** @param {number | null | undefined} x a share, 0..1 */
export function formatPercent(x) {
  return missing(x) ? ABSENT : `${trim(/** @type {number} */ (x) * 100)} %`;
}

/** 2026-11-21 08:20:01.123 UTC @param {number | null | undefined} ms @param {boolean} [short] without date and zone */
export function formatTime(ms, short = false) {
  if (missing(ms)) return ABSENT;
  const date = new Date(/** @type {number} */ (ms));
  if (Number.isNaN(date.getTime())) return ABSENT;
  const text = date.toISOString();
  return short ? text.slice(11, 23) : `${text.slice(0, 10)} ${text.slice(11, 23)} UTC`;
}
