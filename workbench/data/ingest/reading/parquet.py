"""Parquet files row by row: the names of their columns, told from their end, and their rows in batches."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from workbench.data.ingest.normal import BadLine
from workbench.data.ingest.reading.source import Head, Source
from workbench.data.ingest.reading.values import Value
from workbench.errors import IngestError

MAGIC = b"PAR1"
_BATCH_ROWS = 1_000


def is_parquet(head: Head) -> bool:
    """Told by the first four bytes."""
    return head.data[:4] == MAGIC


def parquet_names(head: Head) -> list[str]:
    """The columns and, with dots, the fields inside them; empty where the file's end says nothing readable."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    end = head.data if head.is_whole else head.tail
    try:
        schema = pq.read_schema(io.BytesIO(end))
    except (pa.ArrowException, OSError, ValueError):
        return []
    return list(_names(schema, pa))


def _names(schema: Any, pa: Any) -> Iterator[str]:
    pending = [(field.name, field.type) for field in schema]
    for name, kind in pending:
        yield name
        while pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
            kind = kind.value_type
        if pa.types.is_struct(kind) and name.count(".") < 8:
            pending += [(f"{name}.{field.name}", field.type) for field in kind]


def parquet_rows(source: Source) -> Iterator[Value | BadLine]:
    """The rows as Python values, one batch of a row group at a time; of a damaged file, those before the damage.

    Rows are counted from 1, as lines are.

    Raises
    ------
    IngestError
        It is no Parquet file, or its end is missing, without which nothing of it can be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO(source.read_bytes()) if source.is_gzip else source.open()
    with stream:
        try:
            file = pq.ParquetFile(stream)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise IngestError(
                f"{source.name} cannot be read as Parquet: {_first(error)}. A file that is cut off has lost its index, "
                "which is at the end.",
                path=source.name,
            ) from error
        number = 0
        for group in range(file.num_row_groups):
            expected = number + file.metadata.row_group(group).num_rows
            try:
                for batch in file.iter_batches(_BATCH_ROWS, row_groups=[group]):
                    for row in batch.to_pylist():
                        number += 1
                        yield Value(number, row)
            except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
                yield BadLine(number + 1, f"rows {number + 1} to {expected} cannot be read: {_first(error)}")
            number = expected


def _first(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300].rstrip(".")
