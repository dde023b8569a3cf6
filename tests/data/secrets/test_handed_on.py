"""What leaves the store: exports, bundles and reports hold no secret unless that is asked for."""

from __future__ import annotations

import json
import random
import sys
import zipfile
from pathlib import Path

import pytest

from workbench.data.secrets.leaks import parts, refuse
from workbench.errors import DisclosureError

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "ingest"))
import histories
import tokens


@pytest.fixture
def planted(bench, tmp_path):
    """A session in which every kind of secret stands, and the runs of the store."""
    secrets = [one for one in tokens.planted(random.Random(5)) if one.kind not in ("fastly", "json in json")]
    path = tmp_path / "session.jsonl"
    lines = [histories.dumps(histories.claude_line(n, one.text)) for n, one in enumerate(secrets)]
    lines.append(histories.dumps(histories.claude_line(len(lines), "mail ada@acme.dev from /home/ada on 10.0.0.7")))
    path.write_bytes(b"\n".join(lines) + b"\n")
    bench.ingest(path)
    return [one.secret for one in secrets]


def left(secrets: list[str], data: bytes, name: str = "x") -> list[str]:
    texts = [part.decode("utf-8", "replace") for _, part in parts(data, name)]
    texts += [text.replace("\\n", "\n") for text in texts]
    return [secret for secret in secrets if any(secret in text for text in texts)]


def test_a_bundle_holds_no_secret_and_is_read_back(bench, planted, tmp_path, database_url):
    """Of more than 160 planted secrets none is in the bundle; its runs and events are those of the store."""
    run = bench.executions()["id"][0]

    path = bench.export_bundle(run, tmp_path / "run.zip")

    assert len(planted) > 160
    assert left(planted, path.read_bytes()) == []
    report = bench.ingest(path)
    assert report.files[0].format == "workbench-bundle"
    assert not report.files[0].secrets
    both = bench.executions()
    assert both["n_events"].n_unique() == 1
    copy = next(id for id in both["id"] if id != run)
    columns = ["step_number", "event_type", "name", "agent", "severity", "timestamp"]
    assert bench.events(copy).select(columns).equals(bench.events(run).select(columns))


def test_a_bundle_says_what_the_run_tried(bench, tmp_path):
    """The task goes with its run: those who get the bundle can compare it with other runs of the task."""
    (tmp_path / "gpt-4o-airline.json").write_bytes(histories.tau_bench(1))
    bench.ingest(tmp_path / "gpt-4o-airline.json")
    [run] = bench.executions().iter_rows(named=True)

    report = bench.ingest(bench.export_bundle(run["id"], tmp_path / "run.zip"))

    assert report.new.executions == 1
    assert run["task"]
    assert bench.executions()["task"].to_list() == [run["task"]] * 2


def test_originals_are_in_a_bundle_only_when_asked_for(bench, planted, tmp_path):
    """With originals=True the very events come back."""
    run = bench.executions()["id"][0]

    path = bench.export_bundle(run, tmp_path / "run.zip", originals=True)

    bench.ingest(path)
    copy = next(id for id in bench.executions()["id"] if id != run)
    assert bench.events(copy)["data"].to_list() == bench.events(run)["data"].to_list()


def test_a_preview_says_what_a_bundle_tells(bench, planted):
    """How much, who and where is named, and the secrets by rule; no secret is in it."""
    preview = bench.export_bundle(bench.executions()["id"][0], preview=True)

    assert preview.events == len(planted) + 1
    assert preview.names["e-mail addresses"] == {"ada@acme.dev": 1}
    assert preview.names["home directories"] == {"/home/ada": 1}
    assert preview.names["IP addresses"]["10.0.0.7"] == 1
    assert preview.secrets["github-token"] >= 5
    assert left(planted, json.dumps(preview.as_dict()).encode()) == []


def test_a_preview_names_every_host(bench, tmp_path):
    """Also one whose password is redacted, and one without a domain: both stay in the bundle."""
    text = "postgresql://ada:Xq7vT2mLp9Rw4@db.acme.dev:5432/x and http://buildbox:8080/log and https://api.acme.dev/v1"
    (tmp_path / "session.jsonl").write_bytes(histories.dumps(histories.claude_line(0, text)) + b"\n")
    bench.ingest(tmp_path / "session.jsonl")

    preview = bench.export_bundle(bench.executions()["id"][0], preview=True)

    assert preview.secrets.keys() == {"url-password"}
    assert preview.names["hosts"].keys() == {"db.acme.dev", "buildbox", "api.acme.dev"}


def test_an_export_holds_no_secret_unless_asked_for(bench, planted):
    """An ATIF document is redacted by default."""
    run = bench.executions()["id"][0]

    clean = bench.export(run, format="atif")
    whole = bench.export(run, format="atif", redact=False)

    assert left(planted, json.dumps(json.loads(clean), ensure_ascii=False).encode()) == []
    assert planted[0] in whole.decode()


def test_a_bundle_that_would_hold_a_secret_is_not_written(bench, planted, tmp_path, monkeypatch):
    """Where the redaction lets one through, the last look refuses, names rule and place, and leaves no file."""
    from workbench.data.secrets.redact import Redactor

    monkeypatch.setattr(Redactor, "value", lambda self, value, key=None: value)

    with pytest.raises(DisclosureError, match=r"run\.zip/run\.jsonl would still hold a secret") as refused:
        bench.export_bundle(bench.executions()["id"][0], tmp_path / "run.zip")

    assert refused.value.rule
    assert [path.name for path in tmp_path.iterdir()] == ["session.jsonl"]


def test_the_last_look_sees_into_a_zip_and_a_page(tmp_path):
    """A secret in an entry of a zip, split by tags, or behind entities is seen."""
    secret = tokens.BARE["github classic"](random.Random(1))
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", f"use {secret}")

    for data in (
        (tmp_path / "x.zip").read_bytes(),
        f"<!doctype html><html><p>{secret[:9]}<b>{secret[9:]}</b></p>".encode(),
        f"<!doctype html><html><p>&#103;{secret[1:]}</p>".encode(),
    ):
        with pytest.raises(DisclosureError):
            refuse(data, "x")
    refuse(b"<!doctype html><html><p>nothing</p>", "x")


def test_a_report_holds_no_secret(bench, planted, tmp_path):
    """Neither the visible page nor the state of its widgets."""
    run = bench.executions()["id"][0]

    page = bench.report(run, output=tmp_path / "run.html", max_messages=1000)

    assert left(planted, page.read_bytes()) == []
    assert b"[redacted: github-token]" in page.read_bytes()
