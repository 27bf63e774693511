"""One event as it came from the hub, in plain values: what decoding may look at."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Event(NamedTuple):
    """An event of one partition.

    `annotations` are written by the hub (IoT Hub puts the device's authenticated name
    there); `properties` and `body` by the sender, who can forge both. Keys are text.
    `enqueued_ns` is the hub's clock, nanoseconds UTC.
    """

    partition: str
    sequence_number: int
    enqueued_ns: int
    body: bytes
    content_type: str = ""
    content_encoding: str = ""
    message_id: str = ""
    partition_key: str = ""
    properties: Mapping[str, Any] = {}
    annotations: Mapping[str, Any] = {}
