"""Inspect AI evaluation logs: ``.eval`` (a zip of JSON documents) and ``.json`` (one document), versions 1 and 2.

One sample in one epoch is one run. States come from the log's own state changes (``inspect_state``); a log without
events gives its messages as steps. An archive that was cut off gives every sample that is whole in it. A sample may be
one entry of the archive or many (``inspect_chunks``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from workbench.data.ingest.formats.inspect_archive import ZIP_MAGIC, Archive
from workbench.data.ingest.formats.inspect_chunks import Pieces, gather, is_derived
from workbench.data.ingest.formats.inspect_sample import run_of
from workbench.data.ingest.normal import BadLine, Run, Step
from workbench.data.ingest.reading.parse import BAD_NUMBER, parse
from workbench.data.ingest.reading.source import Head, Source
from workbench.errors import IngestError

FORMAT = "inspect"
TITLE = "Inspect AI logs (.eval, .json)"

_ENTRIES = (b"_journal/", b"samples/", b"header.json", b"summaries.json")
_SAMPLE = re.compile(r"samples/.+\.json", re.S)  # ids may hold slashes
_DERIVED = "skeletons, counts and ids of events: they are made from the events, which are stored"


def detect(head: Head) -> float:
    """Certainty that a file is an Inspect log."""
    if head.data.startswith(ZIP_MAGIC) and any(entry in head.data for entry in _ENTRIES):
        return 0.95
    if head.name.endswith(".eval"):
        return 0.6  # damaged at the very start: still ours to report
    if not head.data.lstrip().startswith(b"{"):
        return 0.0
    if {"eval.task", "eval.run_id"} & head.keys and {"version", "status"} & head.keys:
        return 0.95
    return 0.0


def is_open(step: Step) -> bool:
    """Whether a sample was interrupted within a span, or while an event was pending."""
    is_begun = step.event_type == "span" and step.span_id is not None and step.timestamp is not None
    return (is_begun and step.duration_ms is None) or (step.extra or {}).get("pending") is True


def read(source: Source) -> Iterator[Run | BadLine]:
    """Yield one run per sample, in the log's order.

    Raises
    ------
    IngestError
        The file is no Inspect log, or nothing of it can be read.
    """
    if source.head.data.lstrip().startswith(b"{"):
        yield from _document(source)
    else:
        source.is_strict = True
        with Archive(source) as archive:
            yield from _archive(archive, source)


def _document(source: Source) -> Iterator[Run | BadLine]:
    source.is_strict = True
    log = source.document().value
    if not isinstance(log, dict) or not isinstance(log.get("eval"), dict):
        raise IngestError(f"{source.name} is not an Inspect log: it has no 'eval'.", path=source.name)
    samples = log.get("samples")
    if not isinstance(samples, list) or not samples:
        yield BadLine(None, "the log holds no samples")
        return
    if log.get("reductions"):
        source.lost("reductions", "means over epochs: the scores they are made of are stored", 1)
    for n, sample in enumerate(samples):
        if isinstance(sample, dict):
            yield run_of(sample, log, source)
        else:
            yield BadLine(None, f"sample {n}: expected an object")


def _archive(archive: Archive, source: Source) -> Iterator[Run | BadLine]:
    names = archive.names()
    log, problem = _header(archive, names)
    if archive.problem is not None:
        if not names:
            raise IngestError(f"{source.name} cannot be read: {archive.problem}.", path=source.name)
        yield BadLine(None, f"{archive.problem}; what is whole in it is read")
    if log is None:
        raise IngestError(f"{source.name} is not an Inspect log: {problem}.", path=source.name)
    if "reductions.json" in names:
        source.lost("reductions", "means over epochs: the scores they are made of are stored", 1)
    in_pieces, n_derived = gather(names)
    if n_derived:
        source.lost("sidecars", _DERIVED, n_derived)
    seen: set[str] = set()
    for name in names:
        if (pieces := in_pieces.get(name)) is not None:
            if pieces.name not in seen:
                seen.add(pieces.name)
                yield from _in_pieces(archive, pieces, log, source)
        elif _SAMPLE.fullmatch(name) and not is_derived(name):
            seen.add(name)
            yield _sample(archive, name, log, source)
    if not seen:
        yield BadLine(None, "the log holds no samples")


def _header(archive: Archive, names: list[str]) -> tuple[Mapping[str, Any] | None, str]:
    """The log without its samples: ``header.json``, or what was written at the start if there is no header."""
    problem = "it has no header.json"
    for name in ("header.json", "_journal/start.json"):
        if name not in names:
            continue
        value, problem = _json(archive, name)
        if isinstance(value, dict) and isinstance(value.get("eval"), dict):
            return value, ""
        problem = f"{name}: {problem or 'it has no eval'}"
    return None, problem


def _sample(archive: Archive, name: str, log: Mapping[str, Any], source: Source) -> Run | BadLine:
    value, problem = _json(archive, name, source)
    if problem:
        return BadLine(None, f"{name}: {problem}")
    if not isinstance(value, dict):
        return BadLine(None, f"{name}: expected an object")
    return run_of(value, log, source)


def _in_pieces(archive: Archive, pieces: Pieces, log: Mapping[str, Any], source: Source) -> Iterator[Run | BadLine]:
    """What is wrong with the pieces of a sample, and the run of those that are whole."""
    sample, problems = pieces.whole(lambda name: _json(archive, name, source))
    for problem in problems:
        yield BadLine(None, problem)
    if sample is not None:
        yield run_of(sample, log, source)


def _json(archive: Archive, name: str, source: Source | None = None) -> tuple[Any, str]:
    """An entry as JSON, or why there is none."""
    entry = archive.read(name)
    if entry.problem is not None:
        return None, entry.problem
    try:
        parsed = parse(entry.data)
    except ValueError as error:
        return None, str(error)
    if source is not None:
        source.is_strict = source.is_strict and BAD_NUMBER not in parsed.changed
        for what in parsed.changed:
            source.changed("JSON", f"{what}: read as far as it can be")
    return parsed.value, ""
