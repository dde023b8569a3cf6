// @ts-check
// Text from agents, made safe to look at. The twin of ../../_text.py.

// ECMA-48: CSI, OSC (ended by BEL or ST), the other string introducers, two-character escapes.
const ANSI = new RegExp(
  "\\u001b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\\u0007\\u001b]*(?:\\u0007|\\u001b\\\\)?|[PX^_][^\\u001b]*(?:\\u001b\\\\)?|[ -/]*[0-~])" +
    "|\\u009b[0-?]*[ -/]*[@-~]",
  "g",
);
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f]/g; // eslint-disable-line no-control-regex
const BIDI = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** Terminal codes removed; other control characters and direction marks shown as visible signs. @param {unknown} value */
export function plainText(value) {
  return String(value ?? "")
    .replace(ANSI, "")
    .replace(/\r\n?/g, "\n")
    .replace(CONTROL, (c) => (c === "\u007f" ? "\u2421" : String.fromCharCode(0x2400 + c.charCodeAt(0))))
    .replace(LONE, "\ufffd")
    .replace(BIDI, (c) => `[U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);
}

/** Plain text on one line of at most `limit` characters. @param {unknown} value @param {number} limit */
export function oneLine(value, limit = 80) {
  const text = plainText(String(value ?? "").slice(0, limit * 4)).split(/\s+/).filter(Boolean).join(" ");
  return text.length <= limit ? text : `${text.slice(0, limit - 1)}…`;
}
