"""A run that nobody scheduled: which data it reads, decided once and kept for all its steps.

Metaflow runs each step in a process of its own, so the first that asks writes down the
answer, as a run record under `adhoc/`, and the others read it.
"""

import re
import time
from dataclasses import replace
from datetime import datetime, timezone

from batching import model, names
from batching.errors import SettingError
from flows.reader import read_record
from flows.store import Store, open_store

WHAT_TO_DO = (
    "Start the service (`headrace run`) and send data to it, "
    "or name another store: HEADRACE_STORE=file:///folder or https://account/container"
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|min|h|d)")
_UNIT_NS = {"ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_NUMBERED = re.compile(r"\d{12}\.json")


def folder(flow: str, run_id: str) -> str:
    """Name the folder of one ad hoc run."""
    return f"adhoc/{flow}/{run_id}/"


def current_store(root: str) -> Store:
    """Open the store at a root: the objects under the id that `headrace.json` there says.

    Raises:
        SettingError: there is no store; the message says what to do.

    """
    raw = open_store(root).get(names.STORE)
    if raw is None:
        raise SettingError(f"there is no Headrace store in {root}. {WHAT_TO_DO}")
    return open_store(f"{root.rstrip('/')}/{model.load(model.Store, names.STORE, bytes(raw)).id}")


def record(store: Store, *, flow: str, run_id: str, job: str, since: str) -> model.RunRecord:
    """Give the record that this ad hoc run goes by, creating it when it is the first to ask.

    Args:
        store: where to look.
        flow: name of the flow, as in run records.
        run_id: Metaflow's name of the run.
        job: whose data to read; empty: the one whose newest record names the flow.
        since: batches sealed since then; empty: those of the newest record with batches.

    Raises:
        SettingError: there is no data, or nothing says which; the message says what to do.

    """
    name = f"{folder(flow, run_id)}record.json"
    known = read_record(store, name)
    if known is not None:
        return known
    job = job or _job_of(store, flow)
    found = _since(store, job, parse_since(since)) if since else _newest(store, job)
    store.create(name, model.dump(replace(found, flow=flow)))
    return read_record(store, name) or found


def parse_since(text: str, now_ns: "int | None" = None) -> int:
    """Read a duration before now (2h, 30min) or an ISO date; without a zone it is UTC.

    Returns:
        Nanoseconds UTC since the epoch.

    Raises:
        SettingError: it is neither.

    """
    if match := _DURATION.fullmatch(text.strip()):
        now_ns = time.time_ns() if now_ns is None else now_ns
        return now_ns - int(float(match[1]) * _UNIT_NS[match[2]])
    try:
        moment = datetime.fromisoformat(re.sub("Z$", "+00:00", text.strip()))  # 3.10: no Z
    except ValueError:
        raise SettingError(
            f"parameter since: {text!r} is neither a duration such as 2h, 30min or 1d "
            "nor a date such as 2025-03-01 or 2025-03-01T06:00"
        ) from None
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)  # noqa: UP017  # 3.10
    return int(zoned.timestamp() * 1000) * 10**6


def _job_of(store: Store, flow: str) -> str:
    jobs = list(store.folders("runs/"))
    if not jobs:
        raise SettingError(f"there are no runs in {store.uri} yet. {WHAT_TO_DO}")
    mine = [job for job in jobs if _flow_of(store, job) == flow]
    if len(mine) == 1:
        return mine[0]
    if len(jobs) == 1:
        return jobs[0]
    raise SettingError(f"which job's data should {flow} read? Say --job {' or --job '.join(jobs)}")


def _flow_of(store: Store, job: str) -> "str | None":
    for name in _record_names(store, job):
        found = read_record(store, name)
        return found.flow if found else None
    return None


def _newest(store: Store, job: str) -> model.RunRecord:
    if job not in (jobs := list(store.folders("runs/"))):
        raise SettingError(f"parameter job: {job!r} has no runs in {store.uri}, {jobs} have")
    for name in _record_names(store, job):
        found = read_record(store, name)
        if found is not None and found.batches:
            return found
    raise SettingError(f"job {job!r} has no run with batches in {store.uri} yet: wait for data")


def _since(store: Store, job: str, since_ns: int) -> model.RunRecord:
    newest, batches = _newest(store, job), []
    for name in _record_names(store, job):
        found = read_record(store, name)
        if found is None or (found.batches and found.written < since_ns):
            break
        batches += [b for b in reversed(found.batches) if (b.entry.sealed or 0) >= since_ns]
    if not batches:
        raise SettingError(f"no batch of job {job!r} was sealed in that time; the newest is older")
    return replace(newest, batches=tuple(reversed(batches)))


def _record_names(store: Store, job: str) -> "list[str]":
    prefix = names.run(job, 0).rpartition("/")[0] + "/"
    found = [name for name in store.names(prefix) if _NUMBERED.fullmatch(name[len(prefix) :])]
    return found[::-1]
