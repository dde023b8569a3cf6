// @ts-check
// A widget within a widget: what the kernel has put into a trait of this one, shown in an element.

/**
 * @param {HTMLElement} el
 * @param {string | null} reference to its model
 * @param {any} host anywidget's; one that cannot show a widget in another one leaves the element as it is
 * @returns {Promise<boolean>} whether it is shown
 */
export async function showWidget(el, reference, host) {
  if (!reference || !host?.getWidget) return false;
  if (el.dataset.shown === reference) return true;
  const child = await host.getWidget(reference);
  el.replaceChildren();
  el.dataset.shown = reference;
  await child.render({ el });
  return true;
}
