"""Divides partitions among live instances, over the ownership calls of the SDK's CheckpointStore.

Economy only: two instances on one partition cost work and never data, so whatever goes wrong
here is logged, and what was owned stays owned until the store says otherwise.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any, Protocol

from batching.clock import SystemClock
from batching.ports import Clock
from batching.structured import structlog
from ingest.ownership.fair_share import wish

SECOND_NS = 10**9
STRIKES = 3  # rounds in which somebody wrote under our name before it is told
log = structlog.get_logger()
Ownership = dict[str, Any]


class Ownerships(Protocol):
    """What is asked of the SDK's CheckpointStore: owners, and a copy of how far they are."""

    async def list_ownership(
        self, fully_qualified_namespace: str, eventhub_name: str, consumer_group: str
    ) -> Iterable[Ownership]:
        """List who owns what."""
        ...

    async def claim_ownership(self, ownership_list: Iterable[Ownership]) -> Iterable[Ownership]:
        """Claim partitions; gives those that were won."""
        ...

    async def update_checkpoint(self, checkpoint: dict[str, str | int | None]) -> None:
        """Write a checkpoint over the one before."""
        ...


class Balancer:
    """Keeps a fair share of the partitions for one instance.

    An owner is live as long as its entries change. One is expired once it has stood still for
    `expiry_seconds` under our eyes, or is older than that by its date and has stood still for
    two rounds: a clock that is wrong takes nothing from a live owner.

    Args:
        checkpoint_store: `BlobCheckpointStore`, or `FolderCheckpointStore` on one machine.
        namespace: host name of the Event Hubs namespace.
        hub: name of the hub.
        group: consumer group.
        instance: name of this instance, unlike all others; after a restart under the same name
            it takes its partitions back at once.
        partitions: all partitions of the hub.
        beside: others that somebody must work on: whoever is first takes them, they count for
            nobody's share, and are not taken from a live owner.
        siblings: instances that are started together with this one, its own name too: until
            `expiry_seconds` have passed they count as live though they own nothing yet, so that
            each finds its share free.
        expiry_seconds: silence after which an owner counts as gone.
        interval_seconds: time between rounds, each of which renews what is owned.
        clock: time.

    """

    def __init__(
        self,
        checkpoint_store: Ownerships,
        *,
        namespace: str,
        hub: str,
        group: str,
        instance: str,
        partitions: Sequence[str],
        beside: Sequence[str] = (),
        siblings: Sequence[str] = (),
        expiry_seconds: float = 20.0,
        interval_seconds: float = 5.0,
        clock: Clock | None = None,
    ) -> None:
        self._store = checkpoint_store
        self._scope = (namespace, hub, group)
        self._instance = instance
        self._partitions, self._beside = tuple(partitions), tuple(beside)
        self._expiry_seconds, self._interval_seconds = expiry_seconds, interval_seconds
        self._clock = clock or SystemClock()
        self._siblings, self._began = tuple(siblings), self._clock.steady_ns() / SECOND_NS
        self._chance = Random(instance)  # noqa: S311 - breaks ties only
        self._owned: frozenset[str] = frozenset()
        self._changed, self._ended = asyncio.Event(), False
        self._etags: dict[str, str] = {}  # of our own entries, as we wrote them last
        self._seen: dict[str, tuple[object, float]] = {}  # entries, and since when they stand so
        self._strikes = 0

    @property
    def owned(self) -> frozenset[str]:
        """Partitions that this instance should work on."""
        return self._owned

    def know(self, partitions: Sequence[str]) -> None:
        """Take note of all partitions of the hub, after some were added."""
        self._partitions = tuple(partitions)

    async def run(
        self, stop: asyncio.Event, on_owned: Callable[[frozenset[str]], Awaitable[None]]
    ) -> None:
        """Balance until `stop`, and tell `on_owned` the whole set whenever it has changed.

        Renewals go on while `on_owned` works; sets that pass meanwhile are skipped. Nothing is
        released at the end: call `release` once the partitions have been left.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tell(on_owned), name="tell-owned")
            while not stop.is_set():
                await self.round()
                await self._pause(stop)
            self._ended = True
            self._changed.set()

    async def round(self) -> None:
        """Look once at who owns what, renew what is ours and claim what should be."""
        try:
            async with asyncio.timeout(self._expiry_seconds / 2):
                listed = await self._store.list_ownership(*self._scope)
                await self._claim({entry["partition_id"]: entry for entry in listed})
        except Exception as error:  # noqa: BLE001 - no failure here may stop the service
            self._etags.clear()  # a claim may have been applied: our own writes look strange now
            log.warning("ownership store failed, keeping partitions", why=_first_line(error))

    async def release(self) -> None:
        """Give up everything, so that others take it over at once."""
        self._own(frozenset())
        try:
            async with asyncio.timeout(self._interval_seconds):
                listed = await self._store.list_ownership(*self._scope)
                mine = [entry for entry in listed if entry["owner_id"] == self._instance]
                await self._store.claim_ownership(
                    [self._entry(entry["partition_id"], "", entry.get("etag")) for entry in mine]
                )
        except Exception as error:  # noqa: BLE001 - others wait for the expiry then
            log.warning("ownership not released", why=_first_line(error))

    async def _claim(self, listed: Mapping[str, Ownership]) -> None:
        wanted = self._wanted(listed)
        entries = [self._entry(p, self._instance, listed.get(p, {}).get("etag")) for p in wanted]
        claimed = await self._store.claim_ownership(entries)
        written = {entry["partition_id"]: _etag(entry) for entry in claimed}
        # the blob store gives back an entry as it was where it could not write it
        ours = [p for p, etag in written.items() if etag != _etag(listed.get(p))]
        kept = [p for p in written if listed.get(p, {}).get("owner_id") == self._instance]
        self._etags = {partition: written[partition] for partition in ours}
        self._own(frozenset([*ours, *kept]))

    def _wanted(self, listed: Mapping[str, Ownership]) -> list[str]:
        self._watch_name(listed)
        free = ("", self._instance)
        owners = {
            partition: self._live_owner(listed.get(partition)) for partition in self._partitions
        }
        wished = wish(owners, self._instance, self._chance, self._starting())
        for partition in wished.steal:
            log.info("taking a partition over", partition=partition, of=owners[partition])
        beside = {p for p in self._beside if self._live_owner(listed.get(p)) in free}
        wanted = sorted(wished.keep | wished.take | wished.steal | beside)
        return self._chance.sample(wanted, len(wanted))  # who starts beside us claims otherwise

    def _starting(self) -> tuple[str, ...]:
        """Name who may still be about to take its first partition."""
        past_seconds = self._clock.steady_ns() / SECOND_NS - self._began
        return self._siblings if past_seconds < self._expiry_seconds else ()

    def _live_owner(self, entry: Ownership | None) -> str:
        """Name the owner, empty if there is none or it has fallen silent; we never have."""
        if entry is None or not entry["owner_id"]:
            return ""
        owner, now = str(entry["owner_id"]), self._clock.steady_ns() / SECOND_NS
        state = (_etag(entry), entry.get("last_modified_time"))
        if self._seen.get(entry["partition_id"], (None, 0.0))[0] != state:
            self._seen[entry["partition_id"]] = (state, now)
        still_seconds = now - self._seen[entry["partition_id"]][1]
        today = self._clock.now_ns() / SECOND_NS
        age_seconds = today - (entry.get("last_modified_time") or today)
        expired = still_seconds >= self._expiry_seconds or (
            age_seconds >= self._expiry_seconds and still_seconds >= 2 * self._interval_seconds
        )
        return "" if expired and owner != self._instance else owner

    def _watch_name(self, listed: Mapping[str, Ownership]) -> None:
        """Warn once if entries in our name keep changing without us."""
        strange = [
            partition
            for partition, etag in self._etags.items()
            if listed.get(partition, {}).get("owner_id") == self._instance
            and _etag(listed[partition]) != etag
        ]
        self._strikes = self._strikes + 1 if strange else 0
        if self._strikes == STRIKES:
            log.warning(
                "another instance has the same name: partitions are worked on twice; "
                "give each its own HEADRACE_INSTANCE",
                instance=self._instance,
                partitions=strange,
            )

    def _entry(self, partition: str, owner: str, etag: str | None) -> Ownership:
        namespace, hub, group = self._scope
        entry: Ownership = {
            "fully_qualified_namespace": namespace,
            "eventhub_name": hub,
            "consumer_group": group,
            "partition_id": partition,
            "owner_id": owner,
        }
        return entry | ({"etag": etag} if etag else {})

    def _own(self, owned: frozenset[str]) -> None:
        if owned != self._owned:
            gained, lost = sorted(owned - self._owned), sorted(self._owned - owned)
            log.info("partitions owned", count=len(owned), gained=gained, lost=lost)
            self._owned = owned
            self._changed.set()

    async def _tell(self, on_owned: Callable[[frozenset[str]], Awaitable[None]]) -> None:
        told: frozenset[str] = frozenset()
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._ended:
                return
            if self._owned != told:
                told = self._owned
                await on_owned(told)

    async def _pause(self, stop: asyncio.Event) -> None:
        seconds = self._interval_seconds * self._chance.uniform(0.9, 1.1)
        waits = [
            asyncio.ensure_future(self._clock.sleep(seconds)),
            asyncio.ensure_future(stop.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def _etag(entry: Ownership | None) -> str:
    """Give the etag without quotes: the blob store's claims have them, its listings do not."""
    return str((entry or {}).get("etag") or "").strip('"')


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
