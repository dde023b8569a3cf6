"""The kernel side of ReplayPlayer: what it sends of a run, and what it does when asked."""

from __future__ import annotations

from typing import Any, cast

import orjson
import polars as pl
import pytest
import traitlets

import workbench
from tests.widgets.replays import HOSTILE, player, shop
from workbench.widgets import _replay_scene, _state
from workbench.widgets._wire import unpack
from workbench.widgets.replay_player import ReplayPlayer


def ask(shown: ReplayPlayer, verb: str, **args):
    """What the browser gets for a request, by way of JSON as on the wire."""
    answer = shown._handlers()[verb](**args)
    return orjson.loads(orjson.dumps(answer))


def step(shown: ReplayPlayer, position: int, **pages):
    wanted = {"": [0], **{f"/{name.replace('__', '/')}": [0] for name in pages}}
    return ask(shown, "step", position=position, pages=wanted, run=shown.replay.id)


# -- for Python ----------------------------------------------------------------------------------------------------


def test_it_says_what_it_shows(bench):
    """Repr, code and selection are those of the step that is seen; the code makes the same view."""
    shown = ReplayPlayer(player(bench), position=3, tab="notes", watched=["/cart/total"])

    assert repr(shown) == "ReplayPlayer(steps=12, step=3)"
    assert shown.selected["step_number"].to_list() == [3]
    again = eval(shown.code, {"workbench": workbench, "bench": bench})
    assert (again.position, again.tab, again.watched) == (3, "notes", ["/cart/total"])
    assert again.code == shown.code


def test_the_player_and_the_cursor_stand_on_one_step(bench):
    """Setting the position moves the cursor that was given; seek and goto take numbers and rows."""
    replay = player(bench)
    shown = ReplayPlayer(replay)
    shown.position = 7

    assert (replay.position, replay.state["turn"], shown.step_number) == (7, 7, 7)
    assert shown.seek(4).position == 4
    assert shown.goto({"step_number": 9}).position == 9
    found = bench.find(workbench.state("turn") == 6, run=shown.replay.id)
    assert shown.goto(found[:1]).position == 6
    with pytest.raises(LookupError, match="no step 99; the steps are 0 to 11"):
        shown.seek(99)
    with pytest.raises(TypeError, match="this frame has 12"):
        shown.goto(replay.steps)
    with pytest.raises(TypeError, match="takes a row with a step_number"):
        shown.goto({"id": "x"})


def test_goto_shows_another_run(bench):
    """A row of another run brings that run into the same player."""
    shown = ReplayPlayer(player(bench))
    other = shop(bench, 6, name="other")

    shown.goto({"execution_id": other, "step_number": 4})

    assert (shown.replay.id, shown.position, shown._scene["run"], shown._scene["n"]) == (other, 4, other, 6)


def test_what_cannot_be_shown_is_refused_clearly(bench):
    """A wrong argument, option, position or path says what is allowed."""
    replay = player(bench)

    with pytest.raises(TypeError, match=r"takes bench.replay\(run\); this is a str"):
        ReplayPlayer(cast(Any, replay.id))
    with pytest.raises(TypeError, match=r"no option 'positon'\. Did you mean 'position'"):
        ReplayPlayer(replay, positon=2)
    with pytest.raises(traitlets.TraitError, match="no position 12; its positions are 0 to 11"):
        ReplayPlayer(replay, position=12)
    with pytest.raises(traitlets.TraitError, match="is no JSON pointer"):
        ReplayPlayer(replay, watched=["cart.total"])


# -- the scene -----------------------------------------------------------------------------------------------------


def test_steps_are_sent_as_flags(bench):
    """Errors, tool calls, what a fork shares and what was abandoned are bits of the steps."""
    replay = player(bench)
    _, arrays = unpack(ReplayPlayer(replay)._steps)

    flags = arrays["flags"].tolist()
    assert [i for i, f in enumerate(flags) if f & _replay_scene.ERROR] == [5, 8]
    assert [i for i, f in enumerate(flags) if f & _replay_scene.CALL] == [1, 4, 7, 10]
    assert not any(f & (_replay_scene.SHARED | _replay_scene.ABANDONED) for f in flags)
    assert arrays["at"][0] == 0
    head = replay.seek(6).rollback()
    _, arrays = unpack(ReplayPlayer(head)._steps)
    assert all(f & _replay_scene.SHARED for f in arrays["flags"].tolist())
    _, arrays = unpack(ReplayPlayer(bench.replay(replay.id))._steps)
    left = [i for i, f in enumerate(arrays["flags"].tolist()) if f & _replay_scene.ABANDONED]
    assert left == [7, 8, 9, 10, 11]


def test_a_state_that_nobody_recorded_is_called_so(bench):
    """A state made from the conversation says so; one that was recorded does not, in a fork as in its run."""
    with bench.record(agent_type="a") as run:
        run.event("message", role="user", text="x")
        run.event("message", role="assistant", text="y")
    shown = ReplayPlayer(bench.replay(str(run.id)))
    recorded = ReplayPlayer(player(bench).seek(3).fork())

    assert step(shown, 1)["is_derived"] is True
    assert "rebuilt from the conversation" in shown.static_html()
    assert [step(recorded, position)["is_derived"] for position in (0, 3)] == [False, False]
    assert "rebuilt" not in recorded.static_html()


def test_marks_are_sent_with_their_steps(bench):
    """Notes by position, forks where they leave, and the tree with the head."""
    marks = ReplayPlayer(player(bench))._marks

    assert [(n["position"], n["kind"], n["author"], n["is_recorded"]) for n in marks["notes"]] == [
        (2, "note", "ana", False),
        (4, "pin", None, False),
        (6, "checkpoint", None, False),
    ]
    assert [(fork["position"], fork["name"]) for fork in marks["forks"]] == [(3, "other lamp")]
    assert [(b["depth"], b["is_head"], b["is_shown"]) for b in marks["branches"]] == [
        (0, True, True),
        (1, False, False),
    ]


def test_a_run_of_states_alone(bench):
    """Steps without an event have no detail, and a state all the same."""
    with bench.record(agent_type="a") as run:
        run.event("message", role="user", text="x")
        run.step("just a text")
    shown = ReplayPlayer(bench.replay(str(run.id)))
    answer = step(shown, 0)

    assert answer["root"] == ["string", 11, "just a text"]
    assert answer["nodes"] == {}
    assert "just a text" in shown.static_html()


# -- a step --------------------------------------------------------------------------------------------------------


def test_a_step_has_its_changes_pages_and_event(bench):
    """Old and new values, one line per member of the open containers, and the event's fields."""
    shown = ReplayPlayer(player(bench), watched=["/cart/total", "/nowhere"])
    answer = step(shown, 4, cart=1)

    told = {(c["kind"], c["pointer"]): (c["before"], c["after"]) for c in answer["changes"]}
    assert told["changed", "/cart/total"] == (["number", 4, "11.0"], ["number", 4, "25.0"])
    assert told["added", "/cart/items/1"] == (None, ["object", 3, "id, name, price"])
    assert told["added", "/plan/1"] == (None, ["string", 7, "compare"])
    assert sorted(e[0] for e in answer["nodes"][""]["pages"]["0"]) == [
        "cart", "notes", "odd/key~", "plan", "said", "turn",
    ]  # fmt: skip
    assert answer["nodes"]["/cart"]["size"] == 2
    assert answer["detail"]["fields"]["name"] == "search"
    assert answer["watched"] == {"/cart/total": ["number", 4, "25.0"], "/nowhere": None}
    assert {c["kind"] for c in step(shown, 0)["changes"]} == {"added"}


def test_the_changes_of_a_path_are_found_once_for_all(bench):
    """All steps at which a value changed, as positions; of the whole state too."""
    shown = ReplayPlayer(player(bench))

    assert ask(shown, "changes", path="/cart/total")["positions"] == [0, 1, 4, 7, 10]
    assert ask(shown, "changes", path="")["positions"] == list(range(12))
    assert ask(shown, "changes", path="/nowhere")["positions"] == []


def test_a_late_question_about_another_branch_is_not_answered(bench):
    """Asked of the branch that was shown before, a step is not mistaken for one of this."""
    shown = ReplayPlayer(player(bench))

    assert ask(shown, "step", position=1, pages={}, run="other") == {"position": -1}


# -- large states --------------------------------------------------------------------------------------------------


def test_a_large_state_is_sent_a_page_at_a_time():
    """A list of a million entries and a text of a million characters give what was asked for and no more."""
    state = {"list": list(range(1_000_000)), "text": "x" * 1_000_000, "deep": {"a": {"b": 1}}}

    answer = _state.pages(state, {"": [0], "/list": [0, 5_000], "/gone": [0], "/text": [0]})

    assert len(orjson.dumps(answer)) < 20_000
    assert [e[:3] for e in answer[""]["pages"]["0"]] == [
        ("list", "array", 1_000_000), ("text", "string", 1_000_000), ("deep", "object", 1),
    ]  # fmt: skip
    assert answer["/list"]["pages"]["5000"][0] == ("500000", "number", 6, "500000")
    assert answer.keys() == {"", "/list"}
    assert len(_state.text_piece(state, "/text", 999_990)) == 10
    assert _state.page({str(n): n for n in range(250)}, "", 2)["entries"][0] == ("200", "number", 3, "200")
    assert _state.way(state, "/list/731") == {"": 0, "/list": 7}


def test_too_many_open_containers_are_cut():
    """However many are open, an answer has at most so many pages."""
    state = {str(n): [n] for n in range(1_000)}

    assert len(_state.pages(state, {f"/{n}": [0] for n in range(1_000)})) == _state.PAGES


def test_a_search_finds_keys_and_values_and_the_way_to_them():
    """Whatever the case, in the order of the document, with the pages of the ancestors."""
    state = {"Total": 1, "items": [{"n": n, "name": f"Lamp {n}"} for n in range(300)], "flag": True, "odd/key~": "lamp"}

    found = _state.find(state, "lamp 25")

    assert [hit["pointer"] for hit in found.hits[:2]] == ["/items/25/name", "/items/250/name"]
    assert found.hits[1] == {
        "pointer": "/items/250/name",
        "where": "value",
        "pages": {"": 0, "/items": 2, "/items/250": 0},
    }
    assert found.n == 11
    assert [(h["pointer"], h["where"]) for h in _state.find(state, "TOTAL").hits] == [("/Total", "key")]
    assert [h["pointer"] for h in _state.find(state, "true").hits] == ["/flag"]
    assert _state.find(state, "lamp").hits[-1]["pointer"] == "/items/199/name"
    assert _state.find({"odd/key~": "lamp"}, "lamp").hits[0]["pointer"] == "/odd~1key~0"
    assert _state.find(state, "lamp").n == 301


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": True}, [("changed", "/a")]),
        ({"a": 1}, {"a": 1.0}, []),
        ([1, 2, 3], [1, 3], [("removed", "/1")]),
        ([1, 3], [1, 2, 3], [("added", "/1")]),
        ({"a": {"b": 1}, "c": 2}, {"a": {"b": 2}}, [("changed", "/a/b"), ("removed", "/c")]),
        ({"a/b": {"~": 1}}, {"a/b": {"~": 2}}, [("changed", "/a~1b/~0")]),
        (None, {"a": 1}, [("changed", "")]),
        ({"a": []}, {"a": {}}, [("changed", "/a")]),
    ],
)
def test_differences_are_the_smallest_parts(before, after, expected):
    """One difference per changed leaf, with the pointer that it has in the tree."""
    assert [(one.kind, one.pointer) for one in _state.differences(before, after)] == expected


def test_many_changes_are_cut_and_said_to_be_more():
    """A step that changes everything does not flood the browser."""
    told = _state.told({}, {str(n): n for n in range(5_000)})

    assert (len(told["changes"]), told["has_more_changes"]) == (_state.CHANGES, True)


# -- notes ---------------------------------------------------------------------------------------------------------


def test_notes_are_written_edited_and_removed(bench):
    """What the browser writes is stored, by the author given, and comes back as a mark."""
    shown = ReplayPlayer(bench.replay(shop(bench)), author="ben")
    ask(shown, "note", position=3, kind="note", text="look here")
    ask(shown, "note", position=5, kind="pin")
    ask(shown, "note", position=6, kind="checkpoint", text="paid")

    stored = bench.notes(shown.replay.id)
    assert stored.select("step_number", "kind", "text", "author").rows() == [
        (3, "note", "look here", "ben"), (5, "pin", "", "ben"), (6, "checkpoint", "paid", "ben"),
    ]  # fmt: skip
    assert ask(shown, "edit_note", note=stored["id"][0], text="look there") == {}
    assert ask(shown, "remove_note", note=stored["id"][1]) == {}
    assert [(n["position"], n["text"]) for n in shown._marks["notes"]] == [(3, "look there"), (6, "paid")]
    assert shown.replay.position == shown.position == 0


def test_what_is_wrong_with_a_note_is_said(bench):
    """An empty text, a name that is taken and a note that is gone are answers, not crashes."""
    shown = ReplayPlayer(player(bench))

    assert "needs a text" in ask(shown, "note", position=1, kind="note", text=" ")["problem"]
    assert "at step 6" in ask(shown, "note", position=1, kind="checkpoint", text="before paying")["problem"]
    assert "No note" in ask(shown, "remove_note", note="0" * 8 + "-0000-0000-0000-" + "0" * 12)["problem"]
    assert "needs a text" in ask(shown, "edit_note", note="x", text="")["problem"]
    ask(shown, "note", position=8, kind="checkpoint", text="paid")
    paid = next(note["id"] for note in shown._marks["notes"] if note["text"] == "paid")
    assert "at step 6" in ask(shown, "edit_note", note=paid, text="before paying")["problem"]
    assert ask(shown, "edit_note", note=paid, text="paid") == {}


def test_checkpoints_of_the_agent_are_told_apart(bench):
    """Nobody edits what was recorded."""
    with bench.record(agent_type="a") as run:
        run.event("message", role="user", text="x")
        run.checkpoint("its own", {"a": 1})

    notes = ReplayPlayer(bench.replay(str(run.id)))._marks["notes"]

    assert [(n["kind"], n["text"], n["is_recorded"]) for n in notes] == [("checkpoint", "its own", True)]


# -- branches ------------------------------------------------------------------------------------------------------


def test_a_fork_is_planned_and_made(bench):
    """A patch is tried before it is used; the player then shows the branch, and the run is as it was."""
    shown = ReplayPlayer(player(bench), position=4)
    run = shown.replay.id
    patch = [{"op": "replace", "path": "/cart/total", "value": 1}, {"op": "add", "path": "/new", "value": [1]}]

    plan = ask(shown, "plan", position=4, patch=patch)
    assert [(c["kind"], c["pointer"]) for c in plan["changes"]] == [("changed", "/cart/total"), ("added", "/new")]
    wrong = ask(shown, "plan", position=4, patch=[{"op": "remove", "path": "/nowhere"}])
    assert "Operation 0" in wrong["problem"]
    assert bench.branches(run).height == 2

    made = ask(shown, "fork", position=4, patch=patch, name="cheaper")
    assert shown.replay.id == made["run"] != run
    assert (shown.position, shown._scene["n"]) == (4, 5)
    assert shown.replay.state["cart"]["total"] == 1
    assert bench.state(run, 4)["cart"]["total"] == 25.0
    assert bench.execution(made["run"]).name == "cheaper"


def test_a_fork_of_a_run_without_states(bench):
    """Where no state is known, the edit gives the first one."""
    with bench.record(agent_type="a") as run:
        run.event("message", role="user", text="x")
    with bench.store.raw() as connection:
        connection.execute("DELETE FROM workbench.execution_snapshots")
    shown = ReplayPlayer(bench.replay(str(run.id)))
    patch = [{"op": "add", "path": "/a", "value": 1}]

    assert step(shown, 0)["root"] == ["null", 0, "null"]
    assert [c["kind"] for c in ask(shown, "plan", position=0, patch=patch)["changes"]] == ["changed"]
    ask(shown, "fork", position=0, patch=patch)
    assert shown.replay.state == {"a": 1}


def test_going_back_shows_the_new_head(bench):
    """The steps behind it stay in the run that is left, and are told as abandoned."""
    shown = ReplayPlayer(player(bench), position=6)
    run = shown.replay.id
    made = ask(shown, "rollback", position=6, reason="wrong lamp")

    told = {b["id"]: b for b in shown._marks["branches"]}
    assert (told[made["run"]]["is_head"], told[run]["is_head"], told[run]["head_until"]) == (True, False, 6)
    ask(shown, "branch", run=run)
    assert (shown.replay.id, shown._scene["n"], shown.position) == (run, 12, 6)


def test_a_value_to_edit_is_json_or_too_large(bench):
    """What is edited by hand is sent whole, but never a large one."""
    shown = ReplayPlayer(player(bench))

    assert orjson.loads(ask(shown, "value", position=4, pointer="/plan")["text"]) == ["look", "compare"]
    assert _state.editable({"a": "x" * 30_000}, "/a", 20_000) is None


# -- messages and origin ---------------------------------------------------------------------------------------------


def test_messages_come_as_the_model_saw_them(bench):
    """A part at a time, cut, with the step that added each; where there is no call, the reason."""
    with bench.record(agent_type="a") as run:
        for turn in range(30):
            run.event("message", role="user", text=f"question {turn} " + "x" * 3_000)
            run.event("llm_call", model="m", role="assistant", text=f"answer {turn}", usage={"input_tokens": 10})
    shown = ReplayPlayer(bench.replay(str(run.id)))

    answer = ask(shown, "messages", position=59)
    assert (answer["n"], answer["n_given"]) == (59, 59)
    assert (answer["start"], len(answer["messages"])) == (19, 40)
    assert max(len(m["text"]) for m in answer["messages"]) <= 1_200
    assert ask(shown, "messages", position=59, start=0)["messages"][0]["step_number"] == 0
    assert shown.replay.position == 0
    assert "no model call" in ask(shown, "messages", position=0)["none"]


def test_who_wrote_a_value_has_steps_to_go_to(bench):
    """The rows of origin with the position of their step; where there is nothing, the reason."""
    shown = ReplayPlayer(player(bench))
    rows = ask(shown, "origin", position=11, path="/cart/items/0/name")["rows"]

    assert (rows[0]["source"], rows[0]["position"]) == ("state change", 1)
    assert rows[1]["source"] in ("tool arguments", "tool result", "unknown")
    assert "none" in ask(shown, "origin", position=11, path="/nowhere")


# -- without a kernel ------------------------------------------------------------------------------------------------


def test_the_static_view_is_escaped_and_whole(bench):
    """Step list, state, changes and notes can be read without script; nothing of the agent's is markup."""
    html = ReplayPlayer(player(bench), position=4).static_html()

    assert "<script>" not in html
    assert "<img" not in html
    assert "\u202e" not in html
    for text in (
        "step 4 (5 of 12)",
        "/cart/total",
        "25.0",
        "State after this step",
        "▼ error",
        "a note",
        "before paying",
    ):
        assert text in html


def test_hostile_names_and_values_are_escaped_in_the_static_view(bench):
    """A change whose name and value are markup is read as text."""
    with bench.record(agent_type=HOSTILE, name=HOSTILE) as run:
        run.event("message", name=HOSTILE, role="user", text=HOSTILE)
        run.step({HOSTILE: HOSTILE})
    html = ReplayPlayer(bench.replay(str(run.id))).static_html()

    assert "alert(1)" in html
    assert "<script>" not in html
    assert "<img" not in html
    assert "\u202e" not in html


def test_a_saved_page_holds_the_steps_that_matter(bench, tmp_path):
    """A page of a long run has the step that is seen, and those with errors or notes; it stays small."""
    shown = ReplayPlayer(player(bench, 120), position=60)
    state = shown._saved_states()[0]

    assert {"60", "5", "8", "2", "4", "6"} <= state["_said"].keys()
    assert next(iter(state["_said"])) == "60"
    assert shown.position == shown.replay.position == 60
    assert len(shown.to_html(tmp_path / "player.html")) < 1_500_000


def test_a_state_that_cannot_be_rebuilt_is_said_and_the_rest_is_shown(bench):
    """A damaged delta costs the state of its steps, not the player."""
    replay = player(bench)
    with bench.store.raw() as connection:
        connection.execute(
            'UPDATE workbench.execution_snapshots SET state = \'[{"op": "remove", "path": "/no"}]\''
            " WHERE execution_id = %s AND step_number = 3 AND keyframe_step <> 3",
            [replay.id],
        )
    shown = ReplayPlayer(bench.replay(replay.id), position=4)

    answer = step(shown, 4)
    if bench.sql("SELECT 1 FROM execution_snapshots WHERE keyframe_step <> step_number").height:
        assert "does not apply" in answer["problem"]
    assert answer["detail"]["fields"]["name"] == "search"
    assert step(shown, 2)["problem"] is None


def test_hostile_text_crosses_as_text(bench):
    """It arrives as it is, and only there."""
    shown = ReplayPlayer(player(bench))
    lines = {e[0]: e[3] for e in step(shown, 0)["nodes"][""]["pages"]["0"]}

    assert lines["said"] == HOSTILE


def test_refresh_brings_what_came_since(bench):
    """A run that still goes on gets its new steps, and the player stays where it was."""
    with bench.record(agent_type="a") as run:
        run.event("message", role="user", text="x")
        run.flush()
        shown = ReplayPlayer(bench.replay(str(run.id)))
        run.event("message", role="user", text="y")
        run.flush()
        answer = ask(shown, "refresh")

    assert answer == {"n_new": 1}
    assert (shown.position, shown._scene["n"]) == (0, 2)
    assert isinstance(shown.selected, pl.DataFrame)
