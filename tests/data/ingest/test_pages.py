"""Traces whose observations or spans come on several pages, in any order and split: the rows of the whole."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.data.ingest.test_any_order import empty, tree
from workbench.data.ingest import ingest
from workbench.data.store.engine import Store

LANGFUSE = (
    "claude-agent-2025-12-22", "google-adk-2025-08-28", "langgraph-python-2025-08-22", "openai-agents-2025-09-30",
    "vercel-aisdk-2025-11-17",
)  # fmt: skip
T0 = 1_700_000_000_000_000_000


def split(items: list[Any], chance: random.Random) -> list[list[Any]]:
    """The items in two to four parts, in any order; some in two parts at once, as pages overlap."""
    items = items[:]
    chance.shuffle(items)
    n = min(chance.randint(2, 4), len(items))
    parts: list[list[Any]] = [[item] for item in items[:n]]
    for item in items[n:]:
        for part in chance.sample(parts, 1 + (chance.random() < 0.1)):
            part.append(item)
    return parts


def same_as_whole(store: Store, folder: Path, whole: Any, parts: list[Any], format: str) -> None:
    """Ingest the parts one by one, and the whole on its own: the rows have to be the same."""
    for n, part in enumerate(parts):
        (folder / f"part-{n}.json").write_text(json.dumps(part))
        ingest(store, folder / f"part-{n}.json", format=format, progress=False)
    in_parts = tree(store)
    empty(store)
    (folder / "whole.json").write_text(json.dumps(whole))
    ingest(store, folder / "whole.json", format=format, progress=False)

    assert in_parts == tree(store)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", LANGFUSE)
def test_pages_of_a_real_langfuse_trace(name: str, seed: int, store: Store, tmp_path: Path, shared_data: Path) -> None:
    """However the observations of a real trace are spread over exports of it, the rows are those of one export."""
    given = json.loads((shared_data / "langfuse" / f"{name}.trace.json").read_bytes())
    trace = {key: value for key, value in given["trace"].items() if key != "observations"}
    pages = split(given["observations"], random.Random(f"{name} {seed}"))

    same_as_whole(
        store, tmp_path, {"trace": trace, "observations": given["observations"]},
        [{"trace": trace, "observations": page} for page in pages], "langfuse",
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
def test_pages_of_observations_alone(seed: int, store: Store, tmp_path: Path, shared_data: Path) -> None:
    """Answers of the API that list observations without their trace make one run too."""
    given = json.loads((shared_data / "langfuse" / "openai-agents-2025-09-30.trace.json").read_bytes())
    pages = split(given["observations"], random.Random(seed))

    same_as_whole(store, tmp_path, {"data": given["observations"]}, [{"data": page} for page in pages], "langfuse")


def test_a_trace_and_its_observations_apart(store: Store, tmp_path: Path, shared_data: Path) -> None:
    """What only the trace's own page says (name, input, output) is the run's whichever page comes first."""
    given = json.loads((shared_data / "langfuse" / "openai-agents-2025-09-30.trace.json").read_bytes())
    trace = {key: value for key, value in given["trace"].items() if key != "observations"}
    some, others = given["observations"][::2], given["observations"][1::2]

    same_as_whole(
        store, tmp_path, {"trace": trace, "observations": given["observations"]},
        [{"data": some}, {"trace": trace, "observations": others}], "langfuse",
    )  # fmt: skip


def mlflow_span(n: int, parent: int | None, **attributes: Any) -> dict[str, Any]:
    return {
        "trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": f"{n + 1:016x}",
        "parent_span_id": None if parent is None else f"{parent + 1:016x}", "name": f"span {n}",
        "start_time_unix_nano": T0 + n // 3 * 10**9, "end_time_unix_nano": T0 + (n + 4) * 10**9,
        "status": {"code": "STATUS_CODE_OK"},
        "attributes": {name: json.dumps(value) for name, value in attributes.items()},
    }  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_parts_of_an_mlflow_trace(seed: int, store: Store, tmp_path: Path) -> None:
    """Spans with agents, tokens that the span around them repeats, and ties in time."""
    chance = random.Random(seed)
    spans = []
    for n in range(12):
        kind = "AGENT" if n % 5 == 0 else chance.choice(["CHAT_MODEL", "TOOL", "CHAIN"])
        usage = {"mlflow.chat.tokenUsage": {"input_tokens": n, "output_tokens": 1}} if chance.random() < 0.6 else {}
        about = {"mlflow.spanType": kind, "mlflow.spanInputs": {"q": n}, "mlflow.spanOutputs": f"answer {n}"}
        spans.append(mlflow_span(n, chance.randrange(n) if n else None, **about, **usage))
    info = {
        "trace_id": "tr-1", "trace_location": {"type": "MLFLOW_EXPERIMENT"}, "request_time": "2023-11-14T22:13:20Z",
        "execution_duration": "9s", "state": "OK", "tags": {"mlflow.traceName": "shop"}, "request_preview": "q?",
        "trace_metadata": {"mlflow.trace.session": "s1"},
    }  # fmt: skip

    same_as_whole(
        store, tmp_path, {"info": info, "data": {"spans": spans}},
        [{"info": info, "data": {"spans": part}} for part in split(spans, chance)], "mlflow",
    )  # fmt: skip
