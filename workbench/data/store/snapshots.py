"""States of a run as whole states and patches: what ``execution_snapshots`` holds, and the way back.

A row is ``(step_number, keyframe_step, state)``. Where ``keyframe_step == step_number`` the state is whole (a
*keyframe*), else it is an RFC 6902 patch on the snapshot before. A new keyframe is written once the patches since the
last one weigh :data:`PATCHES_PER_KEYFRAME` times the whole state: a run stays within 1.5 times the weight of patches
alone, and any state is rebuilt from rows that weigh about three times itself at most, however long the run. A row's own
cost (headers, ids, index entries, decoding) counts as :data:`ROW_WEIGHT` bytes, so many tiny patches on a large state
get keyframes too.

Everything streams in one pass. With patches given, the work of a step is the size of its patch, and whole states are
encoded for keyframes only: a conversation that grows by 5,000 steps is encoded in linear time.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import orjson

from workbench._delta import apply, apply_owned, diff
from workbench.data.store.course import Stretch, course
from workbench.data.store.pruned import Gap, check_kept, gaps
from workbench.errors import NotFoundError, PatchError

if TYPE_CHECKING:
    import psycopg

    from workbench.data.store.engine import Store

OPEN_ENDED_SIZE = 16_000_000  # bytes of a state that only grows, above which no further keyframe is worth its weight
ROW_WEIGHT = 400  # bytes: reading one more row costs about as much as reading this much more of a whole state
PATCHES_PER_KEYFRAME = 2

_Ops = list[Mapping[str, Any]]


class SnapshotRow(NamedTuple):
    """One row of ``execution_snapshots``, without its metadata."""

    step_number: int
    keyframe_step: int
    state: bytes  # JSON: a whole state where keyframe_step == step_number, else a patch


class StateLike(Protocol):
    """What a source says of a step: :class:`workbench.data.ingest.normal.State` and alike."""

    step_number: int
    document: Any
    patch: Any


def encode(states: Iterable[StateLike], *, dumps: Callable[[Any], bytes | str] = orjson.dumps) -> Iterator[SnapshotRow]:
    """Yield one row per step that has a state, in the order of the steps.

    A state with a ``patch`` builds on the one before it (the first: on ``{}``), any other is a whole ``document``.
    Several states of one step become one row; steps may be sparse.

    Raises
    ------
    PatchError
        A patch does not apply, or the steps are not in order. Use :class:`Encoder` to go on after such a state.
    """
    encoder = Encoder(dumps=dumps)
    for state in states:
        encoder.add(state.step_number, document=state.document, patch=state.patch)
        yield from encoder.take()
    yield from encoder.finish()


class Encoder:
    """Makes the rows of one run, state by state.

    Parameters
    ----------
    dumps
        Encodes a whole state or a patch as JSON; pass one that makes values storable where the source is not trusted.
    only_grows
        The states are patches that only add. Above ``OPEN_ENDED_SIZE`` no more keyframes are written then, since all
        patches together weigh as much as the state itself; and the state is no longer kept in memory.

    Examples
    --------
    >>> encoder = Encoder()
    >>> encoder.add(0, document={"policy": "Refunds within 30 days. " * 40, "plan": []})
    >>> encoder.add(3, patch=[{"op": "add", "path": "/plan/-", "value": "look"}])
    >>> encoder.finish()[1]
    SnapshotRow(step_number=3, keyframe_step=0, state=b'[{"op":"add","path":"/plan/-","value":"look"}]')
    """

    def __init__(self, *, dumps: Callable[[Any], bytes | str] = orjson.dumps, only_grows: bool = False) -> None:
        self._dumps = dumps
        self._only_grows = only_grows
        self._is_open_ended = False
        self._ready: list[SnapshotRow] = []
        self._document: Any = {}
        self._owned: dict[int, Any] = {}  # containers of the document that no caller can see; see apply_owned
        self._base: bytes = b"{}"  # the last keyframe and the operations since: the way back after a bad patch
        self._since: list[_Ops] = []
        self._whole: bytes | None = None  # the document's bytes, as long as they are known
        self._keyframe_step: int | None = None
        self._open_step: int | None = None  # its row is not yet written: more states of the step may come
        self._open_ops: _Ops = []
        self._last_step = -1
        self._size = 0  # of the whole state: exact when encoded, afterwards with what was added
        self._weight = 0  # of the patches since the keyframe

    def add(self, step_number: int, *, document: Any = None, patch: Iterable[Mapping[str, Any]] | None = None) -> None:
        """Take the state after a step: a `patch` on the state before, or else a whole `document`.

        The document is encoded at once, so the caller may change it afterwards; a patch is kept until the next keyframe
        and must not be changed.

        Raises
        ------
        PatchError
            The patch does not apply, or the step comes before the last one. This state is not taken; everything before
            it stays, and further states may be added.
        """
        if step_number != self._open_step:
            self._close()
            if step_number <= self._last_step:
                raise PatchError(
                    f"The state of step {step_number} comes after that of step {self._last_step};"
                    " sort the states by step.",
                    step_number=step_number,
                    reason="steps go back",
                )
        ops = self._take_document(document) if patch is None else self._take_patch(list(patch), step_number)
        self._open_step = step_number
        self._open_ops = self._open_ops + ops
        if not self._is_open_ended:
            self._since.append(ops)

    def take(self) -> list[SnapshotRow]:
        """Return the rows that are complete and were not taken before."""
        ready, self._ready = self._ready, []
        return ready

    def peek(self) -> list[SnapshotRow]:
        """The row of the last step as it would be if no more states of it came; nothing is closed or taken."""
        ahead = copy.copy(self)
        ahead._ready = []
        ahead._close()
        return ahead._ready

    def fork(self, *, dumps: Callable[[Any], bytes | str] | None = None) -> Encoder:
        """An encoder that goes on from here by itself: what it takes, this one does not."""
        ahead = copy.copy(self)
        ahead._dumps = dumps or self._dumps
        ahead._ready, ahead._since = [*self._ready], [*self._since]
        self._owned, ahead._owned = {}, {}  # what both hold, neither may change in place
        return ahead

    def finish(self) -> list[SnapshotRow]:
        """Close the last step and return the rows that were not taken before."""
        self._close()
        return self.take()

    def _take_document(self, document: Any) -> _Ops:
        self._whole = self._bytes(document)
        before, self._document = self._document, orjson.loads(self._whole)
        self._owned = {}
        return list(diff(before, self._document))

    def _take_patch(self, ops: _Ops, step_number: int) -> _Ops:
        if self._is_open_ended:
            return ops
        try:
            self._document = apply_owned(self._document, ops, self._owned)
        except PatchError as error:
            # Operations before the bad one have changed the document in place.
            self._document, self._owned = orjson.loads(self._base), {}
            for since in self._since:
                self._document = apply_owned(self._document, since, self._owned)
            error.step_number = step_number  # pyright: ignore[reportAttributeAccessIssue]
            raise
        self._whole = None
        return ops

    def _close(self) -> None:
        step, ops = self._open_step, self._open_ops
        if step is None:
            return
        self._open_step, self._open_ops, self._last_step = None, [], step
        if self._keyframe_step is None:
            self._write_keyframe(step)
            return
        patch = self._bytes(ops)
        self._weight += len(patch) + ROW_WEIGHT
        self._size += len(patch) * sum(op["op"] in ("add", "copy") for op in ops) // max(len(ops), 1)
        if self._whole is not None:
            self._size = len(self._whole)
        if self._only_grows and self._weight > OPEN_ENDED_SIZE:
            self._is_open_ended, self._document, self._since, self._owned, self._base = True, None, [], {}, b""
            self._ready.append(SnapshotRow(step, self._keyframe_step, patch))
            return
        if len(patch) >= self._size or self._weight >= PATCHES_PER_KEYFRAME * self._size:
            self._whole = self._whole or self._bytes(self._document)
            # The size was an estimate; now it is known. Where it had been far too low, the next try is as far away as
            # this one was, so that trying stays linear.
            self._size = len(self._whole)
            if len(patch) >= self._size or self._weight >= PATCHES_PER_KEYFRAME * self._size:
                self._write_keyframe(step)
                return
            self._size = max(self._size, self._weight)
        self._ready.append(SnapshotRow(step, self._keyframe_step, patch))

    def _write_keyframe(self, step: int) -> None:
        self._base = self._whole or self._bytes(self._document)
        self._ready.append(SnapshotRow(step, step, self._base))
        self._keyframe_step, self._size, self._weight = step, len(self._base), 0
        self._since, self._owned = [], {}

    def _bytes(self, value: Any) -> bytes:
        encoded = self._dumps(value)
        return encoded if isinstance(encoded, bytes) else encoded.encode()


# ---------------------------------------------------------------- the way back


def rebuild_all(rows: Iterable[tuple[int, int, Any]]) -> Iterator[tuple[int, Any]]:
    """Yield ``(step_number, state)`` of every row, given in the order of the steps.

    The state of a row is JSON as bytes or text, or the parsed value. States share their unchanged parts: treat them as
    frozen. The first row must be a keyframe, so a part of a run starts at one.

    Raises
    ------
    PatchError
        A keyframe is missing, or a patch does not apply to the state before it.
    """
    yield from _rebuilt(rows, apply)


def _rebuilt(rows: Iterable[tuple[int, int, Any]], advance: Callable[[Any, Any], Any]) -> Iterator[tuple[int, Any]]:
    document: Any = None
    at: int | None = None
    for step, keyframe_step, encoded in rows:
        state = orjson.loads(encoded) if isinstance(encoded, (bytes, bytearray, memoryview, str)) else encoded
        if keyframe_step == step:
            document, at = state, step
        elif keyframe_step != at:
            raise without_keyframe(step, keyframe_step)
        else:
            try:
                document = advance(document, state)
            except PatchError as error:
                raise _damaged(error, step, keyframe_step) from error
        yield step, document


def without_keyframe(step: int, keyframe_step: int) -> PatchError:
    """The error of a snapshot whose keyframe is gone."""
    return PatchError(
        f"The snapshot of step {step} builds on the whole state of step {keyframe_step}, which is not there.",
        step_number=step,
        reason="keyframe missing",
    )


def _damaged(error: Any, step: int, keyframe_step: int) -> PatchError:
    return PatchError(
        f"The state of step {step} cannot be rebuilt from that of step {keyframe_step}; a snapshot is damaged, or one"
        f" between them is gone. {error} Those before it, and from the next whole state on, are there.",
        step_number=step,
        op_index=error.op_index,
        pointer=error.pointer,
        reason=error.reason,
    )


def rebuild(rows: Iterable[tuple[int, int, Any]], step: int) -> Any:
    """Return the state after `step`: that of the last snapshot at or before it.

    `rows` are those of one run in the order of the steps, from the keyframe on at least.

    Raises
    ------
    NotFoundError
        There is no snapshot at or before `step`.
    PatchError
        As :func:`rebuild_all`.
    """
    chain: list[tuple[int, int, Any]] = []
    for row in rows:
        if row[0] > step:
            break
        if row[0] == row[1]:
            chain.clear()
        chain.append(row)
    if not chain:
        raise NotFoundError(f"There is no snapshot at or before step {step}.", step=step)
    # Only the last state is wanted: what is parsed here is changed in place, what was given parsed is copied once.
    is_ours = all(isinstance(row[2], (bytes, bytearray, memoryview, str)) for row in chain)
    owned: dict[int, Any] | None = None if is_ours else {}
    state = None
    for _, state in _rebuilt(chain, lambda document, patch: apply_owned(document, patch, owned)):  # noqa: B007
        pass
    return state


# From the keyframe of the last snapshot at or before the step: one index range, nothing else of the run is read. Of a
# step whose state was pruned, nothing: the state before it did not last.
_CHAIN = """
SELECT step_number, keyframe_step, state::text
FROM workbench.execution_snapshots
WHERE execution_id = %(run)s
  AND step_number <= %(step)s
  AND step_number >= (
    SELECT keyframe_step FROM workbench.execution_snapshots
    WHERE execution_id = %(run)s AND step_number <= %(step)s
    ORDER BY step_number DESC LIMIT 1)
  AND NOT EXISTS (
    SELECT FROM workbench.pruned_states
    WHERE execution_id = %(run)s AND %(step)s BETWEEN first_step AND last_step)
ORDER BY step_number
"""


_BEHIND = """
SELECT step_number, keyframe_step, CASE WHEN step_number > %(first)s THEN state::text END
FROM workbench.execution_snapshots
WHERE execution_id = %(run)s AND step_number BETWEEN %(first)s AND %(last)s ORDER BY step_number
"""

# No step is beyond the last that has an event or a state.
_LAST_STEP = """
SELECT greatest(
  (SELECT max(step_number) FROM workbench.observability_events WHERE execution_id = %(run)s),
  (SELECT max(step_number) FROM workbench.execution_snapshots WHERE execution_id = %(run)s),
  (SELECT forked_at_step FROM workbench.agent_executions WHERE id = %(run)s))
"""


def state_at(store: Store, execution_id: uuid.UUID | str, step: int) -> Any:
    """Return the state of a run after `step`: that of the last snapshot at or before it.

    Only the rows from its keyframe to `step` are read. Of a fork, steps before it are those of the run it left.

    Raises
    ------
    NotFoundError
        The run has no such step, or no snapshot at or before it.
    PrunedError
        The state was pruned.
    """
    with store.raw() as connection:
        rows = chain_to(connection, execution_id, step)
        if not rows or rows[-1][0] != step:
            check_step(connection, execution_id, step)
    if not rows:
        raise NotFoundError(
            f"Execution {execution_id} has no snapshot at or before step {step}. See bench.snapshots(run).",
            execution_id=str(execution_id),
            step=step,
        )
    return rebuild(rows, step)


def chain_to(connection: psycopg.Connection, execution_id: uuid.UUID | str, step: int) -> list[tuple[int, int, str]]:
    """The rows that the state after `step` is rebuilt from: a keyframe and the patches behind it; none: no state.

    Raises
    ------
    PrunedError
        The state was pruned.
    """
    return _chain(connection, execution_id, step)[0]


def block_around(
    connection: psycopg.Connection, execution_id: uuid.UUID | str, step: int, *, ahead: int
) -> tuple[list[tuple[int, int, str]], list[Gap]]:
    """The rows of :func:`chain_to` and those behind them, of up to `ahead` steps more; and the gaps between them.

    All are of one run, of a fork's shared steps of the run it left. The last rows may build on the next keyframe.

    Raises
    ------
    PrunedError
        The state after `step` was pruned.
    """
    while True:
        rows, stretch = _chain(connection, execution_id, step)
        if not rows:
            return rows, []
        # At the step of the fork itself the fork has a state of its own, which may have been edited.
        last = step + ahead if stretch.until is None else min(step + ahead, max(step, stretch.until - 1))
        more = {"run": stretch.execution_id, "first": rows[-1][0], "last": last}
        behind = connection.execute(_BEHIND, more).fetchall()
        if behind and behind[0][0] == rows[-1][0]:
            gone = gaps(connection, [stretch.execution_id]).get(stretch.execution_id, [])
            return rows + behind[1:], gone
        # It was pruned between the two questions, and what comes behind it builds on another state.


def _chain(
    connection: psycopg.Connection, execution_id: uuid.UUID | str, step: int
) -> tuple[list[tuple[int, int, str]], Stretch]:
    own = Stretch(uuid.UUID(str(execution_id)), -1, None)
    rows = connection.execute(_CHAIN, {"run": own.execution_id, "step": step}).fetchall()
    if rows:
        return rows, own
    check_kept(connection, own.execution_id, step)
    for stretch in reversed(course(connection, execution_id)[:-1]):
        until = step if stretch.until is None else min(step, stretch.until)
        rows = connection.execute(_CHAIN, {"run": stretch.execution_id, "step": until}).fetchall()
        if rows:
            return rows, stretch
        check_kept(connection, stretch.execution_id, until)
    return [], own


def check_step(connection: psycopg.Connection, execution_id: uuid.UUID | str, step: int) -> None:
    """Raise NotFoundError where a run has no such step."""
    last = last_step(connection, execution_id)
    if last is None or not 0 <= step <= last:
        there_are = "it has none" if last is None else f"its steps are 0 to {last}"
        raise NotFoundError(
            f"Execution {execution_id} has no step {step}; {there_are}.",
            execution_id=str(execution_id),
            step=step,
            last_step=last,
        )


def last_step(connection: psycopg.Connection, execution_id: uuid.UUID | str) -> int | None:
    """The number of a run's last step; of a fork without steps of its own, the step it was forked at."""
    row = connection.execute(_LAST_STEP, {"run": str(execution_id)}).fetchone()
    return None if row is None else row[0]
