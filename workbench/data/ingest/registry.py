"""The formats there are: those of Workbench, those of installed packages, those registered in this process.

A package adds a format by an entry point of the group ``workbench.readers``, whose name is that of the format and whose
object is a module with ``FORMAT``, ``TITLE``, ``detect(head)`` and ``read(source)``. Entry points are looked up once,
when ingest is first used, and a module is imported when a file is first shown to it. What a package does wrong costs
its own format and nothing else: it is left out, and named in errors, in the list of formats and by doctor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, cast

from workbench.data.ingest.normal import BadLine, Run
from workbench.data.ingest.reading.source import Head, Source
from workbench.errors import ConfigurationError, IngestError, UnknownFormatError, WorkbenchError

GROUP = "workbench.readers"

# Format name → module; imported when first needed.
READERS = {
    "tau-bench": "tau_bench",
    "tau2": "tau2",
    "claude-code": "claude_code",
    "inspect": "inspect_log",
    "otlp": "otlp",
    "codex": "codex",
    "pi": "pi",
    "gemini-cli": "gemini_cli",
    "langfuse": "langfuse",
    "openinference": "openinference",
    "mlflow": "mlflow",
    "langsmith": "langsmith",
    "atif": "atif",
    "who-and-when": "who_and_when",
    "swe-agent": "swe_agent",
    "workbench-bundle": "bundle",
    "openhands": "openhands",
    "sts": "sts",
    "hub-chat": "hub_chat",
    "langgraph": "langgraph",
    "columns": "columns",
}
OWN = "workbench"
HERE = "registered in this process"


class Reader(Protocol):
    """The shape of a format's module."""

    FORMAT: str
    TITLE: str
    detect: Callable[[Head], float]
    read: Callable[[Source], Iterator[Run | BadLine]]


@dataclass(slots=True, frozen=True)
class Format:
    """One format that files may be in.

    Attributes
    ----------
    name
        As it is given to ``ingest(…, format=name)`` and stored as a run's ``source``.
    title
        What it is called; ``None`` where its module cannot be imported.
    origin
        ``workbench``, a package and its version, or ``registered in this process``.
    error
        Why it cannot be used; ``None`` where it can.
    """

    name: str
    title: str | None
    origin: str
    error: str | None = None

    def as_dict(self) -> dict[str, str | None]:
        """Plain values for JSON."""
        return {"name": self.name, "title": self.title, "origin": self.origin, "error": self.error}


class Guarded:
    """The reader of a package: whatever it raises becomes an error that names it, and in ``detect`` a no.

    Everything else that a reader may have (``HAS_PARENTS``, ``rejoin``) is that of its module.
    """

    def __init__(self, module: Any, origin: str) -> None:
        self.FORMAT: str = module.FORMAT
        self.TITLE: str = module.TITLE
        self.origin = origin
        self.error: str | None = None  # what it did wrong last
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_module"], name)

    def __reduce__(self) -> tuple[Any, ...]:
        return reader, (self.FORMAT,)

    def detect(self, head: Head) -> float:
        """How surely the file is one of these; 0 where the reader fails."""
        try:
            sure = float(self._module.detect(head))
        except Exception as error:  # noqa: BLE001 (foreign code may raise anything, and must cost only itself)
            self.error = f"detect failed on {head.name}: {_said(error)}"
            return 0.0
        return sure if math.isfinite(sure) else 0.0

    def read(self, source: Source) -> Iterator[Run | BadLine]:
        """What the reader finds.

        Raises
        ------
        IngestError
            The reader failed, or found something that is neither a run nor a bad line.
        """
        try:
            for item in self._module.read(source):
                if not isinstance(item, (Run, BadLine)):
                    raise TypeError(f"read gave {type(item).__name__}, not a Run or a BadLine")
                yield item
        except WorkbenchError:
            raise
        except Exception as error:
            raise self.blamed(error, source) from error

    def blamed(self, error: Exception, source: Source) -> IngestError:
        """An error of this reader, or of what it handed on, as one that names it."""
        self.error = f"read failed on {source.file_name}: {_said(error)}"
        return IngestError(
            f"{source.name}: the reader {self.FORMAT!r} of {self.origin} failed: {_said(error)}. Nothing of the file "
            "is stored. Report it to that package, or read the file as another format: ingest(path, format=…).",
            path=source.name,
            format=self.FORMAT,
            origin=self.origin,
        )


_registered: dict[str, Guarded] = {}


def register(module: Any) -> None:
    """Add a format in this process, for a notebook; registering its name again replaces it.

    Parameters
    ----------
    module
        A module, or any object, with ``FORMAT``, ``TITLE``, ``detect(head)`` and ``read(source)``.

    Raises
    ------
    ConfigurationError
        Something of that is missing, or the name is taken by Workbench or an installed package.
    """
    if missing := _missing(module):
        raise ConfigurationError(f"{_name(module)} is no reader: {missing}. See CONTRIBUTING.md, Adding a format.")
    name = module.FORMAT
    taken = [OWN] if name in READERS else [_origin(point) for point in _points().get(name, ())]
    if taken:
        raise ConfigurationError(
            f"The format name {name!r} of {_name(module)} is taken by {' and '.join(taken)}. Give it another FORMAT.",
            format=name,
            taken_by=taken,
        )
    _registered[name] = Guarded(module, f"{_name(module)}, {HERE}")


def names() -> tuple[str, ...]:
    """The names of all formats, those that cannot be used too: Workbench's own first."""
    return (*READERS, *(name for name in _points() if name not in READERS), *_registered)


def reader(name: str) -> Reader:
    """The reader of a format.

    Raises
    ------
    UnknownFormatError
        There is no such format; the text lists those there are.
    IngestError
        Its package is broken; the text says how.
    """
    if name in READERS:
        return cast(Reader, import_module(f"workbench.data.ingest.formats.{READERS[name]}"))
    if name in _registered:
        return cast(Reader, _registered[name])
    if name in _points():
        found = _plugin(name)
        if isinstance(found, Guarded):
            return cast(Reader, found)
        raise IngestError(f"The reader {name!r} cannot be used: {found}", format=name)
    raise UnknownFormatError(
        f"Unknown format {name!r}. Known formats: {', '.join(names())}.", format=name, known=names()
    )


def usable() -> Iterator[Reader]:
    """The readers of all formats that can be used."""
    for name in names():
        if name in READERS or name in _registered or isinstance(_plugin(name), Guarded):
            yield reader(name)


def known_formats() -> list[Format]:
    """All formats with their titles and where they come from, the broken ones with the reason."""
    own = [Format(name, reader(name).TITLE, OWN) for name in READERS]
    clashing = [Format(name, None, _origins(name), cast(str, _plugin(name))) for name in _points() if name in READERS]
    return [*own, *clashing, *map(_format, (name for name in names() if name not in READERS))]


def broken() -> list[Format]:
    """The formats of packages that cannot be used, or failed in this process; empty where no package adds any."""
    foreign = [*_points(), *_registered]
    return [found for found in map(_format, foreign) if found.error is not None]


def plugins() -> list[Format]:
    """The formats that installed packages add."""
    return [_format(name) for name in _points()]


def _format(name: str) -> Format:
    found = _registered.get(name) or _plugin(name)
    if isinstance(found, Guarded):
        return Format(name, found.TITLE, found.origin, found.error)
    return Format(name, None, _origins(name), found)


@cache
def _points() -> dict[str, list[EntryPoint]]:
    """The entry points by name; one that is found twice (two places of one package) counts once."""
    found: dict[str, dict[tuple[str, str], EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, {}).setdefault((_origin(point), point.value), point)
    return {name: list(points.values()) for name, points in sorted(found.items())}


@cache
def _plugin(name: str) -> Guarded | str:
    """The reader of an entry point, or why there is none."""
    points = _points()[name]
    owners = ([OWN] if name in READERS else []) + [_origin(point) for point in points]
    if len(owners) > 1:
        return f"the format name {name!r} is claimed by {' and by '.join(owners)}. Uninstall all but one of them."
    try:
        module = points[0].load()
    except Exception as error:  # noqa: BLE001 (importing foreign code may raise anything)
        return f"{owners[0]} cannot be imported: {_said(error)}. Update that package or uninstall it."
    if missing := _missing(module):
        return f"{points[0].value} of {owners[0]} is no reader: {missing}. Update that package or uninstall it."
    if name != module.FORMAT:
        return f"the entry point {name!r} of {owners[0]} leads to a reader of the name {module.FORMAT!r}."
    return Guarded(module, owners[0])


def _missing(module: Any) -> str | None:
    lacks = [name for name in ("FORMAT", "TITLE") if not isinstance(getattr(module, name, None), str)]
    lacks += [name for name in ("detect", "read") if not callable(getattr(module, name, None))]
    return f"it has no {', '.join(lacks)}" if lacks else None


def _name(module: Any) -> str:
    return getattr(module, "__name__", None) or type(module).__name__


def _origins(name: str) -> str:
    return " and ".join(map(_origin, _points()[name]))


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value


def _said(error: Exception) -> str:
    """The first line of an error, which may be long and may be hostile."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
