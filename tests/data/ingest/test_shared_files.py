"""Every real file of the first formats, ingested into Postgres: its rows, tokens and cost are those of the source."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from workbench.data.ingest import READERS, ingest
from workbench.data.ingest.detect import SURE_ENOUGH, reader
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store

TAU = "tau-bench/gpt-4o-airline.tasks00-24.json.gz"

# file → executions, events, bad lines. Counts of runs and steps: the table of files in the design's formats.md;
# `edge_cases` has 19 lines, three of which are no JSON objects.
FILES = {
    TAU: (100, 2962, 0),
    "tau2/airline.gpt-4.1.json.gz": (20, 510, 0),
    "tau2/airline.gpt-4.1-ft.json.gz": (20, 549, 0),
    "tau2/retail.gpt-4.1.json.gz": (40, 1105, 0),
    "tau2/retail.gpt-4.1-ft.json.gz": (40, 1179, 0),
    "claude-code/agentcmd.session-2.0.27-edit.jsonl": (1, 89, 0),
    "claude-code/agentcmd.session-2.0.29-askuserquestion.jsonl": (1, 14, 0),
    "claude-code/viewer.session-1.0.98-init.jsonl": (1, 29, 0),
    "claude-code/viewer.session-1.0.108-subagents.jsonl": (1, 53, 0),
    "claude-code/codemie/-tmp-private/4c2ddfdc-b619-4525-8d03-1950fb1b0257.jsonl": (1, 25, 0),
    "claude-code/codemie/-tmp-private/agent-36541525.jsonl": (1, 2, 0),
    "claude-code/codemie/-tmp-private/agent-50243ee8.jsonl": (1, 2, 0),
    "claude-code/codemie/session-9eda1058-interrupted.jsonl": (1, 40, 0),
    "claude-code/codemie/session-3fe1b6bc.jsonl.gz": (1, 275, 0),
    "claude-code/simonw.sample_session.json": (1, 33, 0),
    "claude-code/simonw.sample_session.jsonl": (1, 8, 0),
    "claude-code/claude-code-log.representative_messages.jsonl": (1, 12, 0),
    "claude-code/claude-code-log.edge_cases.jsonl": (1, 16, 3),
    "claude-code/ccusage.project-alpha.chat.jsonl": (1, 3, 0),
}

# file → input, output, cache write, cache read tokens, tool calls, tool errors: the same document, section 3.4.
CLAUDE_TOTALS = {
    "agentcmd.session-2.0.27-edit.jsonl": (48, 228, 64499, 1178761, 27, 1),
    "agentcmd.session-2.0.29-askuserquestion.jsonl": (11, 16, 33531, 49327, 3, 0),
    "viewer.session-1.0.98-init.jsonl": (93, 953, 12698, 103219, 12, 1),
    "viewer.session-1.0.108-subagents.jsonl": (129, 3629, 47747, 324259, 21, 3),
    "codemie/session-9eda1058-interrupted.jsonl": (47, 4509, 147267, 22912, 3, 1),
    "codemie/session-3fe1b6bc.jsonl.gz": (15377, 34781, 1707033, 5157884, 76, 5),
    "codemie/-tmp-private/4c2ddfdc-b619-4525-8d03-1950fb1b0257.jsonl": (33, 806, 37172, 214627, 6, 0),
}


def rows(store: Store, query: str, **values: Any) -> list[tuple]:
    with store.raw() as connection:
        return connection.execute(query, values).fetchall()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", FILES)
def test_counts_of_every_file(name: str, store: Store, shared_data: Path) -> None:
    """Report and store agree with the counts of the design, file by file."""
    report = ingest(store, shared_data / name, progress=False)

    executions, events, bad = FILES[name]
    [file] = report.files
    [stored] = rows(
        store,
        "SELECT (SELECT count(*) FROM workbench.agent_executions),"
        " (SELECT count(*) FROM workbench.observability_events),"
        " (SELECT count(*) FROM workbench.execution_snapshots)",
    )
    assert (file.executions, file.events, file.n_bad) == (executions, events, bad)
    assert stored == (executions, events, file.snapshots)


@pytest.mark.parametrize("name", CLAUDE_TOTALS)
def test_claude_code_totals(name: str, store: Store, shared_data: Path) -> None:
    """Tokens count once per answer; the sum over events is the sum of the run."""
    ingest(store, shared_data / "claude-code" / name, progress=False)

    classes = ("input_tokens", "output_tokens", "cache_write_tokens", "cache_read_tokens")
    [run] = rows(store, "SELECT token_usage FROM workbench.agent_executions")
    summed = rows(
        store,
        "SELECT key, sum(value::bigint) FROM workbench.observability_events, jsonb_each_text(data->'usage')"
        " GROUP BY key",
    )
    [(calls, errors)] = rows(
        store,
        "SELECT count(*) FILTER (WHERE event_type = 'tool_call'), count(*) FILTER (WHERE severity = 'error')"
        " FROM workbench.observability_events",
    )
    assert tuple(run[0][name] for name in classes) == CLAUDE_TOTALS[name][:4]
    assert {key: int(total) for key, total in summed} == run[0]
    assert (calls, errors) == CLAUDE_TOTALS[name][4:]


def test_tau_bench_labels(store: Store, shared_data: Path) -> None:
    """31 of 100 runs passed, 11 of 25 tasks have both outcomes, 63 tool calls failed, and nothing is priced."""
    report = ingest(store, shared_data / TAU, progress=False)

    by_status = dict(rows(store, "SELECT status, count(*) FROM workbench.agent_executions GROUP BY 1"))
    [(tasks, mixed)] = rows(
        store,
        "SELECT count(*), count(*) FILTER (WHERE outcomes = 2) FROM ("
        " SELECT task_id, count(DISTINCT status) AS outcomes FROM workbench.agent_executions GROUP BY 1) AS t",
    )
    [(errors,)] = rows(store, "SELECT count(*) FROM workbench.observability_events WHERE severity = 'error'")
    [known] = rows(store, "SELECT count(cost), count(token_usage), count(started_at) FROM workbench.agent_executions")
    assert by_status == {"failed": 69, "completed": 31}
    assert (tasks, mixed, errors) == (25, 11, 63)
    assert known == (0, 0, 0)
    assert rows(store, "SELECT DISTINCT agent_type, model FROM workbench.agent_executions") == [
        ("tau-bench/airline", "gpt-4o")
    ]
    assert any("file's name" in item.why for item in report.files[0].kept)


def test_tau2_cost_and_outcome(store: Store, shared_data: Path) -> None:
    """The priced model's cost is the recorded one; the fine-tuned model's 0.0 is unpriced, and the report says so."""
    priced = ingest(store, shared_data / "tau2/airline.gpt-4.1.json.gz", progress=False)
    unpriced = ingest(store, shared_data / "tau2/airline.gpt-4.1-ft.json.gz", progress=False)

    [(cost, events_cost)] = rows(
        store,
        "SELECT sum(cost), (SELECT sum((data->>'cost_usd')::numeric) FROM workbench.observability_events)"
        " FROM workbench.agent_executions WHERE model = 'gpt-4.1'",
    )
    [other] = rows(
        store,
        "SELECT count(*), count(cost), count(token_usage) FROM workbench.agent_executions WHERE model <> 'gpt-4.1'",
    )
    user = rows(store, "SELECT sum((metadata->>'user_cost_usd')::numeric) FROM workbench.agent_executions"
                       " WHERE model = 'gpt-4.1'")  # fmt: skip
    scores = dict(rows(store, "SELECT score, count(*) FROM workbench.agent_executions GROUP BY 1"))
    assert round(cost, 6) == round(events_cost, 6) == Decimal("0.783268")
    assert other == (20, 0, 20)
    assert not [item for item in priced.files[0].changed if item.what == "cost"]
    assert [item.count for item in unpriced.files[0].changed if item.what == "cost"] == [248]
    assert round(user[0][0], 6) == Decimal("0.227932")
    assert scores == {1.0: 23, 0.0: 17}
    # The two files try the same twenty tasks.
    assert rows(store, "SELECT count(*) FROM workbench.tasks") == [(20,)]


def test_sub_agents(store: Store, shared_data: Path) -> None:
    """Sub-agents in the session's file are lanes; those with a file of their own are runs linked to the session."""
    folder = shared_data / "claude-code"
    ingest(store, folder / "viewer.session-1.0.108-subagents.jsonl", progress=False)
    ingest(store, folder / "codemie/-tmp-private", progress=False)

    lanes = rows(
        store,
        "SELECT agent, count(*) FROM workbench.observability_events e JOIN workbench.agent_executions x"
        " ON x.id = e.execution_id WHERE x.source_id LIKE '5c0375b4%%' GROUP BY 1 ORDER BY 2",
    )
    children = rows(
        store,
        "SELECT child.source_id FROM workbench.agent_executions child JOIN workbench.agent_executions parent"
        " ON parent.id = child.parent_execution_id WHERE parent.source_id LIKE '4c2ddfdc%%' ORDER BY 1",
    )
    assert lanes == [("general-purpose", 7), ("general-purpose #2", 15), ("claude-code", 31)]
    assert [source_id.rpartition("/")[2] for (source_id,) in children] == ["agent-36541525", "agent-50243ee8"]


def test_every_file_is_recognised_as_its_own(shared_data: Path) -> None:
    """Each reader is sure of the files in the folder named after its format, and of no other file."""
    sure = {
        (path.relative_to(shared_data).parts[0], name)
        for path in shared_data.rglob("*")
        if path.is_file()
        for name in READERS
        if reader(name).detect(Source.of(path).head) >= SURE_ENOUGH
    }

    folders = {folder.name for folder in shared_data.iterdir()}
    assert sure == {(name, name) for name in folders & set(READERS)}


def test_the_whole_folder(store: Store, shared_data: Path) -> None:
    """A folder of every format: what can be read is, the rest is listed with a reason, and nothing is an error."""
    report = ingest(store, shared_data, progress=False)
    again = ingest(store, shared_data, progress=False)

    without_files = {"mlflow", "langsmith", "langgraph", "sts", "hub-chat", "columns", "workbench-bundle"}
    assert {file.format for file in report.files} == set(READERS) - without_files
    assert {name for name in FILES if name not in {file.path.partition("data/")[2] for file in report.files}} == set()
    assert [file.error for file in report.files if file.error] == []
    assert any("localStorage" in skipped.reason for skipped in report.skipped)
    assert again.totals == report.totals
    assert again.new == again.new.__class__()
    assert {file.outcome for file in again.files} <= {"already there", "nothing found"}
