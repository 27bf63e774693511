"""Whose samples an event brings: the sensor's name, from where a stream says, checked."""

import unicodedata
from collections.abc import Callable
from typing import Any, TypeAlias
from uuid import UUID

from batching.errors import SettingError
from ingest.decode.problem import Reason, Unusable
from ingest.decode.spec import SensorSpec, StreamRules
from ingest.event import Event

DEVICE = "iothub-connection-device-id"
MODULE = "iothub-connection-module-id"
MAX_NAME_BYTES = 256
_MAX_TEXT = 4 * MAX_NAME_BYTES  # NFC makes one character of at most four
_MAX_NUMBER = 2**64

Sender: TypeAlias = Callable[[Event], str | None]


def sensor_name(raw: Any) -> str:
    """Give a sensor's name: text, UTF-8, NFC, 1 to 256 bytes, no control characters.

    Raises:
        Unusable: no_sensor if there is none, bad_sensor if it breaks a rule.

    """
    text = _text(raw)
    if not text:
        raise Unusable(Reason.NO_SENSOR, "the event does not say which sensor sent it")
    if len(text) <= MAX_NAME_BYTES and text.isascii() and text.isprintable():
        return text
    if len(text) > _MAX_TEXT:  # before NFC, whose cost can grow with the square
        raise _bad(f"it has {len(text)} characters, {MAX_NAME_BYTES} bytes are allowed")
    name = unicodedata.normalize("NFC", text)
    if any(unicodedata.category(character) == "Cc" for character in name):
        raise _bad("it has a control character, such as a line break")
    try:
        size_bytes = len(name.encode())
    except UnicodeEncodeError:
        raise _bad("it is no valid Unicode") from None
    if size_bytes > MAX_NAME_BYTES:
        raise _bad(f"it has {size_bytes} bytes, {MAX_NAME_BYTES} are allowed")
    return name


def _text(raw: Any) -> str:
    if raw is None:
        return ""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bytes):
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise _bad("its bytes are no UTF-8") from None
    if isinstance(raw, UUID) or (type(raw) is int and abs(raw) < _MAX_NUMBER):
        return str(raw)
    raise _bad(f"it is of type {type(raw).__name__}, not text")


def _bad(detail: str) -> Unusable:
    return Unusable(Reason.BAD_SENSOR, f"the sensor's name cannot be used: {detail}")


def sender_of(spec: SensorSpec) -> Sender:
    """Give the function that names an event's sender; it gives None if the body names it."""
    name = spec.name or DEVICE
    if spec.by == "partition_key":
        return lambda event: sensor_name(event.partition_key)
    if spec.by == "property":
        return lambda event: sensor_name(event.properties.get(name))
    if spec.by == "annotation":
        return _device if name == DEVICE else lambda e: sensor_name(e.annotations.get(name))
    return lambda _: None


def _device(event: Event) -> str:
    """Name an IoT Hub's device, and its module if one sent it; the hub vouches for both."""
    device = sensor_name(event.annotations.get(DEVICE))
    module = event.annotations.get(MODULE)
    return sensor_name(f"{device}/{_text(module)}") if module else device


def full_name(sender: str | None, part: Any) -> str:
    """Join the sender's name and what the body adds to it (SenML), or take what there is."""
    if sender is None:
        return sensor_name(part)
    return sensor_name(f"{sender}/{part}") if part else sender


def check(rules: StreamRules, *, iot_hub: bool) -> None:
    """Check that a stream can name its sensors, for IoT Hub by what no device can forge.

    Raises:
        SettingError: it cannot, and what to set.

    """
    spec, where = rules.sensor, f"streams.{rules.name}.sensor"
    if iot_hub and (spec.by != "annotation" or spec.name not in (None, DEVICE)):
        raise SettingError(
            f"{where}: behind an IoT Hub a device can forge {spec.by} {spec.name or ''}".rstrip()
            + f"; use annotation: {DEVICE}"
        )
    if spec.by in ("property", "field") and not spec.name:
        raise SettingError(f"{where}: name the {spec.by} that holds the sensor's name")
    if spec.by == "senml" and rules.decode.format != "senml":
        raise SettingError(f"{where}: senml names sensors only with decode.format senml")
    if spec.by == "field" and rules.decode.format not in ("json", "cbor"):
        raise SettingError(
            f"{where}: a body of format {rules.decode.format} has no fields; use partition_key, "
            "property or annotation"
        )
