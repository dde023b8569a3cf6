"""The scanner: what it has to find, in whatever spelling, what it must leave alone, and how long texts may be."""

from __future__ import annotations

import base64
import json
import random
import sys
import urllib.parse
from pathlib import Path

import pytest

from workbench.data.secrets.redact import Redactor
from workbench.data.secrets.scan import find, in_json

sys.path.insert(0, str(Path(__file__).parent))
import tokens

GITHUB = tokens.BARE["github classic"](random.Random(1))
AWS = "wJalrX/tnFEMI/K7MDENG/bPxRfiCYzzzzKEYq8Z"

NO_SECRETS = (
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "ghp_" + "x" * 36,
    "sk-ant-api03-" + "A" * 80,
    "password: changeme",
    "password = os.environ['DB_PASSWORD']",
    'password="${DB_PASSWORD}"',
    "API_KEY=<your-api-key>",
    "token: 3f2504e0-4f89-11d3-9a0c"[:12],
    "Cookie: theme=dark; lang=en-US; consent=yes",
    "Cookie: a popular snack, sessions=12 of 20",
    "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    '{"max_tokens": 4096, "token_count": "12000", "tokens": "one two"}',
    '{"next_page_token": "CAUQAAxyz81kd0a9sk2Q"}',
    '{"id": "5e551000-0000-4000-8000-000000000001"}',
    "https://example.com/user:name@2x.png",
    "the secret of success: persistence",
    "The password is required, or your password is incorrect",
    "--token string  --password-file /run/x --max-tokens 4096 --token $TOKEN --password-stdin",
    "<password>string</password> <NextToken>abcdef</NextToken>",
    '{"auth": "required", "max_auth": "disabled1"}',
    "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 8).decode(),
)


def test_of_every_kind_of_secret_at_least_95_percent_are_found():
    """More than 170 kinds in the texts people leave them in, drawn apart from the rules: none is left in the text."""
    planted = tokens.planted(random.Random(2026), rounds=4)

    left = [one.kind for one in planted if one.secret in Redactor().text(one.text)]

    assert len(tokens.BARE) + len(tokens.TOLD) > 170
    assert len(left) <= 0.05 * len(planted), sorted(set(left))


@pytest.mark.parametrize("text", NO_SECRETS)
def test_what_only_looks_like_a_secret_is_left_alone(text):
    """Placeholders, digests, ids, variables, counts and images are no secrets."""
    assert find(text.encode()) == []


@pytest.mark.parametrize("kind", ["cookie", "cookie in curl", "set-cookie", "cookie in JSON"])
def test_a_session_cookie_is_found_as_one(kind):
    """The header tells it, whatever its name and its spelling."""
    make, text = tokens.TOLD[kind]
    secret = make(random.Random(3))
    told = text.format(secret)

    assert "http-cookie" in [one.rule for one in find(told.encode())]
    assert secret not in Redactor().text(told)


@pytest.mark.parametrize("sign", "*$%@#&~")
def test_a_password_may_begin_with_a_sign(sign):
    """What begins as a variable does, and goes on as none, is a password; a variable is not."""
    assert find(f'SECRET_KEY = "{sign}!2zdtnxi*k2i#2p@2l6nko2ran0@awckk"'.encode())
    assert not find(f'SECRET_KEY = "{sign}django_secret_key_2024"'.encode())


def test_real_histories_hold_next_to_no_secrets(shared_data):
    """In the real files at most one hit in a hundred files is allowed: they hold no secrets."""
    files = [path for path in shared_data.rglob("*") if path.is_file()]

    assert sum(len(find(path.read_bytes())) for path in files) <= len(files) / 100


@pytest.mark.parametrize(
    "spelt",
    [
        GITHUB,
        "\\u0067hp_" + GITHUB[4:],
        json.dumps({"a": {"b": [GITHUB]}}),
        json.dumps({"a": json.dumps({"b": json.dumps({"c": GITHUB})})}),
        json.dumps({"a": json.dumps({"b": GITHUB}).replace("ghp_", "\\u0067hp_")}),
        "https://x/?t=" + urllib.parse.quote("a=" + GITHUB, safe="").replace("ghp", "%67hp"),
        base64.b64encode(f"x{GITHUB}".encode()).decode(),
        base64.b64encode(f"xy{GITHUB}".encode()).decode(),
        base64.b64encode(f"xyz{GITHUB}".encode()).decode(),
        base64.b64encode(json.dumps({"t": base64.b64encode(f"key {GITHUB}".encode()).decode()}).encode()).decode(),
        f"\\n{GITHUB}\\n",
        f"\x1b[31m{GITHUB}\x1b[0m",
        f"ü{GITHUB}ü",
    ],
)
def test_a_secret_is_found_in_any_spelling(spelt):
    """Escaped, percent-encoded, in base64, in JSON in JSON: what decodes to the secret is redacted."""
    clean = Redactor().text(spelt)

    assert "[redacted: github-token]" in json.dumps(clean) or GITHUB[8:] not in clean
    assert GITHUB[4:] not in clean
    for offset in range(3):
        assert base64.b64encode(GITHUB[offset:].encode()).decode()[4:40] not in clean
    assert find(clean.encode()) == []


def test_a_secret_with_slashes_is_found_behind_escaped_slashes():
    """JSON writers that escape every slash do not hide a secret."""
    text = 'aws_secret_access_key=\\"' + AWS.replace("/", "\\/") + '\\"'

    assert [one.rule for one in find(text.encode())] == ["assigned-secret"]


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        ({"password": "hunter2abc!"}, "/password"),
        ({"headers": {"Authorization": "Basic " + base64.b64encode(b"u:pw1234").decode()}}, "/headers/Authorization"),
        ([{"key": "db.password", "value": {"stringValue": "aB3$kkzz91"}}], "/0/value/stringValue"),
        ([{"op": "replace", "path": "/config/password", "value": "aB3$kkzz91"}], "/0/value"),
        ({"argv": ["--password", "aB3$kkzz91"]}, "/argv/1"),
        ({"a/b~c": {GITHUB: 1}}, f"/a~1b~0c/{GITHUB}"),
    ],
)  # fmt: skip
def test_a_secret_is_found_by_the_name_of_its_field(document, pointer):
    """The name may stand beside the value, in a path or in a flag; the place is a JSON pointer."""
    text = json.dumps(document)

    assert [place.pointer for place in in_json(text)] == [pointer]
    assert in_json(Redactor().json(text) or "") == []


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("deploy --db-password Tr4v!s-C3J27XDC now", "Tr4v!s-C3J27XDC"),
        ("tool --api-token 'NDi9LE1Ki3ylOjt6o0NpUmkV'", "NDi9LE1Ki3ylOjt6o0NpUmkV"),
        (json.dumps({"command": 'tool --token "NDi9LE1Ki3ylOjt6o0NpUmkV"'}), "NDi9LE1Ki3ylOjt6o0NpUmkV"),
        ("docker login -u ada -p Tr4v!s-C3J27XDC", "Tr4v!s-C3J27XDC"),
        ("<wsse:Password>Tr4v!s-C3J27XDC</wsse:Password>", "Tr4v!s-C3J27XDC"),
        ("The admin password is: Tr4v!s-C3J27XDC.", "Tr4v!s-C3J27XDC"),
        ('{"auths": {"r.io": {"auth": "dTpUcjR2IXMtQzNKMjdYREM="}}}', "dTpUcjR2IXMtQzNKMjdYREM="),
        ("https://s3/x?X-Amz-Signature=" + "b6aaf423e6ed8c4b" * 4, "b6aaf423e6ed8c4b" * 4),
    ],
)  # fmt: skip
def test_a_secret_is_found_in_commands_documents_and_sentences(text, secret):
    """Behind a flag, between tags, in a registry's login, told in a sentence; as text and as a document."""
    assert secret not in Redactor().text(text)
    assert secret not in (Redactor().json(json.dumps({"a": text})) or "")
    if text.startswith("{"):
        assert secret not in (Redactor().json(text) or "")


def test_redacted_text_says_what_it_was_and_is_not_found_again():
    """The marker names the rule, the rest of the text stays, and redacting twice changes nothing."""
    text = f"before {GITHUB} after, password='{AWS}'"

    once = Redactor().text(text)

    assert once == "before [redacted: github-token] after, password='[redacted: assigned-secret]'"
    assert Redactor().text(once) == once


def test_a_known_secret_is_redacted_where_nothing_tells_it():
    """A password that one place gives away is replaced in every other place."""
    redactor = Redactor()
    redactor.learn_from([json.dumps({"password": "hunter2abc!"})])

    assert redactor.text("I typed hunter2abc! again") == "I typed [redacted: secret-field] again"


def test_a_deep_document_is_redacted():
    """Nesting as deep as the store allows is no way past the redaction."""
    text = "[" * 450 + json.dumps(GITHUB) + "]" * 450

    assert Redactor().json(text) == "[" * 450 + '"[redacted: github-token]"' + "]" * 450


@pytest.mark.parametrize(
    "unit",
    ["a", "sk-", "token=", "eyJ", "eyJaaaaaaaaaaa.", "-----BEGIN PRIVATE KEY-----\n", "%41", "a://b:", "password:",
     "\\", "aws_", "SG.", "curl x -u ", 'secret="', "Z2hwX", "password=aaaaaaaa", "a-", "password=a.a.a.", "xoxb-1"],
)  # fmt: skip
def test_a_long_text_is_scanned_to_its_end(unit):
    """No text makes a pattern try again and again: a megabyte of anything is scanned, and its last secret found."""
    text = unit * (1_000_000 // len(unit)) + f" {GITHUB}"

    assert find(text.encode())[-1].end == len(text)
