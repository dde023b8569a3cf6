"""Ingests that are interrupted for real: the server stops, the client is killed, the disk is full.

Each time the store is afterwards as it was, or complete; and doing the same again completes it. These tests have a
server of their own, because they end it.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import psutil
import psycopg
import pytest
from histories import counts, dumps, otlp_request, otlp_span, rows

from workbench.data.ingest import ingest
from workbench.data.store.engine import Store
from workbench.data.store.server import EmbeddedServer
from workbench.errors import StoreUnavailableError, WorkbenchError
from workbench.settings import Settings

INGEST = """
import sys
from workbench.data.ingest import ingest
from workbench.data.store.engine import Store
from workbench.errors import WorkbenchError
from workbench.settings import Settings

url, *paths = sys.argv[1:]
store = Store.open(Settings.load(database_url=url))
try:
    print(ingest(store, paths, progress=False))
except WorkbenchError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder outside pytest's own, which the server of a root may not enter after another pytest has started."""
    with tempfile.TemporaryDirectory(prefix="wb-tests-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@pytest.fixture(scope="module")
def own_server() -> Iterator[EmbeddedServer]:
    """A server of this module's own, which its tests may stop."""
    with private_folder() as folder:
        server = EmbeddedServer(folder)
        server.start()
        yield server
        server.stop()


@pytest.fixture
def own_store(own_server: EmbeddedServer) -> Iterator[Store]:
    """An open store in a new database of that server."""
    with new_database(own_server) as url, opened(url) as store:
        yield store


@contextmanager
def new_database(server: EmbeddedServer, *, options: str = "") -> Iterator[str]:
    name = f"test_{time.monotonic_ns()}"
    with psycopg.connect(server.url(user="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER workbench {options}")  # type: ignore[arg-type]
    yield server.url(database=name)
    with psycopg.connect(server.url(user="postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


@contextmanager
def opened(url: str) -> Iterator[Store]:
    store = Store.open(Settings.load(database_url=url))
    yield store
    store.close()


def trace(folder: Path, n_spans: int, *, name: str = "trace.jsonl", chars: int = 2_000) -> Path:
    """A file with one run of many spans, large enough that writing it takes a while."""
    path = folder / name
    trace_id = f"{abs(hash(name)):032x}"[-32:]
    with path.open("wb") as file:
        for n in range(n_spans):
            text = os.urandom(chars // 2).hex()  # random, so that the server cannot compress it away
            file.write(dumps(otlp_request(otlp_span(n, text, traceId=trace_id))) + b"\n")
    return path


def start_ingest(url: str, *paths: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", INGEST, url, *map(str, paths)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_copying(store: Store, process: subprocess.Popen[str], *, n_rows: int = 1_000) -> None:
    """Wait until the other process has sent some events of its open transaction."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with store.raw() as connection:
            row = connection.execute(
                "SELECT max(tuples_processed) FROM pg_stat_progress_copy "
                "WHERE relid = 'workbench.observability_events'::regclass AND datname = current_database()"
            ).fetchone()
        if row and row[0] and row[0] >= n_rows:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    pytest.fail("the ingest did not begin to write events within 60 s")


def wait_until_gone(store: Store) -> None:
    """Wait until the server has noticed that the other client is dead and rolled its work back."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with store.raw() as connection:
            row = connection.execute("SELECT count(*) FROM pg_stat_progress_copy").fetchone()
        if row == (0,):
            return
        time.sleep(0.02)
    pytest.fail("the dead client's transaction is still open after 60 s")


def clean_rows(server: EmbeddedServer, *paths: Path) -> object:
    """What an undisturbed ingest of the same files leaves, in a database of its own."""
    with new_database(server) as url, opened(url) as store:
        assert ingest(store, paths, progress=False).ok
        return rows(store)


def test_a_killed_client_leaves_nothing_half(own_server: EmbeddedServer, own_store: Store, tmp_path: Path) -> None:
    """A client killed in the middle of a file leaves the store as it was; the next ingest completes it exactly."""
    small, large = trace(tmp_path, 3, name="a.jsonl"), trace(tmp_path, 12_000, name="b.jsonl", chars=600)
    process = start_ingest(own_store.url, small, large)
    wait_until_copying(own_store, process)

    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    wait_until_gone(own_store)
    assert counts(own_store) == (1, 3)  # the first file whole, of the second nothing
    report = ingest(own_store, [small, large], progress=False)
    assert [file.outcome for file in report.files] == ["already there", "new"]
    assert rows(own_store) == clean_rows(own_server, small, large)


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_a_server_that_stops_half_way(own_server: EmbeddedServer, own_store: Store, tmp_path: Path, how: str) -> None:
    """When the server stops in the middle of a file, the error says what is complete; ingesting again completes it."""
    small, large = trace(tmp_path, 3, name="a.jsonl"), trace(tmp_path, 12_000, name="b.jsonl", chars=600)
    process = start_ingest(own_store.url, small, large)
    wait_until_copying(own_store, process)

    pid = own_server.pid
    assert pid is not None
    os.kill(pid, {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}[how])
    _, said = process.communicate(timeout=60)
    with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
        psutil.Process(pid).wait(timeout=60)

    assert process.returncode == 1
    error = said.strip().splitlines()[-1]
    assert error.startswith("StoreUnavailableError:"), said
    assert "b.jsonl" in error
    assert "Nothing of that file was stored" in error
    assert f"Complete: {small}" in error
    assert "Ingest the same paths again" in error
    if how == "fast":  # the other time, the open store does not know yet that its connections are dead
        with pytest.raises(StoreUnavailableError):
            ingest(own_store, small, progress=False)

    restart(own_server)
    assert counts(own_store) == (1, 3)
    report = ingest(own_store, [small, large], progress=False)  # the same open store finds the server again
    assert [file.outcome for file in report.files] == ["already there", "new"]
    assert rows(own_store) == clean_rows(own_server, small, large)


def restart(server: EmbeddedServer) -> None:
    """Start the server again, as the next client would."""
    server.stop()
    server.start()


def test_ctrl_c_while_another_ingest_is_waited_for(own_store: Store, tmp_path: Path) -> None:
    """Ctrl+C ends an ingest that waits for a part of the file that another one is about to keep; nothing is stored."""
    small = trace(tmp_path, 3)
    with own_store.raw() as connection, connection.transaction():
        connection.execute(
            "INSERT INTO workbench.file_blocks (digest, data) VALUES (%s, '')", [sha256(small.read_bytes()).digest()]
        )
        process = start_ingest(own_store.url, small)
        wait_until_waiting(own_store, process)

        process.send_signal(signal.SIGINT)

        _, said = process.communicate(timeout=30)
        assert said.strip().splitlines()[-1] == "KeyboardInterrupt"
    assert counts(own_store) == (0, 0)


def wait_until_waiting(store: Store, process: subprocess.Popen[str]) -> None:
    """Wait until the other process waits for another's transaction."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with store.raw() as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            ).fetchone()
        if row == (1,):
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    pytest.fail("the ingest did not begin to wait within 60 s")


def test_a_full_disk(tmp_path: Path) -> None:
    """On a full disk the error names it and what to do, the store is as it was, and freed space completes it."""
    small, large = trace(tmp_path, 3, name="a.jsonl"), trace(tmp_path, 10_000, name="b.jsonl", chars=6_000)
    with (
        private_folder() as folder,
        small_disk(folder) as (server, options, enlarge),
        new_database(server, options=options) as url,
        opened(url) as store,
    ):
        ingest(store, small, progress=False)
        before = rows(store)

        with pytest.raises(WorkbenchError, match=r"(?s)b\.jsonl.*(No space left on device|File too large)") as caught:
            ingest(store, [small, large], progress=False)

        said = " ".join(str(caught.value).split())
        assert "Free some space" in said
        assert "Nothing of that file was stored" in said
        assert "Ingest the same paths again" in said
        assert rows(store) == before
        enlarge()
        report = ingest(store, [small, large], progress=False)
        assert [file.outcome for file in report.files] == ["already there", "new"]
        assert counts(store) == (2, 10_003)


@contextmanager
def small_disk(folder: Path) -> Iterator[tuple[EmbeddedServer, str, Callable[[], None]]]:
    """A server with a place for 48 MB: a small real filesystem as root, a limit on the size of files elsewhere."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)], capture_output=True, check=False
        ).returncode
    )
    server = EmbeddedServer(folder / "home")
    try:
        if mounted:
            server.start()
            yield server, tablespace(server, disk), lambda: grow(disk)
        else:
            with largest_file(32 * 1024 * 1024):
                server.start()
            yield server, "", lambda: lift_limit(server)
    finally:
        server.stop()
        if mounted:
            subprocess.run(["umount", str(disk)], check=True)


def tablespace(server: EmbeddedServer, disk: Path) -> str:
    """Let the server put a database there; returns the option for CREATE DATABASE."""
    place = disk / "space"
    place.mkdir()
    os.chown(place, psutil.Process(server.pid).uids().effective, -1)
    with psycopg.connect(server.url(user="postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE TABLESPACE small LOCATION '{place}'")  # type: ignore[arg-type]
        connection.execute("GRANT CREATE ON TABLESPACE small TO workbench")
    return "TABLESPACE small"


def grow(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=400m", str(disk)], check=True)


@contextmanager
def largest_file(n_bytes: int) -> Iterator[None]:
    """What is started in here cannot write files beyond that size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def lift_limit(server: EmbeddedServer) -> None:
    """Start the server again without the limit."""
    restart(server)
