"""A process that writes objects until it is killed: a number, then 1 MiB of its own bytes."""

import asyncio
import itertools
import sys
from pathlib import Path

from tests.batching.adapters.places import Container, Folder, Place

SIZE_BYTES = 2**20


async def main(place: Place, life: str) -> None:
    store = await place.open()
    print("ready", flush=True)  # noqa: T201 - the test waits for it
    for n in itertools.count():
        await store.create(f"objects/{life}/{n:06d}", [body(n)])


def body(n: int) -> bytes:
    return n.to_bytes(8) * (SIZE_BYTES // 8)


def place_of(words: list[str]) -> Place:
    if words[0] == "folder":
        return Folder(Path(words[1]))
    return Container(words[1], words[2], words[3])


if __name__ == "__main__":
    asyncio.run(main(place_of(sys.argv[2:]), sys.argv[1]))
