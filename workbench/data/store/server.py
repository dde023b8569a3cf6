"""The embedded Postgres: started by the first client of a home, stopped by the last.

Three locks, which the kernel drops when their holder dies, so that no list could ever be wrong:

``clients.lock``
    Shared, by every client as long as it is attached. Whoever leaves lets go and tries to have it alone: if that
    works, it was the last one, and stops the server.
``server.lock``
    Exclusive, by the one client that is starting or stopping the server.
``running.lock``
    Exclusive, by the server itself and all its processes, which inherit the handle. As long as anybody holds it, no
    other server may be started on the data: not after a crash whose last processes are still at work, and not from
    another container, where the number in ``postmaster.pid`` means nothing.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import signal
import stat
import subprocess
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from workbench.data.store.cluster import ADMIN, DATABASE, OWNER, READER, Cluster, binaries, environment
from workbench.data.store.locks import FileLock, alone, holders
from workbench.errors import ServerError

log = logging.getLogger(__name__)

PORT = 5432  # names the socket file only; the server listens on no network
_POLL_S = 0.02
_CRASH_CLEANUP_S = 30  # how long the processes of a killed postmaster may take to notice
_SOCKET_GRACE_S = 10  # a postmaster makes its socket first of all, before any recovery
_STOP_TIMEOUT_S = 60
_LOG_MAX_BYTES = 10_000_000
_SMALL_SHM_BYTES = 512 << 20


class EmbeddedServer:
    """The Postgres of one home folder.

    Parameters
    ----------
    home
        Folder that holds ``postgres/``; made when missing.
    start_timeout_s
        How long a start may take, recovery after a crash included.

    Attributes
    ----------
    root, data_dir, log_path
        ``<home>/postgres``, the data folder in it, and the server's log.
    """

    def __init__(self, home: Path, *, start_timeout_s: float = 120) -> None:
        self.home = home
        self.root = home / "postgres"
        self.start_timeout_s = start_timeout_s
        self._cluster = Cluster(self.root)
        self.data_dir = self._cluster.data_dir
        self.log_path = self._cluster.log_path
        self._clients: FileLock | None = None

    # -- attach and detach -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the server, or attach to it where it runs. Starting twice is nothing.

        Raises
        ------
        ServerError
            It did not start; the text holds the end of its log.
        """
        if self._clients is not None:
            return
        try:
            self._cluster.make_root()
            if not os.access(self.root, os.W_OK):
                raise PermissionError(13, "not writable for you")
        except OSError as error:
            raise ServerError(
                f"The home folder {self.home} cannot be used: {error.strerror}. Choose another: connect(home=…)."
            ) from error
        with self._transition("starting the server"):
            clients = FileLock(self.root / "clients.lock")
            try:
                self._cluster.own(clients.path)
                if not clients.try_shared():
                    # Exclusive holders hold server.lock too, which we have: this is nobody of ours.
                    raise ServerError(f"Another program holds {clients.path}. End it: lsof {clients.path}")
                self._cluster.ensure()
                self._bring_up()
            except BaseException:
                clients.close()
                raise
            self._clients = clients
            _attached.add(self)

    def stop(self) -> None:
        """Let go; the last one out stops the server. In a forked child this is nothing.

        Raises
        ------
        ServerError
            The server did not stop.
        """
        if self._clients is None:
            return
        clients, self._clients = self._clients, None
        _attached.discard(self)
        if not self.root.exists():
            clients.close()  # the home was removed under a running server, and its lock file with it
            return
        with clients, self._transition("stopping the server"):
            clients.release()
            if not clients.try_exclusive():
                log.debug("%s: others are attached, the server stays", self.root)
            elif self.pid is not None:
                self._shut_down()

    def revive(self) -> None:
        """Start the server again where it died under its clients (out of memory, killed by hand).

        Raises
        ------
        ServerError
            This client is not attached, or the server does not start.
        """
        if self._clients is None:
            raise ServerError(f"{self!r} is not attached; call start() first.")
        with self._transition("starting the server again"):
            self._bring_up()

    # -- what it is doing --------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """Process id of the server that runs on the data folder; ``None`` when none does."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
            process = psutil.Process(int(lines[0]))
            # A zombie is dead, only not reaped: containers whose first process does not reap keep them for ever.
            if process.status() == psutil.STATUS_ZOMBIE or not process.name().startswith("postgres"):
                return None
            # The number may have been given again, to the server of another home: look where that one works.
            return process.pid if Path(process.cwd()).samefile(self.data_dir) else None
        except psutil.AccessDenied:
            return None  # a process of another user; ours we may look at
        except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
            return None

    @property
    def is_running(self) -> bool:
        """Whether it answers a real query."""
        return self.pid is not None and self._answers(OWNER, DATABASE)

    @property
    def n_clients(self) -> int | None:
        """How many are attached; ``None`` where the system does not tell."""
        return holders(self.root / "clients.lock")

    @property
    def socket_dir(self) -> Path:
        """A short private folder for the socket (a socket's path holds some 100 bytes), the same for every client.

        Its name cannot be guessed by others who may write to ``/tmp``. The folder is made anew at every start: a
        reboot may have removed it.
        """
        secret = self._cluster.password(OWNER)
        return Path("/tmp") / f"wb-{hashlib.sha256(secret.encode()).hexdigest()[:20]}"  # noqa: S108

    def url(self, *, user: str = OWNER, database: str = DATABASE) -> str:
        """Libpq URL, password included."""
        host = quote(str(self.socket_dir), safe="")
        return f"postgresql://{user}:{self._cluster.password(user)}@/{quote(database, safe='')}?host={host}&port={PORT}"

    def __repr__(self) -> str:
        return f"EmbeddedServer(home={str(self.home)!r})"

    # -- the process -------------------------------------------------------------------------------------------------

    @contextmanager
    def _transition(self, doing: str) -> Iterator[None]:
        """One process at a time starts or stops the server."""
        with alone(self.root / "server.lock", doing=doing, timeout_s=2 * self.start_timeout_s):
            self._cluster.own(self.root / "server.lock")
            yield

    def _bring_up(self) -> None:
        if self.pid is not None and self._answers(OWNER, DATABASE):
            return
        process = None
        if self.pid is None:
            process = self._spawn()
        try:
            self._wait_for(process)
        except ServerError:
            raise  # it may yet recover: the next start waits for it again
        except BaseException:
            if process is not None:
                process.send_signal(signal.SIGINT)  # "fast" shutdown: nobody is attached
            raise
        self._cluster.ensure_roles(
            self.url(user=ADMIN, database="postgres"), self.url(user=ADMIN, database="template1")
        )

    def _spawn(self) -> subprocess.Popen[Any]:
        with FileLock(self.root / "running.lock") as running:
            self._cluster.own(running.path)
            self._wait_until_alone(running)
            self._make_socket_dir()
            # Nobody runs, so whoever left these is dead; Postgres itself would take a zombie for alive.
            for left in (self.data_dir / "postmaster.pid", self._socket, Path(f"{self._socket}.lock")):
                left.unlink(missing_ok=True)
            with suppress(OSError):
                if self.log_path.stat().st_size > _LOG_MAX_BYTES:
                    self.log_path.replace(self.log_path.with_suffix(".log.1"))
            output = os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                self._cluster.own(self.log_path)
                process = subprocess.Popen(
                    [binaries() / "postgres", "-D", str(self.data_dir), "-k", str(self.socket_dir), "-p", str(PORT),
                     "-c", "listen_addresses=", "-c", "unix_socket_permissions=0700", *_shared_memory()],
                    stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=[running.fileno()],
                    start_new_session=True,  # Ctrl-C in a client's terminal is not for the server
                    cwd="/", env=environment(), **self._cluster.user.popen(),
                )  # fmt: skip
            finally:
                os.close(output)
        _children.append(process)
        return process

    def _wait_until_alone(self, running: FileLock) -> None:
        deadline = time.monotonic() + _CRASH_CLEANUP_S
        while not running.try_exclusive():
            if time.monotonic() > deadline:
                raise ServerError(
                    f"A server still runs on {self.data_dir}, but not here: in another container or on another machine,"
                    f" or what a killed one left behind ({running.path} is held; look with lsof). End it, then try"
                    " again."
                )
            time.sleep(_POLL_S)

    def _wait_for(self, process: subprocess.Popen[Any] | None) -> None:
        began = time.monotonic()
        while not self._answers(ADMIN, "postgres"):
            waited = time.monotonic() - began
            if process is not None and process.poll() is not None:
                raise ServerError(
                    f"Postgres ended while starting (exit {process.returncode}). Its log says:\n"
                    f"{self._cluster.log_tail()}"
                )
            if waited > self.start_timeout_s:
                raise ServerError(
                    f"Postgres did not answer within {self.start_timeout_s:.0f} s. Its log ({self.log_path}) says:\n"
                    f"{self._cluster.log_tail()}\nIt may be recovering: try again, or give start_timeout_s=…"
                )
            if process is None and self.pid is None:
                process = self._spawn()  # it went away while we waited
            elif process is None and waited > _SOCKET_GRACE_S and not self._socket.exists():
                process = self._restart_unreachable()
            time.sleep(_POLL_S)

    def _restart_unreachable(self) -> subprocess.Popen[Any]:
        """The server runs, but its socket is gone: somebody cleaned ``/tmp``, or has another ``/tmp`` than we."""
        if (self.n_clients or 1) > 1:
            raise ServerError(
                f"The server of {self.home} runs (process {self.pid}), but its socket {self._socket} is not here, and"
                " others are attached: a private /tmp, or one that was cleaned. Close the others, then try again."
            )
        self._shut_down()
        return self._spawn()

    def _shut_down(self) -> None:
        """A "fast" shutdown. By signal, not by ``pg_ctl``: that needs a way to the data folder, the server does not."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        with FileLock(self.root / "running.lock") as running:
            while self.pid is not None or not running.try_exclusive():
                if time.monotonic() > deadline:
                    raise ServerError(
                        f"Postgres (process {pid}) did not stop within {_STOP_TIMEOUT_S} s. Its log ({self.log_path})"
                        f" says:\n{self._cluster.log_tail()}"
                    )
                time.sleep(_POLL_S)
        for process in [child for child in _children if child.poll() is not None]:  # reaped where it was ours
            _children.remove(process)
        shutil.rmtree(self.socket_dir, ignore_errors=True)

    def _answers(self, user: str, database: str) -> bool:
        import psycopg

        try:
            with psycopg.connect(self.url(user=user, database=database), connect_timeout=5) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            if user == ADMIN and "password authentication failed" in str(error):
                raise ServerError(
                    f"The server of {self.home} does not take the password in {self.root / 'passwords'}. Restore that"
                    " file from a backup of this home."
                ) from error
            return False
        return True

    @property
    def _socket(self) -> Path:
        return self.socket_dir / f".s.PGSQL.{PORT}"

    def _make_socket_dir(self) -> None:
        path, user = self.socket_dir, self._cluster.user
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
            user.give(path)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != user.uid:
            raise ServerError(f"{path} belongs to somebody else (uid {found.st_uid}). Remove it, then try again.")
        path.chmod(0o700)


# Kept so that they are reaped, and do not warn when they are collected.
_children: list[subprocess.Popen[Any]] = []
_attached: weakref.WeakSet[EmbeddedServer] = weakref.WeakSet()


def _forget_in_child() -> None:
    """A forked child is no client: it neither holds the parent's lock nor stops the parent's server."""
    for server in list(_attached):
        if server._clients is not None:
            server._clients.close()
            server._clients = None
    _attached.clear()
    _children.clear()


os.register_at_fork(after_in_child=_forget_in_child)


def _shared_memory() -> list[str]:
    """Parallel queries share memory through ``/dev/shm``, of which a container may have 64 MB: then through files."""
    try:
        found = os.statvfs("/dev/shm")  # noqa: S108
    except OSError:
        return []
    small = found.f_blocks * found.f_frsize < _SMALL_SHM_BYTES
    return ["-c", "dynamic_shared_memory_type=mmap"] if small else []


__all__ = ["DATABASE", "OWNER", "READER", "EmbeddedServer", "binaries"]
