"""Whether a text that stands where a secret would stand is one, or a placeholder, a word, a name, a number."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter

_RANDOM_BITS = 3.0  # per character; English words have about 2.5 within one word, hexadecimal digests 3.5
_PASSWORD_BITS = 2.5
_LETTER_AND_DIGIT = re.compile(rb"(?=.*[A-Za-z]).*[0-9]")

# What documentation writes where a secret would stand.
_PLACEHOLDER = re.compile(
    rb"(?i)example|sample|placeholder|your[-_ ]?|my[-_]?(?:token|secret|password|api|key)|changeme|change[-_]me"
    rb"|redacted|dummy|x{4,}|\*{3,}|\.{3,}|_{4,}|-{6,}|todo|insert[-_]|replace[-_]|fake[-_]|0{7,}|1234567890(?!\d)"
    rb"|abcdefgh|<[a-z]|undefined|deadbeef|lorem"
)
_NO_PASSWORD = re.compile(
    rb"(?i)^(?:true|false|null|none|nil|string|str|password|secret|token|required|optional|empty|unknown|invalid"
    rb"|missing|hidden|default|value|bytes|text|bearer|basic|self|env|os|process|config|settings|function|async)\b"
)
_CODE = re.compile(
    # a variable, a template, an access to something, a path, a type, a call's beginning, a printf
    rb"^[$%@#&*~]{1,2}[\w.{}()\[\]:;-]*$|\$\{|\{\{|%[sd({]|^[A-Za-z_][A-Za-z_0-9]*(?:\.[A-Za-z_][A-Za-z_0-9]*)+$|^\.{0,2}/|^~/|::|->|&&|\|\||=>"
)
_NAME = re.compile(rb"^[A-Za-z]+(?:[_.-][A-Za-z]+)*[0-9]?$")
_UUID = re.compile(rb"(?i)^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
_NUMBER = re.compile(rb"^[-+]?[0-9][0-9_.,:/eE+-]*[a-zA-Z%]{0,3}$")
_HARMLESS_KEY = re.compile(
    rb"(?i)tokens$|tokens?[_-]?(?:count|limit|type|budget|usage|id|ids|name|index|len|length|expir|ttl|url|uri)"
    rb"|(?<![a-z])(?:max|min|num|n|page|next|prev|sync|cursor|continuation|total|input|output|cache[a-z_]*|public|special|eos|bos"
    rb"|pad|unk|mask|stop|start|end|sep|cls)[_-]?(?:page[_-]?)?token"
    rb"|(?:secret|password|key|token|credential)s?[_-]?(?:name|id|arn|ref|path|file|field|hash|prompt|policy|length|type"
    rb"|version|url|uri|expir|provider|source|helper|reset|error|manager|label|hint|format|status|strength|env)"
    rb"|tokeni[sz]e|origin[_-]?trial|secretary|credentials?[_-]?provider"
)


def entropy(text: bytes) -> float:
    """Shannon entropy, bits per character."""
    n = len(text)
    return -sum(count / n * math.log2(count / n) for count in Counter(text).values()) if n else 0.0


def is_random(secret: bytes, match: re.Match[bytes] | None = None) -> bool:
    """Whether a token looks drawn by chance rather than written by a person."""
    if _PLACEHOLDER.search(secret[:400]) or (match is not None and b"EXAMPLE" in match[0]):
        return False
    return entropy(secret[:1000]) >= _RANDOM_BITS


def is_harmless(key: bytes) -> bool:
    """Whether a name that has a secret's word in it means something else: ``max_tokens``, ``secret_name``."""
    return _HARMLESS_KEY.search(key) is not None


def is_password(secret: bytes, match: re.Match[bytes] | None = None, key: bytes = b"") -> bool:
    """Whether the value of something called a password or a token is one."""
    if match is not None and "key" in match.re.groupindex:
        key = match["key"]
    value = secret.rstrip(b".:!?&|")
    if len(value) < 6 or _PLACEHOLDER.search(value) or _NO_PASSWORD.match(value) or _CODE.search(value):
        return False
    if _NAME.match(value) or _NUMBER.match(value) or is_harmless(key):
        return False
    if len(value) < 8 and not (key and b"passw" in key.lower()):
        return False
    if key and b"pass" not in key.lower() and b"pwd" not in key.lower():
        has_digit = any(48 <= char <= 57 for char in value)
        return has_digit and len(value) >= 10 and entropy(value) >= _RANDOM_BITS
    return entropy(value) >= _PASSWORD_BITS


def is_url_password(secret: bytes, match: re.Match[bytes] | None = None) -> bool:
    """Whether what stands before the ``@`` of an address is a password: letters alone may be one there."""
    return is_password(secret) or (len(secret) >= 8 and entropy(secret) >= _RANDOM_BITS and is_random(secret))


def is_told_password(secret: bytes, match: re.Match[bytes] | None = None) -> bool:
    """Whether what a sentence calls a password is one: it has letters and digits, unlike "is required"."""
    return bool(_LETTER_AND_DIGIT.match(secret)) and is_password(secret, key=b"password")


def is_session(secret: bytes, match: re.Match[bytes] | None = None) -> bool:
    """Whether one of the values of a cookie names a session, rather than a language or a theme."""
    values = (pair.partition(b"=")[2] for pair in secret.split(b";"))
    return any(len(value) >= 16 and _LETTER_AND_DIGIT.match(value) and is_random(value) for value in values)


def is_user_and_password(secret: bytes, match: re.Match[bytes] | None = None) -> bool:
    """Whether base64 holds ``user:password``."""
    padded = secret.rstrip(b"=") + b"=" * (-len(secret.rstrip(b"=")) % 4)
    try:
        text = base64.b64decode(padded.translate(bytes.maketrans(b"-_", b"+/")), validate=True)
    except (binascii.Error, ValueError):
        return False
    user, colon, password = text.partition(b":")
    return bool(colon) and text.isascii() and bytes(text).decode("ascii").isprintable() and len(user + password) >= 4
