"""Nothing leaves a guarded replay that was not declared."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
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
    }


@pytest.mark.parametrize("way", ["connect", "datagram", "urlopen", "asyncio", "run", "system", "spawn", "write",
                                 "rename", "remove"])  # fmt: skip
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
