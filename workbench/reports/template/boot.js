// Unpacks the page's two blocks, runs what is in the first and draws what is in the second.
// It stands inline in the page: the content security policy allows exactly this text.
(async () => {
  const root = document.documentElement;
  const unpack = async (id) => {
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent), (char) => char.charCodeAt(0));
    const plain = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(plain).json();
  };
  const run = (text) =>
    new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
      script.onload = resolve;
      script.onerror = () => reject(new Error("a script of this page could not be started"));
      document.head.append(script);
    });
  const note = (text) => {
    const line = document.createElement("p");
    line.className = "wb-page-note";
    line.textContent = text;
    document.body.prepend(line);
  };
  try {
    const code = await unpack("wb-code");
    const look = document.createElement("style");
    look.textContent = code.css;
    document.head.prepend(look);
    for (const text of code.scripts) await run(text);
    const { state, shared } = await unpack("wb-state");
    const failures = await WorkbenchPage.draw({ state, shared, anywidget: workbenchAnywidget });
    if (failures.length) note(`${failures.join(" ")} Their static views are shown.`);
    root.dataset.wbWidgets = failures.length ? "partly" : "ready";
  } catch (error) {
    root.dataset.wbWidgets = "failed";
    note(`The interactive views could not start in this browser (${error.message}); static views are shown.`);
  }
})();
