"""One run as one file to hand on: a zip of a manifest and JSON lines, which ``bench.ingest()`` reads.

Secrets are replaced, and the finished file is looked through once more before it has its name: where one is left,
nothing is written.
"""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from workbench.data.export import place
from workbench.data.export.disclosure import Disclosure, named
from workbench.data.secrets.known import knowing
from workbench.data.secrets.leaks import refuse
from workbench.data.secrets.scan import strings
from workbench.data.store.pruned import gaps
from workbench.data.store.snapshots import rebuild_all
from workbench.errors import ConfigurationError, NotFoundError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

FORMAT = "workbench-bundle"
VERSION = 1
RUN, MANIFEST = "run.jsonl", "manifest.json"

_RUN_FIELDS = (
    "source", "source_id", "agent_type", "name", "model", "status", "score", "started_at", "completed_at",
    "execution_time_ms", "input", "output", "error", "error_type", "metadata", "trace_id", "token_usage", "cost",
    "cost_source", "reported",
)  # fmt: skip
_TASK_FIELDS = ("id", "title", "description", "metadata")
_EVENT_FIELDS = (
    "id", "event_type", "name", "agent", "category", "severity", "timestamp", "duration_ms", "trace_id", "span_id",
    "parent_span_id", "mark", "data",
)  # fmt: skip


def bundle(store: Store, run_id: str, output: str | Path | None, *, originals: bool = False) -> Path:
    """Write a run as one file.

    Parameters
    ----------
    output
        The zip to write, in a folder that exists; replaced as a whole when it is there.
    originals
        Leave passwords, tokens and keys in. Else each is replaced by ``[redacted: rule]``.

    Raises
    ------
    DisclosureError
        A secret would be left; nothing is written.
    NotFoundError
        No such run.
    ConfigurationError
        No ``output`` was given, or it is a folder, or in one that does not exist.
    """
    if output is None:
        raise ConfigurationError("Name the file to write: export_bundle(run, 'run.zip'); preview=True needs none.")
    path = place(output)
    data, known = _packed(store, run_id, originals=originals)
    unfinished = path.with_name(f".{path.name}.part")
    try:
        unfinished.write_bytes(data)
        if not originals:
            refuse(unfinished.read_bytes(), path.name, known=known)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def disclosure(store: Store, run_id: str, *, originals: bool = False) -> Disclosure:
    """What the bundle of a run would tell; nothing is written."""
    redactor = knowing(store, run_id)
    lines = [redactor.value(line) for line in _lines(store, run_id)]
    texts = [text for line in lines for _, text, key in strings(line) if key is not None]
    what = "The originals stay in: secrets too." if originals else "Each secret is replaced by [redacted: rule]."
    return Disclosure(
        run=run_id,
        events=sum(line["kind"] == "event" for line in lines),
        states=sum(line["kind"] == "state" for line in lines),
        texts=len(texts),
        characters=sum(map(len, texts)),
        names=named(texts),
        secrets=dict(redactor.counts.most_common()),
        what_happens=what + " Names, paths and hosts stay.",
    )


def _packed(store: Store, run_id: str, *, originals: bool) -> tuple[bytes, list[str]]:
    redactor = knowing(store, run_id)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(RUN, "w", force_zip64=True) as file:
            for line in _lines(store, run_id):
                file.write(orjson.dumps(line if originals else redactor.value(line), option=_OPTIONS) + b"\n")
        about = {
            "format": FORMAT,
            "format_version": VERSION,
            "workbench": version("agent-workbench"),
            "is_redacted": not originals,
            "redacted": dict(redactor.counts),
        }
        archive.writestr(MANIFEST, orjson.dumps(about, option=orjson.OPT_INDENT_2))
    return out.getvalue(), list(redactor.known)


_OPTIONS = orjson.OPT_SERIALIZE_UUID


def _lines(store: Store, run_id: str) -> Iterator[dict[str, Any]]:
    """The run, its events, and the states that its source recorded, whole: a patch might split a secret's name off."""
    with store.raw() as connection, connection.transaction():
        row = connection.execute(_RUN, [run_id]).fetchone()
        if row is None:
            raise NotFoundError(f"No execution {run_id!r}. List them with bench.executions().", execution_id=run_id)
        yield {"kind": "run", **orjson.loads(row[0]), "task": row[1] and orjson.loads(row[1])}
        with connection.cursor("wb_bundle_events") as events:
            events.execute(_EVENTS, [run_id])
            for event in events:
                yield {"kind": "event", **orjson.loads(event[0])}
        has_states = False
        with connection.cursor("wb_bundle_states") as states:
            states.execute(_STATES, [run_id])
            told: dict[int, dict[str, Any]] = {}

            def rows() -> Iterator[tuple[int, int, str]]:
                for step, keyframe, state, about in states:
                    told[step] = orjson.loads(about)
                    yield step, keyframe, state

            for step, state in rebuild_all(rows()):
                has_states = True
                copied = orjson.loads(orjson.dumps(state))  # it shares parts with the next one, and is changed in place
                yield {"kind": "state", "step_number": step, **told.pop(step), "document": copied}
        # Derived states are made anew where the bundle is read, those that were pruned too.
        if has_states:
            for gap in gaps(connection, [run_id]).get(uuid.UUID(run_id), []):
                yield {"kind": "pruned", **gap._asdict()}


def _object(alias: str, names: tuple[str, ...]) -> str:
    return "json_build_object(" + ", ".join(f"'{name}', {alias}.{name}" for name in names) + ")::text"


_RUN = (
    f"SELECT {_object('x', _RUN_FIELDS)}, CASE WHEN t.id IS NOT NULL THEN {_object('t', _TASK_FIELDS)} END"
    " FROM workbench.agent_executions x LEFT JOIN workbench.tasks t ON t.id = x.task_id WHERE x.id = %s"
).encode()
_EVENTS = (
    f"SELECT {_object('e', _EVENT_FIELDS)} FROM workbench.observability_events e"
    " WHERE e.execution_id = %s ORDER BY e.step_number, e.id"
).encode()
_STATES = (
    f"SELECT step_number, keyframe_step, state::text, {_object('s', ('timestamp', 'description', 'checkpoint'))}"
    " FROM workbench.execution_snapshots s WHERE s.execution_id = %s AND NOT s.is_derived ORDER BY s.step_number"
).encode()
