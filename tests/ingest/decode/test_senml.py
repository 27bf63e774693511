"""SenML, with the examples of RFC 8428 (sections 5.1 and 6)."""

import json
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decode.formats import Reader
from ingest.decode.problem import Reason, Unusable
from ingest.decode.senml import LABELS
from tests.ingest.decode.given import NOW_NS, rows, spec

S = 10**9
NUMBERS = {name: label for label, name in LABELS.items()}


def read(pack, channels, *, write=json.dumps, **more: Any) -> tuple[dict, int]:
    body = write(pack) if type(pack) is not bytes else pack
    body = body.encode() if type(body) is str else body
    decoded = Reader(spec("senml", channels, **more)).read(body, "", "", NOW_NS)
    found = {
        part.sender: list(zip(part.times_ns.tolist(), rows(part.values), strict=True))
        for part in decoded.parts
    }
    assert len(found) == len(decoded.parts)
    return found, decoded.unknown


def refused(pack, channels=("x",), **more: Any) -> Reason:
    with pytest.raises(Unusable) as caught:
        read(pack, channels, **more)
    return caught.value.reason


def test_a_single_data_point() -> None:
    pack = [{"n": "urn:dev:ow:10e2073a01080063", "u": "Cel", "v": 23.1}]
    found, unknown = read(pack, ["value"])
    assert (found, unknown) == ({"urn:dev:ow:10e2073a01080063": [(NOW_NS, [23.1])]}, 0)


def test_several_data_points_of_one_device() -> None:
    pack = [
        {"bn": "urn:dev:ow:10e2073a01080063:", "n": "voltage", "u": "V", "v": 120.1},
        {"n": "current", "u": "A", "v": 1.2},
    ]
    found, _ = read(pack, ["current", "voltage"])
    assert found == {"urn:dev:ow:10e2073a01080063": [(NOW_NS, [1.2, 120.1])]}


def test_times_relative_to_now_and_base_fields() -> None:
    pack = [
        {"bn": "urn:dev:ow:10e2073a0108006:", "bt": 1.276020076001e09, "bu": "A", "bver": 5,
         "n": "voltage", "u": "V", "v": 120.1},
        {"n": "current", "t": -5, "v": 1.2},
        {"n": "current", "t": -4, "v": 1.3},
        {"n": "current", "v": 1.7},
    ]  # fmt: skip
    found, _ = read(pack, ["current", "voltage"])
    base = 1_276_020_076_000_999_928  # as near as the float comes
    assert found == {
        "urn:dev:ow:10e2073a0108006": [
            (base, [1.7, 120.1]),
            (base - 5 * S, [1.2, None]),
            (base - 4 * S, [1.3, None]),
        ]
    }


def test_many_data_points_of_several_channels() -> None:
    pack = [
        {"bn": "urn:dev:ow:10e2073a01080063", "bt": 1.320067464e09, "bu": "%RH", "v": 20},
        {"u": "lon", "v": 24.30621},
        {"u": "lat", "v": 60.07965},
        {"t": 60, "v": 20.3},
    ]
    base = 1_320_067_464 * S
    found, _ = read(pack, ["value"])
    assert found == {
        "urn:dev:ow:10e2073a01080063": [
            (base, [20]), (base, [24.30621]), (base, [60.07965]), (base + 60 * S, [20.3]),
        ]
    }  # fmt: skip


def test_different_types_of_values() -> None:
    pack = [
        {"bn": "urn:dev:ow:10e2073a01080063:", "n": "temp", "u": "Cel", "v": 23.1},
        {"n": "label", "vs": "Machine Room"},
        {"n": "open", "vb": False},
        {"n": "nfc-reader", "vd": "aGkgCg"},
    ]
    found, unknown = read(pack, ["temp", "open"])
    assert found == {"urn:dev:ow:10e2073a01080063": [(NOW_NS, [23.1, 0])]}
    assert unknown == 2
    assert refused(pack, ["label"]) is Reason.BAD_VALUE
    assert refused(pack, ["nfc-reader"]) is Reason.BAD_VALUE


def test_a_collection_of_several_things() -> None:
    pack = [
        {"bn": "2001:db8::2/", "bt": 1.320078429e09, "n": "temperature", "u": "Cel", "v": 25.2},
        {"n": "humidity", "u": "%RH", "v": 30},
        {"bn": "2001:db8::1/", "n": "temperature", "u": "Cel", "v": 12.3},
        {"n": "humidity", "u": "%RH", "v": 67},
    ]
    now = 1_320_078_429 * S
    found, _ = read(pack, ["temperature", "humidity"])
    assert found == {"2001:db8::2": [(now, [25.2, 30])], "2001:db8::1": [(now, [12.3, 67])]}


def test_the_example_in_cbor() -> None:
    pack = [
        {-2: "urn:dev:ow:10e2073a0108006:", -3: 1276020076.001, -4: "A", -1: 5,
         0: "voltage", 1: "V", 2: 120.1},
        {0: "current", 6: -5, 2: 1.2},
    ]  # fmt: skip
    named = [{LABELS[label]: value for label, value in record.items()} for record in pack]
    channels = ["current", "voltage"]
    assert read(pack, channels, write=cbor2.dumps) == read(named, channels)
    assert read(named, channels, write=cbor2.dumps) == read(named, channels)


names = st.text("abc:/.", max_size=6)
records = st.fixed_dictionaries(
    {"n": names.map(lambda name: f"{name}/x"), "v": st.floats(-1e6, 1e6)},
    optional={"t": st.integers(-100, 2**31), "bn": names, "bt": st.integers(-100, 2**31),
              "bv": st.integers(-5, 5), "u": st.just("m"), "ut": st.just(1)},
)  # fmt: skip


@given(st.lists(records, min_size=1, max_size=10))
def test_json_and_cbor_agree_and_no_record_is_lost(pack) -> None:
    numbered = [{NUMBERS[key]: value for key, value in record.items()} for record in pack]
    found, unknown = read(pack, ["x"])
    assert read(numbered, ["x"], write=cbor2.dumps) == (found, unknown)
    assert sum(map(len, found.values())) == len(pack)
    assert unknown == 0


def test_base_values_are_added_and_stay_in_force() -> None:
    pack = [{"bn": "a/", "bv": 10, "n": "x", "v": 1, "t": 0}, {"n": "x", "v": 2, "t": 1}]
    assert read(pack, ["x"])[0] == {"a": [(NOW_NS, [11]), (NOW_NS + S, [12])]}


def test_a_record_of_base_fields_alone_gives_no_sample() -> None:
    found, _ = read([{"bn": "a/", "bt": 2e9}, {"n": "x", "v": 1}], ["x"])
    assert found == {"a": [(2 * 10**9 * S, [1])]}


def test_times_from_two_to_the_28_on_are_absolute() -> None:
    found, _ = read([{"n": "x", "t": 2**28, "v": 1}, {"n": "x", "t": 2**28 - 1, "v": 2}], ["x"])
    assert found == {None: [(2**28 * S, [1]), (NOW_NS + (2**28 - 1) * S, [2])]}


@pytest.mark.parametrize(
    ("name", "sensor"),
    [("x", None), ("a/x", "a"), ("a:x", "a"), ("a.x", "a"), ("a/b/x", "a/b"), ("/x", None),
     ("hall 7/\U0001f321/x", "hall 7/\U0001f321")],
)  # fmt: skip
def test_a_name_ends_in_its_channel(name, sensor) -> None:
    assert read([{"n": name, "v": 1}], ["x", "y"])[0] == {sensor: [(NOW_NS, [1, None])]}


def test_the_longest_channel_wins_and_others_are_counted() -> None:
    pack = [{"n": n, "v": 1} for n in ("a/accel/x", "a/x", "ax", "a_x", "a/x/", "ax")]
    found, unknown = read(pack, ["x", "accel/x"])
    assert found == {"a": [(NOW_NS, [1, 1])]}
    assert unknown == 3


def test_sums_alone_are_counted_and_not_read() -> None:
    found, unknown = read([{"n": "x", "v": 1}, {"n": "x", "s": 5}], ["x"])
    assert (found, unknown) == ({None: [(NOW_NS, [1])]}, 1)


@pytest.mark.parametrize(
    "pack",
    [
        {}, {"n": "x", "v": 1}, [1], [[]], [{"n": "x"}], [{"n": 1, "v": 1}], [{"bn": None}],
        [{"n": "x", "v": "1"}], [{"n": "x", "v": None}], [{"n": "x", "v": True}],
        [{"n": "x", "v": 1, "vs": "1"}], [{"n": "x", "v": 1, "t": "now"}],
        [{"n": "x", "v": 1, "bver": 11}], [{"n": "x", "v": 1, "bver": "5"}],
        [{"n": "x", "v": 1, "strange_": 1}], [{"n": "x", "v": 1, "bv": "a"}],
    ],
)  # fmt: skip
def test_what_is_no_senml_is_refused(pack) -> None:
    assert refused(pack) is Reason.BAD_SENML
    assert refused(pack, write=cbor2.dumps) is Reason.BAD_SENML


def test_what_cannot_be_used_is_refused_by_its_reason() -> None:
    assert refused(b"[", ["x"]) is Reason.BAD_JSON
    assert refused(b"\x81", ["x"]) is Reason.BAD_CBOR
    assert refused([]) is Reason.NO_SAMPLES
    assert refused([{"n": "q", "v": 1}]) is Reason.NO_SAMPLES
    assert refused([{"n": "x", "vb": 1}]) is Reason.BAD_VALUE
    assert refused([{"n": "x", "v": 2.5}], dtype="int16") is Reason.BAD_VALUE
    assert refused([{"n": "x", "v": 1, "t": 10**10}]) is Reason.BAD_TIME
    assert refused([{"n": "x", "v": 1, "t": 10**400}]) in {Reason.BAD_TIME, Reason.BAD_VALUE}
    assert refused([{"n": f"{n}/x", "v": 1} for n in range(10_001)]) is Reason.TOO_LARGE
    nan = cbor2.dumps([{"n": "x", "v": float("nan")}])
    assert refused(nan) is Reason.BAD_SENML


def test_unknown_fields_are_ignored() -> None:
    assert read([{"n": "x", "v": 1, "loc": "hall 7", "ut": 5}], ["x"])[0] == {None: [(NOW_NS, [1])]}
