"""The embedded server: who starts it, who stops it, and what cannot stop it from starting again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from workbench.data.store import server as server_module
from workbench.data.store import system_user
from workbench.data.store.locks import alone
from workbench.data.store.server import EmbeddedServer, binaries
from workbench.errors import ServerError

CLIENT = """
import sys, time
from pathlib import Path
from workbench.data.store.server import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
sys.stdin.readline()
if len(sys.argv) < 3: server.stop()
"""


@pytest.fixture
def home(home):
    """An empty home; whatever still runs in it afterwards is ended."""
    yield home
    pid = EmbeddedServer(home).pid
    if pid is not None:
        left = psutil.Process(pid)
        left.send_signal(signal.SIGQUIT)
        psutil.wait_procs([left], timeout=10)


class Client:
    """A process of its own that attaches to the server of a home."""

    def __init__(self, home: Path, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(home), *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def postmaster(self) -> int:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        return int(line)

    def leave(self) -> None:
        _, errors = self.process.communicate("\n", timeout=60)
        assert (self.process.returncode, errors) == (0, "")

    def die(self) -> None:
        self.process.kill()
        self.process.communicate()


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_last_one_out_stops_it(home):
    """Four clients that start at once share one server; it runs until the last has left."""
    clients = [Client(home) for _ in range(4)]
    pids = {client.postmaster() for client in clients}

    assert len(pids) == 1
    pid = pids.pop()
    for client in clients[:3]:
        client.leave()
    assert alive(pid)
    clients[3].leave()
    assert not alive(pid)


def test_a_killed_client_never_matters(home):
    """After kill -9 of one client the other's clean exit stops the server; the next start works."""
    first, second = Client(home), Client(home)
    pid = first.postmaster()
    second.postmaster()
    first.die()
    assert alive(pid)
    second.leave()
    assert not alive(pid)

    alone = Client(home)
    orphan = alone.postmaster()
    alone.die()
    assert alive(orphan)  # nobody was left to stop it
    heir = Client(home)
    assert heir.postmaster() == orphan
    heir.leave()
    assert not alive(orphan)


def test_a_killed_server_recovers(home):
    """Kill -9 of the postmaster loses nothing that was committed."""
    server = EmbeddedServer(home)
    server.start()
    with psycopg.connect(server.url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    while alive(pid):
        time.sleep(0.01)

    again = EmbeddedServer(home)
    again.start()
    with psycopg.connect(again.url()) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (1000,)
    again.stop()
    server.stop()


def test_a_killed_servers_last_processes_are_waited_for(home, monkeypatch):
    """As long as a process of the dead server may still write, no other is started on the same data."""
    monkeypatch.setattr(server_module, "_CRASH_CLEANUP_S", 1)
    server = EmbeddedServer(home)
    server.start()
    with psycopg.connect(server.url()) as connection:
        left = psutil.Process(connection.info.backend_pid)
        postmaster = server.pid
        assert postmaster is not None
        left.suspend()
        os.kill(postmaster, signal.SIGKILL)
        while server.pid is not None:
            time.sleep(0.01)

        with pytest.raises(ServerError, match=r"A server still runs on .*running.lock is held"):
            EmbeddedServer(home).start()
        left.resume()
    monkeypatch.undo()
    again = EmbeddedServer(home)
    again.start()
    assert again.is_running
    again.stop()
    server.stop()


def test_a_cleaned_tmp_does_not_lock_anybody_out(home, monkeypatch):
    """The socket's folder is gone under a server: the next to come starts it again, unless others are at work."""
    monkeypatch.setattr(server_module, "_SOCKET_GRACE_S", 0.2)
    client = Client(home)
    pid = client.postmaster()
    server = EmbeddedServer(home)
    shutil.rmtree(server.socket_dir)
    with pytest.raises(ServerError, match=r"its socket .* is not here, and others are attached"):
        server.start()

    client.die()
    server.start()
    assert server.is_running
    assert not alive(pid)
    server.stop()


def test_a_reboot_that_empties_tmp_is_nothing(home):
    """The socket's folder is made anew at every start, with the same name."""
    server = EmbeddedServer(home)
    server.start()
    place = server.socket_dir
    server.stop()
    assert not place.exists()

    server.start()
    assert server.socket_dir == place
    assert place.is_dir()
    server.stop()


def test_ctrl_c_in_the_clients_terminal_is_not_for_the_server(home):
    """The server has a session of its own, and none of its client's files but the lock meant for it."""
    client = Client(home)
    pid = client.postmaster()

    assert os.getsid(pid) != os.getsid(client.process.pid)
    open_files = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    locks = {Path(name).name for name in open_files if name.endswith(".lock")}
    assert locks == {"running.lock"}
    client.leave()


def test_who_waits_is_told_for_whom(home, monkeypatch):
    """Another process that is starting the server for too long is named in the error."""
    server = EmbeddedServer(home, start_timeout_s=0.2)
    server.root.mkdir(parents=True)
    with (
        alone(server.root / "server.lock", doing="starting the server", timeout_s=1),
        pytest.raises(ServerError, match=rf"held by process {os.getpid()}, starting the server since \d\d:"),
    ):
        server.start()


def test_a_zombie_is_not_a_server(home):
    """The id in postmaster.pid of a process that is dead but not reaped does not count as running."""
    server = EmbeddedServer(home)
    server.start()
    server.stop()
    zombie = subprocess.Popen([binaries() / "postgres", "--version"], stdout=subprocess.DEVNULL)
    while psutil.Process(zombie.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    lines = [str(zombie.pid), str(server.data_dir), "1700000000", "5432", str(server.socket_dir), "", "0 0", "ready"]
    (server.data_dir / "postmaster.pid").write_text("\n".join(lines) + "\n")

    assert server.pid is None
    server.start()
    assert server.is_running
    server.stop()
    zombie.wait()


def test_a_foreign_process_with_the_number_is_not_a_server(home):
    """A recycled process id belongs to somebody else and is left alone."""
    server = EmbeddedServer(home)
    server.start()
    server.stop()
    lines = [str(os.getpid()), str(server.data_dir), "1700000000", "5432", str(server.socket_dir), "", "0 0", "ready"]
    (server.data_dir / "postmaster.pid").write_text("\n".join(lines) + "\n")

    server.start()
    assert server.pid not in (None, os.getpid())
    server.stop()


def test_a_long_path_has_a_short_socket(home):
    """A home deeper than a socket's path may be long works."""
    home = home / ("deep" * 30) / ("er" * 40)
    server = EmbeddedServer(home)
    server.start()
    assert len(str(server.socket_dir / ".s.PGSQL.5432")) < 104
    assert server.is_running
    server.stop()


def test_only_its_owner_reaches_it(server):
    """No network, a private socket folder, a password for everyone, checksums on, no superuser for our own work."""
    assert server.socket_dir.stat().st_mode & 0o777 == 0o700
    assert (server.root / "passwords").stat().st_mode & 0o777 == 0o600
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"postgresql://workbench@/workbench?host={server.socket_dir}", connect_timeout=5)
    with psycopg.connect(server.url()) as connection:
        ask = connection.execute
        assert ask("SHOW listen_addresses").fetchone() == ("",)
        assert ask("SHOW data_checksums").fetchone() == ("on",)
        assert ask("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone() == (False,)
    assert psutil.Process(server.pid).net_connections(kind="tcp") == []


def test_a_failed_start_shows_the_log(home):
    """The reason that Postgres gives stands in the error."""
    server = EmbeddedServer(home)
    server.start()
    server.stop()
    with (server.data_dir / "postgresql.auto.conf").open("a") as file:
        file.write("shared_buffers = 'lots'\n")

    with pytest.raises(ServerError, match="shared_buffers"):
        server.start()
    assert server.pid is None


def test_an_interrupted_first_start_leaves_nothing_half_made(home):
    """A client killed while the data folder is being made does not stop the next one."""
    for delay in (0.15, 0.3, 0.5):
        client = Client(home)
        time.sleep(delay)
        client.die()
    client = Client(home)
    client.postmaster()
    client.leave()


def test_a_folder_of_somebody_elses_is_not_touched(home):
    """A data folder that holds other things is refused and stays as it is."""
    strange = home / "postgres" / "18"
    strange.mkdir(parents=True)
    (strange / "diary.txt").write_text("dear diary")

    with pytest.raises(ServerError, match="is not empty and is no Postgres data folder"):
        EmbeddedServer(home).start()
    assert [path.name for path in strange.iterdir()] == ["diary.txt"]


def test_a_forked_child_does_not_stop_the_server(home):
    """A child that exits, its copy of the handle closed, leaves the parent's server running."""
    server = EmbeddedServer(home)
    server.start()
    code = f"""
import os
from pathlib import Path
from workbench.data.store.server import EmbeddedServer
server = EmbeddedServer(Path({str(home)!r})); server.start()
child = os.fork()
if child == 0:
    server.stop(); os._exit(0)
os.waitpid(child, 0)
assert server.is_running
server.stop()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert server.is_running
    server.stop()
    assert not server.is_running


@pytest.mark.skipif(os.geteuid() != 0, reason="it is about what root does; an ordinary user is every other test")
def test_root_lets_the_servers_user_through_and_nobody_else(home):
    """Private folders above the data stay private: only the server's own user may pass."""
    private = home / "private"
    private.mkdir(mode=0o700, parents=True)
    server = EmbeddedServer(private / "home")
    server.start()
    try:
        assert private.stat().st_mode & 0o007 == 0
        assert psutil.Process(server.pid).username() == system_user.NAME
    finally:
        server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="it is about what root does; an ordinary user is every other test")
def test_root_in_somebodys_home_runs_the_server_as_that_somebody(home):
    """After `sudo workbench …` the files of the home are still its owner's."""
    shutil.chown(home.parent, system_user.NAME, system_user.NAME)
    server = EmbeddedServer(home)
    server.start()
    owners = {path.owner() for path in (home, home / "postgres", *(home / "postgres").iterdir())}
    user = psutil.Process(server.pid).username()
    server.stop()

    assert (owners, user) == ({system_user.NAME}, system_user.NAME)


@pytest.mark.skipif(os.geteuid() != 0, reason="it is about what root does; an ordinary user is every other test")
def test_a_volume_of_a_user_without_a_name_works(home):
    """A folder owned by a number that this machine has no name for, as containers have."""
    os.chown(home.parent, 54_321, 54_321)
    server = EmbeddedServer(home)
    server.start()

    assert psutil.Process(server.pid).username() == system_user.NAME
    server.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become an ordinary user; elsewhere all tests run as one")
def test_an_ordinary_user_needs_no_root(server):
    """The same client works for a user without rights, its server running as that user."""
    user = system_user.NAME
    home = Path(tempfile.mkdtemp(prefix="wb-user-"))
    shutil.chown(home, user)
    try:
        system_user.SystemUser.of(Path("/")).let_through(
            Path(sys.executable), Path(sys.prefix) / "lib", Path(sys.base_prefix), Path(__file__)
        )
        code = CLIENT.replace("sys.stdin.readline()", "import psutil; print(psutil.Process(server.pid).username())")
        done = subprocess.run(
            [sys.executable, "-c", code, str(home)], user=user, group=user, cwd="/",
            env={"HOME": str(home), "PATH": os.environ["PATH"]}, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.split()[1] == user
    finally:
        shutil.rmtree(home)
