"""Any table whose columns the user names: CSV, TSV, JSON lines, a JSON list, Parquet.

``ingest("log.csv", columns={"run": "session_id", "time": "ts", "text": "message"})``. One row is one step; the fields
there are, with what they mean, are in ``workbench.data.ingest.FIELDS``. Columns that are not named stay in
``data.extra``, and so does a cell that is not what its column is said to hold. The rows of a run are put into the order
of their times; rows of the same time, and rows without one, stay behind the row before them.

A run is told by its value in the column named for ``run``, in whatever file it is; a row by its own id, or by what all
its cells say. So a file that grew adds what is new, and the same file with other names of columns corrects its rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any

import orjson

from workbench.data.ingest.formats.columns_run import Gathered, sum_of
from workbench.data.ingest.formats.columns_step import StepMaker
from workbench.data.ingest.normal import BadLine, Run
from workbench.data.ingest.reading.cells import Faults, lookup
from workbench.data.ingest.reading.columns import FIELDS, check_columns, listed
from workbench.data.ingest.reading.identity import line_id
from workbench.data.ingest.reading.source import Head, Source
from workbench.data.ingest.reading.table import TABLE_NAMES, Table, rows, table
from workbench.data.ingest.reading.values import Value
from workbench.errors import IngestError

FORMAT = "columns"
TITLE = "Any table whose columns you name (.csv, .tsv, .jsonl, .json, .parquet)"
HAS_PARENTS = True

_NAMES = (*TABLE_NAMES, ".jsonl", ".ndjson", ".json")
_HELD_BYTES = 32 * 1024 * 1024  # files up to this size are read once, longer ones twice
_LONGEST_ID = 200


def detect(head: Head) -> float:
    """Whether the file may be a table; never sure enough to be read without being told its columns."""
    return 0.4 if head.name.lower().endswith(_NAMES) else 0.0


def read(source: Source) -> Iterator[Run | BadLine]:
    """One run per value of the run's column, each when its last row was read.

    Raises
    ------
    IngestError
        No columns were named, or one that was named is not there.
    """
    columns = source.columns
    if not columns:
        found = table(source)
        raise IngestError(
            f"{source.name}: its columns have to be named: ingest(path, columns={{'text': …}}). "
            f"Columns: {listed(found.names)}. Fields: {', '.join(FIELDS)}.",
            path=source.name,
            columns=found.names,
        )
    found = table(source, columns.get("delimiter"))
    _check(source, found, columns)
    source.kept("columns", " · ".join(f"{field} = {column}" for field, column in columns.items()))
    source.is_strict = found.kind == "csv"
    yield from _runs(source, found, columns)


def settle(run: Run) -> None:
    """What the rows of one run make together of which several files held some."""
    sum_of(run, run.steps)


def _check(source: Source, found: Table, columns: Mapping[str, str]) -> None:
    """See to it that the columns are there; in JSON, any row may be the first to have one."""
    wanted = [columns[field] for field in FIELDS if field in columns]
    there = set(found.names)
    if found.kind != "json" or there.issuperset(wanted):
        check_columns(columns, found.names, source.name)
        return
    left = {column: path_of(column) for column in wanted if column not in there}
    told = dict(source.notes)  # looking is not reading
    for item in rows(source, found):
        if isinstance(item, Value):
            left = {name: path for name, path in left.items() if not _has(item.value, name, path)}
            if not left:
                break
    source.notes.clear()
    source.notes.update(told)
    source.damage.clear()
    if left:
        check_columns(columns, sorted(there | (set(wanted) - left.keys())), source.name)


def _has(row: Mapping[str, Any], name: str, path: tuple[str, ...]) -> bool:
    return name in row or lookup(row, path) is not None


def path_of(column: str) -> tuple[str, ...]:
    """The parts of a dotted path."""
    return tuple(column.split("."))


def _runs(source: Source, found: Table, columns: Mapping[str, str]) -> Iterator[Run | BadLine]:
    faults = Faults()
    maker = StepMaker(source, columns, faults, is_nested=found.kind != "csv")
    last = _last_rows(source, found, maker) if source.size_bytes > _HELD_BYTES and "run" in columns else None
    gathered: dict[str | None, Gathered] = {}
    for n, item in enumerate(rows(source, found)):
        if isinstance(item, BadLine):
            yield item
            continue
        value = maker.run_of(item.value)
        run = gathered.get(value)
        if run is None:
            own = None if value is None else _source_id(columns["run"], value)
            run = gathered[value] = Gathered(own or f"rows:{line_id(_bytes(item.value))}", value, source, columns)
        run.add(maker.step(item, _bytes), maker.told)
        if last is not None and last.get(value) == n:
            yield gathered.pop(value).run(_parent(columns, run))
    for run in gathered.values():
        yield run.run(_parent(columns, run))
    faults.tell(source)


def _last_rows(source: Source, found: Table, maker: StepMaker) -> dict[str | None, int]:
    """By run: the place of its last row, so that a run can be handed on and forgotten as soon as it is whole."""
    notes, strict = dict(source.notes), source.is_strict
    last = {maker.run_of(item.value): n for n, item in enumerate(rows(source, found)) if isinstance(item, Value)}
    source.notes.clear()
    source.notes.update(notes)
    source.damage.clear()
    source.is_strict = strict
    return last


def _source_id(column: str, value: str) -> str:
    """The id of a run: which column says it belongs to its identity, for numbers of runs are common."""
    return f"{column}={value}" if len(value) <= _LONGEST_ID else f"{column}={line_id(value.encode('utf-8', 'replace'))}"


def _parent(columns: Mapping[str, str], run: Gathered) -> str | None:
    above = run.parent
    return None if above is None or above == run.value or "run" not in columns else _source_id(columns["run"], above)


def _bytes(row: Mapping[str, Any]) -> bytes:
    """What a row says, in one spelling: the order of columns and empty cells do not count."""
    said = {name: value for name, value in row.items() if value is not None and value != ""}
    try:
        return orjson.dumps(said, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    except TypeError:  # lone surrogates, integers beyond 64 bits
        return repr(sorted(said.items(), key=itemgetter(0))).encode("utf-8", "surrogatepass")
