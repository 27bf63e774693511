"""One event as it came from the hub, in plain values: what decoding may look at."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Event(NamedTuple):
    """An event of one partition.

    `annotations` are written by the hub (IoT Hub puts the device's authenticated name
    there); `properties` and `body` by the sender, who can forge both. Keys are text.
    `enqueued_ns` is the hub's clock, nanoseconds UTC; of an event that was re-driven the time
    of that, and `first_enqueued_ns` is then when the hub got it.
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
    first_enqueued_ns: int | None = None

    @property
    def arrived_ns(self) -> int:
        """When the hub got it: what a body's relative times refer to."""
        return self.enqueued_ns if self.first_enqueued_ns is None else self.first_enqueued_ns
