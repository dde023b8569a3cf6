"""What the verbs share: the connection they are asked for, and how results reach the terminal."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError
from ..reports.words import duration

if TYPE_CHECKING:
    import polars as pl

    from .._workbench import Workbench
    from ..data.store.engine import Store

__all__ = ["Shell", "cell", "clean", "duration", "moment", "print_facts", "print_table", "short_ids", "terminal_width"]

# JSON text in a frame that is a document in the shell's output.
DOCUMENTS = ("data", "state", "metadata", "config")

Rows = Callable[["pl.DataFrame"], list[dict[str, Any]]]


@dataclass
class Shell:
    """One call of the command: where to connect and how to speak."""

    home: str | None = None
    url: str | None = None
    json: bool = False

    @contextmanager
    def bench(self) -> Iterator[Workbench]:
        """Open the workbench that ``--home`` or ``--url`` names.

        Raises
        ------
        ConfigurationError
            Both were given.
        """
        from .._workbench import connect

        with connect(**self._where()) as bench:
            yield bench

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Open its database and leave the schema as it is."""
        from ..data.store.engine import Store
        from ..settings import Settings

        where = self._where()
        settings = Settings.load(**({"database_url": where.pop("url")} if "url" in where else {}), **where)
        store = Store.open(settings, migrate=False)
        try:
            yield store
        finally:
            store.close()

    def _where(self) -> dict[str, Any]:
        if self.home and self.url:
            raise ConfigurationError("--home and --url exclude each other: a folder or a server, not both.")
        return {name: value for name, value in (("home", self.home), ("url", self.url)) if value}

    # -- results -------------------------------------------------------------------------------------------------

    def frame(
        self,
        frame: pl.DataFrame,
        *,
        rows: Rows | None = None,
        whole: int = 1,
        empty: str = "Nothing found.",
        documents: Collection[str] = DOCUMENTS,
    ) -> None:
        """Print a frame: all of it as a list of objects, or what ``rows`` makes of it as a table for people.

        ``documents`` are the columns of JSON text that are objects in the list; the table's first ``whole`` columns are
        never cut.
        """
        if self.json:
            self.dump_rows(with_documents(frame.iter_rows(named=True), documents))
        elif frame.is_empty():
            self.say(empty)
        else:
            shown = rows(frame) if rows else frame.to_dicts()
            print_table(list(shown[0]), [list(row.values()) for row in shown], whole=whole)

    def record(self, record: Mapping[str, Any]) -> None:
        """Print one object."""
        whole = {"id": record.get("id"), **record}
        if self.json:
            self.dump(whole)
        else:
            print_facts({name: value for name, value in whole.items() if value is not None})

    def dump(self, value: Any) -> None:
        """One JSON value on stdout."""
        import orjson

        print(orjson.dumps(value, default=_plain, option=_options() | orjson.OPT_INDENT_2).decode())

    def dump_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """A JSON list, one object a line, written as the rows come."""
        import orjson

        before = "[\n"
        for row in rows:
            sys.stdout.write(before + orjson.dumps(row, default=_plain, option=_options()).decode())
            before = ",\n"
        sys.stdout.write("[]\n" if before == "[\n" else "\n]\n")

    def say(self, text: str) -> None:
        """A line for people, on stderr, so that stdout stays the result."""
        print(clean(text), file=sys.stderr)


def with_documents(rows: Iterable[dict[str, Any]], names: Collection[str]) -> Iterator[dict[str, Any]]:
    """The columns ``names`` as JSON documents instead of text."""
    import orjson

    for row in rows:
        for name in names:
            if row.get(name) is not None:
                row[name] = orjson.Fragment(row[name])
        yield row


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, whole: int = 0) -> None:
    """A table that fits the terminal; every value as one clean line, the first ``whole`` columns never cut."""
    from rich.cells import cell_len, set_cell_size
    from rich.console import Console
    from rich.text import Text

    values = [[cell(value) for value in row] for row in rows]
    numeric = [all(_is_number(row[number]) for row in values) for number in range(len(columns))]
    wanted = [max([cell_len(name), *(cell_len(row[n]) for row in values)]) for n, name in enumerate(columns)]
    fixed = {number for number, is_number in enumerate(numeric) if is_number} | set(range(whole))
    widths = _fitted(wanted, fixed, terminal_width() - 2 * (len(columns) - 1))

    def line(row: Sequence[str], style: str = "") -> Text:
        text = Text(no_wrap=True, end="")
        for number, (value, width) in enumerate(zip(row, widths, strict=True)):
            cut = value if cell_len(value) <= width else set_cell_size(value, max(width - 1, 0)).rstrip() + "…"
            room = " " * (width - cell_len(cut))
            padded = room + cut if numeric[number] else cut + room if number < len(columns) - 1 else cut
            text.append("  " if number else "").append(padded, style or _STYLES.get(value, ""))
        text.rstrip()
        return text

    console = Console(file=sys.stdout, highlight=False, emoji=False, markup=False)
    console.print(line(columns, "bold"), soft_wrap=True, end="\n")
    for row in values:
        console.print(line(row), soft_wrap=True, end="\n")


def _fitted(wanted: Sequence[int], fixed: set[int], room: int) -> list[int]:
    """Column widths that fit: the widest flexible columns give way first, none below 8."""
    widths = list(wanted)
    while sum(widths) > room:
        flexible = [n for n in range(len(widths)) if n not in fixed and widths[n] > 8]
        if not flexible:
            break
        widths[max(flexible, key=lambda n: widths[n])] -= 1
    return widths


def print_facts(record: Mapping[str, Any]) -> None:
    """Names and values, one a line; a long value goes on below itself."""
    width = max(map(len, record), default=0)
    for name, value in record.items():
        first, *more = textwrap.wrap(cell(value), max(terminal_width() - width - 2, 20)) or [""]
        print(f"{name:<{width}}  {first}")
        for line in more:
            print(f"{'':<{width}}  {line}")


def terminal_width() -> int:
    """Columns that a line may take: ``COLUMNS``, else those of the terminal; any number into a file or a pipe."""
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS"):
        return sys.maxsize
    return shutil.get_terminal_size((80, 24)).columns


_STYLES = {
    "failed": "red",
    "completed": "green",
    "running": "cyan",
    "error": "red",
    "critical": "bold red",
    "warning": "yellow",
}


def cell(value: Any) -> str:
    """A value as a person reads it in a table."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, float | Decimal):
        return f"{value:.6g}"
    if isinstance(value, dict | list):
        import orjson

        return clean(orjson.dumps(value, default=_plain, option=_options()).decode())
    return clean(str(value))


def clean(text: str) -> str:
    """One line without control characters: what agents wrote must not drive the terminal."""
    return "".join(" " if char in "\n\r\t" else char if char.isprintable() else "\N{MIDDLE DOT}" for char in text)


def short_ids(ids: Sequence[str]) -> list[str]:
    """The ids cut to where they still differ from each other; such a prefix is accepted wherever an id is."""
    length = next((n for n in range(8, 36) if len({i[:n] for i in ids}) == len(set(ids))), 36)
    return [i[:length].rstrip("-") if length < 36 else i for i in ids]


def moment(value: datetime | None) -> str:
    """A time short enough for a table, in UTC."""
    return "–" if value is None else value.astimezone(UTC).strftime("%m-%d %H:%M")


def _is_number(text: str) -> bool:
    return text == "–" or text.replace(".", "", 1).replace("-", "", 1).replace("e", "", 1).replace("+", "", 1).isdigit()


def _options() -> int:
    import orjson

    return orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


def _plain(value: Any) -> Any:
    """What orjson does not know: decimals, bytes, durations and integers of more than 64 bits."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    return str(value)
