"""`runs retry`: another attempt at a record that was given up, asked for by any number of commands.

A command writes one thing: the record and the attempt, into the position of the job's runs. Who
drives records decides on that attempt, or refuses it where what it needs is about to go.
"""

from typing import TYPE_CHECKING

from tests.protocol.calls import Steps, WrongStore, call
from tests.protocol.dispatcher import Runs, newest_attempt
from tests.protocol.identity import check_store, open_store
from tests.protocol.objects import REFUSED, RunPosition

if TYPE_CHECKING:
    from tests.protocol.world import World


class Retrier:
    """One command for each job: some or all of its records that were given up."""

    def __init__(self, world: "World") -> None:
        self.world, self.blob, self.rnd = world, world.blob, world.rnd

    def run(self) -> Steps:
        self.names = yield from open_store(self.world)
        try:
            for job in sorted(self.world.jobs):
                yield from check_store(self.world, self.names)
                yield from self.retry(job)
        except WrongStore:
            self.world.stat["stopped: wrong store"] += 1

    def retry(self, job: str) -> Steps:
        """Ask for another attempt at records that were given up, until nobody interferes."""
        runs = Runs(self.world, self.names, job)
        everything = self.rnd.random() < EVERYTHING
        while True:
            position, version = yield from runs.position()
            wanted = dict(position.asked)
            n = 0
            while (record := (yield from runs.record(n))) is not None:
                if record.batches and (everything or self.rnd.random() < SOME):
                    k = yield from self.given_up(job, n)
                    if k is not None and wanted.get(n, 0) <= k:
                        wanted[n] = k + 1
                n += 1
            asked = tuple(sorted(wanted.items()))
            if asked == position.asked:
                return
            value = RunPosition(self.names.store, position.settled, asked)
            name = self.names.run_position(job)
            if (yield from call(self.blob.replace, name, value, version)) is not None:
                self.world.stat["retries asked for"] += len(set(asked) - set(position.asked))
                return

    def given_up(self, job: str, n: int) -> Steps:
        """Give the last attempt of a record that was given up; None where it was not."""
        names = self.names
        if (yield from call(self.blob.get, names.result(job, n))) is not None:
            return None
        k, decision = yield from newest_attempt(self.blob, names, job, n)
        over = decision == REFUSED
        over = over or (yield from call(self.blob.get, names.failed(job, n, k))) is not None
        return k if over else None


EVERYTHING, SOME = 0.3, 0.6
