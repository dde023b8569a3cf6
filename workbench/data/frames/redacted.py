"""A frame without secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from workbench.data.secrets.known import redactor

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

_DOCUMENTS = frozenset({"data", "state", "metadata", "config", "input", "output", "report"})
_IDS = frozenset({"id", "execution_id", "task_id", "event_id", "parent_execution_id", "digest", "shown"})


def redacted(store: Store, rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows; in every text ``[redacted: rule]`` stands where a secret stood."""
    clean = redactor(store)
    columns = []
    for column in rows.iter_columns():
        if column.dtype == pl.String and column.name not in _IDS:
            write = clean.json if column.name in _DOCUMENTS else clean.text
            texts = {text: write(text) for text in column.drop_nulls().unique().to_list()}
            columns.append(column.replace_strict(texts, default=None, return_dtype=pl.String))
    return rows.with_columns(columns)
