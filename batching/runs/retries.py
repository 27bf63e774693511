"""Another attempt at a run that was given up: asked for by anybody, at any time, by any number.

Who asks writes one thing, the record and the attempt, into the position of the job's runs. Who
drives the job's records makes the decision, or refuses where retention has taken what the run
needs, under the same name: create-only decides between the two. What is asked for holds the log
like a run that goes on, and stays until that attempt has ended. (PROTOCOL, step K; decision 0017.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from batching.failpoints import reached
from batching.model import RunRecord, Store
from batching.ports import BlobStore
from batching.retention import read_trimmed
from batching.runs.records import RunLog
from batching.runs.reports import RunReport, RunStatus, read_run

MOST_ASKED = 1_000  # of one job at a time: the position is one small object


@dataclass(slots=True)
class Answer:
    """What came of asking, by record: the attempt that is asked for, or why none can be."""

    asked: dict[int, int] = field(default_factory=dict)
    before: dict[int, int] = field(default_factory=dict)  # it had been asked for, and waits
    refused: dict[int, str] = field(default_factory=dict)


async def ask(log: RunLog, identity: Store, wanted: Sequence[int], *, dry_run: bool) -> Answer:
    """Ask for another attempt at records of one job that were given up.

    All that can be asked for is asked for in one step, whatever others do meanwhile.
    """
    while True:
        standing = await log.position()
        answer, asked = Answer(), dict(standing.asked)
        for n in wanted:
            await _weigh(log, identity, n, asked, answer)
        if dry_run or not answer.asked:
            return answer
        await reached("retry.before")
        moved = await log.move(standing.settled, asked, standing.version)
        await reached("retry.after")
        if moved is not None:
            return answer


async def _weigh(
    log: RunLog, identity: Store, n: int, asked: dict[int, int], answer: Answer
) -> None:
    """See whether another attempt at a record can be asked for; put it into both if it can."""
    run = await read_run(log, n)
    if run is None or (why := refusal(run)) is not None:
        answer.refused[n] = "there is no such run" if run is None else str(why)
        return
    attempt = len(run.attempts)
    if asked.get(n, 0) > attempt:
        answer.before[n] = asked[n]
    elif (taken := await gone(log.store, identity, run.record)) is not None:
        answer.refused[n] = taken
    elif len(asked) >= MOST_ASKED:
        answer.refused[n] = f"{MOST_ASKED:,} runs of the job are asked for already: try it later"
    else:
        answer.asked[n] = asked[n] = attempt + 1


def refusal(run: RunReport) -> str | None:
    """Say why nobody can ask for another attempt at a run; None if one can."""
    return {
        RunStatus.EMPTY: "it has no batches, and starts nothing",
        RunStatus.SUCCEEDED: "it has a result",
        RunStatus.RUNNING: "it goes on",
        RunStatus.WAITING: None if run.asked else "it has not been given up: it waits to start",
        RunStatus.FAILED: None,
    }[run.status]


async def gone(store: BlobStore, identity: Store, record: RunRecord) -> str | None:
    """Say what of a record's batches retention has taken, or says that it takes; None if nothing.

    Look after the attempt was asked for: a janitor that had not seen that has said so by then.
    """
    for partition, start in _held(record).items():
        said, _ = await read_trimmed(store, identity.hub_id, partition)
        if start < said.below:
            return (
                f"its batches are gone: retention has taken manifests below {said.below} of"
                f" partition {partition}, and it needs those from {start} on"
            )
    return None


def _held(record: RunRecord) -> Mapping[str, int]:
    """Give the first manifest of each partition that a record covers any of."""
    starts = {p: record.start.get(p, 0) for p in record.to}
    return {p: start for p, start in starts.items() if start < record.to[p]}
