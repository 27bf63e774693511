"""The proof: what lies in the store against what the hub numbered and what the senders logged."""

import itertools
from collections.abc import Mapping, Sequence

from batching.errors import SettingError
from batching.identity import read_store
from batching.model import Store
from batching.names import REDRIVE
from batching.ports import BlobStore
from batching.redrive import RedriveLog
from batching.runs.records import list_jobs
from batching.scope import Scoped
from batching.verify.partition import PartitionCheck
from batching.verify.redriven import RedriveCheck
from batching.verify.report import Report
from batching.verify.runs import JobCheck
from batching.verify.senders import Senders
from batching.view import Log, partitions_of

__all__ = ["Report", "Senders", "verify"]

TRIES = 5
TRIMMED = ".trimmed.json"


async def verify(
    root: BlobStore,
    *,
    partitions: Sequence[str] | None = None,
    upto: int | None = None,
    senders: Senders | None = None,
    last_enqueued: Mapping[str, int] | None = None,
) -> Report:
    """Account for every sequence number and every batch, beside a live service or without one.

    What the service's janitor deletes meanwhile looks as if it were gone for no reason. It says
    before what it trims, so where that has changed and something is wrong, all is read again.

    Args:
        root: the store that holds `headrace.json`.
        partitions: the ones to judge; all that the store knows where None.
        upto: judge numbers up to this one instead of the checkpoint.
        senders: what was sent, to be held against what is there.
        last_enqueued: the hub's last number by partition; what lies between it and the
            checkpoint is counted as open, and what was sent and is not found may be there.

    Returns:
        What was found; `report.exit_code` and `report.closing_line` sum it up.

    Raises:
        SettingError: there is no store, or no such partition.
        NewerFormat: a newer Headrace wrote here.

    """
    identity = await read_store(root)
    if identity is None:
        raise SettingError(f"{root.uri} holds no headrace.json: no service has written here yet")
    store = Scoped(root, identity.id)
    for left in itertools.count(1 - TRIES):
        before = await _trimmed(store, identity)
        report = await _read(root, store, identity, partitions, upto, senders, last_enqueued)
        if not report.wrong or not left or before == await _trimmed(store, identity):
            return report
        if senders is not None:
            senders.begin_anew()
    raise AssertionError


async def _trimmed(store: BlobStore, identity: Store) -> dict[str, bytes | None]:
    """Read what the janitors have said so far."""
    prefix = f"position/{identity.hub_id}/"
    found = [name async for name in store.names(prefix) if name.endswith(TRIMMED)]
    return {name: await store.get(name) for name in found}


async def _read(
    root: BlobStore,
    store: BlobStore,
    identity: Store,
    partitions: Sequence[str] | None,
    upto: int | None,
    senders: Senders | None,
    last_enqueued: Mapping[str, int] | None,
) -> Report:
    report = Report()
    redriven = RedriveCheck(RedriveLog(store, identity), report)
    followed = not partitions or REDRIVE in partitions
    trimmed, _ = await Log(root, store, identity, REDRIVE).trimmed()
    await redriven.read(followed_from=trimmed.upto + 1 if followed else None)
    ours = (REDRIVE,) if redriven.end else ()
    known = await partitions_of(store, identity, (*(last_enqueued or ()), *ours))
    _check(partitions or (), known)
    chosen = partitions or known
    logs = {partition: Log(root, store, identity, partition) for partition in chosen}
    watch = None if senders is None else senders.watch
    for partition, log in logs.items():
        last = None if last_enqueued is None else last_enqueued.get(partition)
        to = upto
        if partition == REDRIVE:  # the store knows its end; `upto` means the hub's numbers
            last, to = redriven.end - 1, upto if len(logs) == 1 else None
        await PartitionCheck(log, report, watch, last, redriven).run(to)
    for job in await list_jobs(store):
        await JobCheck(logs, job, report).run()
    if senders is not None:
        senders.judge(report)
    return report


def _check(partitions: Sequence[str], known: Sequence[str]) -> None:
    for partition in partitions:
        if partition not in known:
            raise SettingError(
                f"--partition {partition} is not in this store; known are {', '.join(known)}"
            )
