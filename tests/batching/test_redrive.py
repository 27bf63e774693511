"""Dead letters come back once each, whoever drives them, and nothing about them is left out."""

import asyncio
import base64
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest

from batching import names
from batching.adapters.folder import FolderStore
from batching.chunk import CUT, UNWRITABLE, DeadLetter
from batching.clock import SystemClock
from batching.errors import CorruptObject
from batching.identity import read_store
from batching.letters import Letter, dead_letters
from batching.model import Redrive, Store, dump
from batching.redrive import MOST_LETTERS, Outcome, Places, RedriveLog, Redriver, redriven
from batching.scope import Scoped
from batching.view import Log
from tests.batching.verify.made_store import HUB, LETTER, MadeStore

LETTERS = 40
CHILD = """
import asyncio, sys
from pathlib import Path
from tests.batching.test_redrive import drive_all
outcome = asyncio.run(drive_all(Path(sys.argv[1])))
print(outcome.driven, outcome.before)
"""


def letter(number: int, partition: str = "0", **more: object) -> Letter:
    said = DeadLetter(**{"reason": "bad_json", "detail": "", "body": b"{", "body_bytes": 1, **more})  # type: ignore[arg-type]
    return Letter(partition, number, 5, f"m{number}", "s", said)


@pytest.fixture
def made(tmp_path: Path) -> MadeStore:
    store = MadeStore(tmp_path)
    for first in range(0, LETTERS, 10):
        store.commit(store.dead(*range(first, first + 10)))
    store.position(LETTERS - 1)
    return store


class Opened:
    """One process's hold on a store."""

    def __init__(self, folder: Path) -> None:
        self.root = FolderStore(folder)
        self.identity = Store("id", "ns", "h", HUB, "$Default", {"0": 0}, 0)
        self.log = RedriveLog(Scoped(self.root, "id"), self.identity)

    async def redriver(self) -> Redriver:
        redriver = Redriver(self.log, SystemClock(), writer="test")
        await redriver.open()
        return redriver

    async def objects(self) -> list[Redrive]:
        return [found async for found in self.log.objects()]

    async def letters(self) -> list[Letter]:
        log = Log(self.root, self.log.store, self.identity, "0")
        return [letter async for letter in dead_letters(log)]


async def drive(redriver: Redriver, letters: Sequence[Letter], *, each: bool = False) -> Outcome:
    """Drive letters; `each` in an object of its own, with a breath after it, so that they clash."""
    chance = Random(id(redriver))
    for one in letters:
        if redriver.accept(one):
            await redriver.add(one)
        if each:
            await redriver.finish()
            await asyncio.sleep(chance.random() / 50)
    await redriver.finish()
    return redriver.outcome


async def drive_all(folder: Path) -> Outcome:
    """What one process does of several."""
    root = FolderStore(folder)
    identity = await read_store(root)
    assert identity is not None
    store = Scoped(root, identity.id)
    redriver = Redriver(RedriveLog(store, identity), SystemClock(), writer="test")
    await redriver.open()
    found = [x async for x in dead_letters(Log(root, store, identity, "0"))]
    outcome = await drive(redriver, found, each=True)
    await root.close()
    return outcome


def numbers(objects: Sequence[Redrive]) -> list[int]:
    return [x.sequence_number for found in objects for x in found.letters]


def test_each_letter_comes_back_with_all_that_it_had(tmp_path: Path) -> None:
    more = {
        "content_type": "application/json",
        "content_encoding": "gzip",
        "partition_key": "press-1",
        "properties": {"n": "5"},
        "property_types": {"n": "int"},
        "annotations": {"x-opt-offset": "7"},
        "annotation_types": {},
        "body": b"\x00\xff",
        "body_bytes": 2,
        "arrived_ns": 3,
    }
    event = redriven(letter(7, **more))
    assert base64.b64decode(event.body) == b"\x00\xff"
    for name in set(more) - {"body", "body_bytes"}:
        assert getattr(event, name) == more[name], name
    assert (event.partition, event.sequence_number, event.message_id) == ("0", 7, "m7")


def test_an_older_letter_comes_back_too_by_what_its_annotations_say(made: MadeStore) -> None:
    assert "content_encoding" not in LETTER  # written before that was kept
    (first, *_) = asyncio.run(Opened(made.folder).letters())
    assert (first.number, first.enqueued_ns, first.message_id) == (0, 1_700_000_000 * 10**9, "m0")
    assert first.letter.content_encoding == ""
    assert first.refusal is None
    old = letter(1, annotations={"x-opt-partition-key": "press-1"})
    assert redriven(old).partition_key == "press-1"
    assert redriven(old).arrived_ns == old.enqueued_ns


def test_what_came_back_before_is_left_out(made: MadeStore) -> None:
    async def story() -> tuple[Outcome, Outcome, list[Redrive]]:
        opened = Opened(made.folder)
        letters = await opened.letters()
        first = await drive(await opened.redriver(), [*letters[:10], *letters[:3]])
        again = await drive(await opened.redriver(), letters)
        return first, again, await opened.objects()

    first, again, objects = asyncio.run(story())
    assert (first.driven, first.before) == (10, 0)
    assert (again.driven, again.before) == (LETTERS - 10, 10)
    assert numbers(objects) == list(range(LETTERS))
    assert [found.first for found in objects] == [0, 10]


def test_two_at_the_same_time_bring_each_letter_back_once(made: MadeStore) -> None:
    async def story() -> tuple[list[Outcome], list[Redrive]]:
        opened = Opened(made.folder)
        letters = await opened.letters()
        both = [await opened.redriver() for _ in range(2)]  # neither knows of the other's
        tasks = (drive(each, letters, each=True) for each in both)
        return await asyncio.gather(*tasks), await opened.objects()

    outcomes, objects = asyncio.run(story())
    assert Counter(numbers(objects)) == Counter(range(LETTERS))
    assert sum(outcome.driven for outcome in outcomes) == LETTERS
    assert sum(outcome.before for outcome in outcomes) == LETTERS


def test_who_opened_before_another_wrote_learns_what_it_wrote(made: MadeStore) -> None:
    async def story() -> tuple[list[Outcome], list[Redrive]]:
        opened = Opened(made.folder)
        letters = await opened.letters()
        first, second = [await opened.redriver() for _ in range(2)]
        outcomes = [await drive(first, letters[:30:2], each=True), await drive(second, letters)]
        return outcomes, await opened.objects()

    (first, second), objects = asyncio.run(story())
    assert (first.driven, first.before) == (15, 0)
    assert (second.driven, second.before) == (LETTERS - 15, 15)
    assert Counter(numbers(objects)) == Counter(range(LETTERS))


def test_two_processes_bring_each_letter_back_once(made: MadeStore) -> None:
    command = [sys.executable, "-c", CHILD, str(made.folder)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [tuple(map(int, each.communicate(timeout=60)[0].split())) for each in both]
    assert [sum(each) for each in told] == [LETTERS, LETTERS]
    assert sum(driven for driven, _ in told) == LETTERS
    objects = asyncio.run(Opened(made.folder).objects())
    assert Counter(numbers(objects)) == Counter(range(LETTERS))


class Forgetful(FolderStore):
    """A store that does what it is asked, and whose first answer is lost."""

    lost = 0

    async def create(self, name: str, parts: Sequence[bytes | memoryview]) -> bool:
        made = await super().create(name, parts)
        self.lost += 1
        return made and self.lost > 1


def test_an_object_whose_answer_was_lost_is_known_as_ones_own(made: MadeStore) -> None:
    async def story() -> tuple[Outcome, list[Redrive]]:
        opened = Opened(made.folder)
        store = Scoped(Forgetful(made.folder), "id")
        redriver = Redriver(RedriveLog(store, opened.identity), SystemClock(), writer="test")
        await redriver.open()
        return await drive(redriver, await opened.letters()), await opened.objects()

    outcome, objects = asyncio.run(story())
    assert (outcome.driven, outcome.before) == (LETTERS, 0)
    assert numbers(objects) == list(range(LETTERS))


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"body_bytes": 2**20 + 1}, "cut"),
        ({"property_types": {"kind": CUT}}, "cut"),
        ({"annotation_types": {"kind": CUT}}, "cut"),
        ({"reason": UNWRITABLE}, "unwritable"),
    ],
)
def test_what_was_not_kept_whole_is_refused(tmp_path: Path, more: dict, why: str) -> None:
    async def story() -> Outcome:
        return await drive(await Opened(tmp_path).redriver(), [letter(1, **more), letter(2)])

    outcome = asyncio.run(story())
    assert outcome.driven == 1
    assert [(told.partition(":")[0], n) for told, n in outcome.refused.items()] == [(why, 1)]


def test_objects_are_bounded_in_letters_and_bytes(tmp_path: Path) -> None:
    half = bytes(5 * 2**19)  # base64 makes a third more of it

    async def story() -> list[Redrive]:
        opened = Opened(tmp_path)
        redriver = await opened.redriver()
        await drive(redriver, [letter(n) for n in range(MOST_LETTERS + 5)])
        large = [letter(n, "1", body=half, body_bytes=len(half)) for n in range(4)]
        await drive(redriver, large)
        return await opened.objects()

    assert [len(found.letters) for found in asyncio.run(story())] == [MOST_LETTERS, 5, 2, 2]


def test_the_object_of_a_number_is_found_from_its_name_alone(tmp_path: Path) -> None:
    async def story() -> None:
        opened = Opened(tmp_path)
        redriver = await opened.redriver()
        assert await opened.log.end() == 0
        assert await opened.log.begin_before(0) == 0
        letters = [letter(n) for n in range(2 * MOST_LETTERS + 12)]
        await drive(redriver, letters[: MOST_LETTERS + 2])
        await drive(redriver, letters)
        begins = {0: 0, 1: 0, 999: 0, 1_000: 1_000, 1_001: 1_000, 1_002: 1_002, 2_001: 1_002}
        begins |= {2_002: 2_002, 2_011: 2_002, 2_012: 2_002}
        for number, first in begins.items():
            assert await opened.log.begin_before(number) == first, number
        assert await opened.log.end() == await opened.log.end(1_000) == 2_012

    asyncio.run(story())


def test_an_object_that_says_something_else_is_refused(tmp_path: Path) -> None:
    async def story(found: Redrive) -> None:
        opened = Opened(tmp_path)
        name = names.redriven(HUB, 0)
        await opened.log.store.delete(name)
        await opened.log.store.create(name, [dump(found)])
        with pytest.raises(CorruptObject, match="not what its name says"):
            await opened.log.begin_at(0)

    event = redriven(letter(1))
    for found in (
        Redrive("id", HUB, 1, 0, "", (event,)),
        Redrive("other", HUB, 0, 0, "", (event,)),
        Redrive("id", HUB, 0, 0, "", ()),
    ):
        asyncio.run(story(found))


def test_a_set_of_places_knows_each_of_them() -> None:
    places = Places()
    every = [("0", 0), ("0", 4_095), ("0", 4_096), ("1", 0), ("redrive", 10**12)]
    assert [places.add(*place) for place in every] == [True] * len(every)
    assert [places.add(*place) for place in every] == [False] * len(every)
    assert all(places.has(*place) for place in every)
    assert not any(places.has(*place) for place in [("0", 1), ("2", 0), ("redrive", 0)])
    spans = {
        (0, 0): 1,
        (0, 4_095): 2,
        (0, 4_096): 3,
        (1, 4_095): 1,
        (1, 4_094): 0,
        (4_096, 9_000): 1,
    }
    assert {span: places.count("0", *span) for span in spans} == spans
