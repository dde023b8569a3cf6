"""Give a run of the store back as a file that other tools read.

An exporter is a module with ``FORMAT``, ``TITLE`` and ``export(store, run_id, **options) -> bytes``. One that can write
a run of any length piece by piece also has ``pieces(store, run_id, **options) -> Iterator[bytes]``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from workbench.errors import ConfigurationError, UnknownFormatError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

__all__ = ["EXPORTERS", "Exporter", "export", "exporter", "place"]

# Format name → module; imported when first needed.
EXPORTERS = {
    "original": "original",
    "atif": "atif",
}


class Exporter(Protocol):
    """The shape of an exporter's module."""

    FORMAT: str
    TITLE: str
    export: Callable[..., bytes]


def exporter(name: str) -> Exporter:
    """The exporter of a format.

    Raises
    ------
    UnknownFormatError
        No run can be written in it; the text lists the formats there are.
    """
    if name not in EXPORTERS:
        raise UnknownFormatError(
            f"Unknown format {name!r}. A run can be exported as: {', '.join(EXPORTERS)}.",
            format=name,
            known=tuple(EXPORTERS),
        )
    return cast(Exporter, import_module(f"workbench.data.export.{EXPORTERS[name]}"))


def export(
    store: Store,
    run_id: str,
    output: str | Path | None = None,
    *,
    format: str = "original",
    redact: bool = True,
    **options: Any,
) -> bytes | Path:
    """Write one run in a format.

    Parameters
    ----------
    store
        Where the run is.
    run_id
        Its id.
    output
        The file to write, replaced as a whole when it is there; without it the bytes are returned.
    format
        A name in ``EXPORTERS``.
    redact
        Replace every password, token and key by ``[redacted: rule]``; ``False`` leaves them in. An original is given
        as it lay on disk, so only with ``False``.
    **options
        Of the exporter: ``version="1.8"`` for ATIF.

    Returns
    -------
    bytes | Path
        The file's content, or where it was written to.

    Raises
    ------
    UnknownFormatError
        No run can be written in ``format``.
    NotFoundError
        No such run.
    DisclosureError
        A secret would be left, or the file is of a kind that cannot be redacted; nothing is written.
    ConfigurationError
        ``output`` is a folder, or in one that does not exist; or an original is asked for without ``redact=False``.
    """
    module = exporter(format)
    path = None if output is None else place(output)
    content = b""
    if format == "original":  # it refuses what it cannot do
        options["redact"] = redact
        redact = False
    if redact:
        from workbench.data.export.redacted import redacted

        content = redacted(store, run_id, module.export(store, run_id, **options), format)
        if path is None:
            return content
    elif path is None:
        return module.export(store, run_id, **options)
    pieces = None if redact else getattr(module, "pieces", None)
    # Beside the file and renamed when it is whole: a failure leaves what was there.
    unfinished = path.with_name(f".{path.name}.part")
    try:
        with unfinished.open("wb") as file:
            whole = [content] if redact else [module.export(store, run_id, **options)] if not pieces else ()
            for piece in pieces(store, run_id, **options) if pieces else whole:
                file.write(piece)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def place(output: str | Path) -> Path:
    """A path that a file can have, asked before anything is read.

    Raises
    ------
    ConfigurationError
        It is a folder, or in one that does not exist.
    """
    path = Path(output)
    if os.path.isdir(path):  # noqa: PTH112 - it answers for a path that is too long or forbidden; Path.is_dir() raises
        problem = "that is a folder. Name a file in it"
    elif not os.path.isdir(path.parent):  # noqa: PTH112
        problem = f"there is no folder {path.parent}. Make it, or give the path of a file in one that exists"
    else:
        return path
    raise ConfigurationError(f"Nothing can be written to {path}: {problem}.", path=path)
