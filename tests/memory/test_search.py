"""The nearest memories, with pgvector and without."""

from __future__ import annotations

import numpy as np
import psycopg
import pytest

import workbench
from workbench.errors import ConfigurationError, InvalidRecordError


def fill(bench, n=200, dimensions=16, seed=0):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, dimensions)).astype(np.float32)
    for number, vector in enumerate(vectors):
        bench.memory.add(f"memory {number}", agent_type="a", embedding=vector, embedding_model="m")
    return vectors, rng.normal(size=dimensions)


def truth(vectors, wanted, k):
    scores = vectors @ wanted / np.linalg.norm(vectors, axis=1) / np.linalg.norm(wanted)
    return [f"memory {i}" for i in np.argsort(-scores)[:k]], np.sort(scores)[::-1][:k]


@pytest.mark.parametrize("in_server", [True, False])
def test_the_nearest_come_first(bench, in_server):
    """Server and process rank as plain arithmetic does, with the same scores."""
    vectors, wanted = fill(bench)

    found = bench.memory.nearest(wanted, model="m", k=10, in_server=in_server)

    contents, scores = truth(vectors, wanted, 10)
    assert found["content"].to_list() == contents
    np.testing.assert_allclose(found["score"], scores, atol=1e-5)


def test_a_database_without_pgvector_searches_exactly(server):
    """Where nobody may create the extension everything works, and the search falls back."""
    with psycopg.connect(server.url(user="postgres", database="postgres"), autocommit=True) as admin:
        admin.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
        # Only the superuser may create the extension, and template0 has none.
        admin.execute("CREATE DATABASE no_vector OWNER postgres TEMPLATE template0")
        admin.execute("GRANT CONNECT ON DATABASE no_vector TO plain")
    with psycopg.connect(server.url(user="postgres", database="no_vector"), autocommit=True) as admin:
        admin.execute("CREATE SCHEMA workbench AUTHORIZATION plain")
    url = server.url(database="no_vector").replace("workbench:", "plain:", 1)
    password = url.split("plain:", 1)[1].split("@", 1)[0]
    with workbench.connect(url.replace(password, "plain", 1)) as bench:
        assert bench.store.has_vector is False
        vectors, wanted = fill(bench, n=50)
        assert bench.memory.nearest(wanted, model="m", k=5)["content"].to_list() == truth(vectors, wanted, 5)[0]
        health = bench.health()
        assert health.ok
        assert "searched in this process" in str(health)
        with pytest.raises(ConfigurationError, match="no pgvector"):
            bench.memory.create_index("m", 16)


def test_an_index_is_used_and_agrees(bench):
    """The index of a model answers its searches; the schema check does not take it for drift."""
    vectors, wanted = fill(bench, n=2_000)
    name = bench.memory.create_index("m", 16)
    with bench.store.raw() as connection:
        connection.execute("ANALYZE workbench.agent_memory")

    found = bench.memory.nearest(wanted, model="m", k=10)

    assert len(set(found["content"]) & set(truth(vectors, wanted, 10)[0])) >= 9
    with bench.store.raw() as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
    with bench.store.raw() as connection:
        uses = connection.execute("SELECT idx_scan FROM pg_stat_all_indexes WHERE indexrelname = %s", [name]).fetchone()
    assert uses is not None
    assert uses[0] > 0
    from workbench.data.store import schema

    assert schema.check(bench.store) == []


def test_more_than_an_index_can_find_is_found_exactly(bench):
    """An index search ends at a thousand; beyond that the whole table is compared."""
    vectors, wanted = fill(bench, n=1_200, dimensions=4)
    bench.memory.create_index("m", 4)

    for in_server in (True, False):
        found = bench.memory.nearest(wanted, model="m", k=1_100, in_server=in_server)
        np.testing.assert_allclose(found["score"], truth(vectors, wanted, 1_100)[1], atol=1e-5)
    with pytest.raises(ConfigurationError, match="1 to 2,000"):
        bench.memory.create_index("m", 3_072)


def test_other_models_and_sizes_are_not_mixed_in(bench):
    """Vectors of another model or length are invisible; nothing found keeps the schema."""
    bench.memory.add("other model", agent_type="a", embedding=[1.0, 0.0], embedding_model="x")
    bench.memory.add("other size", agent_type="a", embedding=[1.0, 0.0, 0.0], embedding_model="m")
    bench.memory.add("no vector", agent_type="a")

    for in_server in (True, False):
        found = bench.memory.nearest([1.0, 0.0], model="m", in_server=in_server)
        assert (found.height, found.columns[:3]) == (0, ["id", "score", "content"])


def test_what_is_no_memory_is_refused(bench):
    """Each wrong field is named."""
    with pytest.raises(InvalidRecordError) as caught:
        bench.memory.add("", agent_type="a", importance=11, embedding=[1.0])
    with pytest.raises(InvalidRecordError, match="not all 0"):
        bench.memory.nearest([0.0, 0.0], model="m")

    assert set(caught.value.fields) == {"content", "importance", "embedding"}


def test_a_memory_store_says_where_it_is(bench):
    """What a cell shows that ends in `bench.memory`."""
    assert repr(bench.memory) == f"MemoryStore({bench.store})"
