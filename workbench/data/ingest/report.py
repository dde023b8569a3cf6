"""What an ingest did, file by file: what was read, kept, changed, lost, and what could not be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING, Any, Literal, Self

from workbench.data.ingest.detect import Skipped
from workbench.data.ingest.normal import BadLine
from workbench.data.ingest.writing import fidelity
from workbench.data.store.storable import storable_text

if TYPE_CHECKING:
    import polars as pl

# A broken file of a million lines must not make a report of a million lines.
MAX_BAD_LINES = 1000
_SHOWN = 5
_MAX_FILES = 50  # whose classes of fields a notebook shows
_MAX_CHARS = 500
_MAX_TEXT = 2_000


def _plain(text: str) -> str:
    """Text that quotes a file, as one that can be printed, stored and sent: what is in a file is anything."""
    return storable_text(text, limit=_MAX_TEXT) or ""


@dataclass(slots=True, frozen=True)
class Counts:
    """Rows by table."""

    executions: int = 0
    events: int = 0
    snapshots: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Add table by table."""
        return Counts(self.executions + other.executions, self.events + other.events, self.snapshots + other.snapshots)

    def __str__(self) -> str:
        counts = (self.executions, "execution"), (self.events, "event"), (self.snapshots, "snapshot")
        return " · ".join(f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s" for count, noun in counts)


@dataclass(slots=True, frozen=True)
class Item:
    """One line of a fidelity report: what, how many, and why."""

    what: str
    count: int
    why: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "what", _plain(self.what))
        object.__setattr__(self, "why", _plain(self.why))

    def __str__(self) -> str:
        return f"{self.count:,} × {self.what}" + (f" ({self.why})" if self.why else "")


@dataclass(slots=True, frozen=True)
class FileReport:
    """What became of one file.

    Attributes
    ----------
    executions, events, snapshots
        What the file holds.
    new
        Of these, what was not in the store before.
    updated
        Events and executions that were there and now say more (a session that went on).
    kept, changed, lost
        What was kept (by kind), stored otherwise than the source has it, or not stored; with the reason.
    bad
        What could not be read, by line; everything else of the file is stored.
    n_bad
        How many; ``bad`` holds the first 1,000.
    secrets
        Passwords, tokens and keys that stand in what was written, by rule; see ``bench.secrets()``.
    error
        Why nothing of the file was stored; ``None`` if it was.
    copy_of
        Where the very same bytes were ingested from before, under another name or in another place; else ``None``.
    fields, unknown
        Steps and runs that have a class of fields; keys without a place of their own, kept as they were. ``fidelity``
        puts them together with what was changed and lost.
    """

    path: str
    format: str | None = None
    executions: int = 0
    events: int = 0
    snapshots: int = 0
    new: Counts = Counts()
    updated: int = 0
    kept: tuple[Item, ...] = ()
    changed: tuple[Item, ...] = ()
    lost: tuple[Item, ...] = ()
    bad: tuple[BadLine, ...] = ()
    n_bad: int = 0
    error: str | None = None
    sha256: str | None = None
    size_bytes: int = 0
    copy_of: str | None = None
    secrets: Mapping[str, int] = field(default_factory=dict)
    fields: Mapping[str, int] = field(default_factory=dict)
    unknown: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "error", None if self.error is None else _plain(self.error))
        set_(self, "bad", tuple(replace(bad, reason=_plain(bad.reason)) for bad in self.bad))
        set_(self, "unknown", {_plain(name): n for name, n in self.unknown.items()})

    @property
    def counts(self) -> Counts:
        """What the file holds."""
        return Counts(self.executions, self.events, self.snapshots)

    @property
    def outcome(self) -> Literal["new", "extended", "already there", "nothing found", "failed"]:
        """In one word: whether the store has more now than before; ``failed`` where nothing of it could be read."""
        if self.error is not None:
            return "failed"
        if not self.executions:
            return "failed" if self.n_bad else "nothing found"
        if self.new.executions:
            return "new"
        return "extended" if self.updated or self.new != Counts() else "already there"

    @property
    def fidelity(self) -> pl.DataFrame:
        """What became of it by class of fields. See :func:`workbench.data.ingest.writing.fidelity.table`."""
        return fidelity.table([self])

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "path": self.path,
            "format": self.format,
            "executions": self.executions,
            "events": self.events,
            "snapshots": self.snapshots,
            "bad": [{"line": bad.line, "reason": bad.reason} for bad in self.bad],
            "n_bad": self.n_bad,
            "outcome": self.outcome,
            "new": asdict(self.new),
            "updated": self.updated,
            "kept": [asdict(item) for item in self.kept],
            "changed": [asdict(item) for item in self.changed],
            "lost": [asdict(item) for item in self.lost],
            "error": self.error,
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "copy_of": self.copy_of,
            "secrets": dict(self.secrets),
            "fields": dict(self.fields),
            "unknown": dict(self.unknown),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """What :meth:`as_dict` made."""
        fields: dict[str, Any] = {name: value for name, value in values.items() if name in cls.__dataclass_fields__}
        for name in ("kept", "changed", "lost"):
            fields[name] = tuple(Item(**item) for item in fields[name])
        fields["bad"] = tuple(BadLine(bad["line"], bad["reason"]) for bad in fields["bad"])
        fields["new"] = Counts(**fields["new"])
        return cls(**fields)

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.path}: failed: {self.error}"
        head = f"{self.path} [{self.format}] {self.outcome}: {self.counts}"
        head += f" (a copy of {self.copy_of})" if self.copy_of else ""
        return "\n".join([head, *self._details()])

    def _details(self) -> Iterator[str]:
        for name in ("kept", "changed", "lost"):
            items: tuple[Item, ...] = getattr(self, name)
            if items:
                yield f"  {name}: " + " · ".join(str(item) for item in items)
        if self.secrets:
            yield "  secrets: " + " · ".join(f"{n:,} × {rule}" for rule, n in self.secrets.items())
        for bad in self.bad[:_SHOWN]:
            yield f"  bad: {_where(bad)}{bad.reason}"
        if self.n_bad > _SHOWN:
            yield f"  bad: … and {self.n_bad - _SHOWN:,} more"


def _where(bad: BadLine) -> str:
    return "" if bad.line is None else f"line {bad.line}: "


@dataclass(slots=True, frozen=True)
class IngestReport:
    """What an ingest did.

    Attributes
    ----------
    files
        One report per file that was read or should have been.
    skipped
        Files met in a folder that are no agent history, with the reason; damaged ones are among ``files``.
    """

    files: tuple[FileReport, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    @property
    def totals(self) -> Counts:
        """What all files hold together."""
        return sum((file.counts for file in self.files), Counts())

    @property
    def new(self) -> Counts:
        """Of these, what was not in the store before."""
        return sum((file.new for file in self.files), Counts())

    def fidelity(self) -> pl.DataFrame:
        """What became of each file by class of fields. See :func:`workbench.data.ingest.writing.fidelity.table`."""
        return fidelity.table(self.files)

    @property
    def ok(self) -> bool:
        """Agent history was found and no file failed. Single bad lines are no failure: the rest of the file is stored.

        The exit code of ``workbench ingest`` says the same.
        """
        return bool(self.files) and all(file.outcome != "failed" for file in self.files)

    @property
    def n_bad(self) -> int:
        """Lines that could not be read, of all files; each is in the ``bad`` of its file."""
        return sum(file.n_bad for file in self.files)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: ``{"files": […], "totals": {executions, events, snapshots}, …}``."""
        return {
            "files": [file.as_dict() for file in self.files],
            "totals": asdict(self.totals),
            "new": asdict(self.new),
            "skipped": [asdict(skipped) for skipped in self.skipped],
            "ok": self.ok,
            "n_bad": self.n_bad,
        }

    def __str__(self) -> str:
        head = f"{len(self.files)} {'file' if len(self.files) == 1 else 'files'}: {self.totals}"
        if self.new == Counts() and self.totals.executions:
            head += ", all already there"
        lines = [head, *(str(file) for file in self.files)]
        lines += [f"{skipped.path}: skipped: {skipped.reason}" for skipped in self.skipped[:_SHOWN]]
        if len(self.skipped) > _SHOWN:
            lines.append(f"… and {len(self.skipped) - _SHOWN:,} more skipped; see report.skipped")
        return "\n".join(lines)

    def __repr__(self) -> str:
        t = self.totals
        return (
            f"IngestReport(files={len(self.files)}, executions={t.executions}, events={t.events}, "
            f"snapshots={t.snapshots}, bad={self.n_bad})"
        )

    def _repr_html_(self) -> str:
        rows = "".join(_row(file) for file in self.files)
        skipped = "".join(f"<li>{escape(s.path)}: {escape(s.reason)}</li>" for s in self.skipped)
        more = f"<details><summary>{len(self.skipped)} skipped</summary><ul>{skipped}</ul></details>" if skipped else ""
        head = "".join(
            f"<th scope='col'>{name}</th>"
            for name in ("file", "format", "outcome", "executions", "events", "snapshots", "bad", "notes")
        )
        return (
            f"<div class='wb-ingest-report'><p>{escape(str(self.totals))}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{_fidelity(self)}{more}</div>"
        )


def _fidelity(report: IngestReport) -> str:
    """The classes of fields of each file, folded away; the files that are shown are bounded."""
    found = IngestReport(report.files[:_MAX_FILES]).fidelity()
    if found.is_empty():
        return ""
    head = "".join(f"<th scope='col'>{escape(name)}</th>" for name in found.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{escape(_cut(value))}</td>" for value in row) + "</tr>"
        for row in found.iter_rows()
    )
    left = len(report.files) - _MAX_FILES
    more = f"<p>{left:,} more files: see report.fidelity()</p>" if left > 0 else ""
    return (
        "<details><summary>fidelity by class of fields</summary>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}</details>"
    )


def _cut(value: Any) -> str:
    text = "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
    return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]} … [cut: {len(text):,} characters]"


def _row(file: FileReport) -> str:
    notes = [f"{name}: {item}" for name in ("changed", "lost") for item in getattr(file, name)]
    notes += [f"secrets: {n:,} × {rule}" for rule, n in file.secrets.items()]
    notes += [f"bad: {_where(bad)}{bad.reason}" for bad in file.bad[:_SHOWN]]
    notes += [file.error] if file.error else []
    notes += [f"a copy of {file.copy_of}"] if file.copy_of else []
    cells: tuple[Any, ...] = (file.path, file.format or "", file.outcome)
    numbers = (file.executions, file.events, file.snapshots, file.n_bad)
    return (
        "<tr>"
        + "".join(f"<td style='text-align:left'>{escape(str(cell))}</td>" for cell in cells)
        + "".join(f"<td style='text-align:right'>{number:,}</td>" for number in numbers)
        + f"<td style='text-align:left'>{'<br>'.join(escape(note) for note in notes)}</td></tr>"
    )
