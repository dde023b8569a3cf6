// @ts-check
// A vendored library that a model of its own brings into the page (see _plotly.py), once for all widgets.

/** @param {string} name with its version @param {string | null} reference the model @param {any} host anywidget's */
export async function library(name, reference, host, timeout = 20_000) {
  const slots = (globalThis[Symbol.for("workbench.libraries")] ??= new Map());
  let slot = slots.get(name);
  if (!slot) {
    slot = { isLoaded: false };
    slot.promise = new Promise((resolve) => (slot.resolve = resolve));
    slots.set(name, slot);
  }
  const late = new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`${name} did not load. Run the cell again; the numbers above the charts are complete.`)), timeout);
  });
  // Asking the host makes it load the model; the model's module then fills the slot.
  if (!slot.isLoaded && reference && host?.getWidget) await Promise.race([host.getWidget(reference), late]);
  return Promise.race([slot.promise, late]);
}
