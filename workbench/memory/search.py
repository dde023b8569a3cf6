""":class:`MemoryStore`: remembered items, and the nearest to a vector.

On a server with pgvector the server searches, by an index where one was made; elsewhere the vectors of the model are
read and compared here, exactly. Both rank by cosine similarity.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from psycopg import sql

from workbench.data.store.storable import storable, storable_text
from workbench.data.store.tables import new_id
from workbench.errors import ConfigurationError, InvalidRecordError, ReadOnlyError

if TYPE_CHECKING:
    from workbench.data.store.engine import Store

FOUND = {
    "id": pl.String,
    "score": pl.Float64,  # cosine similarity, −1 … 1
    "content": pl.String,
    "agent_type": pl.String,
    "context_key": pl.String,
    "created_at": pl.Datetime("us", "UTC"),
}
_HEAD_BYTES = 20  # dimensions, null flag, element type, length, lower bound
_INDEX_DIMENSIONS = 2_000  # pgvector's bound for an HNSW index of `vector`
_INDEX_K = 1_000  # and for how many an index search finds (hnsw.ef_search)
_COLUMNS = sql.SQL("id::text, content, agent_type, context_key, created_at")


class MemoryStore:
    """The memories of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __repr__(self) -> str:
        return f"MemoryStore({self._store})"

    def add(
        self,
        content: str,
        *,
        agent_type: str,
        context_key: str = "default",
        embedding: Sequence[float] | np.ndarray | None = None,
        embedding_model: str | None = None,
        importance: int = 5,
        metadata: Mapping[str, Any] | None = None,
    ) -> uuid.UUID:
        """Remember something, and return its id.

        Raises
        ------
        InvalidRecordError
            Empty content, importance outside 1 … 10, a vector without its model's name, or one that is no direction.
        """
        wrong = {}
        if not content:
            wrong["content"] = "must not be empty"
        if not 1 <= importance <= 10:
            wrong["importance"] = f"must be from 1 to 10 (got {importance})"
        if (embedding is None) != (embedding_model is None):
            wrong["embedding"] = "needs embedding_model, the name of the model that made it, and the other way round"
        if wrong:
            raise InvalidRecordError("; ".join(f"{k}: {v}" for k, v in wrong.items()), fields=wrong)
        if self._store.read_only:
            raise ReadOnlyError("This connection is read-only. Open it without read_only=True to write.")
        vector = None if embedding is None else _vector(embedding).tolist()
        id = new_id()
        with self._store.raw() as connection:
            connection.execute(
                "INSERT INTO workbench.agent_memory"
                " (id, agent_type, context_key, content, embedding, embedding_model, importance, metadata)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s::jsonb)",
                [id, agent_type, context_key, storable_text(content), vector, embedding_model, importance,
                 storable(dict(metadata or {})).text],
            )  # fmt: skip
        return id

    def create_index(self, model: str, dimensions: int) -> str:
        """Make the index of one model's vectors (HNSW, cosine), and return its name. Needs pgvector.

        Raises
        ------
        ConfigurationError
            The server has no pgvector, or the vectors are too long for an index.
        """
        if not self._store.has_vector:
            raise ConfigurationError("This database has no pgvector; vectors are searched exactly, without an index.")
        if not 1 <= dimensions <= _INDEX_DIMENSIONS:
            raise ConfigurationError(
                f"dimensions={dimensions}: pgvector indexes vectors of 1 to {_INDEX_DIMENSIONS:,}. Longer ones are"
                " found without an index, exactly.",
                value=dimensions,
            )
        # vx_: made at run time, so no part of the schema's versions.
        name = f"vx_agent_memory_{hashlib.sha256(f'{model}/{dimensions}'.encode()).hexdigest()[:12]}"
        with self._store.raw() as connection:
            connection.execute("SET LOCAL statement_timeout = 0")
            connection.execute(
                sql.SQL(
                    "CREATE INDEX IF NOT EXISTS {} ON workbench.agent_memory USING hnsw"
                    " ((embedding::vector({})) vector_cosine_ops)"
                    " WHERE embedding_model = {} AND array_length(embedding, 1) = {}"
                ).format(sql.Identifier(name), sql.Literal(dimensions), sql.Literal(model), sql.Literal(dimensions))
            )
        return name

    def nearest(
        self, vector: Sequence[float] | np.ndarray, *, model: str, k: int = 10, in_server: bool | None = None
    ) -> pl.DataFrame:
        """The memories whose vectors point most nearly as this one does.

        Parameters
        ----------
        vector
            Made by ``model``; memories of other models or sizes are not looked at.
        k
            How many at most.
        in_server
            ``None`` = where there is pgvector.

        Returns
        -------
        polars.DataFrame
            ``id score content agent_type context_key created_at``, best first; ``score`` is the cosine similarity.
        """
        if k < 1:
            raise ConfigurationError(f"k={k} must be 1 or more.", value=k)
        wanted = _vector(vector)
        search = self._in_server if (self._store.has_vector if in_server is None else in_server) else self._here
        return pl.DataFrame(search(wanted, model, k), schema=FOUND, orient="row")

    def _in_server(self, wanted: np.ndarray, model: str, k: int) -> list[tuple[Any, ...]]:
        size = sql.Literal(len(wanted))
        distance = sql.SQL("(embedding::vector({})) <=> {}::real[]::vector({})").format(
            size, sql.Literal(wanted.tolist()), size
        )
        with self._store.raw() as connection:
            if k > _INDEX_K:  # the index would stop short of k
                connection.execute("SET LOCAL enable_indexscan = off")
            else:
                ef_search = sql.Literal(min(max(100, 2 * k), _INDEX_K))
                connection.execute(sql.SQL("SET LOCAL hnsw.ef_search = {}").format(ef_search))
            rows = connection.execute(
                sql.SQL(
                    "SELECT {}, 1 - ({}) FROM workbench.agent_memory"
                    " WHERE embedding_model = {} AND array_length(embedding, 1) = {} ORDER BY {} LIMIT {}"
                ).format(_COLUMNS, distance, sql.Literal(model), size, distance, sql.Literal(k))
            ).fetchall()
        return [(id, score, *rest) for id, *rest, score in rows]

    def _here(self, wanted: np.ndarray, model: str, k: int) -> list[tuple[Any, ...]]:
        with self._store.raw() as connection:
            cursor = connection.cursor(binary=True)
            rows = cursor.execute(
                "SELECT id, array_send(embedding) FROM workbench.agent_memory"
                " WHERE embedding_model = %s AND array_length(embedding, 1) = %s",
                [model, len(wanted)],
            ).fetchall()
            rows = [row for row in rows if len(row[1]) == _HEAD_BYTES + 8 * len(wanted)]  # a null has no bytes
            if not rows:
                return []
            vectors = _decoded([row[1] for row in rows], len(wanted))
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
            scores = vectors @ (wanted / np.linalg.norm(wanted)).astype(np.float32)
            best = np.argsort(-scores, kind="stable")[:k]
            score = {rows[i][0]: float(scores[i]) for i in best}
            found = connection.execute(
                sql.SQL("SELECT {} FROM workbench.agent_memory WHERE id = ANY({})").format(
                    _COLUMNS, sql.Literal(list(score))
                )
            ).fetchall()
        by_id = {row[0]: row for row in found}
        return [(str(id), value, *by_id[str(id)][1:]) for id, value in score.items()]


def _decoded(sent: list[bytes], dimensions: int) -> np.ndarray:
    """Vectors from Postgres's binary form of ``real[]``: a head, then length and big-endian value of each element."""
    words = np.frombuffer(b"".join(sent), dtype=">f4").reshape(len(sent), _HEAD_BYTES // 4 + 2 * dimensions)
    return words[:, _HEAD_BYTES // 4 + 1 :: 2].astype(np.float32)


def _vector(given: Sequence[float] | np.ndarray) -> np.ndarray:
    vector = np.asarray(given, dtype=np.float32)
    if vector.ndim != 1 or not vector.size or not np.isfinite(vector).all() or not vector.any():
        said = "must be one row of finite numbers, not all 0"
        raise InvalidRecordError(f"embedding: {said}.", fields={"embedding": said})
    return vector
