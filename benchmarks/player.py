"""Seeking in a run of thousands of steps: from the key to the drawn state, in JupyterLab with a real kernel.

Beside what a user would write: ``ipywidgets.interact`` over the steps, which shows ``bench.state(run, step)`` as JSON.
Both stand in one notebook with one kernel, and take turns. Ours also shows the event and what changed; the peer the
state alone, but all of it.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import workbench
from benchmarks._bench import table

ROOT = Path(__file__).parent.parent

_CELLS = """
import json, ipywidgets
from IPython.display import HTML, display
import workbench as wb
bench = wb.connect({url!r})
player = wb.ReplayPlayer(bench.replay({run!r}))
def show(step):
    text = json.dumps(bench.state({run!r}, step), indent=1)
    display(HTML(f'<pre class="peer" data-step="{{step}}">' + text + "</pre>"))
display(player)
ipywidgets.interact(show, step=ipywidgets.IntSlider(0, 0, {last}, continuous_update=True))
"""

# From a key on the handle to the state drawn: seen by an observer, then painted. ms.
_OURS = """async (key) => { const root = document.querySelector('.wb-replay-player');
  const slider = root.querySelector('.wb-rp-slider');
  const begun = performance.now(); slider.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
  while (root.dataset.shown !== root.dataset.position) await new Promise((r) => setTimeout(r));
  await new Promise((r) => requestAnimationFrame(() => setTimeout(r))); return performance.now() - begun }"""
_PEER = """async (want) => { const handle = document.querySelector('.widget-hslider .noUi-handle');
  const begun = performance.now();
  handle.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
  while (document.querySelector('pre.peer')?.dataset.step !== String(want)) await new Promise((r) => setTimeout(r));
  await new Promise((r) => requestAnimationFrame(() => setTimeout(r))); return performance.now() - begun }"""
_FAR = """async (number) => { const root = document.querySelector('.wb-replay-player');
  const box = root.querySelector('.wb-rp-number');
  const begun = performance.now(); box.value = number;
  box.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true }));
  while (root.dataset.shown !== root.dataset.position) await new Promise((r) => setTimeout(r));
  await new Promise((r) => requestAnimationFrame(() => setTimeout(r))); return performance.now() - begun }"""


def run(quick: bool) -> None:
    """Print the table."""
    n_steps, rounds = (500, 15) if quick else (5_000, 60)
    with tempfile.TemporaryDirectory() as home, workbench.connect(home=home) as bench:
        run_id = _recorded(bench, n_steps)
        took = _measured(bench.store.url, run_id, n_steps, rounds)
    peer = statistics.median(took["interact + JSON, next step"])
    lines = []
    for name, values in took.items():
        middle = statistics.median(values)
        p95 = float(np.percentile(values, 95))
        lines.append([name, f"{middle:.0f} ms", f"{p95:.0f} ms", f"{peer / middle:.1f}x"])
    table(
        f"Seek in a run of {n_steps:,} steps with states of 20 kB, JupyterLab in Chromium: key to drawn state",
        ["way", "median", "p95", "as fast as interact"],
        lines,
    )


def _recorded(bench: workbench.Workbench, n_steps: int) -> str:
    with bench.record(agent_type="long", name="long") as run:
        for number in range(n_steps):
            run.event("message", role="assistant", text=f"step {number}")
            turns = [{"role": "user", "text": "word " * 20, "n": number // 50 + k} for k in range(150)]
            run.step({"n": number, "turns": turns})
            if number % 200 == 199:
                run.flush()
    return str(run.id)


def _measured(url: str, run_id: str, n_steps: int, rounds: int) -> dict[str, list[float]]:
    sys.path[:0] = [str(ROOT), str(ROOT / "tests/browser")]
    import conftest as harness
    from playwright.sync_api import sync_playwright

    path = harness.runpy.run_path(str(ROOT / "scripts/install_browser.py"))["find"]()
    if path is None:
        raise RuntimeError("No Chromium here. Run: python scripts/install_browser.py")
    took: dict[str, list[float]] = {
        "ReplayPlayer, next step": [],
        "interact + JSON, next step": [],
        "ReplayPlayer, any step": [],
    }
    rng = np.random.default_rng(5)
    with (
        tempfile.TemporaryDirectory() as folder,
        harness.jupyter_server(Path(folder)) as server,
        sync_playwright() as playwright,
    ):
        chromium = playwright.chromium.launch(executable_path=path, args=harness.CHROME_ARGS)
        lab = harness.NotebookPage(harness._page(chromium), server)
        lab.open(_CELLS.format(url=url, run=run_id, last=n_steps - 1)).run_all()
        page: Any = lab.page
        page.locator(".wb-replay-player[data-shown]").wait_for()
        page.locator("pre.peer").wait_for()
        for number in range(rounds):
            page.evaluate(_FAR, str(number))
            took["ReplayPlayer, next step"].append(page.evaluate(_OURS, "ArrowRight"))
            took["interact + JSON, next step"].append(page.evaluate(_PEER, number + 1))
            took["ReplayPlayer, any step"].append(page.evaluate(_FAR, str(int(rng.integers(n_steps)))))
        chromium.close()
    return took
