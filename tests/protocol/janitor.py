"""The janitor deletes manifests nobody reads any more, and data nobody will ever name."""

from typing import TYPE_CHECKING

from tests.protocol.calls import Steps, WrongStore, call
from tests.protocol.dispatcher import Runs
from tests.protocol.guards import guard
from tests.protocol.identity import check_store, open_store
from tests.protocol.objects import number_in
from tests.protocol.view import Log, View

if TYPE_CHECKING:
    from tests.protocol.world import World


class Janitor:
    """Learns jobs by listing their runs, never from a configuration."""

    def __init__(self, world: "World") -> None:
        self.world, self.blob = world, world.blob
        self.runs: dict[str, Runs] = {}

    def run(self) -> Steps:
        self.names = yield from open_store(self.world)
        try:
            while True:
                yield from check_store(self.world, self.names)
                yield from self.tidy()
        except WrongStore:
            self.world.stat["stopped: wrong store"] += 1

    def tidy(self) -> Steps:
        """I. What no reader needs: below `first`, and below the vector of every job."""
        first = yield from self.firsts()
        yield from self.learn_jobs()
        if not guard("first before jobs"):
            first = yield from self.firsts()
        for p in self.world.partitions:
            vectors = [x.vector[p] for x in self.runs.values()] if guard("undispatched") else []
            yield from self.delete_manifests(p, min([first[p], *vectors]))
            yield from self.delete_orphans(p)

    def firsts(self) -> Steps:
        """Read `first` of each partition: before the jobs, since a new one relies on it."""
        first = {}
        for p in self.world.partitions:
            position, _ = yield from Log(self.blob, self.names, p).position()
            first[p] = position.first
        return first

    def learn_jobs(self) -> Steps:
        prefix = f"{self.names.root}/runs/"
        for name in (yield from call(self.blob.names, prefix)):
            job = name[len(prefix) :].split("/")[0]
            if job not in self.runs:
                self.runs[job] = Runs(self.world, self.names, job)
        for runs in self.runs.values():
            yield from runs.catch_up()

    def delete_manifests(self, p: str, limit: int) -> Steps:
        for name in (yield from call(self.blob.names, f"{self.names.root}/log/{p}/")):
            if number_in(name) < limit:
                self.world.stat["manifests deleted"] += 1
                yield from call(self.blob.delete, name)

    def delete_orphans(self, p: str) -> Steps:
        view, _ = yield from Log(self.blob, self.names, p).read()
        used = {x.data for x in view.all_pieces()}
        for name in (yield from call(self.blob.names, f"{self.names.root}/parked/{p}/")):
            if number_in(name) < view.next and name not in used:
                yield from call(self.blob.delete, name)
        for stream in self.world.streams:
            for name in (yield from call(self.blob.names, f"{self.names.root}/data/{stream}/{p}/")):
                if self.orphan(name, view):
                    self.world.stat["orphans deleted"] += 1
                    yield from call(self.blob.delete, name)

    @staticmethod
    def orphan(name: str, view: View) -> bool:
        """Judge only numbers that a manifest has taken: others are in flight, or judged."""
        n = number_in(name)
        if n not in view.manifests and guard("in flight"):
            return False
        return n >= view.first and all(e.data != name for e in view.manifests.get(n, ()))
