"""Foreign agent history in: one reader per format, one normal form, one idempotent writer, one fidelity report.

======================  =========================================================================================
:func:`ingest`          read files and folders into a store
:class:`IngestReport`   what it did, file by file (:class:`FileReport`): kept, changed, lost, bad lines
``READERS``             Workbench's own formats; each module has ``FORMAT``, ``detect(head)`` and ``read(source)``
:func:`known_formats`   these and the formats that installed packages add, with title, origin and what is wrong with it
:func:`register`        add a format in this process
``FIELDS``              what the columns of a table may hold, for ``ingest(…, columns={field: column})``
:class:`Source`         a file as a reader sees it: head, lines, document, checksum
``normal``              the normal form that readers produce: Run, Step, State, Usage, TaskRef, BadLine
======================  =========================================================================================
"""

from workbench.data.ingest.batch import ingest
from workbench.data.ingest.reading.columns import FIELDS
from workbench.data.ingest.reading.source import Source
from workbench.data.ingest.registry import READERS, Format, known_formats, names, register
from workbench.data.ingest.report import FileReport, IngestReport

__all__ = [
    "FIELDS",
    "READERS",
    "FileReport",
    "Format",
    "IngestReport",
    "Source",
    "ingest",
    "known_formats",
    "names",
    "register",
]
