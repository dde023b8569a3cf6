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

from workbench.data.store.opened import HasStore, store_of
from workbench.errors import MissingExtraError, StoreUnavailableError

try:
    from opentelemetry import context
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
except ImportError as error:  # pragma: no cover
    raise MissingExtraError("Exporting the spans of a live program", "otlp") from error

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

log = logging.getLogger(__name__)

OWN_SCOPE = "workbench"  # the name of our own tracer
_HELD_SPANS = 20_000  # of those that a dead database did not take
_BATCH_SPANS = 2_000
_PAUSE_S = 5.0  # before a database that did not answer is asked again


class WorkbenchSpanExporter(SpanExporter):
    """Write the finished spans of a live program; never raises into it.

    Give it to a ``BatchSpanProcessor``, whose thread then writes. While the database does not answer, ``export``
    returns ``FAILURE``, and up to 20,000 spans are held and delivered when it answers again; later ones are dropped,
    and their number is logged. Spans of Workbench itself are left out, and writing makes none.

    Parameters
    ----------
    bench
        An open workbench, or its store.

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
        self._n_dropped = 0
        self._ask_at = 0.0
        self._is_shut = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write a batch and what is held of earlier ones.

        Returns
        -------
        SpanExportResult
            ``SUCCESS``: all of it is stored. ``FAILURE``: the database did not answer, or the exporter is shut down.
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
            if not self._deliver():
                log.warning("the database does not answer: %d spans are lost", len(self._held))
                self._held = []

    def _hold(self, spans: list[ReadableSpan]) -> None:
        room = max(_HELD_SPANS - len(self._held), len(spans) if not self._held else 0)
        self._held += spans[:room]
        self._n_dropped += len(spans[room:])

    def _deliver(self) -> bool:
        """Write all that is held, the oldest first; whether it is done."""
        while self._held:
            batch = self._held[:_BATCH_SPANS]
            try:
                _write(self._store, batch)
            except StoreUnavailableError as error:
                self._ask_at = time.monotonic() + _PAUSE_S
                log.warning("%d spans wait for the database, %d dropped: %s", len(self._held), self._n_dropped, error)
                return False
            except Exception:  # whatever it is, the program is not to blame and must not stop
                log.exception("%d spans cannot be stored and are dropped", len(batch))
                del self._held[: len(batch)]
                return False
            del self._held[: len(batch)]
        return True


def _write(store: Store, spans: Sequence[ReadableSpan]) -> None:
    from workbench.data.ingest.live import write
    from workbench.data.ingest.reading.source import Source
    from workbench.data.ingest.registry import reader

    content = encode_spans(spans).SerializeToString()
    # Instrumented drivers would tell of our own statements, and those would be exported again.
    token = context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        write(store, Source("live.otlp", content=content), reader("otlp"))
    finally:
        context.detach(token)


def _is_own(span: ReadableSpan) -> bool:
    scope = span.instrumentation_scope
    return scope is not None and (scope.name == OWN_SCOPE or scope.name.startswith(f"{OWN_SCOPE}."))
