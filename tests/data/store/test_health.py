"""Health: each check says what it found, and what to do when that is not well."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import psycopg
import pytest

from workbench.data.store import health as health_module
from workbench.data.store.engine import Store
from workbench.data.store.health import Check, Health, health
from workbench.settings import Settings


@pytest.fixture
def embedded():
    """A store on an embedded server of its own."""
    with tempfile.TemporaryDirectory(prefix="wb-home-", ignore_cleanup_errors=True) as home:
        store = Store.open(Settings.load(home=Path(home)))
        yield store
        store.close()


def by_name(found: Health) -> dict[str, Check]:
    return {check.name: check for check in found.checks}


def test_an_embedded_server_is_well(embedded):
    """All checks pass, and the facts are those of the server."""
    assert embedded.server is not None
    found = health(embedded)
    checks = by_name(found)

    assert found.ok, found
    assert list(checks) == [
        "server", "schema", "pgvector", "read-only SQL", "connections", "data checksums", "embedded server", "disk",
    ]  # fmt: skip
    assert checks["server"].detail.startswith("PostgreSQL 18.")
    assert checks["read-only SQL"].detail == "bench.sql() runs as workbench_reader, who may only read"
    assert f"process {embedded.server.pid}, 1 attached" in checks["embedded server"].detail
    assert all(check.ok for check in found.checks if check.name != "disk")
    assert json.loads(json.dumps(found.to_dict()))["checks"][0]["name"] == "server"


def test_any_other_server_has_no_checks_of_the_embedded_one(store):
    """For a URL there is no process and no disk of ours; the missing reader is said, and is no failure."""
    found = health(store)

    assert found.ok
    assert "embedded server" not in by_name(found)
    assert "WORKBENCH_READER_URL" in by_name(found)["read-only SQL"].advice


def test_a_reader_of_ones_own_is_tried(server, database_url):
    """The role that WORKBENCH_READER_URL names is connected as, and what it lacks is said."""
    database = database_url.partition("@/")[2].partition("?")[0]
    reader = server.url(user="workbench_reader", database=database)
    store = Store.open(Settings.load(database_url=database_url, reader_url=reader))
    assert by_name(health(store))["read-only SQL"].ok

    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("REVOKE USAGE ON SCHEMA workbench FROM workbench_reader")
    check = by_name(health(store))["read-only SQL"]
    assert not check.ok
    assert "permission denied" in check.detail
    assert "GRANT USAGE" in check.advice
    store.close()


def test_a_server_that_does_not_answer_is_one_check(database_url):
    """No traceback and no list of failures that follow from the first."""
    url = "postgresql://app:hunter2@127.0.0.1:1/db"
    store = Store(Settings.load(database_url=url, connect_timeout_s=1), url=url)
    found = health(store)

    assert not found.ok
    assert [check.name for check in found.checks] == ["server"]
    assert "Connection refused" in found.checks[0].detail
    assert found.checks[0].advice
    assert "hunter2" not in str(found)


def test_a_schema_that_is_behind_says_what_to_run(store):
    """An older revision is a failure with the command that mends it."""
    with psycopg.connect(store.url) as connection:
        connection.execute("UPDATE workbench.schema_version SET version_num = '0000'")
    check = by_name(health(store))["schema"]

    assert (check.ok, check.advice) == (False, "Run: workbench db upgrade")


def test_a_full_disk_is_warned_of(embedded, monkeypatch):
    """Less than the share of the disk that is thought low: the folder to clear is named."""
    monkeypatch.setattr(health_module, "LOW_SPACE", 1.01)  # every disk is fuller than that
    check = by_name(health(embedded))["disk"]

    assert not check.ok
    assert str(embedded.server.root) in check.advice


def test_it_reads_well_and_shows_html_escaped():
    """Text for a shell, HTML for a notebook; a failure and an absent option look different."""
    found = Health((Check("a", True, "fine"), Check("b", False, "<gone>", "mend"), Check("c", False, "less", "", True)))

    assert str(found) == "NOT healthy\n  ✓ a: fine\n  ✗ b: <gone> → mend\n  – c: less"
    assert "&lt;gone&gt;" in found._repr_html_()
    assert Health(found.checks[::2]).ok
