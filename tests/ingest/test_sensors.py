import unicodedata
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching.errors import SettingError
from batching.names import Key
from ingest.decode.problem import Reason, Unusable
from ingest.decode.spec import SensorSpec
from ingest.sensors import DEVICE, MODULE, check, full_name, sender_of, sensor_name
from tests.ingest.decode.given import event, rules, spec

MOBILE = {DEVICE: "press-1", MODULE: "camera"}


def refused(raw) -> Reason:
    with pytest.raises(Unusable) as caught:
        sensor_name(raw)
    return caught.value.reason


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1))
def test_a_name_is_kept_in_nfc_or_refused_for_its_length_alone(text) -> None:
    name = unicodedata.normalize("NFC", text)
    if len(name.encode()) <= 256:
        assert sensor_name(text) == name
        assert sensor_name(sensor_name(text)) == name
        assert Key.parse(Key("s", name).text()) == Key("s", name)
    else:
        assert refused(text) is Reason.BAD_SENSOR


@pytest.mark.parametrize(
    "name",
    ["press 1", "hall/7/press", "a\"b'c`$(reboot)", "\U0001f321\ufe0f",
     "\U0001f469\u200d\U0001f527", "..", "%2F", "#1", "p" * 256, "\u00e9" * 128],
)  # fmt: skip
def test_spaces_slashes_quotes_and_emoji_are_fine(name) -> None:
    assert sensor_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["a\nb", "a\r", "\t", "\0", "\x7f", "\x85", "a\x9f", "p" * 257, "\u00e9" * 129, "\ud800",
     "e\u0301" * 200, "p" * 10**6, b"\xff", True, 1.5, [], {}, 2**64, -(2**70)],
)  # fmt: skip
def test_control_characters_lengths_and_other_types_are_refused(name) -> None:
    assert refused(name) is Reason.BAD_SENSOR


def test_marks_without_end_cost_no_time() -> None:
    assert refused("a" + "\u0323\u0301" * 500_000) is Reason.BAD_SENSOR


@pytest.mark.parametrize("name", [None, "", b""])
def test_nothing_is_no_sensor(name) -> None:
    assert refused(name) is Reason.NO_SENSOR


def test_composed_and_decomposed_letters_are_one_sensor() -> None:
    assert sensor_name("pre\u0301sse") == sensor_name("pr\u00e9sse") == "pr\u00e9sse"


def test_bytes_numbers_and_uuids_are_spelled() -> None:
    assert sensor_name("pr\u00e9sse".encode()) == "pr\u00e9sse"
    assert sensor_name(7) == "7"
    assert sensor_name(UUID(int=1)) == "00000000-0000-0000-0000-000000000001"


@pytest.mark.parametrize(
    ("sensor", "name"),
    [
        (SensorSpec("partition_key"), "key"),
        (SensorSpec("property", "machine"), "m 1"),
        (SensorSpec("annotation", DEVICE), "press-1/camera"),
        (SensorSpec("annotation"), "press-1/camera"),
        (SensorSpec("annotation", "x-opt-publisher"), "sender"),
        (SensorSpec("field", "id"), None),
        (SensorSpec("senml"), None),
    ],
)
def test_the_sender_is_named_by_what_the_stream_says(sensor, name) -> None:
    arrived = event(
        b"",
        partition_key="key",
        properties={"machine": "m 1", DEVICE: "forged"},
        annotations={**MOBILE, "x-opt-publisher": "sender"},
    )
    assert sender_of(sensor)(arrived) == name


def test_a_device_without_modules_is_named_alone() -> None:
    assert sender_of(SensorSpec("annotation"))(event(b"", annotations={DEVICE: "press-1"})) == (
        "press-1"
    )


@pytest.mark.parametrize("by", ["partition_key", "property", "annotation"])
def test_an_event_without_the_senders_name_has_no_sensor(by) -> None:
    with pytest.raises(Unusable) as caught:
        sender_of(SensorSpec(by, "nowhere"))(event(b"", partition_key=""))
    assert caught.value.reason is Reason.NO_SENSOR


def test_what_the_body_adds_stands_below_the_sender() -> None:
    assert full_name("press-1", "motor/left") == "press-1/motor/left"
    assert full_name("press-1", None) == "press-1"
    assert full_name(None, "motor") == "motor"
    with pytest.raises(Unusable):
        full_name(None, None)
    with pytest.raises(Unusable):
        full_name("p" * 200, "q" * 56)


@pytest.mark.parametrize(
    "sensor",
    [SensorSpec("partition_key"), SensorSpec("property", "device"), SensorSpec("field", "device"),
     SensorSpec("senml"), SensorSpec("annotation", "x-opt-partition-key"),
     SensorSpec("annotation", MODULE)],
)  # fmt: skip
def test_behind_an_iot_hub_only_the_devices_annotation_names_it(sensor) -> None:
    form = "senml" if sensor.by == "senml" else "json"
    with pytest.raises(SettingError, match=DEVICE):
        check(rules(spec(form), sensor), iot_hub=True)
    check(rules(spec(form), sensor), iot_hub=False)
    check(rules(spec(form), SensorSpec("annotation", DEVICE)), iot_hub=True)


@pytest.mark.parametrize(
    ("form", "sensor"),
    [("json", SensorSpec("property")), ("json", SensorSpec("field")), ("json", SensorSpec("senml")),
     ("npy", SensorSpec("field", "id")), ("raw", SensorSpec("field", "id")),
     ("senml", SensorSpec("field", "id"))],
)  # fmt: skip
def test_a_source_that_a_format_cannot_have_is_a_setting_error(form, sensor) -> None:
    with pytest.raises(SettingError, match=r"streams.vibration.sensor"):
        check(rules(spec(form), sensor), iot_hub=False)
