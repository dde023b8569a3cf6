"""Nothing leaves a guarded replay that was not declared."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from workbench.errors import EffectRefusedError
from workbench.replay.rerun.guard import Guard, free


@pytest.fixture
def listening():
    """A real server that counts who connects."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server


def n_connected(server: socket.socket) -> int:
    """How many connected so far."""
    n = 0
    while True:
        try:
            server.accept()[0].close()
        except TimeoutError:
            return n
        n += 1


def datagram(port: int) -> None:
    """Send one, from a socket that is closed again."""
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", port))


def ways(server: socket.socket, folder: Path) -> dict[str, Callable[[], object]]:
    """Ways in which an agent may reach outside."""
    port = server.getsockname()[1]
    marker = folder / "marker"
    return {
        "connect": lambda: socket.create_connection(("127.0.0.1", port)).close(),
        "datagram": lambda: datagram(port),
        "urlopen": lambda: urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1),
        "asyncio": lambda: asyncio.run(asyncio.open_connection("127.0.0.1", port)),
        "run": lambda: subprocess.run([sys.executable, "-c", f"open({str(marker)!r}, 'w')"], check=True),
        "system": lambda: os.system(f"touch {marker}"),
        "spawn": lambda: os.posix_spawn("/usr/bin/touch", ["touch", str(marker)], {}),
        "write": lambda: marker.write_text("x"),
        "rename": lambda: (folder / "there").rename(marker),
        "remove": lambda: (folder / "there").unlink(),
        "process": multiprocessing.get_context("spawn").Process(target=os.mkdir, args=(marker,)).start,
        "database": lambda: sqlite3.connect(marker),
        "pipe": lambda: os.mkfifo(marker),
    }


@pytest.mark.parametrize("way", ["connect", "datagram", "urlopen", "asyncio", "run", "system", "spawn", "write",
                                 "rename", "remove", "process", "database", "pipe"])  # fmt: skip
def test_no_effect_gets_out(way, listening, tmp_path):
    """Each way of reaching outside is refused in the agent's own stack, and nothing has happened."""
    (tmp_path / "there").write_text("stays")

    with Guard() as guard, pytest.raises(OSError, match=r"no declared tool|allow it"):
        ways(listening, tmp_path)[way]()

    assert len(guard.refused) >= 1
    assert n_connected(listening) == 0
    assert [file.name for file in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there").read_text() == "stays"


def test_threads_and_tasks_are_guarded_too(listening):
    """What a guarded agent starts is as guarded as itself; what ran before goes on."""
    port = listening.getsockname()[1]
    found: list[str] = []
    begin, done = threading.Event(), threading.Event()

    def connect(name):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            found.append(f"{name} connected")
        except EffectRefusedError:
            found.append(f"{name} refused")

    def before():
        begin.wait()
        connect("before")
        done.set()

    threading.Thread(target=before).start()
    with Guard():
        inside = threading.Thread(target=connect, args=("inside",))
        inside.start()
        inside.join()
        begin.set()
        done.wait()

    async def task():
        with Guard():
            await asyncio.gather(asyncio.to_thread(connect, "pool"), asyncio.create_task(connecting()))

    async def connecting():
        connect("task")

    asyncio.run(task())
    assert sorted(found) == ["before connected", "inside refused", "pool refused", "task refused"]
    assert n_connected(listening) == 1


def test_a_declared_effect_is_let_through(listening, tmp_path):
    """Inside `free` everything goes; outside of it, and after the guard, things are as they were."""
    port = listening.getsockname()[1]

    with Guard() as guard:
        with free():
            socket.create_connection(("127.0.0.1", port)).close()
        assert (tmp_path / "nothing").exists() is False
        assert Path(__file__).read_text()
    (tmp_path / "after").write_text("x")

    assert guard.refused == []
    assert n_connected(listening) == 1


def test_a_connection_that_was_there_before_sends_nothing(listening):
    """A session that is kept alive is no way out; what event loops wake themselves by is none of it."""
    with socket.create_connection(listening.getsockname()) as kept, listening.accept()[0] as other:
        other.settimeout(0.2)
        with Guard() as guard:
            for send in (kept.send, kept.sendall):
                with pytest.raises(EffectRefusedError, match=r"127\.0\.0\.1"):
                    send(b"GET / HTTP/1.1")
            asyncio.run(asyncio.sleep(0))
            near, far = socket.socketpair()
            with near, far:
                near.sendall(b"x")
            with sqlite3.connect(":memory:") as database:
                database.execute("SELECT 1")
            database.close()

        assert [effect.kind for effect in guard.refused] == ["network"] * 2
        with pytest.raises(TimeoutError):
            other.recv(1)
        kept.sendall(b"x")
        assert other.recv(1) == b"x"


def test_work_for_threads_that_were_there_before_is_guarded(tmp_path):
    """A pool of the agent's module, whose threads began before the guard, gives it no way out, nor keeps the guard."""

    def write(name):
        (tmp_path / name).write_text("x")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(write, "before").result()
        with Guard() as guard:
            with pytest.raises(EffectRefusedError):
                pool.submit(write, "inside").result()
            with free():
                pool.submit(write, "declared").result()
        pool.submit(write, "after").result()
    with ThreadPoolExecutor(1) as pool:
        with Guard(), pytest.raises(EffectRefusedError):
            pool.submit(write, "inside").result()
        pool.submit(write, "after that").result()

    assert len(guard.refused) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["after", "after that", "before", "declared"]


def test_a_thread_outlives_the_guard_and_stays_guarded(tmp_path):
    """What a guarded agent leaves to be done later is not done either."""
    later, refused = threading.Event(), []

    def write():
        later.wait()
        try:
            (tmp_path / "late").write_text("x")
        except EffectRefusedError as error:
            refused.append(error)

    with Guard() as guard:
        thread = threading.Thread(target=write)
        thread.start()
    later.set()
    thread.join()

    assert len(refused) == 1
    assert [effect.kind for effect in guard.refused] == ["file"]
    assert list(tmp_path.iterdir()) == []


def test_threads_of_others_are_not_guarded(tmp_path):
    """What runs beside the agent may go on to start threads, also one that is given the number of a thread before."""
    begin, done = threading.Event(), threading.Event()

    def write():
        (tmp_path / "of others").write_text("x")

    def refused():
        with pytest.raises(EffectRefusedError):
            write()

    def beside():
        begin.wait()
        inner = threading.Thread(target=write)
        inner.start()
        inner.join()
        done.set()

    threading.Thread(target=beside).start()
    old = threading.Thread(target=begin.wait)
    old.start()
    with Guard() as guard:
        begin.set()
        done.wait()
        old.join()
        for _ in range(20):
            thread = threading.Thread(target=refused)
            thread.start()
            thread.join()

    assert len(guard.refused) == 20
    assert [file.name for file in tmp_path.iterdir()] == ["of others"]
