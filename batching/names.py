"""Names of objects in the store and of keys in Redis: one place, read by every room.

Runs on Python 3.10 too, since flows read the store with it.
"""

import re
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

BLOCK = 10_000
DEAD_STREAM = "_dead"
IGNORED_STREAM = "_ignored"
LOST_STREAM = "_lost"
PARKED_STREAM = "_parked"
_CHUNKS, _INDEX = ".chunks", ".index.arrow"
REDRIVE = "redrive"  # the partition of our own, by which dead letters come back
_CODED = re.compile(r"[^A-Za-z0-9_.~-]")  # what percent-encoding does not leave as it is
URI = re.compile(r"[A-Za-z0-9._/:=@+-]{1,512}")


class Key(NamedTuple):
    """What a batch is gathered by: a stream and a sensor, within one partition."""

    stream: str
    sensor: str

    def text(self) -> str:
        """Spell the key for Redis and paths: the sensor is percent-encoded."""
        stream, sensor = self
        if _CODED.search(sensor):  # few need it, and `quote` takes longer
            sensor = quote(sensor, safe="")
        return f"{stream}/{sensor}"

    @classmethod
    def parse(cls, text: str) -> "Key":
        """Read back what `text` spelled."""
        stream, _, sensor = text.partition("/")
        if "%" in sensor:  # `unquote` takes twice as long, and there may be a million of them
            sensor = unquote_to_bytes(sensor).decode("utf-8", "replace")
        return cls(stream, sensor)


DEAD = Key(DEAD_STREAM, "_")
IGNORED = Key(IGNORED_STREAM, "_")
LOST = Key(LOST_STREAM, "_")
PARKED = Key(PARKED_STREAM, "_")


def hub_id(namespace: str, hub: str, created_ms: int) -> str:
    """Name one hub for ever: created anew, it numbers from zero, so it is another hub.

    Args:
        namespace: host name of the Event Hubs namespace, without a port.
        hub: name of the hub.
        created_ms: creation time of the hub, milliseconds UTC since the epoch.

    """
    return f"{quote(namespace, safe='')}_{quote(hub, safe='')}_{created_ms}"


def number(n: int) -> str:
    """Twelve digits, so that a listing is in order."""
    return f"{n:012d}"


def block(n: int) -> str:
    """Name the folder of 10,000 numbers that holds n."""
    return f"{n // BLOCK:08d}"


STORE = "headrace.json"
RULES = "rules.json"


def manifest(hub: str, partition: str, n: int) -> str:
    """Name manifest n: creating it is the n-th commit of the partition."""
    return f"log/{hub}/{partition}/{block(n)}/{number(n)}.json"


def data(stream: str, hub: str, partition: str, n: int, nonce: str) -> str:
    """Name a bundle of manifest n; the nonce keeps two writers of one number apart."""
    return f"data/{stream}/{hub}/{partition}/{block(n)}/{number(n)}-{nonce}.arrow"


def parked(hub: str, partition: str, n: int, nonce: str) -> str:
    """Name the chunks that manifest n parks; `parked_index` names what tells them apart."""
    return f"parked/{hub}/{partition}/{block(n)}/{number(n)}-{nonce}{_CHUNKS}"


def parked_content(name: str) -> str:
    """Name the parked chunks that an object belongs to, be it they or their index."""
    return f"{name.removesuffix(_INDEX).removesuffix(_CHUNKS)}{_CHUNKS}"


def parked_index(name: str) -> str:
    """Name the index of parked chunks."""
    return f"{name.removesuffix(_CHUNKS)}{_INDEX}"


def position(hub: str, partition: str) -> str:
    """Name the object that holds a partition's checkpoint."""
    return f"position/{hub}/{partition}.json"


def trimmed(hub: str, partition: str) -> str:
    """Name the object that says what retention has taken of a partition."""
    return f"position/{hub}/{partition}.trimmed.json"


def redriven(hub: str, first: int) -> str:
    """Name the object of re-driven events whose first has this number in partition `redrive`."""
    return f"redrive/{hub}/{block(first)}/{number(first)}.json"


def run(job: str, n: int) -> str:
    """Name run record n of a job."""
    return f"runs/{job}/{number(n)}.json"


def attempt(job: str, n: int, k: int) -> str:
    """Name the decision to make attempt k, from 2 on."""
    return f"runs/{job}/{number(n)}.a{k}.json"


def receipt(job: str, n: int, k: int) -> str:
    """Name the receipt that attempt k was started."""
    return f"runs/{job}/{number(n)}.a{k}.started.json"


def failed(job: str, n: int, k: int) -> str:
    """Name the end of a record with attempt k, which failed and which no other follows."""
    return f"runs/{job}/{number(n)}.a{k}.failed.json"


def run_position(job: str) -> str:
    """Name the object that says below which record all have ended, and what is asked for."""
    return f"runs/{job}/position.json"


def retired(job: str) -> str:
    """Name the end of a job: it lets go of the log, and never has another record."""
    return f"runs/{job}/retired.json"


def result(job: str, n: int) -> str:
    """Name the result of record n: its creation is the effect."""
    return f"results/{job}/{number(n)}.json"


def outputs(job: str, n: int, k: int) -> str:
    """Name the folder of what attempt k of record n writes."""
    return f"outputs/{job}/{number(n)}.a{k}/"
