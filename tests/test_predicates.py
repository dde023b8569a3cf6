"""Predicates by themselves: what they say, how they are written and read, what they refuse, what a watch sees."""

from __future__ import annotations

import functools
import json
import pickle
import typing

import pytest

import workbench as wb
from workbench._predicates import Matcher, event, from_dict, never, parse, run, state, words
from workbench.data.frames.columns import columns
from workbench.data.ingest.normal import EventType
from workbench.data.store.tables import MARKS, SEVERITIES, agent_executions
from workbench.errors import ConfigurationError

WRITTEN = [
    'state("cart.total") > 100',
    'state() == {"a": [1, null]}'.replace("null", "None"),
    '(state("a") + 1) * 2 < state("b.0")',
    '(state("a") - (state("b") - 1)).exists()',
    'state("a.\\"b.c\\".\\"\\"").is_in([1, "a", None, 1.5])',
    'event("tool", name="refund").then(event("tool_call")["data.x"].contains("y"), within=5)',
    'event(name=["refund", "verify"], severity="error").at_least(3, within=9).begins()',
    '~never(event("message")).until(state().changed())',
    '((state("x") == None) & (state("y") != True)) | (~(run("agent_type") == "p"))',
    '(state("a") > 1) & ((state("b") > 1) & (state("c") > 1))',
    '(state("a") > 1) & (state("b") > 1) & (state("c") > 1)',
    'state("t").matches("^a\\\\d").before(event())',
    'event("tool_call").repeats(3)',
    'event(severity="error").repeats(2, "data.error.message", "name", within=4).without(event("tool"), within=3)',
]


@pytest.mark.parametrize("text", WRITTEN)
def test_written_as_the_python_that_makes_it(text):
    """What repr gives is read back as the same, is Python, and survives JSON and pickle."""
    made = parse(text)

    assert repr(made) == text
    assert eval(text, {"state": state, "event": event, "run": run, "never": never}) == made
    assert from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert pickle.loads(pickle.dumps(made)) == made
    assert len({made, parse(text)}) == 1


def test_other_spellings():
    """A ``wb.`` may stand before the names; a constant may stand on the left; a pointer is a path."""
    assert parse('wb.state("/cart/a~1b") >= 3') == (3 <= state('cart."a/b"'))  # noqa: SIM300
    assert repr(state("/cart/a.b") == 1) == 'state("cart.\\"a.b\\"") == 1'
    assert (wb.state, wb.event, wb.run, wb.never) == (state, event, run, never)


def test_one_and_true_are_two_predicates():
    """Predicates are equal by what they say, and 1 is not True."""
    assert (state("x") == 1) != (state("x") == True)  # noqa: E712


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("state('x') > 1 and event()", "&, | and ~ in place of 'and'"),
        ("state('x') > 1 & state('y') < 2", "in parentheses"),
        ("1 < state('x') < 3", "Split a chain"),
        ("not event()", "in place of 'and'"),
        ("state('x') in [1]", r"\.is_in"),
        ("__import__('os').system('true')", "Function '__import__' is not known"),
        ("state('x').__class__", "no part of a predicate"),
        ("event().walk()", "Method 'walk' is not known"),
        ("[event() for x in y]", "no part of a predicate"),
        ("event(*['tool'])", "without \\*"),
        ("state('x')", "compare it"),
        ("3", "is a value"),
        ("state('x') >", "no Python expression"),
        ("", "says no predicate"),
        ("event('tol_call')", "Did you mean 'tool_call'"),
        ("event(nam='x')", "Did you mean 'name'"),
        ("event(severity='eror')", "Did you mean 'error'"),
        ("event(name=3)", "give a text"),
        ("event('tool')['text'] == 'x'", "data.text"),
        ("event('tool')['name.x'] == 'x'", "no parts"),
        ("event('tool')['timestamp'] > 1", "since="),
        ("event('tool')['data.a'] == event('message')['data.a']", "one event at a time"),
        ("run('agenttype') == 1", "Did you mean 'agent_type'"),
        ("run('started_at') > '2026'", "since="),
        ("state('a..b') > 1", "no path"),
        ("state('/a~2') > 1", "JSON pointer"),
        ("state('x').matches('(')", "unterminated"),
        ("state('x').is_in('abc')", "takes a list"),
        ("run('status').changed()", "only values of the state"),
        ("event().then(1)", "no predicate"),
        ("event().then(state('x'))", "compare it"),
        ("event().at_least(0)", "n=0"),
        ("event().then(event(), within=0)", "within=0"),
        ("never(event()).until(event()).until(event())", "already"),
        ("event().until(event())", "Only never"),
        ("state('x') > event()", "take a value"),
        ("state('x') == 'a\\0'", "NUL"),
        ("state('x') == 1e999", "finite"),
        ("event().at_least(3).repeats(2)", "Only event"),
        ("event().repeats(2, 'dat')", "Did you mean 'data'"),
        ("event().without(event(), within=99999999999999999999)", "below 2"),
        ("event().without(event())", "within"),
        ("~" * 300 + "event()", "too deep"),
        ("(" * 300 + "event()" + ")" * 300, "nested"),
    ],
)
def test_what_is_refused(text, match):
    """A wrong predicate is refused where it is made, with the value, what is allowed and what to do."""
    with pytest.raises(ConfigurationError, match=match):
        parse(text)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: bool(state("x") > 1),
        lambda: (state("x") > 1) and event(),
        lambda: 1 < state("x") < 3,
        lambda: state("x") > 1 & state("y"),  # pyright: ignore[reportOperatorIssue]
        lambda: not event(),  # pyright: ignore[reportGeneralTypeIssues]
    ],
)
def test_python_that_means_something_else(wrong):
    """`and`, `or`, `not`, chains and missing parentheses say what to write."""
    with pytest.raises(ConfigurationError, match="in parentheses"):
        wrong()


def test_no_list():
    """Nothing of it can be walked, or asked with `in`."""
    with pytest.raises(ConfigurationError, match=r"\.is_in"):
        list(event())  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigurationError, match=r"\.is_in"):
        assert 1 in state("x")  # pyright: ignore[reportOperatorIssue]


def test_words_are_those_of_the_frames():
    """Kinds of events and columns are those that the store has; times alone are left out."""
    assert set(words.EVENT_TYPES) == set(typing.get_args(EventType))
    assert words.SEVERITIES == SEVERITIES
    assert words.MARKS == MARKS
    assert {*words.RUN_COLUMNS, *words.TIMES} >= {column.name for column in columns["executions"]}
    assert set(words.RUN_COLUMNS) <= {column.name for column in columns["executions"]}
    kept = {column.name for column in columns["events"]} - {"id", "execution_id", "step_number", "timestamp", "data"}
    assert set(words.EVENT_COLUMNS) == kept
    assert all(name in agent_executions.c for name in words.RUN_DOCUMENTS)


# ---------------------------------------------------------------- what it says of a state


def holds(predicate, document) -> bool:
    return predicate.watch().feed(0, state=document)


@pytest.mark.parametrize(
    ("predicate", "document", "expected"),
    [
        (state("x") != 1, {}, False),
        (~(state("x") == 1), {}, True),
        (state("x").exists(), {"x": None}, True),
        (state("x") == None, {"x": None}, True),  # noqa: E711
        (state("x") == None, {}, False),  # noqa: E711
        (state("x") < 1, {"x": None}, False),
        (state("x") == 1, {"x": True}, False),
        (state("x") == 1, {"x": 1.0}, True),
        (state("x") > 1, {"x": "2"}, False),
        (state("x") > "a", {"x": "b"}, True),
        (state("x") == [1, {"a": 2}], {"x": [1.0, {"a": 2}]}, True),
        (state("x").contains("b"), {"x": "abc"}, True),
        (state("x").contains("b"), {"x": ["a", "b"]}, True),
        (state("x").contains("b"), {"x": {"b": 0}}, True),
        (state("x").contains(True), {"x": [1]}, False),
        (state("x").is_in([True]), {"x": 1}, False),
        (state("x").is_in(state("y")), {"x": 1, "y": [1]}, True),
        (state("x").matches("^b"), {"x": "ab"}, False),
        (state("x") / state("y") == 2, {"x": 4, "y": 2}, True),
        ((state("x") / state("y")).exists(), {"x": 4, "y": 0}, False),
        ((state("x") + 1).exists(), {"x": True}, False),
        ((state("x") * 1e308).exists(), {"x": 1e308}, False),
        (state("x.-1.y") == 2, {"x": [{"y": 1}, {"y": 2}]}, True),
        (state("x.2").exists(), {"x": [0, 1]}, False),
        (state("x.01").exists(), {"x": [0, 1]}, False),
        (state("x.0") == "key", {"x": {"0": "key"}}, True),
        (state() == 5, 5, True),
        (state("x").exists(), 5, False),
    ],
)
def test_missing_null_and_kinds(predicate, document, expected):
    """Missing compares to nothing, null is a value, kinds of values do not mix."""
    assert holds(predicate, document) is expected


# ---------------------------------------------------------------- a watch


def test_a_watch_follows_a_run():
    """Fed with rows of events and states, it holds where the sequence ends, and knows the state in between."""
    watch = event("tool_call", name="refund").then(state("total") > 100, within=2).watch()
    call = {"event_type": "tool_call", "name": None, "data": '{"tool_calls": [{"name": "refund"}]}'}

    said = [watch.feed(1, call, {"total": 200}), watch.feed(2), watch.feed(3, [call], {"total": 0}), watch.feed(9)]

    assert said == [False, True, False, False]


def test_reset_forgets():
    """After a reset it is as it was in the beginning, so a replay may go back."""
    watch = event().at_least(2).watch()
    first = [watch.feed(0, {"event_type": "log"}), watch.feed(1, {"event_type": "log"})]
    watch.reset()

    assert first == [watch.feed(0, {"event_type": "log"}), watch.feed(1, {"event_type": "log"})] == [False, True]


def test_what_a_watch_refuses():
    """Steps go forward; columns of the run that are asked for must be given."""
    watch = Matcher(event())
    watch.feed(3)
    with pytest.raises(ConfigurationError, match="Step 3 comes after step 3"):
        watch.feed(3)
    with pytest.raises(ConfigurationError, match="the run's cost_usd"):
        (run("cost_usd") > 1).watch(run={"agent_type": "x"})


def test_json_of_a_newer_version():
    """What a later version wrote is refused by name, not misread."""
    with pytest.raises(ConfigurationError, match="version 2"):
        from_dict({"predicate": "event()", "version": 2})
    with pytest.raises(ConfigurationError, match="no 'predicate'"):
        from_dict({})


def test_a_predicate_of_any_size_is_answered_or_refused():
    """What is doubled forty times, or nested a thousand deep, is refused at once, and says how to write it."""
    deep = event("tool_call")
    for _ in range(1_000):
        deep = deep & event("message")
    with pytest.raises(ConfigurationError, match=r"\.is_in"):
        functools.reduce(lambda twice, _: twice & twice, range(40), event("tool_call"))

    with pytest.raises(ConfigurationError, match="200 one inside the other"):
        deep.watch()


def test_an_error_without_a_retry():
    """It holds when the time is over, once for each error, and not where a retry came or the run ended before."""
    watch = event(severity="error").without(event("tool_call"), within=2).watch()
    error, call = ({"event_type": "log", "severity": "error"}, {"event_type": "tool_call", "severity": "info"})

    given = {0: error, 1: call, 2: error, 3: None, 4: None, 5: error, 6: error, 9: call, 10: error, 11: None}
    found = [step for step, told in given.items() if watch.feed(step, told)]

    assert found == [4, 9]


def test_the_same_call_again():
    """Calls repeat each other where tool and arguments are equal as JSON, whatever stands between."""
    watch = event("tool_call").repeats(2).watch()
    near = event("tool_call").repeats(2, within=2).watch()
    calls = [("a", {"n": 1}), ("b", {"n": 1}), ("a", {"n": 2}), ("a", {"n": 1.0}), ("a", {"n": True}), ("a", {"n": 1})]
    told = [{"event_type": "tool_call", "name": name, "data": {"tool": {"arguments": given}}} for name, given in calls]

    assert [step for step, one in enumerate(told) if watch.feed(step, one)] == [3, 5]
    assert [step for step, one in enumerate(told) if near.feed(step, one)] == [5]
