"""Samples of ``.eval`` archives that are stored in pieces, and samples with slashes in their ids."""

from __future__ import annotations

import json

import pytest
from inspect_logs import EVENTS, LONG, MESSAGES, entries, in_pieces, notes, read, whole, zip_of

from workbench.data.ingest.reading.source import Source


@pytest.mark.parametrize("n", [1, 2, 1000])
def test_a_sample_in_pieces_is_the_sample_that_one_entry_holds(n: int) -> None:
    """Messages, calls, events and texts of any size of piece are put back where they belong."""
    (expected,), _ = read(Source.from_bytes(zip_of(whole()), "whole.eval"))
    source = Source.from_bytes(zip_of(in_pieces(n)), "pieces.eval")

    runs, bad = read(source)

    assert bad == []
    assert runs == [expected]
    assert runs[0].steps[2].text == LONG
    assert (runs[0].steps[4].extra or {})["call"]["request"]["messages"] == ["wire 0", "wire 1"]
    assert notes(source)[
        "lost: sidecars: skeletons, counts and ids of events: they are made from the events, which are stored"
    ] == 3  # fmt: skip


def test_one_log_holds_samples_of_both_kinds() -> None:
    """Each sample is read as it is stored, in the order of the archive."""
    files = {**in_pieces(), **{name: data for name, data in entries(1).items() if name.startswith("samples/")}}

    runs, bad = read(Source.from_bytes(zip_of(files), "mixed.eval"))

    assert bad == []
    assert [run.source_id for run in runs] == ["u1", "run1/task1/0/1"]


def test_a_damaged_piece_costs_only_its_items() -> None:
    """What is named by number still means the same; the piece is reported by its name."""
    files = {**in_pieces(1), "samples/a/b_epoch_1/messages/1.json": b"[{", "samples/a/b_epoch_1/events/3.json": b"{}"}

    (run,), bad = read(Source.from_bytes(zip_of(files), "damaged.eval"))

    assert [line.reason.partition(": ")[0] for line in bad] == [
        "samples/a/b_epoch_1/messages/1.json",
        "samples/a/b_epoch_1/events/3.json",
    ]
    assert len(run.steps) == len(EVENTS) - 1
    assert (run.steps[3].extra or {})["input"] == [MESSAGES[0], None, MESSAGES[2]]


def test_a_piece_that_is_not_there_is_reported() -> None:
    """A gap in the numbers is said, and the items behind it stay at their numbers."""
    files = in_pieces(1)
    del files["samples/a/b_epoch_1/messages/1.json"]

    (run,), bad = read(Source.from_bytes(zip_of(files), "gap.eval"))

    assert [line.reason for line in bad] == ["samples/a/b_epoch_1/messages: items 1 to 1 are not in the archive"]
    assert (run.steps[4].extra or {})["input"] == [MESSAGES[0], None, MESSAGES[2]]


def test_pieces_without_the_fields_of_their_sample_are_reported() -> None:
    """Without ``sample.json`` nobody knows whose events these are."""
    files = in_pieces()
    del files["samples/a/b_epoch_1/sample.json"]

    runs, bad = read(Source.from_bytes(zip_of(files), "headless.eval"))

    assert runs == []
    assert [line.reason for line in bad] == ["samples/a/b_epoch_1/sample.json: it is not in the archive"]


def test_a_number_that_leaves_out_too_much_is_damage() -> None:
    """The name of a piece cannot make the reader allocate what it says."""
    files = {**in_pieces(), "samples/a/b_epoch_1/events/999999999999.json": b"[{}]"}

    runs, bad = read(Source.from_bytes(zip_of(files), "far.eval"))

    assert len(runs) == 1
    assert [line.reason for line in bad] == [
        "samples/a/b_epoch_1/events/999999999999.json: its first item is to be number 999999999999, 6 are before it"
    ]


def test_a_sample_with_a_slash_in_its_id_is_read() -> None:
    """Inspect writes the id into the name of the entry as it is."""
    runs, bad = read(Source.from_bytes(zip_of(whole()), "slash.eval"))

    assert bad == []
    assert [run.source_id for run in runs] == ["u1"]


def test_what_a_log_says_of_itself_is_kept() -> None:
    """Tags, edits and an invalidation of the whole log go to the metadata of its runs."""
    files = whole()
    header = json.loads(files["header.json"])
    about = {"tags": ["nightly"], "invalidated": True, "log_updates": [{"edits": [{"type": "tags"}]}]}
    files["header.json"] = json.dumps({**header, **about}).encode()

    (run,), _ = read(Source.from_bytes(zip_of(files), "edited.eval"))

    assert run.metadata["eval_log"] == about


def test_references_that_name_a_message_again_and_again_are_not_followed() -> None:
    """A few bytes of references would make gigabytes of a message: it is said, and what else there is, is read."""
    files = in_pieces(1000)
    shell = json.loads(files["samples/a/b_epoch_1/sample.json"])
    shell["message_refs"] = [[0, len(MESSAGES)]] * 700_000
    events = json.loads(files["samples/a/b_epoch_1/events/0.json"])
    calls = [event for event in events if event.get("input_refs")]
    calls[0]["input_refs"] = shell["message_refs"]
    files["samples/a/b_epoch_1/sample.json"] = json.dumps(shell).encode()
    files["samples/a/b_epoch_1/events/0.json"] = json.dumps(events).encode()

    (run,), bad = read(Source.from_bytes(zip_of(files), "bomb.eval"))

    assert [line.reason for line in bad] == [
        "samples/a/b_epoch_1/sample.json: message_refs name the same messages again and again"
    ]
    assert len(run.steps) == len(EVENTS)
