"""One embedded server per test run, one database per test, cloned from a migrated template."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import psycopg
import pytest

import workbench
from workbench.data.store import schema
from workbench.data.store.engine import Store
from workbench.data.store.server import EmbeddedServer
from workbench.settings import Settings

TEMPLATE = "workbench_template"

# Tests never assert a time. The gate looks at the same examples each time; everybody else at new ones.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.register_profile("gate", deadline=None, derandomize=True)
hypothesis.settings.load_profile("gate" if os.environ.get("CI") else "here")


@pytest.fixture(scope="session", autouse=True)
def _spool() -> Iterator[None]:
    """What the tests record waits in a folder of theirs, not in the user's."""
    with tempfile.TemporaryDirectory(prefix="wb-spool-") as folder:
        os.environ["WORKBENCH_SPOOL"] = folder
        yield
        del os.environ["WORKBENCH_SPOOL"]


@pytest.fixture(autouse=True)
def _no_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """No event loop runs: that of the browser, which other tests of the process use, is marked as running for ever."""
    if "playwright" in request.fixturenames:
        yield
        return
    running = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    yield
    asyncio._set_running_loop(running)


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty folder of this test's own, for a server that it starts; it is the test that stops it."""
    # Not under pytest's own folder: every pytest that starts takes all rights of others away from that, and with them
    # those of the user that the server runs as under root.
    with tempfile.TemporaryDirectory(prefix="wb-home-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "home"


@pytest.fixture(scope="session")
def server() -> Iterator[EmbeddedServer]:
    """The real Postgres of this test run, with a template database at the newest schema."""
    # Where a `home` is, for the same reason.
    with tempfile.TemporaryDirectory(prefix="wb-tests-", ignore_cleanup_errors=True) as home:
        yield from _server(Path(home))


def _server(home: Path) -> Iterator[EmbeddedServer]:
    server = EmbeddedServer(home)
    server.start()
    with psycopg.connect(server.url(user="postgres", database="postgres"), autocommit=True) as connection:
        # Tests drop their databases as the owner, also those that autovacuum is at work in.
        connection.execute("GRANT pg_signal_backend TO workbench")
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {TEMPLATE}")
    template = Store(Settings.load(database_url=server.url(database=TEMPLATE)), url=server.url(database=TEMPLATE))
    schema.upgrade(template)
    template.close()
    yield server
    server.stop()
    shutil.rmtree(home)


@pytest.fixture
def database_url(server: EmbeddedServer) -> Iterator[str]:
    """URL of a database of this test's own, at the newest schema and empty."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield server.url(database=name)
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """An open store on this test's database."""
    store = Store.open(Settings.load(database_url=database_url))
    yield store
    store.close()


@pytest.fixture
def bench(database_url: str) -> Iterator[workbench.Workbench]:
    """An open workbench on this test's database."""
    with workbench.connect(database_url) as bench:
        yield bench


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real agent histories; a named folder that lacks a file is a failure, not a skip."""
    folder = os.environ.get("WORKBENCH_TEST_DATA")
    if not folder:
        pytest.skip("WORKBENCH_TEST_DATA names no folder of real agent histories")
    path = Path(folder)
    assert path.is_dir(), f"WORKBENCH_TEST_DATA={folder} is no folder"
    return path
