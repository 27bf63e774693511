"""One case from its first event to its last word: armed, killed, started again, verified."""

import asyncio
import math
import random
import signal
import time
from dataclasses import dataclass, field

from batching.verify import Report
from tests.crash.cases import Case, Spec
from tests.crash.place import Place, Snapshot
from tests.crash.served import Service
from tests.crash.site import LOOK_SECONDS, PATIENCE_SECONDS, DoesNotEnd, Site
from tests.crash.worlds import hub_of, prepare

NOTHING_MORE_SECONDS = 2.0  # all is done, and the failpoint was not passed
# until it is asked to drain; a drain seals what was to be parked
HURRY_SECONDS = {"drain": 1.0, "park": 10.0, "release": 10.0, "merge": 10.0}
PARK_SECONDS = 5.0  # a wave that was parked together with the one before


@dataclass
class Outcome:
    """What became of a case."""

    case: Case
    reached: dict[str, str] = field(default_factory=dict)  # failpoint: what it did
    recovered_seconds: float | None = None
    missing: int = 0
    twice: int = 0
    stuck: str = ""  # why it did not come to an end
    wrong: str = ""  # what else is not as it should be
    verdict: str = ""  # the closing line of verify
    last_words: str = ""  # of the logs
    kills: int = 0
    took_seconds: float = 0.0

    @property
    def failed(self) -> bool:
        return bool(self.missing or self.twice or self.stuck or self.wrong)


class NotWhole(Exception):
    """The case ends here; the outcome says why."""


class Story:
    """Plays one case at a place."""

    def __init__(self, case: Case, place: Place, hub: str, mutant: str = "") -> None:
        self._case, self._place, self._hub, self._mutant = case, place, hub, mutant
        self.folder = place.folder / hub
        self.outcome = Outcome(case)
        self._rng = random.Random(f"{case.seed}:{case.number}:story")
        self._died = time.monotonic()

    async def play(self) -> Outcome:
        """Play it; whatever goes wrong is in the outcome."""
        began = time.monotonic()
        self.folder.mkdir(parents=True)
        try:
            async with hub_of(self._case, self._place, self.folder, self._hub) as (hub, forget):
                self._site = Site(self._case, self._place, self._hub, hub, self._mutant)
                try:
                    await prepare(self._site, self._whole, forget)
                    await self._play()
                finally:
                    await self._site.close()
                    self.outcome.kills += self._site.kills
                    self.outcome.last_words = self._site.last_words()
        except NotWhole:
            pass
        except DoesNotEnd as error:
            self.outcome.stuck = str(error)
        except Exception as error:  # noqa: BLE001 the other cases go on
            self.outcome.wrong = f"the test itself failed: {error!r}"
        self.outcome.took_seconds = time.monotonic() - began
        return self.outcome

    async def _play(self) -> None:
        for spec in self._case.specs:
            await self._until_it_dies(spec)
        await self._end(await self._recover())

    # a process that is to die

    async def _until_it_dies(self, spec: Spec) -> None:
        """Start a service with a failpoint, send events, and see it die at it or soon after."""
        site = self._site
        await site.traffic.wave(self._case.waves[0])
        service = site.start(spec)
        sending = asyncio.create_task(self._waves(service))
        copying = asyncio.create_task(self._copy_redis())
        if await self._reached(spec, service, sending):
            self.outcome.reached[spec.name] = spec.action
            await self._act(spec, service)
        await sending
        await site.kill(service)
        self._died = time.monotonic()
        await self._lose(await copying)

    async def _waves(self, service: Service) -> None:
        for events in self._case.waves[1:]:
            await asyncio.sleep(self._rng.uniform(0.1, 0.4))
            await self._site.traffic.wave(events)
            if self._case.world == "parked_often":
                await self._parked(service)

    async def _parked(self, service: Service) -> None:
        """Let each wave become an object of its own, as slow sensors do in the course of a day."""
        before, deadline = self._site.parked_objects(), time.monotonic() + PARK_SECONDS
        while self._site.parked_objects() == before and service.ended() is None:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(LOOK_SECONDS)

    async def _copy_redis(self) -> Snapshot | None:
        """Keep a state of Redis to which it may go back later."""
        if self._case.redis != "rolled_back":
            return None
        await asyncio.sleep(self._rng.uniform(0.5, 3.0))
        return await self._place.snapshot(self._site.store_id) if self._site.store_id else None

    async def _lose(self, copy: Snapshot | None) -> None:
        store_id = self._site.store_id
        if store_id and self._case.redis == "emptied":
            await self._place.empty(store_id)
        elif store_id and copy is not None:
            await self._place.roll_back(store_id, copy)

    async def _reached(self, spec: Spec, service: Service, sending: "asyncio.Task[None]") -> bool:
        """Wait until the failpoint is passed; False if all is done and it was not."""
        hurry = HURRY_SECONDS.get(spec.name.partition(".")[0], 2.5)
        drain_at = time.monotonic() + hurry if self._case.hurried else math.inf
        draining: asyncio.Task[bool] | None = None
        done_at: float | None = None
        while not self._site.said(spec):
            if service.ended() is not None:
                self.outcome.wrong = f"it ended with {service.ended()} before {spec}"
                return False
            if draining is None and time.monotonic() > drain_at and sending.done():
                draining = asyncio.create_task(self._site.drain())
            if done_at is None and draining is not None and draining.done():
                if draining.result() and await self._is_whole():
                    done_at = time.monotonic()
                else:
                    draining = None
            more = NOTHING_MORE_SECONDS * (4 if self._case.world == "trimmed" else 1)
            if done_at is not None and time.monotonic() - done_at > more:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        if draining is not None:
            await asyncio.wait([draining], timeout=0.1)
            draining.cancel()
        return True

    async def _act(self, spec: Spec, service: Service) -> None:
        """Let happen what follows from it."""
        if spec.action == "freeze":
            await self._zombie(service)
        elif spec.action == "pause":
            await asyncio.sleep(self._rng.uniform(0.2, 1.5) * spec.seconds)
        elif spec.name.startswith(("drain", "result")):
            await asyncio.sleep(self._rng.uniform(0.0, 1.0))  # the service itself may live on
        else:
            code = await self._site.ended(service)
            expected = -signal.SIGKILL if spec.action == "kill" else 1
            if code != expected:
                self.outcome.wrong = f"{spec}: ended with {code}, not {expected}"
            self.outcome.kills += 1

    async def _zombie(self, frozen: Service) -> None:
        """Let another take over from a frozen process, which then wakes up with an old view."""
        other = self._site.start(None, "two")
        await asyncio.sleep(self._rng.uniform(5.0, 7.0))
        await self._site.kill(self._rng.choice((frozen, other)))
        await asyncio.sleep(self._rng.uniform(0.0, 1.0))
        await self._site.kill(other)

    # recovery and the end

    async def _recover(self) -> Service:
        service = self._site.start()
        await self._whole(service)
        self.outcome.recovered_seconds = time.monotonic() - self._died
        await self._site.traffic.wave(self._case.waves[-1])
        await self._whole(service)
        return service

    async def _end(self, service: Service) -> None:
        """Stop the last process one way or the other; nothing may change by that."""
        if self._case.ends_by == "drain":
            service.send(signal.SIGTERM)
            if (code := await self._site.ended(service)) != 0:
                self.outcome.wrong = f"SIGTERM: it ended with {code}"
        else:
            await self._site.kill(service)
        if not await self._is_whole(against=True):
            self.outcome.wrong = "it was whole before the last process ended"

    async def _whole(self, service: Service) -> None:
        """Wait until all that was sent is there, once, and every run has ended."""
        deadline, seen = time.monotonic() + PATIENCE_SECONDS, ""
        while True:
            drained = await self._site.drain()
            if drained and await self._is_whole():
                return
            if self.outcome.verdict != seen:  # it is slow, and goes on
                deadline, seen = time.monotonic() + PATIENCE_SECONDS, self.outcome.verdict
            if service.ended() is not None:
                self.outcome.stuck = f"it died by itself: {service.ended()}"
            elif time.monotonic() > deadline:
                self.outcome.stuck = f"nothing new for {PATIENCE_SECONDS:.0f} s"
            if self.outcome.stuck:
                await self._site.ask_for_tasks(service)
                raise NotWhole
            await asyncio.sleep(0.3 if drained else LOOK_SECONDS)

    async def _is_whole(self, *, against: bool = False) -> bool:
        """Verify; what is missing up to the checkpoint, or there twice, does not mend itself."""
        report = await self._site.verify(against=against)
        if report is None:
            return False
        self.outcome.missing, self.outcome.twice = report.missing.count, report.twice.count
        self.outcome.verdict = report.closing_line()
        if report.damaged.count:
            self.outcome.wrong = f"damaged: {report.damaged.examples}"
        if report.wrong:
            raise NotWhole
        return self._is_there(report) and not _runs_go_on(report)

    def _is_there(self, report: Report) -> bool:
        """Tell whether everything sent has become durable; later it may have been trimmed."""
        sent = self._site.traffic
        if self._case.world == "trimmed":
            judged = report.partitions
            return all(judged[p]["to"] >= count - 1 for p, count in sent.by_partition.items())
        there = report.batched + report.dead_letters + report.ignored + report.lost.count
        return there >= sent.sent


def _runs_go_on(report: Report) -> bool:
    return bool(report.pending_batches or report.runs["running"])
