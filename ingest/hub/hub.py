"""One Event Hub: its partitions, who reads them, and where an event that was sent goes."""

import json
import os
import re
import time
import zlib
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from batching.errors import SettingError
from ingest.hub.amqp import Timestamp, encode
from ingest.hub.faults import Faults
from ingest.hub.frames import error
from ingest.hub.messages import PUBLISHER, Event, partition_key, unpack
from ingest.hub.partition_log import HotSegments, PartitionLog, Retention

if TYPE_CHECKING:
    from ingest.hub.links import Reader

DEFAULT_GROUP = "$Default"
_FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,255}")
_GROUP = re.compile(r"\$Default|[A-Za-z0-9][A-Za-z0-9._-]{0,49}", re.IGNORECASE)
_ADDRESS = re.compile(
    r"(?P<hub>[^/]+)"
    r"(?:/ConsumerGroups/(?P<group>[^/]+))?"
    r"(?:/Partitions/(?P<partition>[^/]+))?"
    r"(?:/Publishers/(?P<publisher>[^/]+)(?:/Modules/(?P<module>[^/]+))?)?",
    re.IGNORECASE,
)
_SCOPES = {  # what IoT Hub writes about how a device signed in
    True: '{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}',
    False: '{"scope":"hub","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}',
}
MAX_PARTITIONS = 2_000


class Refused(Exception):
    """What a client asked for cannot be; it is told the AMQP condition and the text."""

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(text)
        self.error = error(condition, text)


class Address(NamedTuple):
    """What an address names within a hub."""

    hub: str
    group: str | None = None
    partition: str | None = None
    publisher: str | None = None
    module: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read the path of an address; publisher and module may be percent-encoded.

        Raises:
            Refused: nothing can have that address.

        """
        found = _ADDRESS.fullmatch(text)
        if found is None:
            raise not_found(text)
        parts = {name: part and unquote(part) for name, part in found.groupdict().items()}
        return cls(**parts)


def not_found(what: str) -> Refused:
    """Say it as Event Hubs does."""
    return Refused("amqp:not-found", f"The messaging entity '{what}' could not be found.")


@dataclass(frozen=True)
class HubSettings:
    """One hub. `iot` makes it the built-in endpoint of an IoT Hub: it says who sent an event."""

    name: str
    partitions: int = 4
    groups: tuple[str, ...] = (DEFAULT_GROUP,)
    iot: bool = False
    retention: Retention = field(default_factory=Retention)
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        """Check what would fail later."""
        if not _NAME.fullmatch(self.name):
            raise SettingError(
                f"hub name {self.name!r}: use letters, digits, '.', '_' and '-', at most 256"
            )
        if not 1 <= self.partitions <= MAX_PARTITIONS:
            raise SettingError(
                f"hub {self.name}: partitions must be 1 to {MAX_PARTITIONS}, got {self.partitions}"
            )
        for group in self.groups:
            if not _GROUP.fullmatch(group):
                raise SettingError(
                    f"consumer group {group!r}: use letters, digits, '.', '_' and '-', at most 50"
                )


class Hub:
    """The partitions of one hub and the links that read them."""

    def __init__(self, settings: HubSettings, data: Path | None, hot: HotSegments) -> None:
        self.settings = settings
        self.name = settings.name
        folder = data / settings.name.lower() if data is not None else None
        self.created_ms = _created_ms(settings, folder)
        self.groups = {group.lower() for group in (DEFAULT_GROUP, *settings.groups)}
        self.partitions = [
            PartitionLog(str(i), folder and folder / str(i), settings.retention, hot)
            for i in range(settings.partitions)
        ]
        self.readers: dict[tuple[str, str], list[Reader]] = defaultdict(list)
        self._turn = 0

    def partition(self, name: str) -> PartitionLog:
        """Find a partition.

        Raises:
            Refused: there is none of that name.

        """
        if not name.isascii() or not name.isdigit() or int(name) >= len(self.partitions):
            raise not_found(f"{self.name}/Partitions/{name}")
        return self.partitions[int(name)]

    def publish(self, raw: bytes, message_format: int, address: Address) -> None:
        """Write what one transfer brought; on return it survives a kill of this process.

        Raises:
            CodecError: it is no message.
            Refused: it lacks a device.
            OSError: the disk refused.

        """
        events = unpack(raw, message_format)
        if address.publisher is not None:
            for event in events:
                event.annotations[PUBLISHER] = encode(address.publisher)
        if self.settings.iot:
            self._say_who(events, address)
        partition = self._route(events[0], address)
        partition.append(events)
        for group in self.groups:
            for reader in self.readers.get((group, partition.name), ()):
                reader.wake()

    def _route(self, event: Event, address: Address) -> PartitionLog:
        if address.partition is not None:
            return self.partition(address.partition)
        key = address.publisher or partition_key(event)
        if key is not None:
            return self.partitions[zlib.crc32(key.encode()) % len(self.partitions)]
        self._turn += 1
        return self.partitions[self._turn % len(self.partitions)]

    def _say_who(self, events: list[Event], address: Address) -> None:
        """Write what IoT Hub writes; whatever a sender wrote under such names is dropped."""
        now_ms = encode(Timestamp(time.time_ns() // 1_000_000))
        for event in events:
            device = address.publisher or partition_key(event)
            if not device:
                raise Refused(
                    "amqp:not-allowed",
                    f"hub {self.name} is an IoT Hub: send to {self.name}/Publishers/<device>, "
                    "or name the device in the partition key",
                )
            forged = [name for name in event.annotations if name.lower().startswith("iothub-")]
            for name in forged:
                del event.annotations[name]
            event.annotations["iothub-connection-device-id"] = encode(device)
            if address.module is not None:
                event.annotations["iothub-connection-module-id"] = encode(address.module)
            scope = _SCOPES[address.publisher is not None]
            event.annotations["iothub-connection-auth-method"] = encode(scope)
            event.annotations["iothub-enqueuedtime"] = now_ms
            event.annotations["iothub-message-source"] = encode("Telemetry")

    def close(self) -> None:
        """End writing."""
        for partition in self.partitions:
            partition.close()


def _created_ms(settings: HubSettings, folder: Path | None) -> int:
    """Read when the hub was created, or create it now."""
    now_ms = time.time_ns() // 1_000_000
    if folder is None:
        return now_ms
    path = folder / "hub.json"
    created = now_ms
    if path.exists():
        kept = _read(path)
        created = int(kept["created_ms"])
        if kept["partitions"] == settings.partitions:
            return created
        if kept["partitions"] > settings.partitions:
            raise SettingError(
                f"hub {settings.name} has {kept['partitions']} partitions in {folder}; it cannot "
                f"have {settings.partitions}: ask for as many or more, or choose another --data"
            )
    _write(path, {"name": settings.name, "partitions": settings.partitions, "created_ms": created})
    return created


def _read(path: Path) -> dict[str, int]:
    try:
        kept: dict[str, int] = json.loads(path.read_bytes())
        if kept["format"] > _FORMAT:
            raise SettingError(f"{path} was written by a newer Headrace: upgrade this one")
        return {name: int(kept[name]) for name in ("partitions", "created_ms")}
    except (ValueError, KeyError, TypeError) as broken:
        raise SettingError(f"{path} describes no hub; choose another --data") from broken


def _write(path: Path, kept: dict[str, str | int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    with temporary.open("w") as file:
        json.dump({"format": _FORMAT, **kept}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
