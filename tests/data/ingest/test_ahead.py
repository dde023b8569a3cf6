"""Calls that are done while the next are prepared."""

from __future__ import annotations

import threading
from contextvars import ContextVar

import pytest

from workbench.data.ingest.writing.ahead import Ahead


def nothing() -> None:
    """The calls of these tests end by themselves."""


def test_calls_are_done_in_order_beside_the_caller():
    """The caller goes on while a call waits, and all calls are done in the order in which they were given."""
    done: list[int] = []
    go = threading.Event()
    with Ahead(nothing) as ahead:
        ahead.do(go.wait)
        ahead.do(done.append, 1)
        ahead.do(done.append, 2)
        assert done == []
        go.set()
        ahead.finish()
        assert done == [1, 2]
        ahead.do(done.append, 3)
    assert done == [1, 2, 3]


def test_who_is_too_far_ahead_waits():
    """What waits is in memory, so only a few calls may wait."""
    go = threading.Event()
    given: list[int] = []

    def give(ahead: Ahead) -> None:
        for n in range(20):
            ahead.do(go.wait)
            given.append(n)

    with Ahead(nothing) as ahead:
        giver = threading.Thread(target=give, args=(ahead,))
        giver.start()
        giver.join(0.5)
        n_given = len(given)
        go.set()  # before anything is asserted: what fails must not wait for ever
        giver.join()

    assert 0 < n_given < 10
    assert len(given) == 20


def test_a_failure_is_raised_and_nothing_goes_on():
    """What a call raises is raised where a later one is given, and of those given after it not all are done."""
    done: list[int] = []
    go = threading.Event()

    def fail() -> None:
        go.wait()
        raise ValueError("no room")

    def give() -> None:
        with Ahead(nothing) as ahead:
            ahead.do(fail)
            go.set()
            for n in range(20):
                ahead.do(done.append, n)
            ahead.finish()

    with pytest.raises(ValueError, match="no room"):
        give()
    assert len(done) < 20
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("workbench-write")]


def test_leaving_waits_whatever_happened():
    """An error of the caller's own leaves nothing running behind its back."""
    go, ended = threading.Event(), threading.Event()

    def slow() -> None:
        go.wait()
        ended.set()

    def fail() -> None:
        with Ahead(nothing) as ahead:
            ahead.do(slow)
            threading.Timer(0.2, go.set).start()
            raise KeyError("the caller's own")

    with pytest.raises(KeyError):
        fail()
    assert ended.is_set()


def test_a_call_that_waits_is_told_to_end():
    """When the caller fails, the call that is being done is told to end until it does; those behind it are not done."""
    done: list[int] = []
    n_told = 0
    told = threading.Event()

    def cancel() -> None:
        nonlocal n_told
        n_told += 1
        if n_told == 2:  # the first time it was between two statements
            told.set()

    def fail() -> None:
        with Ahead(cancel) as ahead:
            ahead.do(told.wait, 20)
            ahead.do(done.append, 1)
            raise KeyError("the caller's own")

    with pytest.raises(KeyError):
        fail()
    assert n_told == 2
    assert done == []


def test_what_is_done_ahead_has_the_context_of_who_asked():
    """What the caller's context says (of tracing, say) holds for the call in the other thread too."""
    told: ContextVar[str] = ContextVar("told", default="nothing")
    heard = []
    with Ahead(lambda: None) as ahead:
        token = told.set("be quiet")
        ahead.do(lambda: heard.append(told.get()))
        told.reset(token)

    assert heard == ["be quiet"]
