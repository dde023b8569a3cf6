"""Marks: where secrets stand in the store, however they came there."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "ingest"))
import histories
import tokens

SECRET = tokens.BARE["github classic"](random.Random(1))
OTHER = tokens.BARE["stripe live"](random.Random(2))


@pytest.fixture
def session(tmp_path):
    def written(*texts: str) -> Path:
        path = tmp_path / "session.jsonl"
        lines = [histories.dumps(histories.claude_line(n, text)) for n, text in enumerate(texts)]
        path.write_bytes(b"\n".join(lines) + b"\n")
        return path

    return written


def marks(bench) -> list[tuple]:
    """Of the events; the first prompt is the run's name too."""
    return bench.secrets().drop_nulls("event_id").select("step_number", "rule", "shown").rows()


def test_an_import_marks_what_it_writes(bench, session):
    """Each secret has a row with its place, its rule and no more of it than its issuer's prefix."""
    report = bench.ingest(session("hello", f"use {SECRET}", "bye", json.dumps({"k": OTHER})))

    assert marks(bench) == [(1, "github-token", "ghp_… (40)"), (3, "stripe-key", "sk_l… (32)")]
    assert report.files[0].secrets == {"github-token": 1, "stripe-key": 1}
    assert "1 × github-token" in str(report)
    assert SECRET not in str(bench.secrets().to_dicts())
    events = {event["id"]: event for event in bench.events().iter_rows(named=True)}
    for mark in bench.secrets().iter_rows(named=True):
        assert mark["place"] == "/text"
        assert events[mark["event_id"]]["step_number"] == mark["step_number"]


def test_equal_secrets_have_equal_digests(bench, session):
    """The digest tells equal secrets from others, and is not that of the secret alone."""
    import hashlib

    bench.ingest(session("hello", SECRET, f"again {SECRET}", OTHER))

    first, second, other = bench.secrets()["digest"]
    assert first == second != other
    assert first not in hashlib.sha256(SECRET.encode()).hexdigest()


def test_a_session_read_twice_or_grown_has_each_mark_once(bench, session):
    """Reading again adds no mark; what has grown has the marks of all of it."""
    bench.ingest(session("hello", SECRET))
    bench.ingest(session("hello", SECRET))
    assert marks(bench) == [(1, "github-token", "ghp_… (40)")]

    bench.ingest(session("hello", SECRET, "more", OTHER))

    assert [rule for _, rule, _ in marks(bench)] == ["github-token", "stripe-key"]


def test_marks_are_made_again_for_what_had_none(bench, session):
    """A rescan makes the marks that an import would have made, also of a captured run."""
    bench.ingest(session("hello", SECRET))
    before = marks(bench)
    with bench.store.raw() as connection:
        connection.execute("DELETE FROM workbench.secrets")
    assert marks(bench) == []

    bench.rescan()

    assert marks(bench) == before

    with bench.record(agent_type="planner", input={"token": "Zx91kQpp03mmT"}) as run:
        run.event("message", text=f"the key is {OTHER}")
    assert set(bench.rescan(run.id)["rule"]) == {"secret-field", "stripe-key"}


def test_a_secret_that_is_a_key_is_shown_nowhere(bench, session):
    """Neither the place of its mark, nor the report of the file, nor the ledger of imports holds it."""
    path = session("hello")
    line = histories.claude_line(1, "more", **{SECRET: {"inner": OTHER}})
    path.write_bytes(path.read_bytes() + histories.dumps(line) + b"\n")

    report = bench.ingest(path)

    places = bench.secrets()["place"].to_list()
    assert places == ["/extra/[redacted: github-token]", "/extra/[redacted: github-token]/inner"]
    assert report.files[0].unknown["[redacted: github-token]"] == 1
    for told in (str(places), str(report.as_dict()), str(bench.imports().to_dicts())):
        assert SECRET not in told
        assert OTHER not in told
