"""Keep LangGraph's checkpoints in the workbench: :class:`WorkbenchSaver`.

Each thread of a graph is a run: its messages, tasks and interrupts are events, each checkpoint is a state that replay
stands on, a checkpoint that does not go on from the last one is a branch, and a subgraph is a run below. What is put is
kept exactly, in the serializer's own bytes; the run is made of it behind the back of the agent.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from workbench.data.ingest.mirror import left_behind, mirror_of, run_id_of
from workbench.data.store.graph_values import Encoded, Values
from workbench.data.store.graphs import Graphs, Kept, Place, Point, Write
from workbench.data.store.opened import HasStore, store_of
from workbench.data.store.storable import storable
from workbench.errors import ConfigurationError, MissingExtraError, ReadOnlyError

try:
    from langgraph.checkpoint.base import (
        WRITES_IDX_MAP,
        BaseCheckpointSaver,
        ChannelVersions,
        Checkpoint,
        CheckpointMetadata,
        CheckpointTuple,
        get_checkpoint_metadata,
    )
except ImportError as error:  # pragma: no cover
    raise MissingExtraError("Keeping the checkpoints of LangGraph", "langgraph") from error

if TYPE_CHECKING:
    import uuid

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.serde.base import SerializerProtocol

    from workbench.data.store.engine import Store

_PLAIN_CHARS = 128  # a text up to this length is no more than a reference to it
_STRATEGIES = ("keep_latest", "delete")
_DELTAS = "counters_since_delta_snapshot"


class WorkbenchSaver(BaseCheckpointSaver[str]):
    """A checkpointer of LangGraph over the snapshots of a workbench; ready to use, in a ``with`` or without.

    Every method is there sync and async; threads, event loops and processes may share a thread of a graph. A call that
    returns has stored what it was given, one that could not raises.

    Parameters
    ----------
    bench
        An open workbench, or its store.
    agent_type
        Kind of agent of the runs; else the graph's own name, else ``langgraph``.
    serde
        How values become bytes; LangGraph's own (msgpack, never pickle) where none is given. Of values that it
        encrypts, the run shows that they are there and how large they are.

    Raises
    ------
    MissingExtraError
        ``langgraph-checkpoint`` is not installed.
    ReadOnlyError
        The connection is read-only.

    Examples
    --------
    >>> import workbench, tempfile                                                      # doctest: +SKIP
    >>> from langgraph.graph import START, MessagesState, StateGraph                    # doctest: +SKIP
    >>> with workbench.connect() as bench, WorkbenchSaver(bench) as saver:              # doctest: +SKIP
    ...     graph = StateGraph(MessagesState)
    ...     graph = graph.add_node("answer", answer).add_edge(START, "answer").compile(checkpointer=saver)
    ...     graph.invoke({"messages": ["Hi"]}, {"configurable": {"thread_id": "t-1"}})
    ...     bench.events(saver.run("t-1"))
    """

    def __init__(
        self, bench: HasStore | Store, *, agent_type: str | None = None, serde: SerializerProtocol | None = None
    ) -> None:
        super().__init__(serde=serde)
        if agent_type == "":
            raise ConfigurationError("agent_type must not be empty: it names the kind of agent, like 'planner'.")
        self._store = store_of(bench)
        if self._store.read_only:
            raise ReadOnlyError("This connection is read-only. Open it without read_only=True to keep checkpoints.")
        self._agent_type = agent_type
        self._mirror = mirror_of(self._store)
        self._values = Values()
        self._graphs = Graphs(self._store, self._values)
        for thread in left_behind(self._store):
            self._mirror.note(thread)

    # -- ready to use, whichever way ---------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.flush()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            await asyncio.to_thread(self.flush)

    def flush(self) -> None:
        """Make the runs tell all that was put; reading frames of the same workbench does so too."""
        self._mirror.flush()

    def run(self, thread_id: str) -> uuid.UUID:
        """The id of the run that a thread is, for ``bench.events(saver.run("t-1"))``."""
        return run_id_of(str(thread_id))

    # -- put ---------------------------------------------------------------------------------------------------------

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint; the config names the one it goes on from.

        Raises
        ------
        StoreUnavailableError
            No answer from the database: it is not stored.
        """
        thread, namespace, parent = _where(config)
        place = Place(thread, namespace, checkpoint["id"])
        about = get_checkpoint_metadata(config, metadata)
        before, kept = self._before(thread, namespace, parent, checkpoint, new_versions)
        inside = {name: value for name, value in checkpoint["channel_values"].items() if _is_plain(value)}
        document = self._encoded({"checkpoint": {**checkpoint, "channel_values": inside}, "metadata": about})
        given: dict[str, Encoded | Kept | None] = {
            name: None if name in inside else kept.get(name) or self._encoded(value)
            for name, value in checkpoint["channel_values"].items()
        }
        run_id = about.get("run_id")
        put = partial(
            self._graphs.put,
            place,
            parent_id=parent,
            document=document,
            metadata=storable(about).text,
            run_id=None if run_id is None else str(run_id),
            agent_type=self._agent_type,
        )
        try:
            put(values=given, before=before)
        except LookupError:  # what stayed as it was in the parent is gone with it: pruned or deleted by somebody else
            whole = {
                name: self._encoded(checkpoint["channel_values"][name]) if isinstance(value, Kept) else value
                for name, value in given.items()
            }
            put(values=whole, before={})
        self._note(thread)
        return _config(place)

    def _before(
        self, thread: str, namespace: str, parent: str | None, checkpoint: Checkpoint, new_versions: ChannelVersions
    ) -> tuple[Mapping[str, bytes | None], dict[str, Kept]]:
        """The digests of the parent's values, and the channels that have them still."""
        if parent is None:
            return {}, {}
        found = self._graphs.told(thread, namespace, parent)
        if found is None:
            return {}, {}
        digests, document = found
        versions = self._decoded(document)["checkpoint"]["channel_versions"]
        return digests, {
            name: Kept(digest)
            for name, version in checkpoint["channel_versions"].items()
            if name not in new_versions and (digest := digests.get(name)) is not None and versions.get(name) == version
        }

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote before its checkpoint is done.

        Raises
        ------
        StoreUnavailableError
            No answer from the database: it is not stored.
        """
        thread, namespace, checkpoint = _where(config)
        if checkpoint is None:
            raise ConfigurationError(
                "put_writes needs the checkpoint that the writes belong to: configurable.checkpoint_id."
            )
        rows = [
            Write(task_id, task_path, WRITES_IDX_MAP.get(channel, number), channel, self._encoded(value))
            for number, (channel, value) in enumerate(writes)
        ]
        self._graphs.put_writes(Place(thread, namespace, checkpoint), rows, agent_type=self._agent_type)
        self._note(thread)

    # -- get ---------------------------------------------------------------------------------------------------------

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that a config names, or the newest of its thread; ``None`` where there is none."""
        thread, namespace, checkpoint = _where(config)
        point = self._graphs.get(thread, namespace, checkpoint)
        return None if point is None else self._tuple(point)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, the newest first: of a thread and namespace, or of all.

        Parameters
        ----------
        filter
            What their metadata has to contain.
        before
            Those made before this one.
        limit
            At most so many.
        """
        for page in self._pages(config, filter, before, limit):
            yield from map(self._tuple, page)

    def _pages(
        self,
        config: RunnableConfig | None,
        filter: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> Iterator[list[Point]]:
        about = config.get("configurable") or {} if config else {}
        thread = about.get("thread_id")
        return self._graphs.list(
            thread_id=None if thread is None else str(thread),
            namespace=about.get("checkpoint_ns"),
            checkpoint_id=about.get("checkpoint_id"),
            before=_where(before)[2] if before else None,
            metadata=storable(filter).text if filter else None,
            limit=limit,
        )

    def get_delta_channel_history(self, *, config: RunnableConfig, channels: Sequence[str]) -> Mapping[str, Any]:
        """What was written into delta channels since they were last stored whole, over the parents of a checkpoint."""
        if not channels:
            return {}
        thread, namespace, checkpoint = _where(config)
        if checkpoint is None:
            newest = self._graphs.get(thread, namespace, None)
            if newest is None:
                return {name: {"writes": []} for name in channels}
            checkpoint = newest.place.checkpoint_id
        found: dict[str, dict[str, Any]] = {name: {"writes": []} for name in channels}
        for point in self._graphs.ancestry(Place(thread, namespace, checkpoint), channels):
            for write in reversed(point.writes):
                if "seed" not in found[write.channel]:
                    found[write.channel]["writes"].append(
                        (write.task_id, write.channel, self.serde.loads_typed(write.value))
                    )
            for name in channels:
                if name in point.digests and "seed" not in found[name]:
                    found[name]["seed"] = (
                        self.serde.loads_typed(point.values[name])
                        if name in point.values
                        else self._decoded(point.document)["checkpoint"]["channel_values"][name]
                    )
        for told in found.values():
            told["writes"].reverse()
        return found

    def _tuple(self, point: Point) -> CheckpointTuple:
        both = self._decoded(point.document)
        checkpoint = both["checkpoint"]
        values = {name: self.serde.loads_typed(value) for name, value in point.values.items()}
        inside = checkpoint["channel_values"]
        checkpoint["channel_values"] = {name: values.get(name, inside.get(name)) for name in point.digests}
        parent = None if point.parent_id is None else _config(point.place._replace(checkpoint_id=point.parent_id))
        return CheckpointTuple(
            _config(point.place),
            checkpoint,
            both["metadata"],
            parent,
            [(write.task_id, write.channel, self.serde.loads_typed(write.value)) for write in point.writes],
        )

    # -- whole threads -----------------------------------------------------------------------------------------------

    def delete_thread(self, thread_id: str) -> None:
        """Delete a thread, and the runs that were made of it."""
        self._graphs.delete_threads([str(thread_id)])

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that some runs of the graph made (``metadata.run_id``), from their runs here too."""
        for thread in self._graphs.delete_for_runs([str(own) for own in run_ids]):
            self._note(thread)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Give another thread all checkpoints and writes of this one; it becomes a run of its own."""
        self._graphs.copy_thread(str(source_thread_id), str(target_thread_id), agent_type=self._agent_type)
        self._note(str(target_thread_id))

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete what is not needed to go on.

        Parameters
        ----------
        strategy
            ``keep_latest``: the newest checkpoint of each namespace stays, and of a graph with delta channels those
            that its value is rebuilt from. ``delete``: nothing stays.

        Raises
        ------
        ConfigurationError
            There is no such strategy, or ``thread_ids`` is one text.
        """
        if isinstance(thread_ids, str):
            raise ConfigurationError(f"thread_ids is one text, {thread_ids!r}; it takes a list of threads.")
        if strategy not in _STRATEGIES:
            raise ConfigurationError(f"There is no strategy {strategy!r}; there are {' and '.join(_STRATEGIES)}.")
        if strategy == "delete":
            self._graphs.delete_threads([str(thread) for thread in thread_ids])
            return
        for thread in map(str, thread_ids):
            kept = {
                namespace: self._needed(Place(thread, namespace, newest))
                for namespace, newest in self._graphs.newest(thread).items()
            }
            self._graphs.keep(thread, kept)
            self._note(thread)

    def _needed(self, place: Place) -> list[str]:
        """The checkpoints that one can be rebuilt from, itself among them."""
        point = self._graphs.get(*place)
        counters = self._decoded(point.document)["metadata"].get(_DELTAS) if point is not None else None
        missing = [name for name in counters or () if point is not None and name not in point.digests]
        above = self._graphs.ancestry(place, missing) if missing else []
        return [place.checkpoint_id, *(point.place.checkpoint_id for point in above)]

    # -- async: the same in a thread ---------------------------------------------------------------------------------

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As :meth:`put`."""
        return await asyncio.to_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As :meth:`put_writes`."""
        await asyncio.to_thread(self.put_writes, config, writes, task_id, task_path)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As :meth:`get_tuple`."""
        return await asyncio.to_thread(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As :meth:`list`."""
        pages = self._pages(config, filter, before, limit)
        while page := await asyncio.to_thread(next, pages, None):
            for found in await asyncio.to_thread(lambda points: [*map(self._tuple, points)], page):
                yield found

    async def aget_delta_channel_history(self, *, config: RunnableConfig, channels: Sequence[str]) -> Mapping[str, Any]:
        """As :meth:`get_delta_channel_history`."""
        return await asyncio.to_thread(self.get_delta_channel_history, config=config, channels=channels)

    async def adelete_thread(self, thread_id: str) -> None:
        """As :meth:`delete_thread`."""
        await asyncio.to_thread(self.delete_thread, thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """As :meth:`delete_for_runs`."""
        await asyncio.to_thread(self.delete_for_runs, run_ids)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """As :meth:`copy_thread`."""
        await asyncio.to_thread(self.copy_thread, source_thread_id, target_thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """As :meth:`prune`."""
        await asyncio.to_thread(self.prune, thread_ids, strategy=strategy)

    def _note(self, thread: str) -> None:
        """The runs of a thread are to be made anew, of what this saver remembers."""
        self._mirror.note(thread, self._values)

    # -- values ------------------------------------------------------------------------------------------------------

    def get_next_version(self, current: str | int | float | None, channel: None) -> str:
        """A version after this one; by chance different in another branch that goes on from the same."""
        number = 0 if current is None else int(current) if not isinstance(current, str) else int(current.split(".")[0])
        return f"{number + 1:032}.{random.random():.16f}"

    def _encoded(self, value: Any) -> Encoded:
        return Encoded(*self.serde.dumps_typed(value))

    def _decoded(self, document: Encoded) -> dict[str, Any]:
        return self.serde.loads_typed(document)


def _where(config: RunnableConfig) -> tuple[str, str, str | None]:
    about = config.get("configurable") or {}
    if about.get("thread_id") is None:
        raise ConfigurationError(
            "The config names no thread. Pass one: graph.invoke(…, {'configurable': {'thread_id': 'my-thread'}})."
        )
    return str(about["thread_id"]), about.get("checkpoint_ns") or "", about.get("checkpoint_id") or None


def _config(place: Place) -> RunnableConfig:
    named = {"thread_id": place.thread_id, "checkpoint_ns": place.namespace, "checkpoint_id": place.checkpoint_id}
    return {"configurable": named}


def _is_plain(value: Any) -> bool:
    kind = type(value)
    return value is None or kind in (bool, int, float) or (kind is str and len(value) <= _PLAIN_CHARS)
