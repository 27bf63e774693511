"""Dead letters are read by their entries: each its own rows of a bundle, whatever lies beside."""

import asyncio
import dataclasses
from typing import Any

import pytest

from batching import names
from batching.adapters.folder import FolderStore
from batching.bundle import DeadLetters
from batching.letters import Letter, dead_letters
from batching.model import Entry, EntryKind, Store, Trimmed
from batching.scope import Scoped
from batching.view import Log
from tests.batching.verify.made_store import HUB, LETTER, NOW, MadeStore

MANY = 150  # more than are read at once
SECOND = 10**9


@pytest.fixture
def made(tmp_path) -> MadeStore:
    """One bundle of two entries, of which one is a buffer of stream s that could not be written."""
    store = MadeStore(tmp_path)
    letters = DeadLetters()
    for number in range(MANY):
        letter = {**LETTER, "stream": "heat", "properties": {"n": str(number)}}
        letters.add(
            letter,
            sequence_number=number,
            enqueued_ns=NOW + number * SECOND,
            message_id=f"m{number}",
        )
    first, last = MANY - 20, MANY - 1
    whole = store._kept(
        Entry("batch", names.DEAD_STREAM, "_", 0, first - 1, first), letters, rows=(0, first)
    )
    span = (first, MANY)
    unwritten = dataclasses.replace(
        whole, kind=EntryKind.DEAD.value, stream="s", sensor="a", first=first, last=last, events=20,
        rows=span, chunks=span, sealed=NOW + MANY * SECOND,
    )  # fmt: skip
    store.commit(whole, unwritten)
    return store


def read(made: MadeStore, **more: Any) -> list[Letter]:
    async def run() -> list[Letter]:
        root = FolderStore(made.folder)
        log = Log(root, Scoped(root, "id"), Store("id", "ns", "h", HUB, "g", {"0": 0}, 0), "0")
        found = [letter async for letter in dead_letters(log, **more)]
        await root.close()
        return found

    return asyncio.run(run())


def test_every_letter_is_read_once_with_what_is_its_own(made: MadeStore) -> None:
    found = read(made)
    assert [letter.number for letter in found] == list(range(MANY))
    assert all(x.letter.properties == {"n": str(x.number)} for x in found)
    assert all(x.message_id == f"m{x.number}" for x in found)
    assert [x.stream for x in found] == ["heat"] * (MANY - 20) + ["s"] * 20
    assert found[3].place == "0/3"


def test_letters_are_chosen_by_number_and_time(made: MadeStore) -> None:
    assert [x.number for x in read(made, numbers=(3, 140, 999))] == [3, 140]
    late = read(made, since_ns=NOW + (MANY - 2) * SECOND)
    assert [x.number for x in late] == [MANY - 2, MANY - 1]


def test_what_retention_took_is_left_out_and_not_told_as_damage(made: MadeStore) -> None:
    damage: list[str] = []
    made.remove(made.manifests[0][0].data or "")
    assert read(made, damaged=damage.append) == []
    assert len(damage) == 2
    made.write(names.trimmed(HUB, "0"), Trimmed(dead_below=1))
    assert read(made, damaged=damage.append) == []
    assert len(damage) == 2
