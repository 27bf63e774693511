import gzip
import json
import string
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batching import chunk
from batching.errors import SettingError
from batching.names import DEAD, IGNORED, Key
from ingest.classify import MAX_DEAD_BODY_BYTES, Classified, Classifier
from ingest.decode import formats
from ingest.decode.problem import Reason
from ingest.decode.spec import MatchSpec, SensorSpec, StreamRules
from ingest.event import Event
from ingest.sensors import DEVICE, MODULE
from tests.ingest.decode.given import event, letter, rows, rules, samples, spec

FIELD = SensorSpec("field", "id")
SAMPLE = b'{"t": 1, "x": 2, "y": 3}'


def classifier(*streams: StreamRules, unmatched="dead_letter", iot_hub=False) -> Classifier:
    return Classifier(streams or (rules(),), unmatched=unmatched, iot_hub=iot_hub)


def reason(arrived: Event, *streams: StreamRules, **more: Any) -> Reason | None:
    found = classifier(*streams, **more).classify(arrived)
    check(found, arrived)
    return found.reason


def check(found: Classified, arrived: Event) -> None:
    """Every event is samples, one dead letter or one ignored: exactly one of them."""
    assert found.body_bytes == len(arrived.body)
    assert found.elements
    keys = [element.key for element in found.elements]
    assert len(set(keys)) == len(keys)
    for element in found.elements:
        assert element[1:3] == (arrived.sequence_number, arrived.enqueued_ns)
        (encoded,) = chunk.read(element.body)
        assert (encoded.sequence_number, encoded.enqueued_ns) == element[1:3]
    if found.stream in {DEAD.stream, IGNORED.stream}:
        assert len(keys) == 1
        assert found.samples == found.elements[0].samples == 0
        assert (found.reason is not None) == (keys == [DEAD])
    else:
        assert {key.stream for key in keys} == {found.stream}
        assert found.samples == sum(len(samples(e)[0]) for e in found.elements) > 0


def test_an_event_becomes_one_chunk_of_its_sensor() -> None:
    found = classifier().classify(event(b'{"t": [1, 2], "x": [1, null], "z": [0, 0]}'))
    check(found, event(b'{"t": [1, 2], "x": [1, null], "z": [0, 0]}'))
    (element,) = found.elements
    assert element.key == Key("vibration", "press-1")
    assert (found.stream, found.samples, found.unknown_channels) == ("vibration", 2, 1)
    times, values = samples(element)
    assert times.tolist() == [1, 2]
    assert rows(values) == [[1, None], [None, None]]
    (encoded,) = chunk.read(element.body)
    assert (encoded.message_id, encoded.channels, encoded.dtype) == ("m7", 2, "float64")


def test_a_gateways_message_is_merged_by_sensor() -> None:
    body = json.dumps(
        [{"id": "a", "t": [1, 2], "x": [1, 2]}, {"id": "b/1", "t": 3, "x": 3},
         {"id": "a", "t": 0, "x": 0}]
    ).encode()  # fmt: skip
    found = classifier(rules(sensor=FIELD)).classify(event(body))
    check(found, event(body))
    assert {e.key.sensor: samples(e)[0].tolist() for e in found.elements} == {
        "a": [1, 2, 0],
        "b/1": [3],
    }


def test_all_of_an_event_or_none_of_it_is_taken() -> None:
    body = b'[{"id": "a", "t": 1, "x": 1}, {"id": "b\\n", "t": 1, "x": 1}]'
    assert reason(event(body), rules(sensor=FIELD)) is Reason.BAD_SENSOR
    body = b'[{"id": "a", "t": 1, "x": 1}, {"t": 1, "x": 1}]'
    assert reason(event(body), rules(sensor=FIELD)) is Reason.NO_SENSOR


def test_a_senml_pack_stands_below_the_device_that_the_hub_vouches_for() -> None:
    stream = rules(spec("senml"), SensorSpec("annotation"))
    body = b'[{"bn": "other-device/", "n": "m1/x", "v": 1}, {"bn": "", "n": "x", "v": 2}]'
    arrived = event(body, annotations={DEVICE: "press-1", MODULE: "edge"})
    found = classifier(stream, iot_hub=True).classify(arrived)
    assert [e.key.sensor for e in found.elements] == [
        "press-1/edge/other-device/m1",
        "press-1/edge",
    ]


def test_what_a_device_writes_itself_never_names_it_behind_an_iot_hub() -> None:
    forged = event(
        b'{"t": 1, "x": 1, "id": "press-2"}',
        partition_key="press-2",
        properties={DEVICE: "press-2"},
    )
    stream = rules(sensor=SensorSpec("annotation"))
    assert reason(forged, stream, iot_hub=True) is Reason.NO_SENSOR
    found = classifier(stream, iot_hub=True).classify(
        forged._replace(annotations={DEVICE: b"press-1"})
    )
    assert [e.key.sensor for e in found.elements] == ["press-1"]
    with pytest.raises(SettingError, match="forge"):
        classifier(rules(), iot_hub=True)


def stream_of(arrived: Event, *streams: StreamRules, **more: Any) -> str:
    found = classifier(*streams, **more).classify(arrived)
    check(found, arrived)
    return found.stream


def test_the_first_stream_that_matches_gets_the_event() -> None:
    streams = (
        rules(match=MatchSpec(properties={"kind": "vib*", "n": "[12]"}), name="a"),
        rules(match=MatchSpec(content_type="application/json"), name="b"),
        rules(match=MatchSpec(sensors=("press-*", "pump?")), name="c"),
    )
    kind = {"kind": "vibration", "n": 1}
    assert stream_of(event(SAMPLE, properties=kind), *streams) == "a"
    assert stream_of(event(SAMPLE, properties={"kind": b"vib", "n": "2"}), *streams) == "a"
    assert stream_of(event(SAMPLE, properties={"kind": "vibration"}), *streams) == "c"
    assert stream_of(event(SAMPLE, properties={**kind, "n": 12}), *streams) == "c"
    assert stream_of(event(SAMPLE, content_type="Application/JSON; a=b"), *streams) == "b"
    assert stream_of(event(SAMPLE, partition_key="pump7"), *streams) == "c"
    assert stream_of(event(SAMPLE, partition_key="pump77"), *streams) == "_dead"
    assert stream_of(event(SAMPLE, partition_key="Press-1"), *streams) == "_dead"


def test_an_event_of_no_stream_is_a_dead_letter_or_counted() -> None:
    stream = rules(match=MatchSpec(properties={"kind": "x"}))
    assert reason(event(b"anything"), stream) is Reason.NO_STREAM
    found = classifier(stream, unmatched="count").classify(event(b"anything"))
    check(found, event(b"anything"))
    assert (found.stream, found.elements[0].key) == ("_ignored", IGNORED)
    (encoded,) = chunk.read(found.elements[0].body)
    assert encoded.kind == chunk.IGNORED_EVENT


def test_sensors_named_in_the_body_choose_the_stream_too() -> None:
    streams = (
        rules(sensor=FIELD, match=MatchSpec(sensors=("a*",)), name="a"),
        rules(sensor=FIELD, match=MatchSpec(sensors=("b*",)), name="b"),
    )
    body = b'[{"id": "%b", "t": 1, "x": 1}, {"id": "%b", "t": 1, "x": 1}]'
    assert stream_of(event(body % (b"a1", b"a2")), *streams) == "a"
    assert stream_of(event(body % (b"b1", b"b1")), *streams) == "b"
    assert reason(event(body % (b"a1", b"b1")), *streams) is Reason.NO_STREAM
    assert stream_of(event(SAMPLE), *streams, unmatched="count") == "_ignored"


def test_an_event_that_may_be_a_streams_is_not_counted_away() -> None:
    by_field = rules(sensor=FIELD, match=MatchSpec(sensors=("a*",)))
    assert reason(event(b"{"), by_field, unmatched="count") is Reason.BAD_JSON
    assert stream_of(event(SAMPLE), by_field, rules(name="rest")) == "rest"
    by_key = rules(match=MatchSpec(sensors=("a*",)))
    assert stream_of(event(b"{"), by_key, unmatched="count") == "_ignored"
    assert reason(event(b"{", partition_key="a1"), by_key, rules(name="rest")) is Reason.BAD_JSON
    broken = event(SAMPLE, partition_key="a\n")
    assert reason(broken, by_key, unmatched="count") is Reason.BAD_SENSOR
    assert stream_of(broken._replace(partition_key=""), by_key, unmatched="count") == "_ignored"


@pytest.mark.parametrize(
    ("body", "more", "expected"),
    [
        (b"", {}, Reason.EMPTY_BODY), (b"garbage", {}, Reason.BAD_JSON),
        (b'{"t": 1, "x": NaN}', {}, Reason.BAD_JSON), (b'{"t":1,"x":1e999}', {}, Reason.BAD_VALUE),
        (b"[" * 100_000, {}, Reason.BAD_JSON), (SAMPLE, {"partition_key": ""}, Reason.NO_SENSOR),
        (SAMPLE, {"partition_key": "a\nb"}, Reason.BAD_SENSOR),
        (SAMPLE, {"content_encoding": "br"}, Reason.BAD_ENCODING),
        (gzip.compress(bytes(2**26)), {}, Reason.TOO_LARGE),
        (b"<a/>", {"content_type": "text/xml"}, Reason.UNKNOWN_CONTENT_TYPE),
        (b"\xff", {"content_type": "application/cbor"}, Reason.BAD_CBOR),
        (b"{}", {"content_type": "application/x-npy"}, Reason.BAD_NPY),
        (b"{}", {"content_type": "application/senml+json"}, Reason.BAD_SENML),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_a_dead_letter_with_its_reason(body, more, expected) -> None:
    assert reason(event(body, **more)) is expected


@pytest.mark.parametrize("sensor", ["hall 7", "a/b", "a\"b'c", "\U0001f321\ufe0f press", "a" * 256])
def test_strange_names_of_sensors_are_kept(sensor) -> None:
    (element,) = classifier().classify(event(SAMPLE, partition_key=sensor)).elements
    assert element.key.sensor == sensor


def test_a_dead_letter_holds_all_that_came() -> None:
    arrived = event(
        b"garbage",
        content_type="application/json",
        properties={"kind": "vibration", "n": 5, "ok": True, "raw": b"\xff", "none": None,
                    "id": UUID(int=1), "half": "\ud800", "bad": BadText()},
        annotations={DEVICE: "press-1", "x-opt-offset": 2.5},
    )  # fmt: skip
    found = classifier().classify(arrived)
    check(found, arrived)
    dead = letter(found)
    assert (dead.reason, dead.body, dead.body_bytes) == ("bad_json", b"garbage", 7)
    assert dead.detail.startswith("the body is no JSON")
    assert dead.content_type == "application/json"
    assert dead.properties == {
        "kind": "vibration", "n": "5", "ok": "true", "raw": "\ufffd", "none": "",
        "id": "00000000-0000-0000-0000-000000000001", "half": "?", "bad": "(BadText)",
    }  # fmt: skip
    assert dead.annotations == {DEVICE: "press-1", "x-opt-offset": "2.5"}
    (encoded,) = chunk.read(found.elements[0].body)
    assert encoded.message_id == "m7"


class BadText:
    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_a_dead_letter_keeps_a_mebibyte_of_a_longer_body() -> None:
    body = b"x" * (MAX_DEAD_BODY_BYTES + 1)
    dead = letter(classifier().classify(event(body)))
    assert (len(dead.body), dead.body_bytes) == (MAX_DEAD_BODY_BYTES, len(body))


def test_a_fault_of_ours_is_a_dead_letter_too(monkeypatch) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("never mind")

    monkeypatch.setattr(formats.json_body, "parse", fail)
    found = classifier().classify(event(SAMPLE))
    assert found.reason is Reason.INTERNAL
    assert letter(found).detail == "ZeroDivisionError: never mind"


def test_a_setting_error_names_the_stream() -> None:
    with pytest.raises(SettingError, match=r"streams.vibration.decode.dtype"):
        classifier(rules(spec(dtype="bool")))


anything = st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.booleans(), st.none())
headers = st.dictionaries(st.one_of(st.sampled_from(["kind", DEVICE, MODULE]), st.text()), anything)
json_like = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["t", "x", "y", "id", "n", "bn", "bt", "v", "vb", "s", *string.digits]),
            inner,
        )
    ),
    max_leaves=12,
)
bodies = st.one_of(
    st.binary(max_size=200),
    json_like.map(lambda document: json.dumps(document).encode()),
    json_like.map(lambda document: gzip.compress(json.dumps(document).encode())),
)
events = st.builds(
    Event,
    partition=st.just("0"),
    sequence_number=st.integers(0, 2**63 - 1),
    enqueued_ns=st.integers(0, 2**63 - 1),
    body=bodies,
    content_type=st.one_of(st.sampled_from(["", *formats.CONTENT_TYPES]), st.text()),
    content_encoding=st.sampled_from(["", "gzip", "utf-8", "br", "\ud800"]),
    message_id=st.text(),
    partition_key=st.text(max_size=5),
    properties=headers,
    annotations=headers,
    first_enqueued_ns=st.none() | st.integers(0, 2**63 - 1),
)
COLUMNS = (("t", "i8"), ("x", "f4"), ("y", "f4"))
EVERY_KIND = (
    (rules(name="a", match=MatchSpec(properties={"kind": "[ab]*"})),),
    (rules(sensor=FIELD, match=MatchSpec(sensors=("*1*",))), rules(spec("cbor"), name="b")),
    (rules(spec("senml"), SensorSpec("senml")),),
    (rules(spec("senml", ["value"]), SensorSpec("annotation")),),
    (rules(spec("npy"), SensorSpec("property", "kind")),),
    (rules(spec("raw", columns=COLUMNS)),),
    (rules(spec(dtype="int16", unit="iso8601", zone="UTC"), FIELD),),
)


@settings(max_examples=300)
@given(events, st.sampled_from(EVERY_KIND), st.sampled_from(["dead_letter", "count"]))
def test_every_event_has_exactly_one_outcome_and_always_the_same(
    arrived, streams, unmatched
) -> None:
    found = classifier(*streams, unmatched=unmatched).classify(arrived)
    check(found, arrived)
    assert found.reason is not Reason.INTERNAL, letter(found).detail
    assert classifier(*streams, unmatched=unmatched).classify(arrived) == found
