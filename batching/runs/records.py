"""A job's run records, attempts and results as they lie in the store, read for every purpose.

The store is the scoped one: all its names lie under the store's id. A run record that names
another store all the same counts as one without batches that moves nothing.
"""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from batching import names
from batching.model import Attempt, Result, RunPosition, RunRecord, dump, load
from batching.ports import BlobStore

# an end without its attempt in the name is an older Headrace's
_TRAIL = re.compile(r"\.(?:a(?P<k>\d+)(?:\.(?P<what>started|failed))?|(?P<old>failed))\.json")
_RECORD = re.compile(r"(\d{12})\.json")
BEHIND_A_JOB = "~"  # sorts behind all that lies in a job's folder
ASKED, REFUSED = "asked for", "refused"  # causes of attempts that somebody asked for
Document = TypeVar("Document")


@dataclass(slots=True)
class Trail:
    """What was done about one record: decisions from attempt 2 on, receipts, ends."""

    decisions: dict[int, Attempt] = field(default_factory=dict)
    receipts: dict[int, Attempt] = field(default_factory=dict)
    ends: dict[int, Attempt] = field(default_factory=dict)

    @property
    def attempt(self) -> int:
        """Give the newest attempt, from 1 on."""
        return max(self.decisions, default=1)

    @property
    def given_up(self) -> bool:
        """Tell whether the newest attempt failed and no other follows, or was refused."""
        decision = self.decisions.get(self.attempt)
        refused = decision is not None and decision.cause == REFUSED
        return refused or self.attempt in self.ends


class Standing(NamedTuple):
    """What a job's position says, and its version; `asked`: records, and the attempt asked for."""

    settled: int
    asked: dict[int, int]
    version: str | None


class RunLog:
    """One job's objects; every call raises StoreUnavailable when the store does not answer."""

    def __init__(self, store: BlobStore, store_id: str, job: str) -> None:
        self.store, self.store_id, self.job = store, store_id, job

    async def position(self) -> Standing:
        """Give the record from which on there may be work, and what is asked for below."""
        name = names.run_position(self.job)
        found = await self.store.get_versioned(name)
        if found is None:
            return Standing(0, {}, None)
        said = load(RunPosition, name, found[0])
        return Standing(said.settled, {int(n): k for n, k in said.asked.items()}, found[1])

    async def move(self, settled: int, asked: Mapping[int, int], version: str | None) -> str | None:
        """Replace the position if it is still that version; None if it is not."""
        body = dump(RunPosition(settled, {str(n): k for n, k in sorted(asked.items())}))
        return await self.store.replace(names.run_position(self.job), body, version)

    async def end(self) -> int:
        """Give the number of the next record; reads little, as long as `settled` moves on."""
        n = (await self.position()).settled
        after = f"runs/{self.job}/{names.number(n - 1)}{BEHIND_A_JOB}" if n else ""
        async for name in self.store.names(f"runs/{self.job}/", after):
            if found := _RECORD.fullmatch(name.rpartition("/")[2]):
                n = int(found[1]) + 1
        return n

    async def record(self, n: int) -> RunRecord | None:
        """Read record n; None if there is none."""
        found = await self._read(RunRecord, names.run(self.job, n))
        if found is None or found.store == self.store_id:
            return found
        return RunRecord(
            self.job, n, found.flow, found.store, found.hub, found.written, {}, {}, batches=()
        )

    async def before(self, n: int) -> AsyncIterator[RunRecord]:
        """Read the records below a number, the newest first, but for those of other stores."""
        for k in range(n - 1, -1, -1):
            record = await self.record(k)
            if record is not None and record.to:
                yield record

    async def vector(self, settled: int) -> dict[str, int] | None:
        """Give what the records below `settled` have handed out; None if they say nothing."""
        async for record in self.before(settled):
            return dict(record.to)
        return None

    async def result(self, n: int) -> Result | None:
        """Read the result of record n; None if there is none yet."""
        return await self._read(Result, names.result(self.job, n))

    async def create(self, name: str, document: RunRecord | Attempt | Result) -> bool:
        """Create an object of this job; False if it exists."""
        return await self.store.create(name, [dump(document)])

    async def trail(self, n: int) -> Trail:
        """Read what was done about record n."""
        prefix = f"runs/{self.job}/{names.number(n)}"
        return await self.follow([name async for name in self.store.names(f"{prefix}.")])

    async def follow(self, found: list[str]) -> Trail:
        """Read the decisions, receipts and the end among names of one record's objects."""
        trail = Trail()
        for name in found:
            parts = _TRAIL.fullmatch(name, name.rindex("/") + 13)
            step = await self._read(Attempt, name) if parts else None
            if parts is None or step is None:
                continue
            if "failed" in (parts["what"], parts["old"]):
                trail.ends[step.attempt] = step
            else:
                kind = trail.receipts if parts["what"] else trail.decisions
                kind[int(parts["k"])] = step
        return trail

    async def _read(self, kind: type[Document], name: str) -> Document | None:
        raw = await self.store.get(name)
        return None if raw is None else load(kind, name, raw)


async def list_jobs(store: BlobStore) -> list[str]:
    """List the jobs that have records in a store, whatever a configuration says."""
    jobs: list[str] = []
    while True:
        after = f"runs/{jobs[-1]}/{BEHIND_A_JOB}" if jobs else ""
        name = await anext(store.names("runs/", after), None)
        if name is None:
            return jobs
        jobs.append(name.split("/")[1])
