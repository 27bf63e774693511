"""Guards of the protocol that only a rare order of events needs, each with that order by hand."""

from collections.abc import Awaitable, Callable

import pytest

from batching import names
from batching.errors import Reattach
from batching.model import Manifest, Position, dump, load
from batching.policy import SealPolicy
from batching.scope import Scoped
from batching.view import Log
from tests.batching.conftest import Bench


def position(bench: Bench) -> str:
    return names.position(bench.identity.hub_id, "0")


def manifest(bench: Bench, n: int) -> str:
    return names.manifest(bench.identity.hub_id, "0", n)


async def committed(bench: Bench, batches: int) -> None:
    """Commit so many batches of two events, one a manifest, with the position behind them."""
    bench.policy = SealPolicy(max_samples=4)
    owner = await bench.attached()
    for number in range(0, 2 * batches, 2):
        await bench.feed(owner, number, number + 1)
        await owner.drain()


class Slow(Scoped):
    """The real store, in which somebody else works while a certain object is read."""

    def __init__(self, bench: Bench, name: str, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__(bench.root, bench.identity.id)
        self._name, self._meanwhile = name, meanwhile

    async def get(self, name: str) -> bytes | None:
        if name == self._name:
            self._name = ""
            await self._meanwhile()
        return await super().get(name)


def test_a_log_that_was_trimmed_while_it_was_read_is_read_again(play) -> None:
    """Else a number that is created anew, by a process that slept, is believed."""

    async def story(bench: Bench) -> None:
        await committed(bench, 3)
        found = await bench.store.get_versioned(position(bench))
        assert found is not None
        old = dump(Position(1, 0))  # as a reader saw it, before two more commits
        await bench.store.replace(position(bench), old, found[1])

        async def others_go_on() -> None:
            seen = await bench.store.get_versioned(position(bench))
            assert seen is not None
            await bench.store.replace(position(bench), found[0], seen[1])
            for n in (0, 1, 2):
                await bench.store.delete(manifest(bench, n))
            asleep = Manifest("x", bench.identity.hub_id, "0", 1, 0, "asleep", ())
            await bench.store.create(manifest(bench, 1), [dump(asleep)])

        slow = Slow(bench, manifest(bench, 0), others_go_on)
        view, _ = await Log(bench.root, slow, bench.identity, "0").read()
        right = load(Position, "position", found[0])
        assert (view.checkpoint, view.first, view.next) == (right.checkpoint, right.first, 3)

    play(story)


def test_a_manifest_whose_number_was_used_and_deleted_long_ago_is_not_believed(play) -> None:
    """Its creator slept; nobody reads that number again, so its buffers must stay."""

    async def story(bench: Bench) -> None:
        bench.policy = SealPolicy(max_samples=4)
        asleep = await bench.attached()
        await bench.feed(asleep, 0, 1)
        found = await bench.store.get_versioned(position(bench))
        body = dump(Position(-1, 5))  # five manifests came and went meanwhile
        await bench.store.replace(position(bench), body, None if found is None else found[1])
        with pytest.raises(Reattach, match="deleted long ago"):
            await asleep.upkeep.commit_sealed()
        assert (await bench.buffer().low()).sealed == 1

    play(story)


def test_the_lowest_number_of_a_buffer_stays_while_it_grows(play) -> None:
    """Else the checkpoint passes events that only Redis has."""

    async def story(bench: Bench) -> None:
        owner = await bench.attached()
        await bench.feed(owner, 0, 1, 2)
        assert (await bench.buffer().low()).lo == 0
        await owner.drain()
        assert await bench.store.get_versioned(position(bench)) is None

    play(story)
