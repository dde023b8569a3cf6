"""The store: connections, URLs, poolers, errors, forks and secrets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import psycopg
import pytest
import sqlalchemy as sa

import workbench
from workbench.data.store.address import Address, without_password
from workbench.data.store.engine import Store
from workbench.errors import (
    ConfigurationError,
    ConflictError,
    QueryError,
    ReadOnlyError,
    SchemaError,
    StoreUnavailableError,
)
from workbench.settings import Settings

INSERT = sa.text("INSERT INTO workbench.environments (name) VALUES ('e')")


def opened(url: str, *, read_only: bool = False, **settings) -> Store:
    return Store.open(Settings.load(database_url=url, **settings), read_only=read_only)


def ask(store: Store, query: str):
    with store.connection() as connection:
        return connection.scalar(sa.text(query))


def asked(uri: str, query: str):
    with psycopg.connect(uri) as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


@pytest.fixture
def pooled_url(server, database_url, tmp_path_factory):
    """The same server under the port that poolers have: a link to its socket."""
    with tempfile.TemporaryDirectory(prefix="wb-pool-") as folder:
        for port in (5432, 6543):
            (Path(folder) / f".s.PGSQL.{port}").symlink_to(server.socket_dir / ".s.PGSQL.5432")
        address = Address.parse(database_url)
        yield Address({**address.parameters, "host": folder, "port": "6543"}).url()


# -- URLs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_spelling_of_the_scheme_connects(database_url, scheme):
    """What libpq, Heroku and SQLAlchemy write is the same address."""
    with_scheme = database_url.replace("postgresql", scheme, 1)
    store = opened(with_scheme)

    assert ask(store, "SELECT 1") == 1
    store.close()


def test_the_adbc_uri_carries_the_session_settings(store):
    """A driver that takes nothing but a URL gets the search path, the timeout and the name too."""
    assert asked(store.adbc_uri, "SHOW search_path") == "workbench,public"
    assert asked(store.adbc_uri, "SHOW statement_timeout") == "5min"
    assert asked(store.adbc_uri, "SHOW application_name") == f"workbench/0.1.0 {os.getpid()}"
    assert asked(store.adbc_uri, "SHOW default_transaction_read_only") == "off"
    assert asked(store.reader_uri, "SHOW default_transaction_read_only") == "on"


def test_settings_in_the_url_stay(database_url):
    """Options and names that the user put into the URL are kept beside ours."""
    url = f"{database_url}&options=-c%20work_mem%3D9MB&application_name=theirs&sslmode=disable"
    store = opened(url)

    assert ask(store, "SHOW work_mem") == "9MB"
    assert ask(store, "SHOW application_name") == "theirs"
    assert ask(store, "SHOW search_path") == "workbench,public"
    assert "sslmode=disable" in store.adbc_uri
    store.close()


@pytest.mark.parametrize(
    ("url", "is_pooled", "direct"),
    [
        ("postgresql://u@ep-x-pooler.aws.neon.tech/d", True, "ep-x.aws.neon.tech"),
        ("postgresql://u@pooler.supabase.com:6543/d", True, "pooler.supabase.com:5432"),
        ("postgresql://u@h:5432,h2:5433/d", False, "h,h2:5432,5433"),
    ],
)
def test_a_pooler_is_known_and_passed_by(url, is_pooled, direct):
    """Neon's host suffix and the pooling port are seen, and the server behind them named."""
    address = Address.parse(url)

    assert address.is_pooled == is_pooled
    assert str(address.direct()) == f"postgresql://u@{direct}/d"


def test_behind_a_pooler_settings_hold_for_each_transaction(pooled_url):
    """No startup options and no prepared statements; search path, timeout and read-only mode are there all the same."""
    store = opened(pooled_url, statement_timeout_s=7)
    with store.raw() as connection:
        assert connection.prepare_threshold is None
        assert connection.execute("SHOW search_path").fetchone() == ("workbench,public",)
        assert connection.execute("SHOW statement_timeout").fetchone() == ("7s",)
        connection.rollback()
        assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)
    assert Address.parse(store.adbc_uri).parameters["port"] == "5432"
    store.close()

    reader = opened(pooled_url, read_only=True)
    with pytest.raises(ReadOnlyError, match="read-only"), reader.connection() as connection:
        connection.execute(INSERT)
    reader.close()


# -- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:hunter%2F2@127.0.0.1:1/db",
        "postgresql://127.0.0.1:1/db?user=app&password=hunter%2F2",
        "postgresql://app:hunter%zz2@h/db",
        "postgresql://app:hunter@2@127.0.0.1:1/db",
        "postgresql://app:hunter2@127.0.0.1:1/db?bogus=1",
    ],
)
def test_a_password_is_never_shown(url):
    """Not in a repr, and not in any error on the way to a connection that fails."""
    shown = []
    try:
        store = Store(Settings.load(database_url=url, connect_timeout_s=2), url=url)
        shown += [repr(store), repr(store.address)]
        with store.connection():
            pass
    except (ConfigurationError, StoreUnavailableError) as error:
        while error is not None:
            shown += [str(error), repr(error)]
            error = error.__cause__

    assert shown
    assert "hunter" not in " ".join(shown)
    assert "hunter" not in without_password(f"bad: {url} !")


# -- transactions and errors -----------------------------------------------------------------------------------------


def test_a_transaction_is_whole_or_nothing(store):
    """What an error interrupts is not there afterwards, through SQLAlchemy as through psycopg."""

    def by_sqlalchemy() -> None:
        with store.connection() as connection:
            connection.execute(INSERT)
            raise RuntimeError("stop")

    def by_psycopg() -> None:
        with store.raw() as driver:
            driver.execute("INSERT INTO workbench.environments (name) VALUES ('f')")
            raise RuntimeError("stop")

    for write in (by_sqlalchemy, by_psycopg):
        with pytest.raises(RuntimeError, match="stop"):
            write()

    assert ask(store, "SELECT count(*) FROM workbench.environments") == 0


@pytest.mark.parametrize(
    ("statement", "kind", "says"),
    [
        ("SELECT nothing", QueryError, 'column "nothing" does not exist'),
        ("INSERT INTO environments (name) VALUES ('')", ConflictError, "ck_environments_name"),
        ("INSERT INTO environments (name) VALUES ('a'), ('a')", ConflictError, "already exists"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", StoreUnavailableError, "No answer from the database"),
    ],
)
def test_errors_are_told_in_our_words(store, statement, kind, says):
    """The class says what kind, the text what the server said, and the driver's own error is the cause."""
    with pytest.raises(kind, match=says) as error, store.connection() as connection:
        connection.execute(sa.text(statement))

    assert isinstance(error.value.__cause__, sa.exc.DBAPIError)
    assert ask(store, "SELECT 1") == 1  # the pool is well


def test_the_statement_timeout_stops_a_query(database_url):
    """A query that takes too long is stopped by the server, and the error says how to allow more."""
    store = opened(database_url, statement_timeout_s=0.2)

    with pytest.raises(QueryError, match="Raise statement_timeout_s"):
        ask(store, "SELECT pg_sleep(30)")
    store.close()


def test_a_full_pool_says_so(database_url):
    """More threads than connections: the error names the setting."""
    store = opened(database_url, pool_size=1, connect_timeout_s=1)

    with store.connection(), store.connection(), pytest.raises(StoreUnavailableError, match="raise pool_size"):
        ask(store, "SELECT 1")
    store.close()


def test_nobody_there_is_said_at_once():
    """A server that does not answer is one clear error, not a traceback of three libraries."""
    with pytest.raises(StoreUnavailableError, match=r"No answer from the database: .*Connection refused") as error:
        opened("postgresql://app@127.0.0.1:1/db")
    assert isinstance(error.value, ConnectionError)
    assert "?." not in str(error.value)


@pytest.mark.parametrize(("part", "said"), [("password", "password"), ("database", 'database "nowhere"')])
def test_a_server_that_refuses_is_no_dead_server(database_url, part, said):
    """A wrong password or database is told as what it is."""
    url = sa.make_url(database_url).set(**{part: "nowhere"}).render_as_string(hide_password=False)

    with pytest.raises(StoreUnavailableError, match=rf"The database refused the connection: .*{said}.*of the URL"):
        opened(url)


# -- read only -------------------------------------------------------------------------------------------------------


def test_a_read_only_store_writes_nothing(database_url):
    """Every way of writing is refused by the server."""
    store = opened(database_url, read_only=True)

    with pytest.raises(ReadOnlyError, match="Open it without read_only=True"), store.connection() as connection:
        connection.execute(INSERT)
    with (
        pytest.raises(ReadOnlyError, match="read-only"),
        store.raw() as driver,
        driver.cursor() as cursor,
        cursor.copy("COPY workbench.environments (name) FROM STDIN"),
    ):
        pass
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), psycopg.connect(store.adbc_uri) as connection:
        connection.execute("CREATE TABLE public.x ()")
    store.close()


def test_a_read_only_store_upgrades_nothing(server, empty_url):
    """A missing schema is an error that says what to run, and stays missing."""
    with pytest.raises(SchemaError, match=r"The schema is missing; .*Run: workbench db upgrade"):
        opened(empty_url, read_only=True)
    assert asked(empty_url, "SELECT to_regnamespace('workbench') IS NULL") is True


ATTACKS = [
    "INSERT INTO environments (name) VALUES ('x')",
    "CREATE TABLE workbench.x ()",
    "CREATE TABLE public.x ()",
    "CREATE TEMP TABLE x ()",
    "TRUNCATE environments",
    "DROP SCHEMA workbench CASCADE",
    "COPY environments TO PROGRAM 'id'",
    "COPY environments TO '/tmp/wb-stolen'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_create(0)",
    "SELECT rolpassword FROM pg_authid",
    "SELECT passwd FROM pg_shadow",
    "ALTER ROLE workbench_reader SUPERUSER",
    "SET ROLE workbench",
    "CREATE EXTENSION adminpack",
    "SELECT nextval('x')",
]


def test_the_readers_fence_is_its_grants(home):
    """Also after it unset the read-only switch, the reader of the embedded server writes and steals nothing."""
    store = Store.open(Settings.load(home=home))
    refused = []
    for attack in ATTACKS:
        with psycopg.connect(store.reader_uri, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            assert connection.execute("SHOW transaction_read_only").fetchone() == ("off",)
            try:
                connection.execute(attack.encode())
            except psycopg.Error as error:
                refused.append((attack, type(error).__name__))

    assert [attack for attack, _ in refused] == ATTACKS
    assert asked(store.reader_uri, "SELECT count(*) FROM environments") == 0
    store.close()


# -- life ------------------------------------------------------------------------------------------------------------


def test_the_pool_outlives_a_killed_server(home):
    """The embedded server is killed under an open store: the next query starts it again, and nothing is lost."""
    store = Store.open(Settings.load(home=home))
    with store.connection() as connection:
        connection.execute(INSERT)
    assert store.server is not None
    first = store.server.pid
    assert first is not None
    workers = psutil.Process(first).children()
    os.kill(first, signal.SIGKILL)
    psutil.wait_procs(workers, timeout=30)  # they serve on until they notice
    while store.server.pid is not None:
        time.sleep(0.01)

    assert ask(store, "SELECT count(*) FROM workbench.environments") == 1
    assert store.server.pid not in (None, first)
    store.close()
    assert store.server.pid is None


def test_many_threads_share_a_store(store):
    """Twenty threads on ten connections: all are served."""
    found: list[int] = []
    threads = [threading.Thread(target=lambda n=n: found.append(ask(store, f"SELECT {n}"))) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(found) == list(range(20))


def test_a_forked_child_disturbs_nobody(database_url):
    """A child that inherits an open store queries through connections of its own; the parent's stay whole."""
    code = f"""
import os, sys, sqlalchemy as sa
from workbench.data.store.engine import Store
from workbench.settings import Settings
store = Store.open(Settings.load(database_url={database_url!r}))
def backend():
    with store.connection() as connection:
        return connection.scalar(sa.text("SELECT pg_backend_pid()"))
mine = backend()
child = os.fork()
if child == 0:
    assert backend() != mine
    sys.exit(0)  # with everything that happens at an ordinary exit
_, status = os.waitpid(child, 0)
assert status == 0, status
assert backend() == mine
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "ending", ["", "del store; import gc; gc.collect()", "import sys; sys.exit(3)", "raise SystemExit"]
)
def test_an_exit_without_close_stops_the_server(home, ending):
    """A program that forgets to close, or forgets the store altogether, leaves no server behind and says nothing."""
    code = f"""
from workbench.data.store.engine import Store
from workbench.settings import Settings
store = Store.open(Settings.load(home={str(home)!r}))
print(store.server.pid)
{ending}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert not Path(f"/proc/{done.stdout.strip()}").exists()


def test_closing_twice_is_nothing(database_url):
    """A store may be closed by hand and again by its block."""
    store = opened(database_url)
    store.close()
    store.close()


def test_windows_is_told_to_give_a_url():
    """Where the embedded server cannot run, the error says what does."""
    code = """
import sys, sqlalchemy, psycopg, pydantic_settings, platformdirs, psutil
from workbench.data.store.engine import Store
from workbench.settings import Settings
from workbench.errors import ConfigurationError
settings = Settings.load(home="/nowhere")
sys.platform = "win32"
try: Store.open(settings)
except ConfigurationError as error: print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "does not run on Windows. Give a server: connect('postgresql://…')" in done.stdout


def test_a_closed_workbench_says_so_whatever_is_asked_of_it(database_url):
    """Frames, SQL, records and memory name the closed workbench and the way to open it, not a socket."""
    bench = workbench.connect(database_url)
    bench.executions()
    bench.close()

    for use in (
        bench.executions,
        lambda: bench.events("01a1fd41"),
        lambda: bench.sql("SELECT 1"),
        lambda: list(bench.pages("events")),
        bench.records.tasks.list,
        lambda: bench.records.tasks.create(title="x"),
        lambda: bench.memory.add("x", agent_type="a"),
        lambda: bench.memory.nearest([1.0], model="m"),
    ):
        with pytest.raises(StoreUnavailableError, match=r"^This workbench is closed. Open it again with workbench"):
            use()
    assert "closed" in repr(bench)
    assert "This workbench is closed" in str(bench.health())
