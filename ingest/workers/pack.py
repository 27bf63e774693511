"""All workers of a service: started, asked as if they were one, started again when they die.

Workers share partitions as any services do (`ingest.ownership`), so one that dies is made up for
by the others if it does not come back within `ownership.expiry`; its partitions wait for it so
long, and it takes them at once when it does.
"""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from prometheus_client import CollectorRegistry, Metric

from batching.errors import BatchError, NotDrained, Transient
from batching.structured import structlog
from ingest.config import Settings
from ingest.http import HttpServer
from ingest.workers.brief import Brief, briefs
from ingest.workers.families import together
from ingest.workers.life import Life, WorkerAway
from ingest.workers.metrics import WorkerMetrics
from ingest.workers.orphans import reap_forever

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.5, 30.0
STEADY_SECONDS = 60.0  # a worker that lived so long is started again at once
ANSWER_SECONDS = 4.0  # the kubelet waits for five
GRACE_SECONDS = 25.0  # beyond the drain, for what a service closes then, such as Valkey
log = structlog.get_logger()


class Pack:
    """The workers of one service; answers for all of them (`ingest.answers`)."""

    def __init__(self, settings: Settings, stop: asyncio.Event) -> None:
        self._settings, self._stop = settings, stop
        self._briefs = briefs(settings)
        self._lives: dict[int, Life] = {}
        self._absent: dict[int, str] = {brief.number: "is starting" for brief in self._briefs}
        self._leaving = False
        self._registry = CollectorRegistry()
        self._measured = WorkerMetrics(self._registry, settings.workers)

    async def begin(self) -> bool:
        """Start the first worker, and once it runs the others: what is wrong is told once.

        Returns:
            False if the service was told to stop meanwhile.

        Raises:
            BatchError: one of them could not start, with its own words.

        """
        starting = asyncio.create_task(self._start_all())
        stopping = asyncio.create_task(self._wait_for_stop())
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
            return not self._stop.is_set()
        finally:
            starting.cancel()
            stopping.cancel()

    async def _start_all(self) -> None:
        first, *others = self._briefs
        partitions = await self._start(first)
        await asyncio.gather(*map(self._start, others))
        if partitions < len(self._briefs):
            log.warning(
                "more workers than partitions, some have nothing to do",
                workers=len(self._briefs),
                partitions=partitions,
            )

    async def _start(self, brief: Brief) -> int:
        self._lives[brief.number] = life = await Life.begin(brief)
        partitions = await life.started()
        self._absent.pop(brief.number, None)
        self._count()
        log.info("worker started", worker=brief.number, pid=life.pid)
        return partitions

    async def keep(self) -> None:
        """Start workers again that die, until the service is told to stop.

        Raises:
            BatchError: one of them met what only an operator can help, as a service of one
                process would end by.

        """
        stopping = asyncio.create_task(self._wait_for_stop())
        keeping = [asyncio.create_task(self._keep(brief)) for brief in self._briefs]
        try:
            await asyncio.wait({stopping, *keeping}, return_when=asyncio.FIRST_COMPLETED)
            for task in keeping:
                if task.done():
                    task.result()
            await stopping  # a worker that leaves may be faster than the wish to stop
        finally:
            for task in (stopping, *keeping):
                task.cancel()

    async def _wait_for_stop(self) -> None:
        await self._stop.wait()

    async def _keep(self, brief: Brief) -> None:
        loop, wait = asyncio.get_running_loop(), FIRST_WAIT_SECONDS
        while True:
            life, began = self._lives[brief.number], loop.time()
            code = await life.ended()
            if self._stop.is_set() or self._leaving:
                return
            if life.failure is not None and not isinstance(life.failure, Transient):
                raise life.failure
            wait = FIRST_WAIT_SECONDS if loop.time() - began > STEADY_SECONDS else wait
            why = str(life.failure) if life.failure else f"exit code {code}"
            log.error("worker died", worker=brief.number, why=why, again_in_seconds=wait)
            self._absent[brief.number] = "has died and is started again"
            self._count()
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT_SECONDS)
            self._measured.restarts.labels(str(brief.number)).inc()
            with suppress(BatchError, OSError):  # the next turn judges how it went
                await self._start(brief)

    def pids(self) -> set[int]:
        """Give the processes that are waited for here."""
        return {life.pid for life in self._lives.values()}

    async def end(self) -> None:
        """Tell all workers to stop, and wait for them, no longer than they may take.

        Raises:
            NotDrained: one of them left something to the next start.

        """
        self._stop.set()
        for life in self._lives.values():
            life.terminate()
        seconds = float(self._settings.drain_seconds) + GRACE_SECONDS
        codes = await asyncio.gather(
            *(_ended_within(seconds, life) for life in self._lives.values())
        )
        left = [
            number
            for (number, life), code in zip(self._lives.items(), codes, strict=True)
            if code != 0 and life.was_running
        ]
        log.info("workers stopped", exit_codes=codes)
        if left:
            raise NotDrained(
                f"not everything was committed by worker {', '.join(map(str, left))}, whose log"
                " lines say why; nothing is lost: the next start goes on there"
            )

    # Answers

    async def silent(self) -> list[str]:
        """Say which worker runs and does not answer."""
        said = await self._of_all("silent")
        return [str(each) for each in said.values() if isinstance(each, BatchError)]

    async def unready(self) -> list[str]:
        """Say what is not ready, by worker."""
        reasons = [f"worker {number} {why}" for number, why in self._absent.items()]
        for number, said in (await self._of_all("unready")).items():
            if isinstance(said, BatchError):
                reasons.append(str(said))
            else:
                reasons += [f"worker {number}: {why}" for why in said]
        return reasons

    async def metrics(self) -> Iterable[Metric]:
        """Give the metrics of all workers that answer, each series with its worker, and our own."""
        said = await self._of_all("metrics")
        told = {n: each for n, each in said.items() if not isinstance(each, BatchError)}
        return [*together(told), *self._registry.collect()]

    async def drain(self) -> int:
        """Let all workers seal and commit what is open; give how many batches that were."""
        return sum(await asyncio.gather(*(life.ask("drain") for life in self._everyone())))

    async def leave(self) -> None:
        """Let all workers end with nothing open."""
        lives, self._leaving = self._everyone(), True
        try:
            await asyncio.gather(*(life.ask("leave", ANSWER_SECONDS) for life in lives))
        finally:
            self._stop.set()

    def _everyone(self) -> list[Life]:
        """Give all workers.

        Raises:
            WorkerAway: one of them does not run now, and what it holds cannot be reached.

        """
        for number, why in self._absent.items():
            raise WorkerAway(f"worker {number} {why}; ask again")
        return list(self._lives.values())

    async def _of_all(self, what: str) -> dict[int, Any]:
        """Ask every worker that runs; who does not answer has the error in place of an answer."""
        lives = {n: life for n, life in self._lives.items() if life.running}
        said = await asyncio.gather(
            *(life.ask(what, ANSWER_SECONDS) for life in lives.values()), return_exceptions=True
        )
        return dict(zip(lives, said, strict=True))

    def _count(self) -> None:
        self._measured.running.set(len(self._briefs) - len(self._absent))


async def supervise(settings: Settings, stop: asyncio.Event) -> None:
    """Run a service of several workers until `stop`, then let all of them finish.

    Args:
        settings: checked; `workers` says how many.
        stop: set it to end.

    Raises:
        BatchError: what `ingest.service.serve` would raise, met by one of the workers.
        NotDrained: it ended in time, with something left to the next start.

    """
    pack = Pack(settings, stop)
    reaping = asyncio.create_task(reap_forever(pack.pids), name="reap-orphans")
    http = HttpServer(settings, pack)
    try:
        if await pack.begin():
            port = await http.start()
            log.info("service started", port=port, workers=settings.workers)
            await pack.keep()
    except BaseException:
        with suppress(NotDrained):
            await pack.end()
        raise
    else:
        await pack.end()
    finally:
        await http.close()
        reaping.cancel()


async def _ended_within(seconds: float, life: Life) -> int:
    try:
        async with asyncio.timeout(seconds):
            return await life.ended()
    except TimeoutError:
        log.error("a worker does not end, killing it", pid=life.pid)
        life.process.kill()
        return await life.ended()
