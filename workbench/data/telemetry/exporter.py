"""Spans of a live program into the workbench: :class:`WorkbenchSpanExporter`.

What the OpenTelemetry SDK hands over is encoded as it would be for the wire, and read by the reader of OTLP files: a
trace that was exported live is the same run, event by event, as the one that is imported from a file, whatever the
batches and their order. Exported and imported, it is one run.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from workbench.data.store.failures import is_for_good
from workbench.data.store.opened import HasStore, store_of
from workbench.errors import MissingExtraError, WorkbenchError

try:
    from opentelemetry import context
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    from workbench.data.telemetry.aside import Aside
except ImportError as error:  # pragma: no cover
    raise MissingExtraError("Exporting the spans of a live program", "otlp") from error

if TYPE_CHECKING:
    from pathlib import Path

    from workbench.data.ingest.normal import BadLine
    from workbench.data.store.engine import Store

log = logging.getLogger(__name__)

OWN_SCOPE = "workbench"  # the name of our own tracer
_HELD_SPANS = 20_000  # of those that a dead database did not take
_BATCH_SPANS = 2_000
_PAUSE_S = 5.0  # before a database that did not answer is asked again


class WorkbenchSpanExporter(SpanExporter):
    """Write the finished spans of a live program; never raises into it.

    Give it to a ``BatchSpanProcessor``, whose thread then writes. While the database does not answer, ``export``
    returns ``FAILURE``, and up to 20,000 spans are held and delivered when it answers again. What cannot be held, what
    is held still at the end, and each span that the store refuses go to a file (``put_aside``), which
    ``bench.ingest(path)`` reads; the spans beside a refused one are stored. Spans of Workbench itself are left out, and
    writing makes none.

    Parameters
    ----------
    bench
        An open workbench, or its store.

    Attributes
    ----------
    n_refused
        Spans that the store refused, and cannot take as they are.
    n_aside
        Spans in the file, those among them.
    n_dropped
        Spans that not even the file could take: they were none, the disk is full, or ``spool_limit_mb`` is reached.
    put_aside : pathlib.Path or None
        The file, in the folder of the spools; ``None``: nothing had to be put aside.

    Raises
    ------
    MissingExtraError
        The extra ``otlp`` is not installed.

    Examples
    --------
    >>> import workbench                                                               # doctest: +SKIP
    >>> from opentelemetry.sdk.trace import TracerProvider                             # doctest: +SKIP
    >>> from opentelemetry.sdk.trace.export import BatchSpanProcessor                  # doctest: +SKIP
    >>> bench, provider = workbench.connect(), TracerProvider()                        # doctest: +SKIP
    >>> provider.add_span_processor(BatchSpanProcessor(WorkbenchSpanExporter(bench)))  # doctest: +SKIP
    >>> with provider.get_tracer("my.agent").start_as_current_span("invoke_agent"):    # doctest: +SKIP
    ...     run_the_agent()
    """

    def __init__(self, bench: HasStore | Store) -> None:
        self._store = store_of(bench)
        self._lock = threading.Lock()
        self._held: list[ReadableSpan] = []
        settings = self._store.settings
        self._aside = Aside(settings.spool_dir / "spans", limit=settings.spool_limit_mb * 1_000_000)
        self.n_refused = self.n_dropped = 0
        self._ask_at = 0.0
        self._is_shut = False

    @property
    def put_aside(self) -> Path | None:
        """The file of what could not be stored."""
        return self._aside.path

    @property
    def n_aside(self) -> int:
        """Spans in it."""
        return self._aside.n_spans

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write a batch and what is held of earlier ones.

        Returns
        -------
        SpanExportResult
            ``SUCCESS``: all of it is stored. ``FAILURE``: the database did not answer, or refused a span; or the
            exporter is shut down.
        """
        if self._is_shut:
            log.warning("the exporter is shut down: %d spans are not stored", len(spans))
            return SpanExportResult.FAILURE
        with self._lock:
            self._hold([span for span in spans if not _is_own(span)])
            is_done = time.monotonic() >= self._ask_at and self._deliver()
        return SpanExportResult.SUCCESS if is_done else SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Try now to write what is held; whether nothing is left. A dead database is asked once, not again."""
        if not self._lock.acquire(timeout=timeout_millis / 1000):
            return False
        try:
            return self._deliver()
        finally:
            self._lock.release()

    def shutdown(self) -> None:
        """Write what is held, and take no more."""
        if self._is_shut:
            return
        with self._lock:
            self._is_shut = True
            self._deliver()
            if self._held:
                self._keep(self._held, "the database does not answer")
                self._held = []

    def _hold(self, spans: list[ReadableSpan]) -> None:
        room = max(_HELD_SPANS - len(self._held), len(spans) if not self._held else 0)
        self._held += spans[:room]
        if spans[room:]:
            self._keep(spans[room:], f"{_HELD_SPANS:,} wait for the database already")

    def _deliver(self) -> bool:
        """Write all that is held, the oldest first; whether all of it is stored."""
        n_refused = self.n_refused
        while self._held:
            batch = self._held[:_BATCH_SPANS]
            try:
                self._store_each(batch)
            except WorkbenchError as error:
                self._ask_at = time.monotonic() + _PAUSE_S
                log.warning("%d spans wait for the database: %s", len(self._held), error)
                return False
            del self._held[: len(batch)]
        return self.n_refused == n_refused

    def _store_each(self, spans: list[ReadableSpan]) -> None:
        """Write spans, all but those that are refused: halves are tried where the whole is.

        Raises
        ------
        WorkbenchError
            Not for a span, but for the moment.
        """
        try:
            bad = _write(self._store, spans)
            why: object = bad[0].reason if bad else None
        except WorkbenchError as error:
            if not is_for_good(error):
                raise
            why = error
        except Exception as error:  # noqa: BLE001 (whatever it is, the program is not to blame and must not stop)
            why = f"{type(error).__name__}: {error}"
        if why is None:
            return
        if len(spans) > 1:  # what of them is stored already stays as it is
            half = len(spans) // 2
            self._store_each(spans[:half])
            self._store_each(spans[half:])
            return
        self.n_refused += 1
        self._keep(spans, why)

    def _keep(self, spans: list[ReadableSpan], why: object) -> None:
        """Put spans aside."""
        try:
            self._aside.add(spans)
        except Exception as error:  # noqa: BLE001 (as above)
            self.n_dropped += len(spans)
            log.error("%d spans are lost (%d in all): %s; and not to be kept in a file: %s", len(spans), self.n_dropped,
                      why, error)  # fmt: skip
        else:
            log.error("%d spans are not stored, but put aside; bench.ingest(%r) reads them: %s", len(spans),
                      str(self._aside.path), why)  # fmt: skip


def _write(store: Store, spans: Sequence[ReadableSpan]) -> list[BadLine]:
    from workbench.data.ingest.live import write
    from workbench.data.ingest.reading.source import Source
    from workbench.data.ingest.registry import reader

    content = encode_spans(spans).SerializeToString()
    # Instrumented drivers would tell of our own statements, and those would be exported again.
    token = context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        return write(store, Source("live.otlp", content=content), reader("otlp"))
    finally:
        context.detach(token)


def _is_own(span: ReadableSpan) -> bool:
    scope = span.instrumentation_scope
    return scope is not None and (scope.name == OWN_SCOPE or scope.name.startswith(f"{OWN_SCOPE}."))
