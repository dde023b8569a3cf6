// @ts-check
// Light or dark, as the host says it; a class on the root makes the tokens of base.css follow.

/** @param {Element} el */
export function isDark(el) {
  const lab = document.querySelector("[data-jp-theme-light]");
  if (lab) return lab.getAttribute("data-jp-theme-light") === "false";
  const kind = document.body?.getAttribute("data-vscode-theme-kind"); // VS Code
  if (kind) return kind.includes("dark") || kind === "vscode-high-contrast";
  const scheme = el.closest(".dark, .light"); // marimo
  if (scheme) return scheme.classList.contains("dark");
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/**
 * Keep the class `wb-dark` of a root right, and tell when it changes.
 * @param {HTMLElement} root @param {(dark: boolean) => void} [changed] @returns {() => void} stops watching
 */
export function watchTheme(root, changed) {
  /** @type {boolean | null} */
  let now = null;
  const look = () => {
    const dark = isDark(root);
    if (dark === now) return;
    root.classList.toggle("wb-dark", dark);
    const first = now === null;
    now = dark;
    if (!first) changed?.(dark);
  };
  const watcher = new MutationObserver(look);
  const attributeFilter = ["data-jp-theme-light", "data-vscode-theme-kind", "class"];
  for (const el of [document.documentElement, document.body]) watcher.observe(el, { attributes: true, attributeFilter });
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", look);
  look();
  return () => {
    watcher.disconnect();
    media.removeEventListener("change", look);
  };
}

/** The computed values of `--wb-<name>` tokens, for a canvas. @param {Element} root @param {string[]} names */
export function tokens(root, names) {
  const style = getComputedStyle(root);
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--wb-${name}`).trim()]));
}

/** @returns {boolean} */
export function reducedMotion() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
