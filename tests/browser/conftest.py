"""A real JupyterLab in a real Chromium, and a bare page for the many small tests.

``notebook``
    JupyterLab: ``notebook.open(cell, …).run_all()``, then the page, and ``notebook.kernel("expression")``.
``mount``
    ``mount(widget)`` runs the widget's module on a blank page; the test's own Python widget is its kernel: requests are
    answered by the real handlers, traits set in the browser arrive in the widget, and the other way round.

Both fail a test on page errors, console errors and any request to somewhere else. ``shot`` writes a screenshot to
``$WORKBENCH_SCREENSHOTS`` when that is set.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import comm
import nbformat
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.waiting import LIMIT_S, eventually, steady_box

ROOT = Path(__file__).parent.parent.parent
CHROME_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--force-color-profile=srgb",
]
TOKEN = "workbench-tests"
expect.set_options(timeout=LIMIT_S * 1000)
WIDTH, HEIGHT = 1280, 1000
# What JupyterLab itself logs; nothing of a widget may be listed here.
HOST_NOISE = re.compile(
    r"reading 'schema'|Command 'filebrowser:open-path' not registered|status of 403 .*/static/notebook/\w+\.woff2"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the browser."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


# -- the browser -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict) -> dict:
    """The machine's Chromium; its absence is a failure, never a skip."""
    path = runpy.run_path(str(ROOT / "scripts/install_browser.py"))["find"]()
    if path is None:
        pytest.fail("No Chromium here. Run: python scripts/install_browser.py")
    return {**browser_type_launch_args, "executable_path": path, "args": CHROME_ARGS}


class Watch:
    """Collects what a page may not do: log errors, reach outside."""

    def __init__(self, page: Page, inside: str) -> None:
        self.errors: list[str] = []
        self.outside: list[str] = []
        self.inside = inside
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on(
            "console",
            lambda m: self.errors.append(f"{m.text} [{m.location.get('url', '')}]") if m.type == "error" else None,
        )
        page.on("request", self._request)

    def _request(self, request: Any) -> None:
        if re.match(r"(https?|wss?):", request.url) and not (self.inside and request.url.startswith(self.inside)):
            self.outside.append(request.url)

    def clear(self) -> None:
        self.errors.clear()
        self.outside.clear()

    def check(self) -> None:
        errors = [error for error in self.errors if not HOST_NOISE.search(error)]
        assert not self.outside, f"the page reached outside: {self.outside}"
        assert not errors, "the browser's console:\n" + "\n".join(errors)


def _page(browser: Browser, **options: Any) -> Page:
    context = browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT},
        device_scale_factor=1,
        reduced_motion="reduce",
        service_workers="block",
        **options,
    )
    page = context.new_page()
    page.set_default_timeout(LIMIT_S * 1000)
    return page


def screenshot(target: Any, name: str) -> None:
    """Write a picture of a page or locator to ``$WORKBENCH_SCREENSHOTS/<name>.png``, when that folder is named."""
    folder = os.environ.get("WORKBENCH_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        target.screenshot(path=Path(folder) / f"{name}.png")


@pytest.fixture
def shot() -> Callable[[Any, str], None]:
    """``shot(page_or_locator, "timeline-dark")``."""
    return screenshot


# -- a bare page: the module alone, the test's Python as kernel -----------------------------------------------------

_MOUNT = """async ([esm, css, state, bytes]) => {
  const view = (b) => new DataView(Uint8Array.from(atob(b), (c) => c.charCodeAt(0)).buffer);
  const text = (b) => { const u = new Uint8Array(b.buffer ?? b, b.byteOffset ?? 0, b.byteLength); let s = "";
    for (let i = 0; i < u.length; i += 32768) s += String.fromCharCode(...u.subarray(i, i + 32768)); return btoa(s); };
  for (const [k, b] of Object.entries(bytes)) state[k] = view(b);
  const on = {}, fire = (e, ...a) => [...(on[e] || [])].forEach((f) => f(...a));
  const dirty = new Set();
  const deliver = (messages) => { for (const m of messages) {
    if (m.method === "custom") fire("msg:custom", m.content, m.buffers.map(view));
    else { for (const [k, v] of Object.entries(m.state)) state[k] = v;
           for (const [k, b] of Object.entries(m.bytes)) state[k] = view(b);
           for (const k of [...Object.keys(m.state), ...Object.keys(m.bytes)]) fire("change:" + k, model, state[k]);
           fire("change", model); } } };
  const model = window.model = {
    sent: [], saves: 0, get: (k) => state[k],
    set(k, v) { state[k] = v; dirty.add(k); fire("change:" + k, model, v); fire("change", model); },
    save_changes() { model.saves++; const part = {}; for (const k of dirty) part[k] = state[k]; dirty.clear();
      window.wbKernel({ method: "update", state: part }).then(deliver); },
    send(content, _callbacks, buffers) { model.sent.push(content);
      const packed = (buffers || []).map(text);
      if (!model.deaf) window.wbKernel({ method: "custom", content, buffers: packed }).then(deliver); },
    on(e, f) { (on[e] ||= []).push(f); }, off(e, f) { on[e] = f ? (on[e] || []).filter((g) => g !== f) : []; },
    deliver };
  const style = document.createElement("style"); style.textContent = css; document.head.append(style);
  const url = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
  let widget = (await import(url)).default; if (typeof widget === "function") widget = await widget();
  const end = new AbortController(); let cleanup;
  window.unmount = () => { end.abort(); cleanup?.(); };
  await widget.initialize?.({ model, signal: end.signal });
  cleanup = await widget.render?.({ model, el: document.querySelector("#cell"), signal: end.signal }); }"""

# The colours of JupyterLab's own two themes, so that a bare page looks as a cell does.
_NAMES = ("layout-color0", "layout-color1", "layout-color2", "border-color2", "ui-font-color0")
_THEMES = {
    "light": ("#fff", "#fff", "#eee", "#e0e0e0", "rgba(0,0,0,1)"),
    "dark": ("#111", "#212121", "#424242", "#616161", "rgba(255,255,255,1)"),
}


class _TestComm(comm.base_comm.BaseComm):
    """Collects what a widget sends, for the page to fetch."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.outbox: list[dict] = []
        super().__init__(*args, **kwargs)

    def publish_msg(
        self, msg_type: str, data: Any = None, metadata: Any = None, buffers: Any = None, **keys: Any
    ) -> None:
        if msg_type != "comm_msg" or not data:
            return
        packed = [base64.b64encode(bytes(b)).decode() for b in buffers or []]
        if data["method"] == "custom":
            self.outbox.append({"method": "custom", "content": _json(data["content"]), "buffers": packed})
        elif data["method"] == "update":
            names = [path[0] for path in data.get("buffer_paths", [])]
            self.outbox.append(
                {"method": "update", "state": _json(data["state"]), "bytes": dict(zip(names, packed, strict=True))}
            )

    def drain(self) -> list[dict]:
        taken, self.outbox = self.outbox, []
        return taken


def _json(value: Any) -> Any:
    """Through JSON, as the real wire does: what it refuses must fail here too."""
    return json.loads(json.dumps(value, allow_nan=False))


class Bench:
    """One page for all ``mount`` tests of a run."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.watch = Watch(page, inside="")
        self.widget: Any = None
        page.expose_function("wbKernel", self._kernel)

    def _kernel(self, message: dict) -> list[dict]:
        widget = self.widget
        if widget is None:
            return []  # from the page of the test before, on its way out
        if message["method"] == "update":
            widget.set_state(message["state"])
        else:
            buffers = [memoryview(base64.b64decode(b)) for b in message["buffers"]]
            # A handler's exception goes on to the kernel's log; here the failure answer is what a test looks at.
            with contextlib.suppress(Exception):
                for call in widget._msg_callbacks.callbacks:
                    call(widget, message["content"], buffers)
        return widget.comm.drain()

    def __call__(self, widget: Any, *, theme: str = "light", width: int = 1100) -> Page:
        """Show a widget on a fresh page, ``theme`` "light", "dark" or "plain" (no Jupyter), ``width`` pixels wide."""
        self.widget = None
        self.page.goto("about:blank")
        self.page.mouse.move(0, 0)  # else the pointer of the test before hovers over the new widget
        self.watch.clear()
        self.widget = widget
        widget.comm = _TestComm(target_name="jupyter.widget", comm_id=widget.model_id)
        state = {k: v for k, v in widget.get_state().items() if k not in ("_esm", "_css", "layout")}
        raw = {
            k: base64.b64encode(bytes(v)).decode()
            for k, v in state.items()
            if isinstance(v, bytes | bytearray | memoryview)
        }
        still = widget.still() if hasattr(widget, "still") else ""
        self.page.set_content(
            f'<!doctype html><html><body style="margin:12px"><div id="cell" style="width:{width}px"></div>'
            f'<div id="still">{still}</div></body></html>'
        )
        if theme != "plain":
            variables = "".join(f"--jp-{k}:{v};" for k, v in zip(_NAMES, _THEMES[theme], strict=True))
            self.page.add_style_tag(content=f"body{{{variables}background:var(--jp-layout-color0)}}")
            self.page.evaluate(
                "light => document.body.setAttribute('data-jp-theme-light', light)",
                "true" if theme == "light" else "false",
            )
        self.page.evaluate(
            _MOUNT, [str(widget._esm), str(widget._css), _json({k: v for k, v in state.items() if k not in raw}), raw]
        )
        return self.page

    def flush(self) -> None:
        """Bring to the page what the Python side has set or sent since."""
        self.page.evaluate("messages => model.deliver(messages)", self.widget.comm.drain())


@pytest.fixture(scope="session")
def _bench_page(browser: Browser) -> Iterator[Bench]:
    page = _page(browser)
    yield Bench(page)
    page.context.close()


@pytest.fixture
def mount(_bench_page: Bench) -> Iterator[Bench]:
    """``mount(widget, theme="dark", width=420)`` → page."""
    _bench_page.watch.clear()
    yield _bench_page
    _bench_page.watch.check()


@pytest.fixture
def offline_page(browser: Browser) -> Iterator[Page]:
    """A fresh page for files opened from disk; any request but for a file fails the test."""
    page = _page(browser)
    watch = Watch(page, inside="")
    yield page
    page.context.close()
    watch.check()


# -- JupyterLab ----------------------------------------------------------------------------------------------------


class Server:
    """A running Jupyter server with its own configuration folders."""

    def __init__(self, base: str, root: Path) -> None:
        self.base, self.root = base, root

    def url(self, path: str, app: str = "doc/tree") -> str:
        """Address of a notebook; ``app``: 'doc/tree' (one document), 'lab/tree', 'notebooks' (Notebook 7)."""
        return f"{self.base}/{app}/{path}?token={TOKEN}&reset"


def _configure(home: Path) -> None:
    config = home / "config" / "labconfig"
    config.mkdir(parents=True)
    off = (
        "@jupyterlab/apputils-extension:announcements",
        "@jupyterlab/extensionmanager-extension",
    )  # a toast; update checks
    (config / "page_config.json").write_text(json.dumps({"disabledExtensions": dict.fromkeys(off, True)}))
    settings = {
        # "none": cells outside the window exist in the DOM too
        "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none", "kernelShutdown": True},
        "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
    }
    for plugin, values in settings.items():
        extension, name = plugin.split(":")
        folder = home / "settings" / extension
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.jupyterlab-settings").write_text(json.dumps(values))
    (home / "runtime").mkdir()


@contextlib.contextmanager
def jupyter_server(root: Path) -> Iterator[Server]:
    """A JupyterLab server on a free port; its kernels import this checkout."""
    home = Path(tempfile.mkdtemp(prefix="wbjup-"))
    _configure(home)
    env = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH")])),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
               "--ServerApp.port=0", f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={root}",
               "--LabApp.expose_app_in_browser=True",
               "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
               "--LabApp.extension_manager=readonly", "--ServerApp.terminals_enabled=False"]  # fmt: skip
    log_path = home / "server.log"
    with log_path.open("w") as log:
        process = subprocess.Popen(
            command, env=env, stdout=log, stderr=subprocess.STDOUT, cwd=root, start_new_session=True
        )
    try:
        yield Server(_wait(process, home), root)
    finally:
        # The group is ours (start_new_session), kernels included; SIGINT would ask y/n.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(home, ignore_errors=True)


def _wait(process: subprocess.Popen, home: Path) -> str:
    """The server says in its runtime folder which port it took (port 0: no races)."""
    deadline = time.monotonic() + 120
    while True:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("Jupyter did not start:\n" + (home / "server.log").read_text()[-4000:])
        for file in (home / "runtime").glob("jpserver-*.json"):
            with contextlib.suppress(ValueError, OSError):
                base = json.loads(file.read_text())["url"].rstrip("/")
                urllib.request.urlopen(f"{base}/api/status?token={TOKEN}", timeout=5).read()
                return base
        time.sleep(0.1)


_IDLE = """() => { const w = window.jupyterapp?.shell?.currentWidget;
  return w?.context?.isReady && w?.sessionContext?.session?.kernel?.status === "idle" }"""
_RUN = """async () => { await jupyterapp.commands.execute("notebook:run-all-cells");
  const bad = []; for (const c of jupyterapp.shell.currentWidget.content.model.cells)
    for (const o of (c.type === "code" ? c.outputs.toJSON() : [])) if (o.output_type === "error")
      bad.push(o.ename + ": " + o.evalue + "\\n" + o.traceback.join("\\n"));
  return bad }"""
_EVAL = """async (expr) => { const k = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const f = k.requestExecute({ code: "", silent: true, store_history: false,
     user_expressions: { r: "__import__('json').dumps(" + expr + ")" } });
  const r = (await f.done).content.user_expressions.r;
  if (r.status !== "ok") throw new Error(r.ename + ": " + r.evalue);
  return r.data["text/plain"] }"""
_CELLS = """() => [...jupyterapp.shell.currentWidget.content.model.cells]
  .map((cell) => [cell.type, cell.sharedModel.getSource()])"""
_NEXT = """async (path) => { const w = jupyterapp.shell.currentWidget;
  if (w) { if (w.sessionContext) await w.sessionContext.shutdown(); w.dispose(); }
  await jupyterapp.commands.execute("docmanager:open", { path }) }"""


class NotebookPage:
    """A notebook in JupyterLab. One page serves all tests of a run: the next notebook costs 2 s, a new page 6 s."""

    def __init__(self, page: Page, server: Server) -> None:
        self.page, self.server = page, server
        self.watch = Watch(page, inside=server.base)
        self._count = 0
        self._is_open = False

    def open(self, *cells: str) -> NotebookPage:
        """A new notebook with these code cells and a kernel of its own."""
        notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}})
        notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
        return self.open_copy(notebook)

    def open_copy(self, notebook: nbformat.NotebookNode) -> NotebookPage:
        """A copy of a notebook, with a kernel of its own."""
        self._count += 1
        name = f"nb{self._count}.ipynb"
        nbformat.write(notebook, self.server.root / name)
        if self._is_open:
            self.page.evaluate(_NEXT, name)
        else:
            self.page.goto(self.server.url(name))
            self._is_open = True
        self.page.wait_for_function(_IDLE, timeout=120_000)
        self.page.mouse.move(0, 0)
        return self

    def run_all(self) -> NotebookPage:
        """Run all cells; a cell's error fails the test."""
        bad = self.page.evaluate(_RUN)  # resolves when every cell has finished
        assert not bad, "\n".join(bad)
        return self

    def kernel(self, expression: str) -> Any:
        """Value of a Python expression in the kernel, by way of JSON. Queues behind widget messages already sent."""
        return json.loads(ast.literal_eval(self.page.evaluate(_EVAL, expression)))

    def wait_kernel(self, expression: str, expected: Any) -> None:
        """Wait until an expression in the kernel has a value: the page may not have sent its message yet."""
        eventually(self.page, lambda: self.kernel(expression), expected)

    def keeps_letters(self, locator: Locator) -> None:
        """Letters pressed in an element of a widget do nothing to the notebook; Ctrl+S still saves it."""
        self.page.evaluate("jupyterapp.shell.currentWidget.context.model.dirty = true")
        before = self.page.evaluate(_CELLS)
        locator.focus()
        for key in ("a", "b", "x", "d", "d", "m", "z", "1"):  # new cells, cut, delete, Markdown, undo, heading
            locator.press(key)
        locator.press("Control+s")
        # The saving, asked for last, is the sign that JupyterLab has had every key.
        self.page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
        assert self.page.evaluate(_CELLS) == before

    def theme(self, name: str) -> None:
        """Switch JupyterLab to its "light" or "dark" theme."""
        full = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}[name]
        self.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', { theme })", full)
        self.page.wait_for_function(
            "light => document.body.dataset.jpThemeLight === light", arg=str(name == "light").lower()
        )
        # It lies above everything while the style sheets load, and takes the clicks.
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)

    def narrow(self, width: int | None) -> None:
        """Make the outputs ``width`` pixels wide; None: as wide as they like."""
        rule = f".jp-OutputArea-output{{max-width:{width}px !important}}" if width else ""
        self.page.evaluate("""css => {
            const made = () => Object.assign(document.createElement('style'), {id: 'wb-narrow'});
            const s = document.querySelector('#wb-narrow') ?? made();
            s.textContent = css; document.head.append(s); }""", rule)  # fmt: skip

    def drag(self, locator: Any, x0: float, y0: float, x1: float, y1: float, steps: int = 5) -> None:
        """Drag inside an element; coordinates as fractions of its box."""
        drag(self.page, locator, x0, y0, x1, y1, steps)


def drag(page: Page, locator: Any, x0: float, y0: float, x1: float, y1: float, steps: int = 5) -> None:
    """Drag inside an element; coordinates as fractions of its box."""
    box = steady_box(locator)
    page.mouse.move(box["x"] + x0 * box["width"], box["y"] + y0 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + x1 * box["width"], box["y"] + y1 * box["height"], steps=steps)
    page.mouse.up()


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One JupyterLab server for the run."""
    with jupyter_server(tmp_path_factory.mktemp("notebooks")) as server:
        yield server


@pytest.fixture(scope="session")
def _lab(browser: Browser, jupyter: Server) -> Iterator[NotebookPage]:
    page = _page(browser)
    lab = NotebookPage(page, jupyter)
    yield lab
    page.context.close()


@pytest.fixture
def notebook(_lab: NotebookPage) -> Iterator[NotebookPage]:
    """The JupyterLab page, for one test: ``notebook.open("wb.Timeline(…)").run_all()``."""
    _lab.watch.clear()
    yield _lab
    errors, outside = list(_lab.watch.errors), list(_lab.watch.outside)
    if _lab._is_open:
        _lab.narrow(None)
        # Shutting a kernel down logs errors of its own; they are not this test's.
        with contextlib.suppress(Exception):
            _lab.page.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    _lab.watch.errors[:], _lab.watch.outside[:] = errors, outside
    _lab.watch.check()
