"""Give a run of the store back as a file that other tools read.

An exporter is a module with ``FORMAT``, ``TITLE`` and ``export(store, run_id, **options) -> bytes``. One that can write
a run of any length piece by piece also has ``pieces(store, run_id, **options) -> Iterator[bytes]``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from workbench.errors import UnknownFormatError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

__all__ = ["EXPORTERS", "Exporter", "export", "exporter"]

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
    """
    module = exporter(format)
    content = b""
    if format == "original":  # it refuses what it cannot do
        options["redact"] = redact
        redact = False
    if redact:
        from workbench.data.export.redacted import redacted

        content = redacted(store, run_id, module.export(store, run_id, **options), format)
        if output is None:
            return content
    elif output is None:
        return module.export(store, run_id, **options)
    pieces = None if redact else getattr(module, "pieces", None)
    path = Path(output)
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
