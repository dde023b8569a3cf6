// The wire, the text and the numbers of all widgets.
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatBytes, formatCost, formatCount, formatDuration, formatInteger, formatPercent, formatTime } from "../../workbench/widgets/static/_lib/format.js";
import { oneLine, plainText } from "../../workbench/widgets/static/_lib/text.js";
import { connectWire, KernelGoneError, NoKernelError, unpack } from "../../workbench/widgets/static/_lib/wire.js";

/** A model whose kernel is the test. */
function fakeModel(answer, state = {}) {
  const on = new Map();
  const hear = (...said) => on.get("msg:custom")?.(...said);
  return {
    sent: [],
    get: (key) => state[key],
    on: (event, f) => void on.set(event, f),
    off: (event) => void on.delete(event),
    disconnect: () => on.get("comm_live_update")?.(),
    send(message) {
      this.sent.push(message);
      answer?.(message, (reply, buffers = []) => hear(reply, buffers));
    },
    push: (topic, result) => hear({ kind: "push", topic, result }, []),
  };
}

/** What `_wire.pack({"a": f8[1.5], "b": u1[7, 8]}, n=2)` writes. */
function block() {
  const header = JSON.stringify({ facts: { n: 2 }, arrays: [["a", "f64", 1], ["b", "u8", 2]] });
  const size = Math.ceil((header.length + 4) / 8) * 8 - 4;
  const bytes = new Uint8Array(4 + size + 8 + 8);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, size, true);
  bytes.set(new TextEncoder().encode(header.padEnd(size)), 4);
  view.setFloat64(4 + size, 1.5, true);
  bytes.set([7, 8], 4 + size + 8);
  return bytes;
}

test("a block is read at any offset of a larger buffer", () => {
  const whole = block();
  const shifted = new Uint8Array(whole.length + 3);
  shifted.set(whole, 3);
  for (const source of [whole, whole.buffer, new DataView(whole.buffer), new DataView(shifted.buffer, 3)]) {
    const { facts, arrays } = unpack(source);
    assert.equal(facts.n, 2);
    assert.deepEqual([...arrays.a, ...arrays.b], [1.5, 7, 8]);
  }
  assert.deepEqual(unpack(null), { facts: {}, arrays: {} });
});

test("an answer reaches the request with its id, with its arrays", async () => {
  const model = fakeModel((m, reply) => reply({ kind: "answer", id: m.id, result: { verb: m.verb, x: m.args.x } }, [block()]));
  const answer = await connectWire(model).request("tiles", { x: 3 });
  assert.equal(answer.verb, "tiles");
  assert.equal(answer.x, 3);
  assert.deepEqual([...answer.b], [7, 8]);
});

test("a host that has ended the kernel is heard, and a request that it refuses to send says so", async () => {
  let told = 0;
  const model = fakeModel(() => {
    throw new Error("Cannot send");
  });
  const wire = connectWire(model, { gone: () => void told++ });
  await assert.rejects(wire.request("x"), KernelGoneError);
  assert.equal(told, 1);
  model.disconnect();
  assert.equal(told, 2);
  wire.close();
  model.disconnect();
  assert.equal(told, 2);
  const saved = fakeModel(null, { _offline: true });
  connectWire(saved, { gone: () => void told++ });
  saved.disconnect();
  assert.equal(told, 2);
});

test("a failure in the kernel rejects with its text", async () => {
  const model = fakeModel((m, reply) => reply({ kind: "failure", id: m.id, type: "ValueError", error: "no such lane" }));
  await assert.rejects(connectWire(model).request("x"), /ValueError: no such lane/);
});

test("silence rejects after the timeout, and a saved page at once", async () => {
  await assert.rejects(connectWire(fakeModel(), { timeout: 10 }).request("x"), NoKernelError);
  await assert.rejects(connectWire(fakeModel(null, { _offline: true })).request("x"), NoKernelError);
});

test("two views of one widget do not take each other's answers", async () => {
  const model = fakeModel();
  const listeners = [];
  model.on = (_, f) => listeners.push(f);
  const [a, b] = [connectWire(model), connectWire(model)];
  const asked = [a.request("v"), b.request("v")];
  for (const [i, m] of [...model.sent.entries()].reverse()) for (const hear of listeners) hear({ kind: "answer", id: m.id, result: { i } }, []);
  assert.deepEqual((await Promise.all(asked)).map((r) => r.i), [0, 1]);
});

test("of requests made faster than answers come, only the newest is sent", async () => {
  const sentAt = [];
  let underWay = 0;
  let mostUnderWay = 0;
  const model = fakeModel((m, reply) => {
    sentAt.push(performance.now());
    mostUnderWay = Math.max(mostUnderWay, ++underWay);
    setTimeout(() => (underWay--, reply({ kind: "answer", id: m.id, result: { n: m.args.n } })), 5);
  });
  const wire = connectWire(model);
  const got = [];
  let heard = () => {};
  const ask = wire.newest("view", (answer) => (got.push(answer.n), heard(answer.n)), assert.fail, 20);
  const answered = (n) => new Promise((r) => (heard = (last) => last === n && r()));
  for (let n = 0; n < 50; n++) ask({ n });
  await answered(49);
  assert.deepEqual(got, [49]);
  for (let n = 50; n < 59; n++) {
    ask({ n });
    await new Promise((r) => setTimeout(r, 4));
  }
  ask({ n: 59 });
  await answered(59);
  assert.equal(mostUnderWay, 1);
  assert.ok(sentAt.every((at, k) => k === 0 || at - sentAt[k - 1] > 18), `sent at ${sentAt}`);
  assert.ok(model.sent.length < 11, `${model.sent.length} requests`);
});

test("a push reaches its topic", () => {
  const model = fakeModel();
  const got = [];
  connectWire(model).on("grown", (result) => got.push(result.n));
  model.push("grown", { n: 4 });
  model.push("other", { n: 5 });
  assert.deepEqual(got, [4]);
});

test("terminal codes go, control characters and direction marks become visible", () => {
  assert.equal(plainText("\u001b[31mred\u001b[0m \u001b]8;;http://x\u0007link\u001b]8;;\u0007 \u001b(B\u009b1mx"), "red link x");
  assert.equal(plainText("a\r\nb\u0000c\u007f"), "a\nb\u2400c\u2421");
  assert.equal(plainText("safe\u202egnp.exe"), "safe[U+202E]gnp.exe");
  assert.equal(plainText("\ud800x"), "\ufffdx");
  assert.equal(plainText(null), "");
  assert.equal(oneLine(" a\n  b\t c ", 80), "a b c");
  assert.equal(oneLine("x".repeat(200), 10), "xxxxxxxxx…");
});

test("numbers read as people read them", () => {
  assert.deepEqual([0.0123, 0.95, 12.34, 999.7, 1830, 65_000, 4_000_000, 200_000_000, 0, null].map(formatDuration), ["12.3 µs", "950 µs", "12.3 ms", "1 s", "1.83 s", "1 min 05 s", "1 h 07 min", "2 d 08 h", "0 ms", "–"]);
  assert.deepEqual([0, 999, 1234, 999_950, 12_345_678, null].map(formatCount), ["0", "999", "1.23k", "1M", "12.3M", "–"]);
  assert.deepEqual([null, 0, 0.00042, 0.1, 1234.5].map(formatCost), ["unpriced", "$0", "$0.00042", "$0.10", "$1,234.50"]);
  assert.deepEqual([12, 3400, 5e7].map(formatBytes), ["12 B", "3.4 kB", "50 MB"]);
  assert.equal(formatInteger(12345), "12,345");
  assert.equal(formatPercent(0.1234), "12.3 %");
  assert.equal(formatTime(Date.UTC(2026, 10, 21, 8, 20, 1, 123)), "2026-11-21 08:20:01.123 UTC");
  assert.equal(formatTime(NaN), "–");
});
