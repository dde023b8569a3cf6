"""Databases that have no schema yet."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from workbench.data.store.server import EmbeddedServer


@pytest.fixture
def empty_url(server: EmbeddedServer) -> Iterator[str]:
    """URL of a database of this test's own, with nothing in it."""
    name = f"empty_{uuid.uuid4().hex}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    yield server.url(database=name)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
