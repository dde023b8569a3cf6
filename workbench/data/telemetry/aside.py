"""Spans that could not be stored, kept in a file: :class:`Aside`."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan


class Aside:
    """A file of the spans that an exporter could not store: a request of OTLP, as ``bench.ingest(path)`` reads it.

    Requests behind each other are one request with all their spans (so protobuf has it), so the file only grows.

    Parameters
    ----------
    folder
        Made when the first span comes.
    limit
        Bytes that the file may have.

    Attributes
    ----------
    path
        The file; ``None`` as long as there is nothing in it.
    n_spans
        Spans in it.
    """

    def __init__(self, folder: Path, *, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self.path: Path | None = None
        self.n_spans = 0

    def add(self, spans: Sequence[ReadableSpan]) -> None:
        """Keep spans.

        Raises
        ------
        OSError
            They cannot be written, or the file is full.
        Exception
            They are no spans.
        """
        data = encode_spans(spans).SerializeToString()
        path = self.path
        if path is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = self._folder / f"spans-{os.getpid()}-{uuid.uuid4().hex[:8]}.pb"
            path.touch(mode=0o600)
        with path.open("ab") as file:
            if file.tell() + len(data) > self._limit:
                raise OSError(f"{path} has reached its limit of {self._limit:,} bytes")
            file.write(data)
        self.path = path
        self.n_spans += len(spans)
