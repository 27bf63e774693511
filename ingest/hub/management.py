"""Requests that ride on messages: tokens to `$cbs`, questions about hubs to `$management`."""

from collections.abc import Callable, Mapping
from typing import Any

from ingest.hub.amqp import CodecError, Encoded, Int, Strings, Timestamp, decode, skip
from ingest.hub.hub import Hub, Refused
from ingest.hub.messages import APPLICATION, PROPERTIES, VALUE, section, sections
from ingest.hub.partition_log import PartitionLog
from ingest.hub.tokens import Grants, TokenRefused, path_of

CBS = "$cbs"
MANAGEMENT = "$management"
Answer = tuple[int, str, dict[str, Any]]
_EMPTY_LIST, _SMALL_LIST = 0x45, 0xC0
_NULL = Encoded(b"\x40")


class Desk:
    """Answers the requests of one connection."""

    def __init__(self, find: Callable[[str], Hub], grants: Grants) -> None:
        self._find = find
        self._grants = grants

    def answer(self, address: str, raw: bytes) -> bytes:
        """Read a request and write its reply.

        Raises:
            CodecError: it is no AMQP message.

        """
        found = {part.code: part for part in sections(raw)}
        asked = decode(raw, found[APPLICATION].value)[0] if APPLICATION in found else {}
        if address == CBS:
            token = decode(raw, found[VALUE].value)[0] if VALUE in found else None
            status, text, body = self._token(token)
        else:
            status, text, body = self._read(asked)
        facts = {"status-code": Int(status), "status-description": text}
        facts |= {"statusCode": Int(status), "statusDescription": text}
        message_id = _message_id(raw, found[PROPERTIES].value) if PROPERTIES in found else _NULL
        return (
            section(PROPERTIES, [None] * 5 + [message_id])
            + section(APPLICATION, facts)
            + section(VALUE, body)
        )

    def _token(self, token: object) -> Answer:
        try:
            self._grants.add(token)
        except TokenRefused as refused:
            return refused.status, str(refused), {}
        return 202, "Accepted", {}

    def _read(self, asked: Mapping[str, Any]) -> Answer:
        try:
            self._grants.add(asked.get("security_token"))
            return self._look(asked)
        except TokenRefused as refused:
            return refused.status, str(refused), {}
        except Refused as refused:
            return 404, str(refused), {}

    def _look(self, asked: Mapping[str, Any]) -> Answer:
        name, kind = str(asked.get("name")), asked.get("type")
        if not self._grants.allow(path_of(name)):
            raise TokenRefused(401, f"the token does not cover {name}")
        hub = self._find(name)
        if asked.get("operation") == "READ" and kind == "com.microsoft:eventhub":
            return 200, "OK", _describe_hub(hub)
        if asked.get("operation") == "READ" and kind == "com.microsoft:partition":
            return 200, "OK", _describe_partition(hub, hub.partition(str(asked.get("partition"))))
        return 400, f"cannot {asked.get('operation')} a {kind}", {}


def _message_id(raw: bytes, start: int) -> Encoded:
    """Cut out the message id as it was encoded: the reply names it in the same wire type."""
    if raw[start] == _EMPTY_LIST:
        return _NULL
    at = start + (3 if raw[start] == _SMALL_LIST else 9)
    if at >= len(raw):
        raise CodecError("properties are cut off")
    return Encoded(raw[at : skip(raw, at)])


def _describe_hub(hub: Hub) -> dict[str, Any]:
    return {
        "name": hub.name,
        "type": "com.microsoft:eventhub",
        "created_at": Timestamp(hub.created_ms),
        "partition_count": Int(len(hub.partitions)),
        "partition_ids": Strings(partition.name for partition in hub.partitions),
        "georeplication_factor": Int(1),
    }


def _describe_partition(hub: Hub, partition: PartitionLog) -> dict[str, Any]:
    info = partition.info
    return {
        "name": hub.name,
        "type": "com.microsoft:partition",
        "partition": partition.name,
        "begin_sequence_number": info.first,
        "last_enqueued_sequence_number": info.last,
        "last_enqueued_offset": info.last_offset,
        "last_enqueued_time_utc": Timestamp(info.last_ms),
        "is_partition_empty": info.empty,
    }
