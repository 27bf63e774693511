import asyncio
import contextlib
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.eventhub.aio import CheckpointStore
from azure.eventhub.extensions.checkpointstoreblobaio import BlobCheckpointStore
from azure.storage.blob.aio import ContainerClient
from hypothesis import example, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from ingest.ownership.balancer import Balancer, Ownerships
from ingest.ownership.folder import FolderCheckpointStore
from tests.azurite import Azurite

SCOPE: dict[str, Any] = {
    "namespace": "Plant7.servicebus.windows.net",
    "hub": "telemetry",
    "group": "$Default",
}
EIGHT = [str(n) for n in range(8)]
FAST: dict[str, Any] = {
    "expiry_seconds": 3.0,
    "interval_seconds": 0.2,
}  # a busy machine holds a task up for a second


@dataclass
class TurnedClock:
    """A clock that moves when it is told to."""

    seconds: float = 1_700_000_000.0
    set_by: float = 0.0  # by how much somebody has set the wall clock

    def now_ns(self) -> int:
        return int((self.seconds + self.set_by) * 1e9)

    def steady_ns(self) -> int:
        return int(self.seconds * 1e9)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)


@dataclass
class ModelStore(CheckpointStore):
    """The SDK's contract on a clock of ours; each call gives way, so that calls interleave."""

    clock: TurnedClock
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    etags: Iterable[int] = field(default_factory=itertools.count)
    broken: bool = False

    async def list_ownership(self, *scope: str, **kwargs: Any) -> list[dict[str, Any]]:
        await asyncio.sleep(0)
        if self.broken:
            raise OSError("disk on fire")
        return [dict(entry) for entry in self.entries.values()]

    async def claim_ownership(
        self, ownership_list: Iterable[dict[str, Any]], **kwargs: Any
    ) -> list[dict[str, Any]]:
        won = []
        for wanted in ownership_list:
            await asyncio.sleep(0)
            partition = wanted["partition_id"]
            if self.entries.get(partition, {}).get("etag") != wanted.get("etag"):
                continue
            etag = str(next(iter(self.etags)))
            facts = {"etag": etag, "last_modified_time": self.clock.seconds}
            self.entries[partition] = {**wanted, **facts}
            won.append(dict(self.entries[partition]))
        return won

    async def list_checkpoints(self, *scope: str, **kwargs: Any) -> list[dict[str, Any]]:
        return []

    async def update_checkpoint(self, checkpoint: dict[str, Any], **kwargs: Any) -> None:
        raise NotImplementedError


class Fleet:
    """Instances on one model store, and rounds in which all live ones act at once."""

    def __init__(self, partitions: int) -> None:
        self.clock = TurnedClock()
        self.store = ModelStore(self.clock)
        self.partitions = [str(n) for n in range(partitions)]
        self.live: dict[str, Balancer] = {}

    def start(self, name: str, siblings: Sequence[str] = ()) -> Balancer:
        self.live[name] = Balancer(
            self.store,
            instance=name,
            partitions=self.partitions,
            siblings=siblings,
            clock=self.clock,
            **SCOPE,
        )
        return self.live[name]

    async def rounds(self, count: int) -> None:
        for _ in range(count):
            await asyncio.gather(*(balancer.round() for balancer in self.live.values()))
            self.clock.seconds += 5.0

    @property
    def shares(self) -> list[frozenset[str]]:
        return [balancer.owned for balancer in self.live.values()]

    def is_fair(self) -> bool:
        held = sorted(partition for share in self.shares for partition in share)
        sizes = [len(share) for share in self.shares]
        return held == sorted(self.partitions) and max(sizes) - min(sizes) <= 1


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["start", "start together", "kill", "release", "wait"]),
        st.sampled_from("abcde"),
    ),
    max_size=12,
)


# Here all look at the same moment, so that every other theft fails: its victim has just renewed.
MISSES = 20


@settings(deadline=None)
@example(partitions=2, changes=[("start together", "d"), ("start together", "b")])
@given(partitions=st.integers(1, 16), changes=CHANGES)
def test_whatever_happened_shares_become_fair_and_then_stay(
    partitions: int, changes: list[tuple[str, str]]
) -> None:
    async def story() -> None:
        fleet = Fleet(partitions)
        for change, name in changes:
            if change == "start" and name not in fleet.live:
                fleet.start(name)
            if change == "start together" and name not in fleet.live:
                fleet.start(name, "abc")  # whether the others of its family ever come or not
            if change == "kill":
                fleet.live.pop(name, None)
            if change == "release" and (balancer := fleet.live.pop(name, None)):
                await balancer.release()
            await fleet.rounds(1)
        if not fleet.live:
            fleet.start("f")
        await fleet.rounds(6)  # until the dead have expired
        for _ in range(partitions + MISSES):
            if fleet.is_fair():
                break
            await fleet.rounds(1)
        settled = fleet.shares
        assert fleet.is_fair(), settled
        await fleet.rounds(10)
        assert fleet.shares == settled

    asyncio.run(story())


def test_two_instances_share_eight_partitions_within_few_rounds() -> None:
    async def story() -> None:
        fleet = Fleet(8)
        fleet.start("a")
        await fleet.rounds(1)
        assert fleet.live["a"].owned == set(EIGHT)
        fleet.start("b")
        await fleet.rounds(8)
        assert [len(share) for share in fleet.shares] == [4, 4]
        assert fleet.is_fair()

    asyncio.run(story())


def test_instances_that_start_together_share_at_once() -> None:
    async def story() -> None:
        fleet = Fleet(9)
        for name in "abc":
            fleet.start(name)
        await fleet.rounds(8)
        assert fleet.is_fair()

    asyncio.run(story())


def test_workers_of_two_services_share_within_few_rounds() -> None:
    async def story() -> None:
        fleet = Fleet(8)
        one, two = ("one.0", "one.1"), ("two.0", "two.1")
        for name in one:
            fleet.start(name, one)
        await fleet.rounds(1)
        assert [len(share) for share in fleet.shares] == [4, 4]
        for name in two:
            fleet.start(name, two)
        await fleet.rounds(6)
        assert [len(share) for share in fleet.shares] == [2, 2, 2, 2]

    asyncio.run(story())


def test_the_part_of_a_sibling_that_never_comes_is_taken_after_the_expiry() -> None:
    async def story() -> None:
        fleet = Fleet(8)
        fleet.start("one.0", ("one.0", "one.1"))
        await fleet.rounds(4)
        assert fleet.live["one.0"].owned == set(EIGHT[::2])
        await fleet.rounds(1)
        assert fleet.live["one.0"].owned == set(EIGHT)

    asyncio.run(story())


def test_partitions_that_are_added_are_shared_too() -> None:
    async def story() -> None:
        fleet = Fleet(2)
        fleet.start("a")
        fleet.start("b")
        await fleet.rounds(4)
        fleet.partitions = [str(n) for n in range(6)]
        fleet.live["a"].know(fleet.partitions)  # b learns of it a little later
        await fleet.rounds(3)
        fleet.live["b"].know(fleet.partitions)
        await fleet.rounds(8)
        assert fleet.is_fair()

    asyncio.run(story())


def test_a_dead_owner_is_replaced_after_its_expiry_and_not_before() -> None:
    async def story() -> None:
        fleet = Fleet(8)
        fleet.start("a")
        fleet.start("b")
        await fleet.rounds(8)
        assert fleet.is_fair()
        del fleet.live["a"]
        await fleet.rounds(3)  # its last renewal is 5, 10, 15 seconds old, then 20
        assert len(fleet.live["b"].owned) == 4
        await fleet.rounds(1)
        assert fleet.live["b"].owned == set(EIGHT)

    asyncio.run(story())


def test_a_restarted_instance_takes_its_own_back_at_once() -> None:
    async def story() -> None:
        fleet = Fleet(8)
        fleet.start("a")
        fleet.start("b")
        await fleet.rounds(8)
        assert fleet.is_fair()
        before = fleet.live["a"].owned
        fleet.start("a")  # the old one was killed
        await fleet.rounds(1)
        assert fleet.live["a"].owned == before

    asyncio.run(story())


def test_what_was_released_is_taken_in_the_next_round() -> None:
    async def story() -> None:
        fleet = Fleet(8)
        fleet.start("a")
        fleet.start("b")
        await fleet.rounds(8)
        assert fleet.is_fair()
        await fleet.live.pop("a").release()
        await fleet.rounds(1)
        assert fleet.live["b"].owned == set(EIGHT)

    asyncio.run(story())


def test_a_clock_that_is_minutes_ahead_takes_nothing_from_a_live_owner() -> None:
    async def story() -> None:
        fleet = Fleet(8)
        fleet.start("a")
        await fleet.rounds(2)
        ahead = fleet.start("b")
        ahead._clock = TurnedClock(fleet.clock.seconds + 300)
        for _ in range(8):
            before = len(ahead.owned)
            await fleet.rounds(1)
            ahead._clock.seconds += 5.0
            assert len(ahead.owned) <= min(before + 1, 4)
        assert fleet.is_fair()

    asyncio.run(story())


def test_a_clock_that_is_set_takes_nothing_from_a_live_owner_and_keeps_nothing_for_a_dead() -> None:
    """Forward by a day: everybody's entries look old. Back by a year: a dead one's look young."""

    async def story() -> None:
        fleet = Fleet(8)
        for name in "ab":
            fleet.start(name)
        await fleet.rounds(6)
        shares = fleet.shares
        fleet.live["a"]._clock = TurnedClock(fleet.clock.seconds)
        for jump in (86_400.0, -31_536_000.0):
            fleet.live["a"]._clock.set_by = jump
            for _ in range(4):
                await fleet.rounds(1)
                fleet.live["a"]._clock.seconds += 5.0
                assert fleet.shares == shares
        del fleet.live["b"]
        for _ in range(6):
            await fleet.rounds(1)
            fleet.live["a"]._clock.seconds += 5.0
        assert fleet.live["a"].owned == frozenset(fleet.partitions)

    asyncio.run(story())


def test_a_store_that_fails_takes_nothing_away() -> None:
    async def story() -> None:
        fleet = Fleet(8)
        fleet.start("a")
        await fleet.rounds(1)
        fleet.store.broken = True
        with capture_logs() as logs:
            await fleet.rounds(3)
            await fleet.live["a"].release()
        assert {entry["log_level"] for entry in logs if "owned" not in entry["event"]} == {
            "warning"
        }
        assert "disk on fire" in logs[0]["why"]

    asyncio.run(story())


def test_two_instances_of_one_name_are_told_apart_and_reported() -> None:
    async def story() -> None:
        fleet = Fleet(8)
        fleet.start("a")
        await fleet.rounds(1)
        twin = fleet.start("a")
        first = Balancer(
            fleet.store, instance="a", partitions=fleet.partitions, clock=fleet.clock, **SCOPE
        )
        with capture_logs() as logs:
            for _ in range(6):
                await first.round()
                await twin.round()
                fleet.clock.seconds += 5.0
        told = [entry for entry in logs if "same name" in entry["event"]]
        assert len(told) == 2
        assert "HEADRACE_INSTANCE" in told[0]["event"]

    asyncio.run(story())


def test_renewing_alone_reports_no_twin() -> None:
    async def story() -> None:
        fleet = Fleet(8)
        fleet.start("a")
        fleet.start("b")
        with capture_logs() as logs:
            await fleet.rounds(20)
        assert not [entry for entry in logs if entry["log_level"] == "warning"]

    asyncio.run(story())


class Running:
    """A balancer at work in this process, and every set that it told."""

    def __init__(self, store: Ownerships, name: str, **settings: Any) -> None:
        self.balancer = Balancer(
            store, instance=name, partitions=EIGHT, **SCOPE, **(settings or FAST)
        )
        self.told: list[frozenset[str]] = []
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(self.balancer.run(self.stop, self._on_owned))

    async def _on_owned(self, owned: frozenset[str]) -> None:
        self.told.append(owned)

    async def end(self) -> None:
        self.stop.set()
        await self.task
        await self.balancer.release()

    def kill(self) -> None:
        """End without releasing, as a killed process does."""
        self.task.cancel()


async def until(holds: Any, seconds: float = 30.0) -> float:
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < seconds, "did not happen in time"
        await asyncio.sleep(0.02)
    return time.monotonic() - started


async def share_die_and_return(store: Ownerships, expiry_seconds: float) -> None:
    """Tell the whole story of three balancers on one real store, none of whom is a twin."""
    with capture_logs() as logs:
        await _share_die_and_return(store, expiry_seconds)
    assert not [entry for entry in logs if entry["log_level"] == "warning"]


async def _share_die_and_return(store: Ownerships, expiry_seconds: float) -> None:
    a, b = Running(store, "a"), Running(store, "b")
    await until(lambda: [len(x.balancer.owned) for x in (a, b)] == [4, 4])
    assert a.balancer.owned | b.balancer.owned == set(EIGHT)
    await until(lambda: bool(a.told) and a.told[-1] == a.balancer.owned)
    c = Running(store, "c")
    await until(lambda: sorted(len(x.balancer.owned) for x in (a, b, c)) == [2, 3, 3])
    c.kill()
    took = await until(lambda: a.balancer.owned | b.balancer.owned == set(EIGHT))
    assert took > expiry_seconds / 2
    await a.end()
    assert a.told[-1] != frozenset()  # the service stops its partitions itself
    await until(lambda: b.balancer.owned == set(EIGHT))
    await b.end()


def test_balancers_on_a_folder_share_die_and_return(tmp_path: Path) -> None:
    async def story() -> None:
        store = FolderCheckpointStore(tmp_path)
        try:
            await share_die_and_return(store, FAST["expiry_seconds"])
        finally:
            await store.close()

    asyncio.run(story())


@pytest.mark.azurite
def test_balancers_on_azure_share_die_and_return(azurite: Azurite) -> None:
    async def story() -> None:
        await make_container(azurite, "balancer")
        store = BlobCheckpointStore.from_connection_string(azurite.connection_string, "balancer")
        async with store:
            await share_die_and_return(store, FAST["expiry_seconds"])

    asyncio.run(story())


async def make_container(azurite: Azurite, name: str) -> None:
    client = ContainerClient.from_connection_string(
        azurite.connection_string, name, api_version="2024-11-04"
    )
    async with client:
        with contextlib.suppress(ResourceExistsError):
            await client.create_container()


def test_an_answer_that_takes_long_does_not_stop_renewals(tmp_path: Path) -> None:
    async def story() -> None:
        store = FolderCheckpointStore(tmp_path)
        stop, hold = asyncio.Event(), asyncio.Event()

        async def slow(owned: frozenset[str]) -> None:
            await hold.wait()

        balancer = Balancer(store, instance="a", partitions=EIGHT, **SCOPE, **FAST)
        task = asyncio.create_task(balancer.run(stop, slow))
        other = Running(store, "b")
        await asyncio.sleep(3 * FAST["expiry_seconds"])
        assert len(balancer.owned) == len(other.balancer.owned) == 4
        hold.set()
        stop.set()
        await task
        await other.end()
        await store.close()

    asyncio.run(story())


def test_an_error_of_the_listener_ends_the_balancer(tmp_path: Path) -> None:
    async def story() -> None:
        store = FolderCheckpointStore(tmp_path)

        async def broken(owned: frozenset[str]) -> None:
            raise ValueError("cannot start a partition")

        balancer = Balancer(store, instance="a", partitions=EIGHT, **SCOPE, **FAST)
        with pytest.raises(ExceptionGroup, match="unhandled errors"):
            await balancer.run(asyncio.Event(), broken)
        await store.close()

    asyncio.run(story())


INSTANCE = """
import asyncio, sys
from pathlib import Path
from ingest.ownership.balancer import Balancer, Ownerships
from ingest.ownership.folder import FolderCheckpointStore
from tests.ingest.ownership.test_balancer import EIGHT, FAST, SCOPE

async def tell(owned):
    print(",".join(sorted(owned)), flush=True)

async def main():
    store = FolderCheckpointStore(Path(sys.argv[1]))
    balancer = Balancer(store, instance=sys.argv[2], partitions=EIGHT, **SCOPE, **FAST)
    await balancer.run(asyncio.Event(), tell)

asyncio.run(main())
"""


def test_a_killed_process_is_replaced_by_the_other_one_and_comes_back(tmp_path: Path) -> None:
    async def story() -> None:
        store = FolderCheckpointStore(tmp_path)
        here = Running(store, "here")
        process = start_instance(tmp_path, "there")
        try:
            await until(lambda: len(here.balancer.owned) == 4, 20)
        finally:
            process.kill()
        assert process.wait() == -signal.SIGKILL
        await until(lambda: here.balancer.owned == set(EIGHT), 5)
        process = start_instance(tmp_path, "there")
        try:
            await until(lambda: len(here.balancer.owned) == 4, 20)
            listed = await store.list_ownership(*SCOPE.values())
            owners = [entry["owner_id"] for entry in listed]
            assert sorted(owners) == ["here"] * 4 + ["there"] * 4
        finally:
            process.kill()
            process.wait()
        await here.end()
        await store.close()

    asyncio.run(story())


def start_instance(folder: Path, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", INSTANCE, folder, name], stdout=subprocess.DEVNULL
    )


def test_a_partition_beside_the_hubs_is_held_by_one_and_counts_for_nobodys_share() -> None:
    async def story() -> None:
        fleet = Fleet(2)

        def start(name: str) -> Balancer:
            made = Balancer(
                fleet.store,
                instance=name,
                partitions=fleet.partitions,
                beside=("redrive",),
                clock=fleet.clock,
                **SCOPE,
            )
            fleet.live[name] = made
            return made

        def holders() -> list[str]:
            return [name for name, each in fleet.live.items() if "redrive" in each.owned]

        first = start("a")
        await fleet.rounds(2)
        assert first.owned == {"0", "1", "redrive"}
        second = start("b")
        await fleet.rounds(6)
        assert holders() == ["a"]  # not taken from who lives
        assert {len(each.owned - {"redrive"}) for each in (first, second)} == {1}
        await fleet.live.pop("a").release()
        await fleet.rounds(2)
        assert second.owned == {"0", "1", "redrive"}
        start("c")
        del fleet.live["b"]  # killed
        await fleet.rounds(12)
        assert holders() == ["c"]

    asyncio.run(story())
