"""The encodings of OTLP: ids, times and values of JSON and protobuf, gzip, several requests in a file."""

from __future__ import annotations

import gzip
import json
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from otlp_requests import T0, TRACE, pairs, protobuf_of, request, runs_of, source_of, span

from workbench.data.ingest.formats import otlp
from workbench.data.ingest.reading.source import Source
from workbench.errors import IngestError, MissingExtraError


def test_ids_times_and_values_of_json() -> None:
    """Ids are hex in any case, times text or numbers, and every kind of value is read."""
    values = {
        "text": "é",
        "whole": 9_007_199_254_740_993,
        "real": 0.5,
        "flag": False,
        "list": [1, "a"],
        "map": {"k": {}},
    }
    one = span(
        "00F067AA0BA902B7",
        traceId=TRACE.upper(),
        startTimeUnixNano=T0 + 1_500,
        endTimeUnixNano=str(T0 + 2_001_500),
        attributes=values,
        kind="SPAN_KIND_CLIENT",
        unknownField={"ignored": True},
    )

    (run,) = runs_of(source_of(request(one)))

    (step,) = run.steps
    assert (run.source_id, step.span_id, step.parent_span_id) == (TRACE, "00f067aa0ba902b7", None)
    assert step.timestamp == datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=UTC)
    assert step.duration_ms == 2.0
    assert step.category == "client"
    assert step.extra is not None
    assert step.extra["attributes"] == values
    assert step.extra["record"] == {"unknownField": {"ignored": True}}


def test_base64_ids_and_snake_case_keys_are_understood() -> None:
    """What protobuf's own JSON writes names the same trace."""
    as_written = {
        "resource_spans": [
            {
                "scope_spans": [
                    {
                        "spans": [
                            {
                                "trace_id": "CvdlGRbNQ92ESOshHIAxnA==",
                                "span_id": "APBnqgupArc=",
                                "name": "root",
                                "start_time_unix_nano": T0,
                                "status": {"code": "STATUS_CODE_ERROR"},
                            }
                        ]
                    }
                ]
            }
        ]
    }

    (run,) = runs_of(source_of(as_written))

    assert (run.source_id, run.steps[0].span_id, run.status) == (TRACE, "00f067aa0ba902b7", "failed")


def test_of_two_spellings_of_a_field_the_one_that_says_something_is_read() -> None:
    """A lowerCamelCase name goes first, unless it is null; a name that is neither spelling is kept as it is."""
    odd = span(name="camel", parentSpan_id="x", trace_state="snake", traceState=None, span_id="ffffffffffffffff")

    (run,) = runs_of(source_of(request(odd)))

    (step,) = run.steps
    assert (step.name, step.span_id, step.parent_span_id) == ("camel", odd["spanId"].lower(), None)
    assert step.extra is not None
    assert (step.extra["trace_state"], step.extra["record"]) == ("snake", {"parentSpan_id": "x"})


def test_flags_and_the_time_of_observation_are_kept_in_both_encodings() -> None:
    """What a span or a log record says beyond the fields that are read is kept beside them."""
    log = {"traceId": TRACE, "timeUnixNano": str(T0), "observedTimeUnixNano": str(T0 + 7), "flags": 1}
    spans = request(span(flags=257))
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [log]}]}]}

    (run,) = runs_of(source_of(spans))
    (told,) = runs_of(source_of(logs))

    assert run.steps[0].extra is not None
    assert run.steps[0].extra["record"] == {"flags": 257}
    assert told.steps[0].extra is not None
    assert told.steps[0].extra["record"] == {"flags": 1, "observed_time_unix_nano": T0 + 7}
    assert runs_of(Source.from_bytes(protobuf_of(spans), "trace.pb")) == [run]


@given(
    st.dictionaries(
        st.text("abc.", min_size=1, max_size=6),
        st.recursive(
            st.booleans()
            | st.integers(-(2**63), 2**63 - 1)
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", min_size=1), inner, max_size=3),
            max_leaves=8,
        ),
        max_size=5,
    )
)
def test_both_encodings_say_the_same(attributes: dict[str, Any]) -> None:
    """Whatever the attributes, protobuf and JSON give equal runs."""
    error = {"code": 2, "message": "no"}
    both = request(span(attributes=attributes, status=error, events=[{"name": "e", "attributes": pairs({"n": 1})}]))

    from_json = runs_of(source_of(both))
    from_protobuf = runs_of(Source.from_bytes(protobuf_of(both), "trace.pb"))

    assert from_protobuf == from_json


def test_several_protobuf_requests_in_one_file() -> None:
    """Requests simply joined and requests with a length before each are both read."""
    bodies = [protobuf_of(request(span(f"000000000000000{n}", at=n))) for n in (1, 2)]
    prefixed = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)

    joined = Source.from_bytes(b"".join(bodies), "t.pb")
    framed = Source.from_bytes(prefixed, "t.binpb")

    assert otlp.detect(framed.head) >= 0.9
    assert runs_of(joined) == runs_of(framed)
    assert len(runs_of(framed)[0].steps) == 2


def test_gzip_of_every_encoding_is_read() -> None:
    """A compressed capture gives the same runs."""
    plain = request(span())
    text = json.dumps(plain, indent=2).encode()
    want = runs_of(source_of(plain))

    for body, name in (
        (text, "t.json.gz"),
        (json.dumps(plain).encode(), "t.jsonl.gz"),
        (protobuf_of(plain), "t.pb.gz"),
    ):
        source = Source.from_bytes(gzip.compress(body), name)
        assert otlp.detect(source.head) >= 0.9
        assert runs_of(source) == want


def test_protobuf_without_its_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where opentelemetry-proto is not installed, the error says what to install."""
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.collector.trace.v1.trace_service_pb2", None)
    source = Source.from_bytes(protobuf_of(request(span())), "t.pb")

    with pytest.raises(MissingExtraError, match=r"pip install 'agent-workbench\[otlp\]'"):
        list(otlp.read(source))


def test_bytes_that_are_no_request_are_refused() -> None:
    """A file that only looks like protobuf gives one error that names it."""
    source = Source.from_bytes(b"\x0a\x07service.name is not here", "odd.pb")

    with pytest.raises(IngestError, match=r"odd\.pb cannot be read: these bytes are not an OTLP request"):
        list(otlp.read(source))
