"""What every BlobStore promises, asked of each of them."""

import asyncio
import random
import signal
import subprocess
import sys
import time

import pytest

from batching.errors import CorruptObject
from batching.ports import BlobStore
from tests.batching.adapters import writer
from tests.batching.adapters.places import Container, Folder, Place, tell

WEIRD = [
    "a",
    "a-b",
    "a/b",
    "a/b-c/d",
    "a/b/c",
    "a/b/c d",
    "a/b/c%20d",
    "a/b/c%2Fd",
    "a/b/press%20%22north%22%F0%9F%8F%AD",
    "a.json",
    "a0/b",
    "log/plant7.example.net_telemetry_17/0/00000000/000000009999.json",
    "log/plant7.example.net_telemetry_17/0/00000001/000000010000.json",
    "log/plant7.example.net_telemetry_17/1/00000000/000000000000.json",
    "log/plant7.example.net_telemetry_17/10/00000000/000000000000.json",
    "runs/hourly_report/000000000000.a2.json",
    "runs/hourly_report/000000000000.a2.started.json",
    "runs/hourly_report/000000000000.json",
    "runs/hourly_report/position.json",
    "z=+@:,;'()!~$&",
]


def listable(names: list[str]) -> list[str]:
    """Names that a folder can hold together: none is a folder of another."""
    return [name for name in names if not any(n.startswith(f"{name}/") for n in names)]


async def list_of(store: BlobStore, prefix: str, after: str = "") -> list[str]:
    return [name async for name in store.names(prefix, after)]


def test_an_object_is_read_as_it_was_created_from_parts(place: Place) -> None:
    async def story(store: BlobStore, other: BlobStore) -> None:
        assert await store.get("a/b") is None
        assert await store.create("a/b", [b"one ", memoryview(b"- two -")[1:6], b" three"])
        assert await store.create("a/empty", [])
        assert await other.get("a/b") == b"one  two  three"
        assert await other.get("a/empty") == b""

    tell(place, story, stores=2)


def test_parts_may_be_views_of_numbers(place: Place) -> None:
    async def story(store: BlobStore) -> None:
        numbers = memoryview(b"\x01\0\0\0\x02\0\0\0").cast("i")
        assert await store.create("numbers", [numbers])
        assert await store.get("numbers") == numbers.tobytes()

    tell(place, story)


def test_of_twenty_creators_one_succeeds_and_its_content_stays(place: Place) -> None:
    async def story(*stores: BlobStore) -> None:
        for n in range(5):
            tries = [
                stores[i % 2].create(f"log/p/{n}", [b"%d of " % i, b"x" * i]) for i in range(20)
            ]
            created = await asyncio.gather(*tries)
            assert created.count(True) == 1
            i = created.index(True)
            assert await stores[0].get(f"log/p/{n}") == b"%d of " % i + b"x" * i

    tell(place, story, stores=2)


def test_a_repeated_create_is_refused_and_changes_nothing(place: Place) -> None:
    async def story(store: BlobStore) -> None:
        assert await store.create("n", [b"first"])
        assert not await store.create("n", [b"second"])
        assert not await store.create("n", [b"first"])
        assert await store.get("n") == b"first"

    tell(place, story)


def test_a_version_is_replaced_once(place: Place) -> None:
    async def story(store: BlobStore, other: BlobStore) -> None:
        first = await store.replace("position/p.json", b"1", None)
        assert first is not None
        assert await other.replace("position/p.json", b"1", None) is None
        assert await other.get_versioned("position/p.json") == (b"1", first)
        tries = [(store, other)[i % 2].replace("position/p.json", b"2", first) for i in range(20)]
        versions = [version for version in await asyncio.gather(*tries) if version is not None]
        assert len(versions) == 1
        assert await store.get_versioned("position/p.json") == (b"2", versions[0])

    tell(place, story, stores=2)


def test_the_same_content_written_again_is_another_version(place: Place) -> None:
    async def story(store: BlobStore) -> None:
        first = await store.replace("n", b"same", None)
        second = await store.replace("n", b"same", first)
        assert second is not None
        assert await store.replace("n", b"same", first) is None
        assert await store.replace("n", b"other", second) is not None

    tell(place, story)


def test_increments_by_many_writers_are_all_counted(place: Place) -> None:
    async def increment(store: BlobStore) -> None:
        for _ in range(5):
            while True:
                found = await store.get_versioned("deep/down/count")
                value, version = (0, None) if found is None else (int(found[0]), found[1])
                if await store.replace("deep/down/count", b"%d" % (value + 1), version):
                    break

    async def story(*stores: BlobStore) -> None:
        await asyncio.gather(*(increment(store) for store in stores for _ in range(2)))
        assert await stores[0].get("deep/down/count") == b"20"

    tell(place, story, stores=2)


def test_what_is_not_there_is_not_replaced(place: Place) -> None:
    async def story(store: BlobStore) -> None:
        version = await store.replace("n", b"1", None)
        assert await store.replace("other", b"2", version) is None
        assert await store.replace("no/folder/yet", b"2", version) is None
        await store.delete("n")
        assert await store.replace("n", b"2", version) is None
        assert await list_of(store, "") == []

    tell(place, story)


def test_an_object_that_was_created_can_be_replaced(place: Place) -> None:
    async def story(store: BlobStore) -> None:
        await store.create("n", [b"1"])
        found = await store.get_versioned("n")
        assert found is not None
        assert await store.replace("n", b"2", found[1]) is not None

    tell(place, story)


def test_ranges_are_cut_off_at_the_end(place: Place) -> None:
    async def story(store: BlobStore) -> None:
        await store.create("n", [b"0123456789"])
        assert await store.get_range("n", 0, 4) == b"0123"
        assert await store.get_range("n", 8, 4) == b"89"
        assert await store.get_range("n", 9, 1) == b"9"
        assert await store.get_range("n", 10, 4) == b""
        assert await store.get_range("n", 99, 4) == b""
        assert await store.get_range("n", 3, 0) == b""
        assert await store.get_range("missing", 0, 4) is None
        assert await store.get_range("missing", 0, 0) is None
        await store.create("empty", [])
        assert await store.get_range("empty", 0, 4) == b""

    tell(place, story)


def test_names_come_in_order_after_any_name_and_under_any_prefix(place: Place) -> None:
    names = sorted(listable(WEIRD))
    afters = ["", *names, "a/", "a/b", "a/zzz", "b", "log/plant8", "runs/hourly_report/9", "~"]
    prefixes = ["", "a", "a/", "a/b/c", "log/", "log/plant7.example.net_telemetry_17/1", "x/y"]

    async def story(store: BlobStore) -> None:
        await asyncio.gather(*(store.create(name, [b""]) for name in random.sample(names, 18)))
        for name in names:
            await store.create(name, [b""])
        for prefix in prefixes:
            expected = [name for name in names if name.startswith(prefix)]
            assert await list_of(store, prefix) == expected
        for after in afters:
            for prefix in ("", "log/", "runs/hourly_report/0000"):
                expected = [n for n in names if n.startswith(prefix) and n > after]
                assert await list_of(store, prefix, after) == expected, (prefix, after)

    tell(place, story)


def test_weird_names_are_read_and_deleted_by_the_name_they_were_created_with(place: Place) -> None:
    async def story(store: BlobStore) -> None:
        for name in listable(WEIRD):
            assert await store.create(name, [name.encode()])
        for name in listable(WEIRD):
            assert await store.get(name) == name.encode()
            await store.delete(name)
        assert await list_of(store, "") == []

    tell(place, story)


@pytest.mark.parametrize(
    "name",
    [
        *("", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "a\\b", "a\nb", "a\0"),
        *(".headrace-tmp-1", "a/.headrace-lock-1", "x" * 256, "/".join(["x" * 200] * 6)),
    ],
    ids=repr,
)
def test_names_that_mean_something_else_somewhere_are_refused(place: Place, name: str) -> None:
    async def story(store: BlobStore) -> None:
        with pytest.raises(CorruptObject, match="cannot be the name of an object"):
            await store.create(name, [b""])
        with pytest.raises(CorruptObject):
            await store.get(name)

    tell(place, story)


def test_prefixes_cannot_leave_the_root(place: Place) -> None:
    async def story(store: BlobStore) -> None:
        for prefix in ("/", "../", "a/../../"):
            with pytest.raises(CorruptObject):
                await list_of(store, prefix)

    tell(place, story)


def test_deleting_twice_is_fine_and_a_name_can_be_created_again(place: Place) -> None:
    async def story(store: BlobStore) -> None:
        await store.delete("a/n")
        await store.create("a/n", [b"1"])
        await store.delete("a/n")
        await store.delete("a/n")
        assert await store.get("a/n") is None
        assert await store.create("a/n", [b"2"])

    tell(place, story)


def test_a_body_of_20_mib_comes_back_whole(place: Place) -> None:
    parts = [random.Random(n).randbytes(4 * 2**20) for n in range(5)]

    async def story(store: BlobStore) -> None:
        assert await store.create("data/large.arrow", parts)
        assert await store.get("data/large.arrow") == b"".join(parts)
        assert await store.get_range("data/large.arrow", 5 * 2**20, 99) == parts[1][2**20 :][:99]

    tell(place, story)


def test_a_writer_killed_at_any_moment_leaves_whole_objects_only(place: Place) -> None:
    chance = random.Random(5)
    for life in range(6):
        killed_writer(place, str(life), chance.uniform(0.0, 0.25))

    async def story(store: BlobStore) -> None:
        names = await list_of(store, "")
        assert len(names) > 5
        for name in names:
            assert await store.get(name) == writer.body(int(name.rpartition("/")[2]))

    tell(place, story)


def killed_writer(place: Place, life: str, seconds: float) -> None:
    """Let a process write for some time, then kill it without warning."""
    if isinstance(place, Folder):
        words = ["folder", str(place.root)]
    else:
        assert isinstance(place, Container)
        words = ["azure", place.connection_string, place.prefix, place.name]
    command = [sys.executable, "-m", "tests.batching.adapters.writer", life, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
