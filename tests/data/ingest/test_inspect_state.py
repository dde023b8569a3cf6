"""What an Inspect log recorded of the state, and what a sample stores once and refers to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from inspect_logs import (
    begin,
    changes,
    end,
    event,
    init,
    json_source,
    last_state,
    log_of,
    model,
    notes,
    only_run,
    put,
    sample,
)

from workbench.data.ingest import ingest
from workbench.data.ingest.formats import inspect_attachments
from workbench.data.store.engine import Store

# -- state -------------------------------------------------------------------------------------------------------------


def test_recorded_patches_are_passed_on_as_they_are() -> None:
    """A state change is stored as the very patch of the log (without the old values that it repeats)."""
    change = {"op": "replace", "path": "/tools", "value": ["t"], "replaced": []}

    run = only_run(
        json_source(sample([init(tools=[]), changes("state", change), changes("store", put("/k", 1))], store={"k": 1}))
    )

    first, second, third = run.states
    assert first.document == {"messages": [], "store": {}, "tools": []}
    assert second.patch == [{"op": "replace", "path": "/tools", "value": ["t"]}]
    assert third.patch == [put("/store/k", 1)]
    assert [state.step_number for state in run.states] == [0, 1, 2]
    assert run.steps[1].extra is not None
    assert run.steps[1].extra["changes"] == [{"op": "replace", "path": "/tools"}]


def test_changes_of_nested_spans_are_counted_once() -> None:
    """An outer span repeats what changed inside it; a list that grew inside does not grow twice."""
    grown = put("/seen/0", "a")
    source = json_source(
        sample(
            [
                init(store={"seen": []}),
                begin("outer"),
                begin("inner", parent="outer"),
                changes("store", grown, span="inner"),
                end("inner"),
                changes("state", put("/store/seen/0", "a"), put("/messages/0", {"role": "user"}), span="outer"),
                changes("store", grown, span="outer"),
                end("outer"),
            ],
            store={"seen": ["a"]},
            messages=[{"role": "user"}],
        )
    )

    run = only_run(source)

    assert [state.patch for state in run.states[1:]] == [
        [put("/store/seen/0", "a")],
        [put("/messages/0", {"role": "user"})],
        [],
    ]
    assert last_state(run) == {"messages": [{"role": "user"}], "store": {"seen": ["a"]}}
    assert not [note for note in source.notes if note.kind == "changed"]


def test_state_changes_of_nested_solvers_are_counted_once() -> None:
    """A solver made of solvers repeats their messages in its own change; they are not added twice."""
    asked, answered = {"role": "user"}, {"role": "assistant"}
    source = json_source(
        sample(
            [
                init(),
                begin("chain"),
                begin("ask", parent="chain"),
                changes("state", put("/messages/0", asked), span="ask"),
                end("ask"),
                changes("state", put("/messages/0", asked), put("/messages/1", answered), span="chain"),
                end("chain"),
            ],
            messages=[asked, answered],
        )
    )

    run = only_run(source)

    assert last_state(run)["messages"] == [asked, answered]
    assert not [note for note in source.notes if note.kind == "changed"]


def test_a_replay_that_ends_elsewhere_is_reported() -> None:
    """Where the replayed messages or store are not the sample's, the report says so."""
    source = json_source(sample([init()], messages=[{"role": "user", "content": "x"}], store={"k": 1}))

    only_run(source)

    assert {note for note in notes(source) if note.startswith("changed")} == {
        "changed: state: the replayed state ends with 0 messages, the sample has 1",
        "changed: state: the replayed store is not the sample's store",
    }


def test_a_change_that_does_not_fit_keeps_its_values() -> None:
    """A patch that cannot be applied is reported, its values stay in the event, later states go on."""
    wrong = {"op": "remove", "path": "/nowhere", "value": None}
    source = json_source(sample([init(), changes("state", wrong), changes("store", put("/k", 1))], store={"k": 1}))

    run = only_run(source)

    assert run.steps[1].extra is not None
    assert run.steps[1].extra["changes"] == [wrong]
    assert last_state(run)["store"] == {"k": 1}
    assert any("does not fit" in note for note in notes(source))


# -- attachments and pools ---------------------------------------------------------------------------------------------


def test_pooled_messages_are_put_back() -> None:
    """Model calls that refer to a pool of messages show the messages themselves."""
    pool = [{"role": "user", "content": "attachment://h"}, {"role": "assistant", "content": "b"}]
    refers = {
        **model(),
        "input_refs": [[0, 1], [1, 2]],
        "call": {"request": {"n": 1}, "call_refs": [[0, 1]], "call_key": "m"},
    }
    events_data = {"messages": pool, "calls": ["wire"]}

    run = only_run(json_source(sample([refers], attachments={"h": "long"}, events_data=events_data)))

    assert run.steps[0].extra is not None
    assert run.steps[0].extra["input"] == [{"role": "user", "content": "long"}, {"role": "assistant", "content": "b"}]
    assert run.steps[0].extra["call"] == {"request": {"n": 1, "m": ["wire"]}}


def test_long_conversations_do_not_grow_with_their_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a bound, repeated inputs keep their references and the texts stay in the metadata."""
    monkeypatch.setattr(inspect_attachments, "MAX_REPEATED", 1000)
    asks = {**model(), "input": [{"role": "user", "content": "attachment://h"}]}

    run = only_run(json_source(sample([asks, asks, asks], attachments={"h": "x" * 900})))

    inputs = [step.extra["input"][0]["content"] for step in run.steps if step.extra]
    assert [len(text) for text in inputs] == [900, 900, len("attachment://h")]
    assert run.metadata["attachments"] == {"h": "x" * 900}


def test_a_missing_attachment_is_reported() -> None:
    """A reference whose text is not in the log stays as it is and is counted as lost."""
    source = json_source(sample([event("info", data="attachment://gone")]))

    assert only_run(source).steps[0].text == "attachment://gone"
    assert notes(source)["lost: attachments: named in the log, their texts are not in it"] == 1


def test_a_copy_of_which_states_are_damaged_takes_none_away(store: Store, tmp_path: Path) -> None:
    """The same steps told once more, their states lost: what the store knows better stays."""
    change = {"op": "replace", "path": "/tools", "value": ["t"]}
    for name, begun in (("whole", init(tools=[])), ("damaged", init(tols=[]))):
        log = log_of(sample([begun, changes("state", change), changes("store", put("/k", 1))]))
        (tmp_path / f"{name}.json").write_text(json.dumps(log))
    reports = [ingest(store, tmp_path / f"{name}.json", progress=False) for name in ("whole", "damaged", "whole")]

    assert [report.files[0].outcome for report in reports] == ["new", "already there", "already there"]
    with store.raw() as connection:
        assert connection.execute("SELECT count(*) FROM workbench.execution_snapshots").fetchone() == (3,)
