"""Named places in the protocol at which a process can be made to die, fail or wait, for tests.

    HEADRACE_FAILPOINTS="manifest.before=kill@3,append.after=pause:2,data.after=raise@2"

kills the process before it creates its third manifest, lets others go on for two seconds after
the first append, and fails unexpectedly after the second data object. Each acts once in a
process, at the n-th time that it is passed (`@n`, 1 if left out). In a flow's process `@n` is
the attempt. Without the variable a place costs one look at an empty dictionary.
"""

import asyncio
import math
import os
import re
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass

from batching.errors import SettingError

VARIABLE = "HEADRACE_FAILPOINTS"
POINTS: Mapping[str, str] = {
    # the store's first object
    "identity.before": "A new store was found; `headrace.json` is not there yet.",
    "identity.after": "`headrace.json` is created; nobody works with it yet.",
    # PROTOCOL A, attach
    "attach.before": "A partition is owned; nothing of it has been read.",
    "attach.acknowledged": "Redis has told the highest manifest it knows; the log is not read.",
    "attach.log": "Position and manifests are read; Redis has not been told.",
    "wipe.before": "The store is older than Redis, or a buffer is corrupt; its keys are there.",
    "wipe.after": "The partition's keys are dropped; nothing has been read anew.",
    "forget.before": "An open buffer holds durable events alone; it is still there.",
    "forget.after": "That buffer is gone; others like it may be there.",
    "restore": "Pieces are parked whose open buffers may be missing; none has been opened.",
    "attach.raised": "`w` is raised in Redis; the open buffers have not been read.",
    "attach.after": "The partition is attached; its receiver is not open.",
    # PROTOCOL A, the hub dropped what comes next
    "lost.before": "The hub no longer has the next number; the log does not say so.",
    "lost.manifest": "The log says which numbers are lost; `w` has not passed them.",
    "lost.after": "`w` has passed them; the receiver is not open.",
    # PROTOCOL B, append
    "receive": "Events have come; none is decoded.",
    "append.before": "Events are decoded and planned; Redis has none of them.",
    "append.after": "Redis has them; its answer has not been looked at.",
    # PROTOCOL C, seal
    "seal.before": "Buffers are due by age; they are open.",
    "seal.after": "They are sealed; the owner still believes them open.",
    "drain.before": "A drain was asked for; all buffers are open.",
    "drain.after": "Some or all are sealed; the owner still believes them open.",
    "pressure.before": "More is held than may be, and batches are chosen; they are open.",
    "pressure.after": "Those are sealed; the owner still believes them open.",
    # PROTOCOL D, commit
    "peek": "Sealed buffers have been read; nothing of them is written.",
    "data.before": "A bundle is laid out; it is not in the store.",
    "data.after": "The bundle is there; no manifest names it.",
    "manifest.before": "All bundles are there; the manifest is not.",
    "manifest.after": "The manifest was created, or somebody else's was found; it is not in view.",
    "take": "The manifest is in view; its buffers are still in Redis.",
    "ack.before": "Nothing of the sealed buffers is left to commit; they are still there.",
    "ack.after": "They are dropped; the checkpoint has not moved.",
    # PROTOCOL E, maintain
    "park.before": "Open buffers that hold the checkpoint back are read; nothing is parked.",
    "release.before": "What they held is parked or in a batch; it is still in Redis.",
    "release.after": "Some or all of it has left Redis; the checkpoint has not moved.",
    "merge": "Parked objects are to be merged; nothing of them has been read.",
    "checkpoint.before": "Everything up to a number is durable; the position does not say so.",
    "checkpoint.after": "The position is replaced; the owner does not know it yet.",
    # PROTOCOL I, janitor
    "trim.before": "Old manifests are chosen; nothing says so, and all of them are there.",
    "trim.said": "The store says what is trimmed; all of it is still there.",
    "trim.data": "Bundles are deleted; their manifests are there.",
    # re-drive of dead letters, by a command
    "retry.before": "A command is about to ask for another attempt at runs that were given up.",
    "retry.after": "The job's position says what is asked for, or has changed; nobody was told.",
    "redrive.before": "Dead letters are gathered to come back; no object holds them.",
    "redrive.after": "The object was created, or somebody else's was found; nobody was told.",
    # PROTOCOL G, dispatch
    "record.before": "Batches are chosen for a run; no record says so.",
    "record.after": "The run record is created; nothing is started.",
    "start.before": "An attempt is to begin; its run is not started.",
    "start.after": "The run is started; no receipt says so.",
    "receipt.after": "The receipt is created; this process does not know it yet.",
    "attempt.before": "A run has failed; the next attempt is not decided.",
    "attempt.after": "The next attempt is decided; it is not started.",
    "failed.before": "The last attempt has failed; the record is not given up.",
    "failed.after": "The record is given up; this process still drives it.",
    "vouch.before": "A flow that makes no result has succeeded; nobody has vouched for it.",
    "vouch.after": "The dispatcher has created its result; it still drives it.",
    "settled.before": "Records have ended; the job's position does not say so.",
    "settled.after": "The job's position is replaced; this process does not know it yet.",
    # PROTOCOL H, the flow's own process
    "result.before": "The flow's work is done and its outputs are there; the result is not.",
    "result.after": "The result is created; the flow's process has not ended.",
}
ACTIONS: Mapping[str, str] = {
    "kill": "the process kills itself by SIGKILL; a container's first one ends with 137 at once",
    "raise": "an error of its own class is raised, as unexpected as any other",
    "pause:SECONDS": "this task waits, all others go on",
    "freeze:SECONDS": "the whole process waits",
}
_ONE = re.compile(
    r"(?P<name>[\w.]+)=(?P<action>kill|raise|pause|freeze)(:(?P<seconds>[\d.]+))?(@(?P<nth>\d+))?"
)


class FailpointError(Exception):
    """What `raise` raises: on purpose none of the errors that anybody expects."""


@dataclass(slots=True)
class _Armed:
    """What is to happen at one place, and how often it has been passed."""

    action: str
    seconds: float
    nth: int
    passed: int = 0


_armed: dict[str, _Armed] = {}


def arm(text: str) -> None:
    """Read what is to happen where; an empty text switches everything off.

    Raises:
        SettingError: a name or an action is not known; the message lists those that are.

    """
    made = dict(_read(each.strip()) for each in text.split(",") if each.strip())
    _armed.clear()
    _armed.update(made)


def _read(text: str) -> tuple[str, _Armed]:
    found = _ONE.fullmatch(text)
    waits = found is not None and found["action"] in ("pause", "freeze")
    if found is None or waits != (found["seconds"] is not None) or found["nth"] == "0":
        raise SettingError(
            f"{VARIABLE}: {text!r} is not name=action@n; actions are"
            f" {', '.join(ACTIONS)}, n counts from 1 and may be left out"
        )
    if found["name"] not in POINTS:
        raise SettingError(
            f"{VARIABLE}: there is no failpoint {found['name']!r}; there are {', '.join(POINTS)}"
        )
    try:
        seconds = float(found["seconds"] or 0)
    except ValueError:
        seconds = math.nan
    if math.isnan(seconds):
        raise SettingError(f"{VARIABLE}: {text!r}: seconds must be a number such as 2 or 0.5")
    return found["name"], _Armed(found["action"], seconds, int(found["nth"] or 1))


async def reached(name: str) -> None:
    """Do here what was asked for; nothing, nearly always.

    Raises:
        FailpointError: that was asked for.

    """
    if not _armed:
        return
    armed = _due(name)
    if armed is not None and armed.action == "pause":
        await asyncio.sleep(armed.seconds)
    elif armed is not None:
        _act(name, armed)


def reached_in_flow(name: str, attempt: int) -> None:
    """Do here, in an attempt's own process, what the launcher passed on.

    Raises:
        FailpointError: that was asked for.

    """
    if text := os.environ.get(VARIABLE):
        arm(text)
        if (armed := _armed.get(name)) is not None:
            armed.passed = attempt - 1
        if (armed := _due(name)) is not None:
            _act(name, armed)


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """Give what a launcher tells the processes of flows."""
    return {VARIABLE: environ[VARIABLE]} if environ.get(VARIABLE) else {}


def _due(name: str) -> _Armed | None:
    armed = _armed.get(name)
    if armed is None:
        return None
    armed.passed += 1
    if armed.passed != armed.nth:
        return None
    os.write(2, f"failpoint {name}: {armed.action} at passing {armed.nth}\n".encode())
    return armed


def _act(name: str, armed: _Armed) -> None:
    if armed.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
        os._exit(128 + signal.SIGKILL)  # a container's first process cannot be killed from inside
    if armed.action == "raise":
        raise FailpointError(f"failpoint {name}")
    time.sleep(armed.seconds)
