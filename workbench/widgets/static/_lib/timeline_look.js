// @ts-check
// The colours a timeline is drawn in, from the tokens of its root.
import { rgb } from "./lod.js";
import { tokens } from "./theme.js";

/** @param {HTMLElement} root @param {boolean} bySeverity */
export function timelineLook(root, bySeverity) {
  const series = Array.from({ length: 8 }, (_, i) => `c${i}`);
  const severities = ["debug", "info", "warning", "error", "critical"];
  const t = tokens(root, ["fg", "fg-muted", "line-strong", "accent", "accent-soft", ...severities, ...series]);
  const colors = (bySeverity ? severities : series).map((name) => t[name]);
  const dark = root.classList.contains("wb-dark");
  return {
    bg: dark ? "#14171c" : "#ffffff", fg: t.fg, muted: t["fg-muted"], lineStrong: t["line-strong"], accent: t.accent, accentSoft: t["accent-soft"],
    error: t.error, critical: t.critical, warning: t.warning, colors, rgb: colors.map(rgb), alarm: rgb(t.error), inks: colors.map(ink),
    line: dark ? "rgba(255,255,255,.09)" : "rgba(0,0,0,.08)",
    stripe: dark ? "rgba(255,255,255,.035)" : "rgba(0,0,0,.025)",
    mini: dark ? "#8794a5" : "#7d8a99",
    veil: dark ? "rgba(0,0,0,.45)" : "rgba(255,255,255,.62)",
    font: "system-ui, sans-serif",
  };
}

/** Black or white, whichever reads better on a colour (WCAG contrast). @param {string} color */
export function ink(color) {
  const [r, g, b] = rgb(color).map((v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#0b0d10" : "#ffffff";
}
