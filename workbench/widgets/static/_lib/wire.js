// @ts-check
// Requests to the kernel by id, answers as typed arrays. The twin of ../../_wire.py, which describes the messages.
const ARRAYS = {
  u8: Uint8Array, i8: Int8Array, u16: Uint16Array, i16: Int16Array,
  u32: Uint32Array, i32: Int32Array, f32: Float32Array, f64: Float64Array,
};

/** There is no kernel behind this view, or it does not answer. */
export class NoKernelError extends Error {}

/** What belonged to this view has ended with its kernel: another kernel does not know the widget. */
export class KernelGoneError extends NoKernelError {
  constructor() {
    super("The kernel was restarted or stopped: run this cell again.");
  }
}

/**
 * @param {DataView | ArrayBuffer | Uint8Array | null | undefined} block made by `_wire.pack`
 * @returns {{ facts: Record<string, any>, arrays: Record<string, any> }}
 */
export function unpack(block) {
  if (!block || block.byteLength === 0) return { facts: {}, arrays: {} };
  const offset = "byteOffset" in block ? block.byteOffset : 0;
  const source = "buffer" in block ? block.buffer : block;
  // A copy: a view into a websocket frame may start at an odd address, and typed arrays want multiples of their size.
  const bytes = source.slice(offset, offset + block.byteLength);
  const size = new DataView(bytes).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, size)));
  const arrays = {};
  let at = 4 + size;
  for (const [name, kind, length] of header.arrays) {
    const array = new ARRAYS[kind](bytes, at, length);
    arrays[name] = array;
    at += Math.ceil(array.byteLength / 8) * 8;
  }
  return { facts: header.facts, arrays };
}

/**
 * @param {any} model anywidget's model
 * @param {{ timeout?: number, gone?: () => void }} [options] `timeout`: ms without an answer after which a request fails;
 *   `gone`: called when the host says, or a request shows, that the kernel has ended
 */
export function connectWire(model, { timeout = 20_000, gone = () => {} } = {}) {
  const waiting = new Map();
  const topics = new Map();
  // Ids are unique per view, not per widget: all views of a widget hear every answer.
  const view = Math.random().toString(36).slice(2, 10);
  let count = 0;
  const offline = model.get("_offline") === true;

  const hear = (/** @type {any} */ message, /** @type {any[]} */ buffers) => {
    const result = () => ({ ...message.result, ...unpack(buffers?.[0]).arrays });
    if (message.kind === "push") return topics.get(message.topic)?.(result());
    const asked = waiting.get(message.id);
    if (!asked) return;
    waiting.delete(message.id);
    clearTimeout(asked.timer);
    if (message.kind === "answer") asked.resolve(result());
    else asked.reject(new Error(`${message.type}: ${message.error}`));
  };
  model.on("msg:custom", hear);
  // ipywidgets' own event: what is saved from now on reaches nobody, and fails without a word.
  const hearHost = () => void (offline || gone());
  model.on("comm_live_update", hearHost);

  /** @param {string} verb @param {Record<string, any>} [args] @returns {Promise<Record<string, any>>} */
  function request(verb, args = {}) {
    if (offline) return Promise.reject(new NoKernelError("This view was saved without its kernel."));
    const id = `${view}.${++count}`;
    return new Promise((resolve, reject) => {
      const late = () => {
        waiting.delete(id);
        reject(new NoKernelError(`No answer from the kernel within ${timeout / 1000} s: it is busy, or gone.`));
      };
      waiting.set(id, { resolve, reject, timer: setTimeout(late, timeout) });
      try {
        model.send({ kind: "request", id, verb, args });
      } catch {
        clearTimeout(waiting.get(id).timer);
        waiting.delete(id);
        gone();
        reject(new KernelGoneError());
      }
    });
  }

  /**
   * A request for what changes all the time: at most one under way, not oftener than `every` ms, only the newest waits.
   * @param {string} verb @param {(answer: any, args: any) => void} done @param {(error: Error) => void} failed @param {number} [every]
   */
  function newest(verb, done, failed, every = 50) {
    let busy = false;
    let closed = false;
    /** @type {any} */
    let next = null;
    let last = -Infinity;
    const go = async () => {
      if (busy || closed || next === null) return;
      busy = true;
      await new Promise((r) => setTimeout(r, Math.max(0, last + every - performance.now())));
      const args = next;
      next = null;
      last = performance.now();
      try {
        const answer = await request(verb, args);
        if (!closed) done(answer, args);
      } catch (error) {
        if (!closed) failed(/** @type {Error} */ (error));
      }
      busy = false;
      go();
    };
    const ask = (/** @type {any} */ args) => {
      next = args;
      go();
    };
    ask.close = () => void (closed = true);
    return ask;
  }

  return {
    offline,
    request,
    newest,
    on: (/** @type {string} */ topic, /** @type {(result: any) => void} */ f) => void topics.set(topic, f),
    close() {
      model.off("msg:custom", hear);
      model.off("comm_live_update", hearHost);
      for (const { timer } of waiting.values()) clearTimeout(timer);
      waiting.clear();
    },
  };
}
