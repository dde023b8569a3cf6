// @ts-check
// What a page without a kernel needs to draw widgets. Bundled by build.mjs into one file; boot.js of the page calls draw().
import { HTMLManager } from "@jupyter-widgets/html-manager/lib/htmlmanager.js";
import * as base from "@jupyter-widgets/base";
import "@lumino/widgets/style/index.css";
import "@jupyter-widgets/controls/css/widgets-base.css";
import "@fortawesome/fontawesome-free/css/fontawesome.css";
import "@fortawesome/fontawesome-free/css/solid.css";

/** How long a view may take to put something into its element before its static view is kept. */
const PATIENCE_MS = 10_000;

/**
 * Draw every `[data-wb-view="<model id>"]` element and every `[data-wb-plotly]` figure of the page.
 *
 * @param {{state: any, shared: Record<string, string>, anywidget: (base: any) => any}} page
 *   `state` is Jupyter's widget state; a string in it may be `{"$shared": key}`, stored once in `shared`.
 * @returns {Promise<string[]>} what could not be drawn, one sentence each
 */
export async function draw({ state, shared, anywidget }) {
  /** @type {any} */
  let front;
  const manager = new HTMLManager({
    loader: async (/** @type {string} */ name) => {
      if (name === "anywidget") return (front ??= anywidget(base));
      throw new Error(`This page holds no front end for the widget package ${name}.`);
    },
  });
  for (const model of Object.values(state.state)) {
    for (const [key, value] of Object.entries(model.state)) {
      if (value && typeof value === "object" && "$shared" in value) model.state[key] = shared[value.$shared];
    }
    // Our widgets ask for it before they ask the kernel for anything.
    model.state._offline = true;
  }
  const models = new Map((await manager.set_state(state)).map((model) => [model.model_id, model]));
  /** All at once: one that draws nothing must not keep the others waiting. @param {Element} place */
  const show = async (place) => {
    const id = place.getAttribute("data-wb-view") ?? "";
    const model = models.get(id);
    if (!model) return `Widget ${id} was not saved with the page.`;
    const view = await manager.create_view(model);
    // What stood in for the widget stays until there is something in its place.
    const stage = document.createElement("div");
    place.append(stage);
    await manager.display_view(view, stage);
    if (!(await filled(view.el))) return `Widget ${id} drew nothing.`;
    place.querySelector(".wb-fallback")?.remove();
    const fixed = document.querySelectorAll(`[data-wb-static="${CSS.escape(model.get("_static_id") || id)}"]`);
    for (const still of fixed) still.setAttribute("hidden", "");
    place.setAttribute("data-wb-drawn", fixed.length ? "over-static" : "alone");
    return "";
  };
  const told = await Promise.allSettled([...document.querySelectorAll("[data-wb-view]")].map(show));
  const failures = told.map((end) => (end.status === "fulfilled" ? end.value : String(end.reason))).filter(Boolean);
  for (const place of document.querySelectorAll("[data-wb-plotly]")) {
    const figure = JSON.parse(place.querySelector("script")?.textContent ?? "{}");
    place.replaceChildren();
    // @ts-ignore: plotly.js is one of the page's scripts when there is a figure
    await globalThis.Plotly.newPlot(place, figure.data, figure.layout, { responsive: true, ...figure.config });
    place.setAttribute("data-wb-drawn", "alone");
  }
  return failures;
}

/** anywidget renders after its view exists: wait until something is in the element. @param {HTMLElement} el */
function filled(el) {
  if (el.childNodes.length) return true;
  return new Promise((resolve) => {
    const done = (/** @type {boolean} */ ok) => {
      watch.disconnect();
      clearTimeout(timer);
      resolve(ok);
    };
    const watch = new MutationObserver(() => el.childNodes.length && done(true));
    const timer = setTimeout(() => done(false), PATIENCE_MS);
    watch.observe(el, { childList: true });
  });
}
