"""An Arrow table of the driver as a frame: uuids as text, dtypes and order of the schema."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import polars as pl
import pyarrow as pa
import pytest

from workbench.data.frames.arrow import shaped


def table(*batches: Sequence[uuid.UUID | None]) -> pa.Table:
    """A column of uuids in so many batches, with a number beside it."""
    chunks = [pa.array([one and one.bytes for one in batch], pa.binary(16)) for batch in batches]
    ids = pa.chunked_array([pa.ExtensionArray.from_storage(pa.uuid(), chunk) for chunk in chunks], pa.uuid())
    return pa.table({"n": pa.array(range(len(ids)), pa.int32()), "id": ids})


@pytest.mark.parametrize("n", [0, 1, 2047, 2048, 5000])
def test_uuids_are_text(n: int) -> None:
    """Every uuid is written as Python writes it, whatever block it falls into."""
    ids = [uuid.uuid4() for _ in range(n)]

    frame = shaped(table(ids), {"id": pl.String, "n": pl.Int64})

    assert frame.schema == {"id": pl.String, "n": pl.Int64}
    assert frame["id"].to_list() == [str(one) for one in ids]


def test_missing_ids_stay_missing() -> None:
    """Nulls keep their places, in batches that are cut out of larger ones, that are all null, or empty."""
    ids = [None if n % 3 == 0 else uuid.uuid4() for n in range(50)]

    frame = shaped(table(ids, [], [None, None]).slice(5, 46), {"id": pl.String})

    assert frame["id"].to_list() == [one and str(one) for one in [*ids[5:], None]]


def test_a_uuid_column_of_nothing() -> None:
    """A result without batches keeps its dtypes."""
    frame = shaped(table(), {"n": pl.Int64, "id": pl.String})

    assert frame.schema == {"n": pl.Int64, "id": pl.String}
