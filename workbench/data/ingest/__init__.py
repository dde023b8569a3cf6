"""Foreign agent history in: one reader per format, one normal form, one idempotent writer, one fidelity report.

======================  =========================================================================================
:func:`ingest`          read files and folders into a store
:class:`IngestReport`   what it did, file by file (:class:`FileReport`): kept, changed, lost, bad lines
``READERS``             the formats; each module has ``FORMAT``, ``detect(head)`` and ``read(source)``
:class:`Source`         a file as a reader sees it: head, lines, document, checksum
``normal``              the normal form that readers produce: Run, Step, State, Usage, TaskRef, BadLine
======================  =========================================================================================
"""

from workbench.data.ingest.batch import ingest
from workbench.data.ingest.detect import READERS
from workbench.data.ingest.report import FileReport, IngestReport
from workbench.data.ingest.source import Source

__all__ = ["READERS", "FileReport", "IngestReport", "Source", "ingest"]
