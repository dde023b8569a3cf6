"""A timeline of 10 M events and one of 33,000 spans: the kernel's answers, bytes a frame, first paint, panning.

The kernel's answer for a viewport stands beside what a user would write with pandas (resample) and Polars (filter and
group by); all count events per pixel, lane and kind, only ours also has the widest spans, shares of errors and what is
active but began earlier. The browser part runs in Chromium with the test harness of this repository.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks._bench import table

ROOT = Path(__file__).parent.parent
WIDTH = 2_000
SHARES = (1.0, 0.1, 0.01, 0.001)


def events(n: int) -> pl.DataFrame:
    """``n`` spans of five agents over a day, three quarters of them in a tenth of it."""
    rng = np.random.default_rng(7)
    day = 86_400_000_000
    at = np.sort(
        np.concatenate([rng.integers(0, day, n // 4), rng.integers(day // 3, day // 3 + day // 10, n - n // 4)])
    )
    return pl.DataFrame(
        {
            "id": pl.Series(np.arange(n)).cast(pl.String),
            "step_number": np.arange(n),
            "timestamp": pl.Series(at + 1_760_000_000_000_000).cast(pl.Datetime("us", "UTC")),
            "event_type": pl.Series(rng.integers(0, 6, n)).replace_strict(list(range(6)), list("abcdef")),
            "name": pl.Series(rng.integers(0, 9, n)).cast(pl.String),
            "agent": pl.Series(rng.integers(0, 5, n)).replace_strict(list(range(5)), list("pqrst")),
            "severity": pl.Series(rng.choice(4, n, p=[0.1, 0.8, 0.07, 0.03])).replace_strict(
                [0, 1, 2, 3], ["debug", "info", "warning", "error"]
            ),
            "duration_ms": rng.exponential(40, n),
        }
    )


def run(quick: bool) -> None:
    """Print both tables."""
    answers(1_000_000 if quick else 10_000_000, rounds=10 if quick else 40)
    browser(33_000)


# -- the kernel ----------------------------------------------------------------------------------------------------


def answers(n: int, rounds: int) -> None:
    """Time of one viewport answer, and its bytes, beside pandas and Polars."""
    from workbench.widgets._wire import pack
    from workbench.widgets.timeline import Timeline

    frame = events(n)
    begun = time.perf_counter()
    timeline = Timeline(frame)
    built = time.perf_counter() - begun
    views = {share: _views(timeline._span, share, rounds) for share in SHARES}

    def ours(low: float, high: float) -> bytes:
        answer = timeline._view(start=low, end=high, width=WIDTH)
        return pack(answer.arrays, **answer.result)

    peers = {"pandas resample": _pandas(frame), "polars filter + group_by": _polars(frame)}
    lines = []
    for share, places in views.items():
        took, cpu = zip(*(_timed(ours, *place) for place in places), strict=True)
        sizes = [len(ours(*place)) for place in places]
        mine = statistics.median(took)
        cells = [
            f"{share:.1%} in view",
            f"{mine * 1e3:.1f} ms",
            f"{np.percentile(took, 95) * 1e3:.1f} ms",
            f"{np.percentile(cpu, 95) * 1e3:.1f} ms",
            f"{max(sizes) / 1e3:.0f} kB",
        ]
        for peer in peers.values():
            theirs = statistics.median(_timed(peer, *place)[0] for place in places[: 3 if share > 0.05 else 8])
            cells.append(f"{theirs * 1e3:.0f} ms ({theirs / mine:.0f}x)")
        lines.append(cells)
    table(
        f"Timeline, {n:,} events, {WIDTH} px: one viewport answer (built once in {built:.1f} s)",
        ["view", "median", "p95", "p95, CPU", "largest frame", *peers],
        lines,
    )
    if max(len(ours(*place)) for places in views.values() for place in places) > 100_000:
        raise RuntimeError("A frame was larger than 100 kB.")


def _views(span: float, share: float, rounds: int) -> list[tuple[float, float]]:
    """Places to look at, half of them where the events are dense."""
    rng = np.random.default_rng(1)
    width = span * share
    lows = [rng.uniform(0, span - width) if i % 2 else span / 3 + rng.uniform(0, 0.1) * span for i in range(rounds)]
    return [(max(0.0, min(low, span - width)), max(0.0, min(low, span - width)) + width) for low in lows]


def _timed(work: Callable[[float, float], object], low: float, high: float) -> tuple[float, float]:
    """Seconds on the clock, and of this thread's own: on a busy machine the first has the waiting in it."""
    begun, worked = time.perf_counter(), time.thread_time()
    work(low, high)
    return time.perf_counter() - begun, time.thread_time() - worked


def _pandas(frame: pl.DataFrame) -> Callable[[float, float], object]:
    data = frame.select("timestamp", "agent", "event_type").to_pandas()
    data["agent"], data["event_type"] = data["agent"].astype("category"), data["event_type"].astype("category")
    data = data.set_index("timestamp")
    first = data.index[0]

    def answer(low: float, high: float) -> object:
        import pandas as pd

        part = data.loc[first + pd.Timedelta(milliseconds=low) : first + pd.Timedelta(milliseconds=high)]
        every = pd.Timedelta(int(max((high - low) * 1_000 / WIDTH, 1)), "us")
        return part.groupby(["agent", "event_type"], observed=True).resample(every).size()

    return answer


def _polars(frame: pl.DataFrame) -> Callable[[float, float], object]:
    data = frame.select("timestamp", pl.col("agent", "event_type").cast(pl.Categorical))
    first = data["timestamp"][0]

    def answer(low: float, high: float) -> object:
        start = pl.lit(first) + pl.duration(microseconds=int(low * 1_000))
        end = pl.lit(first) + pl.duration(microseconds=int(high * 1_000))
        bins = (
            (pl.col("timestamp") - start).dt.total_microseconds() * WIDTH // max(1, int((high - low) * 1_000))
        ).cast(pl.Int32)
        return (
            data.lazy()
            .filter(pl.col("timestamp").is_between(start, end))
            .group_by("agent", "event_type", bins.alias("bin"))
            .len()
            .collect()
        )

    return answer


# -- the browser ---------------------------------------------------------------------------------------------------


def spans(n: int) -> pl.DataFrame:
    """One run as a tree of ``n`` spans, three deep, with data of some 200 bytes each."""
    rng = np.random.default_rng(3)
    kinds = np.array(["llm_call", "tool_call", "tool_result", "message"])
    step = np.arange(n)
    depth = np.where(step == 0, 0, np.where(step % 33 == 1, 1, 2))
    text = json.dumps({"role": "assistant", "text": "word " * 30, "usage": {"input_tokens": 1200, "output_tokens": 90}})
    return pl.DataFrame(
        {
            "id": pl.Series(step).cast(pl.String),
            "step_number": step,
            "event_type": pl.Series(np.where(depth < 2, "span", kinds[step % 4])),
            "name": pl.Series(np.where(depth < 2, "agent", "tool")) + pl.Series(step % 17).cast(pl.String),
            "agent": pl.Series(np.array(["planner", "coder", "reviewer"])[(step // 33) % 3]),
            "severity": pl.Series(np.where(rng.random(n) < 0.02, "error", "info")),
            "timestamp": pl.Series(1_760_000_000_000_000 + step * 95_000).cast(pl.Datetime("us", "UTC")),
            "duration_ms": np.where(depth == 0, n * 95.0, np.where(depth == 1, 33 * 95.0 - 1, rng.exponential(80, n))),
            "span_id": pl.Series(step).cast(pl.String),
            "parent_span_id": pl.Series(np.where(depth == 2, step - (step - 1) % 33, 0)).cast(pl.String),
            "data": pl.Series([text] * n),
        }
    )


_PAN = """async () => { const stage = document.querySelector('.wb-tl-stage'), box = stage.getBoundingClientRect();
  const about = { pointerId: 1, button: 0, buttons: 1, clientY: box.top + 20, bubbles: true };
  const at = (type, x) => stage.dispatchEvent(new PointerEvent(type, { ...about, clientX: x }));
  stage.setPointerCapture = () => {};
  const frames = []; let x = box.left + box.width / 2, last = 0; at('pointerdown', x);
  await new Promise((done) => { const tick = (now) => { if (last) frames.push(now - last); last = now;
    x += Math.sin(frames.length / 20) * 14; at('pointermove', x);
    frames.length < 180 ? requestAnimationFrame(tick) : done(); }; requestAnimationFrame(tick); });
  at('pointerup', x); return frames }"""


def browser(n: int) -> None:
    """First paint of a run of ``n`` spans, and frames while panning, at three zooms."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests/browser")]
    import conftest as harness  # the test harness: the widget's module on a page, this process as its kernel
    from playwright.sync_api import sync_playwright

    from workbench.widgets.timeline import Timeline

    frame = spans(n)
    path = harness.runpy.run_path(str(ROOT / "scripts/install_browser.py"))["find"]()
    if path is None:
        raise RuntimeError("No Chromium here. Run: python scripts/install_browser.py")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=harness.CHROME_ARGS)
        bench = harness.Bench(harness._page(chromium))
        bench(Timeline(frame.head(10)))  # a first widget, so that starting the page is not measured
        paints = [_first_paint(bench, frame) for _ in range(5)]
        made, painted, sent = (statistics.median(values) for values in zip(*paints, strict=True))
        lines = []
        for factor in (1, 8, 64):
            middle, half = bench.widget._span / 2, bench.widget._span / factor / 2
            bench.widget.viewport = (middle - half, middle + half)
            bench.flush()
            bench.page.wait_for_timeout(500)
            mode = bench.page.locator(".wb-timeline").get_attribute("data-mode")
            lines.append(_panned(bench, f"{factor}x, {mode}"))
        chromium.close()
    table(
        f"Timeline, a run of {n:,} spans, Chromium without a GPU",
        ["from the call to", "time", "sent at first"],
        [
            ["Timeline(events) made", f"{made * 1e3:.0f} ms", ""],
            ["first paint", f"{painted * 1e3:.0f} ms", f"{sent / 1e3:.0f} kB"],
        ],
    )
    table(
        "Frames while panning (180 of requestAnimationFrame; 16.7 ms = 60 a second)",
        ["zoom, drawn as", "median", "p95", "longest", "answers of the kernel meanwhile"],
        lines,
    )


def _first_paint(bench: Any, frame: pl.DataFrame) -> tuple[float, float, float]:
    from workbench.widgets.timeline import Timeline

    begun = time.time()
    timeline = Timeline(frame)
    made = time.time() - begun
    page = bench(timeline, width=1_200)
    page.locator(".wb-timeline[data-painted]").wait_for()
    painted = float(page.locator(".wb-timeline").get_attribute("data-painted")) / 1_000 - begun
    state = {k: v for k, v in timeline.get_state().items() if k not in ("_esm", "_css", "layout")}
    sent = sum(len(v) if isinstance(v, bytes) else len(json.dumps(v)) for v in state.values())
    return made, painted, float(sent)


def _panned(bench: Any, name: str) -> list[str]:
    before = bench.page.evaluate("model.sent.filter((m) => m.verb === 'view').length")
    frames = bench.page.evaluate(_PAN)
    asked = bench.page.evaluate("model.sent.filter((m) => m.verb === 'view').length") - before
    return [
        name,
        f"{statistics.median(frames):.1f} ms",
        f"{np.percentile(frames, 95):.1f} ms",
        f"{max(frames):.1f} ms",
        str(asked),
    ]
