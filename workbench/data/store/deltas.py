"""Bytes of a value as a delta on an earlier version of it, exactly rebuilt; and which version that should be.

A growing conversation differs from its last version by what was added behind (and by the counter in front), which is
found by comparing memory; what changed elsewhere is found by zstd, with the earlier version as its dictionary (the
method of ``zstd --patch-from``).

The version number ``k`` of a line of versions builds on the one that has its lowest bit cleared (as the nodes of a
Fenwick tree do): no version needs more than log₂ k others to be rebuilt, and all deltas together weigh log₂ n / 2 times
what the deltas on the version right before would.
"""

from __future__ import annotations

import struct

import zstandard

from workbench.errors import StoreError

_PACKED, _GROWN, _PATCHED = b"\0", b"\1", b"\2"
_HEADERS = (1, 3, 5)  # bytes that msgpack begins an array or a map with, by its length
_GROWN_HEAD = struct.Struct("<BBQ")
_SAME = 32  # bytes that have to agree before it is worth looking on
_MAX_WINDOW_LOG = 27
_CODER_LEVEL = 3


def base_position(position: int) -> int:
    """The position of the version that this one builds on; 0 is whole."""
    return position & (position - 1)


def pack(data: bytes) -> bytes:
    """Bytes by themselves."""
    return _PACKED + zstandard.ZstdCompressor(level=_CODER_LEVEL, write_checksum=True).compress(data)


def delta(data: bytes, base: bytes) -> bytes | None:
    r"""The bytes as a delta on ``base``; ``None`` where that saves less than half.

    Examples
    --------
    >>> before = b"\x92" + bytes(range(200)) * 50
    >>> after = b"\x93" + before[1:] + b"one more"
    >>> len(after), len(delta(after, before)) < 60, unpack(delta(after, before), before) == after
    (10009, True, True)
    """
    grown = _grown(data, base)
    found = grown if grown is not None else _patched(data, base)
    return found if len(found) * 2 < len(data) else None


def unpack(packed: bytes, base: bytes | None = None) -> bytes:
    """The bytes that :func:`pack` or :func:`delta` was given.

    Raises
    ------
    StoreError
        They are damaged.
    """
    kind, rest = packed[:1], memoryview(packed)[1:]
    try:
        if kind == _PACKED:
            return zstandard.ZstdDecompressor().decompress(rest)
        assert base is not None
        if kind == _PATCHED:
            return zstandard.ZstdDecompressor(dict_data=_dictionary(base)).decompress(rest)
        new_head, old_head, size = _GROWN_HEAD.unpack_from(rest)
        own = zstandard.ZstdDecompressor().decompress(rest[_GROWN_HEAD.size :])
    except (zstandard.ZstdError, struct.error) as error:
        raise StoreError(f"A value in the store is damaged: {error}. Restore the database from a backup.") from error
    return b"".join((own[:new_head], base[old_head : old_head + size], own[new_head:]))


def _grown(data: bytes, base: bytes) -> bytes | None:
    for new_head in _HEADERS:
        for old_head in _HEADERS:
            if data[new_head : new_head + _SAME] == base[old_head : old_head + _SAME]:
                size = _common(memoryview(data)[new_head:], memoryview(base)[old_head:])
                if size * 2 > len(data):
                    own = data[:new_head] + data[new_head + size :]
                    return _GROWN + _GROWN_HEAD.pack(new_head, old_head, size) + pack(own)[1:]
    return None


def _common(a: memoryview, b: memoryview) -> int:
    """How many bytes at the beginning are the same; by halves, since comparing slices is one call of memcmp."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _patched(data: bytes, base: bytes) -> bytes:
    window = min(max((len(data) + len(base)).bit_length(), 10), _MAX_WINDOW_LOG)
    parameters = zstandard.ZstdCompressionParameters.from_level(_CODER_LEVEL, window_log=window, write_checksum=True)
    coder = zstandard.ZstdCompressor(compression_params=parameters, dict_data=_dictionary(base))
    return _PATCHED + coder.compress(data)


def _dictionary(base: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(base, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
