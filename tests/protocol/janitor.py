"""The janitor deletes manifests nobody reads any more, and data nobody will ever name."""

from collections.abc import Iterable
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
        self.world, self.blob, self.rnd = world, world.blob, world.rnd
        self.runs: dict[str, Runs] = {}
        self.held: dict[str, dict[str, int]] = {}
        self.retired: set[str] = set()

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
        partitions = tuple(self.world.partitions)
        first = yield from self.firsts(partitions)
        yield from self.learn_jobs()
        if not guard("first before jobs"):
            first = yield from self.firsts(partitions)
        for p in partitions:
            yield from self.trim(p, first[p])
            yield from self.delete_orphans(p)

    def trim(self, p: str, first: int) -> Steps:
        """Say what is going to be deleted, look at the jobs once more, and delete."""
        said, version = yield from Log(self.blob, self.names, p).trimmed()
        below = min([first, *self.vectors(p)])
        if below > said:
            below = self.rnd.randint(said + 1, below)  # what is old enough
            if guard("said first"):
                name = self.names.trimmed(p)
                if (yield from call(self.blob.replace, name, below, version)) is None:
                    return  # another janitor is at work
        else:
            below = said
        if guard("jobs again"):
            yield from self.learn_jobs()
        yield from self.delete_manifests(p, min([below, *self.vectors(p)]))
        if not guard("said first"):
            yield from call(self.blob.replace, self.names.trimmed(p), below, version)

    def vectors(self, p: str) -> list[int]:
        """Give what each job still needs of a partition; one that is retired lets go."""
        if not guard("undispatched"):
            return []
        return [held.get(p, 0) for job, held in self.held.items() if job not in self.retired]

    def firsts(self, partitions: Iterable[str]) -> Steps:
        """Read `first` of each partition: before the jobs, since a new one relies on it."""
        first = {}
        for p in partitions:
            position, _ = yield from Log(self.blob, self.names, p).position()
            first[p] = position.first
        return first

    def learn_jobs(self) -> Steps:
        prefix = f"{self.names.root}/runs/"
        for name in (yield from call(self.blob.names, prefix)):
            job, what = name[len(prefix) :].split("/", 1)
            if what == "retired":
                self.retired.add(job)
            elif job not in self.runs:
                self.runs[job] = Runs(self.world, self.names, job)
        for job, runs in self.runs.items():
            self.held[job] = yield from runs.held()

    def delete_manifests(self, p: str, limit: int) -> Steps:
        for name in (yield from call(self.blob.names, f"{self.names.root}/log/{p}/")):
            if number_in(name) < limit:
                self.world.stat["manifests deleted"] += 1
                yield from call(self.blob.delete, name)

    def delete_orphans(self, p: str) -> Steps:
        """Delete data that no manifest names, and parked objects not listed from `first` on."""
        view, _ = yield from Log(self.blob, self.names, p).read()
        listed = view.listed if guard("parked listed") else view.in_use()
        for name in (yield from call(self.blob.names, f"{self.names.root}/parked/{p}/")):
            taken = number_in(name) < view.next or not guard("parked in flight")
            if taken and name.removesuffix(".index") not in listed:
                self.world.stat["parked objects deleted"] += 1
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
