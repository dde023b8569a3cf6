// @ts-check
// What every widget of runs starts with: its root, its filters as a trait of the kernel, its dialogs, the words for no runs.
import { emptyState, liveRegion, mountRoot } from "./dom.js";
import { popovers } from "./popover.js";

/**
 * @param {{ el: HTMLElement, model: any, name: string, label: string, themed?: (dark: boolean) => void }} options of `mountRoot`
 * @returns {any} `isEmpty`: there is nothing to show but what stands there already
 */
export function mountRuns(options) {
  const { model } = options;
  const { root, guard, gone, close } = mountRoot(options);
  const meta = model.get("_meta");
  const isEmpty = !meta.rows;
  if (isEmpty) root.append(emptyState("No runs yet", "Read some in with bench.ingest(path), or loosen the filters of bench.executions()."));
  const pops = popovers(root);
  const save = (/** @type {string} */ name, /** @type {any} */ value) => {
    model.set(name, value);
    model.save_changes();
  };
  const filters = () => model.get("filters") ?? {};
  return {
    root, guard, gone, meta, isEmpty, pops, save, filters,
    status: liveRegion(),
    byName: new Map(meta.columns?.map((/** @type {any} */ c) => [c.name, c])),
    /** @param {string} name @param {any} rule null or an empty list takes the filter away */
    setFilter(name, rule) {
      const { [name]: _, ...rest } = filters();
      save("filters", rule === null || (Array.isArray(rule) && !rule.length) ? rest : { ...rest, [name]: rule });
    },
    close() {
      pops.close();
      close();
    },
  };
}
