"""The guards of the protocol by name; the simulation can take each of them away."""

from collections.abc import Iterator
from contextlib import contextmanager

GUARDS = {
    # Redis
    "gap": "append: refused when Redis is behind the caller",
    "behind": "append: refused when Redis is ahead of the caller",
    "believed": "append: a buffer that is not as its owner believes is sealed",
    "same shell": "append: so is a buffer whose only item is not the one that its owner knows",
    "attach keeps w": "attach: never lowers w",
    "ack checks": "ack: only that key, only up to what was committed",
    "forget checks": "forget: only a buffer that is committed as a whole",
    "release checks": "release: only events up to the durable mark",
    "restore checks": "restore: leaves an existing buffer alone",
    "straddling stays": "release: an element that reaches beyond the mark stays whole",
    "park stops": "parkable: stops at the first sealed buffer",
    "peek is one": "peek: order and contents in one atomic read",
    # the owner
    "skip": "append: leaves out what is known to be durable",
    "rest of slice": "append: what was received above w is appended, too, after BEHIND",
    "low checks": "maintain: attaches again when w is behind what was acknowledged",
    "acked before low": "maintain: compares with what was acknowledged before it asked",
    "open counted": "maintain: reads the states again when Redis names more or fewer open buffers",
    "held off": "one task at a time changes open buffers and what is believed of them",
    "stop both": "attach again: both tasks of the owner are stopped first",
    "forget": "attach: drops open buffers that are committed as a whole",
    "restore": "attach: puts buffers of parked pieces back",
    "overdue": "puts the buffer of an overdue parked piece back",
    "learn": "reads manifests of others now and then",
    "drop states": "the owner forgets its cached states after BEHIND",
    "lost first": "lost: the manifest that says so before w passes it",
    "lost is appended": "lost: w passes it by an append, refused where Redis went back",
    "lost tells n": "lost: that append tells Redis on which manifest it relies",
    "gap received": "receiver: a number left out: attach again, and look what the hub still has",
    # the commit
    "ack last": "ack after the commit, not before",
    "release last": "release after the commit, not before",
    "order": "sealed buffers are committed in the order of sealing",
    "overlap": "commit: leaves out what is durable",
    "rising": "commit: each sequence number once, in rising order",
    "pieces": "commit: puts the parked pieces in front",
    "whole pieces": "commit: takes parked pieces whole",
    "look first": "nothing left to commit: looks at the log once more before it acknowledges",
    "carry used": "a parked object listed again says which of its pieces are still in use",
    "join neighbours": "merging joins only pieces of a key that follow each other",
    "mark with c": "what is at or below the checkpoint is durable",
    "create-only log": "manifest: create-only",
    "data first": "data before its manifest",
    "nonce": "data names differ between writers of the same number",
    "number check": "after a manifest: position.first is not beyond its number",
    "read check": "after reading the log: position.first has not moved beyond the start",
    # the position
    "replace position": "position: replaced only if unchanged",
    "lost position": "position lost to another owner: attach again",
    "checkpoint": "checkpoint = lowest event that is not durable - 1, not w",
    "trim batches": "first: keeps manifests with batches above the checkpoint",
    "trim parked": "first: keeps manifests with parked pieces in use",
    "trim lost": "first: keeps manifests that say lost what lies above the checkpoint",
    "carry": "old parked objects are listed again in a new manifest",
    # the store's identity and age
    "names carry store": "the id of the store is part of every name",
    "log id": "a manifest of another store counts as empty",
    "position id": "a position of another store counts as none",
    "record id": "a run record of another store counts as empty",
    "own T": "the id of the store is part of T",
    "store check": "processes look at headrace.json now and then, and stop",
    "wipe": "attach: wipes Redis when the log ends before what Redis relies on",
    "attach tells n": "attach: tells Redis on which manifest it relies",
    "append tells n": "append: the same",
    "ack tells n": "ack: the same",
    "forget tells n": "forget: the same",
    "release tells n": "release: the same",
    "low tells n": "maintain: knows all manifests that a new checkpoint relies on",
    "epoch": "an epoch of a back-up brought in is part of T and of names of runs",
    # the operator
    "drain": "rules change when every process has ended and the checkpoint is at the end",
    # the janitor
    "undispatched": "janitor: keeps manifests that no run record covers",
    "in flight": "janitor: keeps data of numbers that are not created yet",
    "parked listed": "janitor: keeps parked objects listed from `first` on, also without use",
    "parked in flight": "janitor: keeps parked objects of numbers that are not created yet",
    "first before jobs": "janitor: reads the position before it lists the jobs",
    "said first": "janitor: says what it deletes before it deletes it",
    "jobs again": "janitor: lists the jobs once more after it has said so",
    "replace trimmed": "what is trimmed: replaced only if unchanged",
    # what comes back from the dead letters
    "create-only redrive": "re-driven events: create-only",
    "redrive once": "redrive: leaves out what an earlier object holds",
    # runs
    "create-only runs": "run record: create-only",
    "create-only results": "result: create-only",
    "drive": "anybody drives records without a result",
    "cap from the store": "in flight is counted from the store, not from memory",
    "settled": "settled: no further than the first record without an end",
    "replace settled": "settled, and what was asked for: replaced only if unchanged",
    "vector": "a start from `settled` reads the record before it, too",
    "vector passed on": "a record keeps the vector of partitions that its writer does not know",
    "partitions listed": "a new job learns partitions from the store, not from its settings",
    "opening": "a new job looks at what is trimmed after its opening record",
    "own end": "the end of an attempt is named by it",
    "asked read": "dispatchers look now and then at what was asked for",
    "asked held": "janitor: keeps what records that were asked for need",
    "asked looks": "an asked-for attempt: only where nothing that it needs is said to be trimmed",
    "asked stays": "what was asked for stays so until that attempt has ended",
    "refusal decides": "refusing an attempt takes the name of the decision to make it",
    "end checks": "next attempt or .failed: only after one more look for a result",
    "name": "the Workflow's name follows from the record",
    "receipt": "a receipt once a Workflow is started",
}

_removed: set[str] = set()


def guard(name: str) -> bool:
    """Tell whether the guard is in force."""
    assert name in GUARDS, name
    return name not in _removed


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Take guards away for a while."""
    unknown = set(names) - set(GUARDS)
    if unknown:
        raise KeyError(f"no such guard: {', '.join(sorted(unknown))}")
    _removed.update(names)
    try:
        yield
    finally:
        _removed.difference_update(names)
