// Runs the widgets of a saved page: the same modules as in a notebook, with a model that has no kernel behind it.
async function inflate(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

function makeModel(state) {
  const listeners = new Map();
  const fire = (name, ...args) => [...(listeners.get(name) ?? [])].forEach((f) => f(...args));
  return {
    get: (key) => state[key],
    set(key, value) {
      state[key] = value;
      fire(`change:${key}`, this, value);
      fire("change", this);
    },
    save_changes() {},
    send() {},
    on: (name, f) => void listeners.set(name, [...(listeners.get(name) ?? []), f]),
    off: (name, f) => void listeners.set(name, f ? (listeners.get(name) ?? []).filter((g) => g !== f) : []),
  };
}

const texts = new Map();
for (const block of document.querySelectorAll("script[data-wb-text]")) texts.set(block.dataset.wbText, await inflate(block.textContent));
for (const block of document.querySelectorAll("script[data-wb-model]")) {
  const state = JSON.parse(await inflate(block.textContent));
  for (const [key, value] of Object.entries(state)) {
    if (value && typeof value === "object" && "$bytes" in value) {
      state[key] = new DataView(Uint8Array.from(atob(value.$bytes), (c) => c.charCodeAt(0)).buffer);
    }
  }
  if (state._is_library) {
    const url = URL.createObjectURL(new Blob([texts.get(state._esm)], { type: "text/javascript" }));
    (await import(url)).default.initialize();
    continue;
  }
  const still = document.querySelector(`[data-wb-static="${CSS.escape(state._static_id)}"]`);
  if (!still) continue;
  const style = document.createElement("style");
  style.textContent = texts.get(state._css);
  document.head.append(style);
  const el = document.createElement("div");
  still.after(el);
  const url = URL.createObjectURL(new Blob([texts.get(state._esm)], { type: "text/javascript" }));
  const widget = (await import(url)).default;
  const model = makeModel(state);
  const signal = new AbortController().signal;
  await widget.initialize?.({ model, signal });
  await widget.render({ model, el, signal });
}
document.documentElement.dataset.wbReady = "true";
