"""Damaged files: named as an error with what is wrong with them, whether they are met in a folder or named alone."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from histories import KINDS, LINES, claude, counts, inspect_eval, otlp, rows

from workbench import cli
from workbench.data.ingest import ingest
from workbench.data.ingest.detect import choose
from workbench.data.ingest.reading.source import Source
from workbench.data.store.engine import Store
from workbench.errors import IngestError, UnknownFormatError

SESSION = claude()
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 30

DAMAGED = {
    "plain.txt.gz": (b"hello, world", "ends in .gz but is not gzip: first bytes 68 65 6c 6c 6f 2c 20 77 …"),
    "page.jsonl.gz": (b"<html>404</html>", "ends in .gz but is not gzip: first bytes 3c 68 74 6d 6c 3e 34 30 …"),
    "short.jsonl.gz": (gzip.compress(SESSION)[:12], "the gzip stream is cut off or damaged from here"),
    "hollow.jsonl.gz": (gzip.compress(b""), "empty: 0 bytes once decompressed"),
    "log.eval": (b"hello", "cannot be read: it is not a zip: first bytes 68 65 6c 6c 6f"),
    "torn.eval": (b"PK\3\4" + b"x" * 60, "cannot be read: the zip file is cut off or damaged (file is not a zip"),
    "none.eval": (b"", "empty: 0 bytes"),
    "none.json": (b"", "empty: 0 bytes"),
    "none.pb": (b"", "empty: 0 bytes"),
    "blank.jsonl": (b" \n\n", "empty: 3 bytes, all of them blank"),
    "nuls.jsonl": (b"\0" * 4096, "ends in .jsonl but is not text: first bytes 00 00 00 00 00 00 00 00 …"),
    "image.json": (PNG, "ends in .json but is not text: first bytes 89 50 4e 47 0d 0a 1a 0a …"),
    "cut.jsonl": (SESSION[:30], "cut off: Unterminated string starting at character 26"),
    "cut.json": (KINDS["tau2"].make()[:-10], "cannot be read: cut off: Unterminated string starting at char"),
}
OTHER = {
    "README.md": b"# A project\n",
    "logo.png": PNG,
    "LICENSE": b"MIT",
    "empty.py": b"",
    "tsconfig.json": b'{\n  // a comment\n  "strict": true\n}',
    "package.json": b'{"name": "shop"}',
    "storage.json": b'{"task-store": "{}"}',
}


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_a_folder_tells_damage_from_other_files(store: Store, tmp_path: Path) -> None:
    """Damaged history is a failed file that says what is wrong; what is no history at all is passed over."""
    for name, (data, _) in DAMAGED.items():
        put(tmp_path, name, data)
    for name, data in {**OTHER, "good.jsonl": SESSION}.items():
        put(tmp_path, name, data)

    report = ingest(store, tmp_path, progress=False)

    failed = {Path(file.path).name: file.error or "" for file in report.files if file.error is not None}
    assert {name: failed.get(name, "")[: len(reason)] for name, (_, reason) in DAMAGED.items()} == {
        name: reason for name, (_, reason) in DAMAGED.items()
    }
    assert set(failed) == set(DAMAGED)
    assert {Path(skipped.path).name for skipped in report.skipped} == set(OTHER)
    assert all(skipped.reason for skipped in report.skipped)
    assert not report.ok
    assert counts(store) == (1, 4)


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_named_alone_is_that_error(store: Store, tmp_path: Path, name: str) -> None:
    """The error of the one file that was named gives the same reason, and the file's name."""
    data, reason = DAMAGED[name]

    with pytest.raises(IngestError, match=r"\w") as raised:
        ingest(store, put(tmp_path, name, data), progress=False)

    assert not isinstance(raised.value, UnknownFormatError)
    assert name in str(raised.value)
    assert reason in str(raised.value)
    assert counts(store) == (0, 0)


def test_an_empty_file_is_empty_in_every_format() -> None:
    """A format that was forced does not make an empty file one of its own."""
    with pytest.raises(IngestError, match=r"notes\.txt: empty: 0 bytes\."):
        choose(Source.from_bytes(b"", "notes.txt"), format="otlp")
    with pytest.raises(UnknownFormatError, match=r"notes\.txt: empty: 0 bytes\. Known formats"):
        choose(Source.from_bytes(b"", "notes.txt"))


def test_the_shell_names_a_place_only_where_there_is_one(
    database_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad part without a line prints as `path: reason`, a bad line as `path:line: reason`."""
    log = put(tmp_path, "log.eval", inspect_eval(3)[:-400])
    session = put(tmp_path, "session.jsonl", SESSION + b"42\n")

    with pytest.raises(SystemExit, match=r"^0$"):
        cli.main(["--url", database_url, "ingest", str(log), str(session)])

    said = capsys.readouterr().err
    assert f"{log}: the zip file is cut off" in said
    assert f"{session}:5: expected a JSON object, found a number" in said
    assert "::" not in said


# -- other encodings of text -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "inspect-eval"])
def test_a_byte_order_mark_of_utf8_is_read_over(store: Store, tmp_path: Path, kind: str) -> None:
    """A file of any text format that begins with the mark of UTF-8 is read as if it did not."""
    made = KINDS[kind]

    [report] = ingest(store, put(tmp_path, made.name, b"\xef\xbb\xbf" + made.make()), progress=False).files

    assert (report.outcome, report.bad) == ("new", ())
    assert counts(store) == (made.n_runs, made.n_events)


UTF16: dict[str, Callable[[str], bytes]] = {
    "with its mark": lambda text: text.encode("utf-16"),
    "big-endian": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "without a mark": lambda text: text.encode("utf-16-le"),
    "gzipped": lambda text: gzip.compress(text.encode("utf-16")),
}


@pytest.mark.parametrize("how", UTF16)
@pytest.mark.parametrize("kind", LINES)
def test_utf16_gives_the_rows_of_utf8(store: Store, tmp_path: Path, kind: str, how: str) -> None:
    """UTF-16 is read, the report says so, and every run and event is that of the same file in UTF-8."""
    text = KINDS[kind].make(4, "größer 😀").decode()
    name = KINDS[kind].name + (".gz" if how == "gzipped" else "")

    [report] = ingest(store, put(tmp_path, name, UTF16[how](text)), progress=False).files
    before = rows(store)
    [again] = ingest(store, put(tmp_path, f"utf8-{KINDS[kind].name}", text.encode()), progress=False).files

    assert [(item.what, item.count, item.why) for item in report.changed] == [
        ("text", 1, "decoded from UTF-16, stored as UTF-8")
    ]
    assert (report.bad, again.outcome) == ((), "already there")
    assert {name: table for name, table in rows(store).items() if name != "imports"} == {
        name: table for name, table in before.items() if name != "imports"
    }


def test_a_utf16_document_is_read(store: Store, tmp_path: Path) -> None:
    """A whole document in UTF-16 is read too, and the report says it once."""
    path = put(tmp_path, "results.json", KINDS["tau2"].make().decode().encode("utf-16"))

    [report] = ingest(store, path, progress=False).files

    assert counts(store) == (2, 4)
    assert [item.count for item in report.changed if item.what == "text"] == [1]


def test_utf16_that_is_not_whole_costs_at_most_its_last_line() -> None:
    """Half a character at the end is left out, a surrogate alone is replaced; the lines before are whole."""
    lines = (
        b"\xff\xfe" + '{"a": 1}\n{"b": "x'.encode("utf-16-le") + b"\x00\xd8" + '"}\n{"c'.encode("utf-16-le") + b"\x41"
    )

    first, second, cut = Source.from_bytes(lines).records()

    assert getattr(first, "value", None) == {"a": 1}
    assert getattr(second, "value", {})["b"].rstrip("\ufffd") == "x"
    assert getattr(cut, "reason", "").startswith("cut off")


def test_protobuf_is_not_taken_for_utf16() -> None:
    """A request behind a length of eight million begins like big-endian UTF-16 without its mark, and is none."""
    data = b"\x00{\x00\x10\x0a" + b"service.name" + otlp()

    assert Source.from_bytes(data, "trace.pb").head.data == data
