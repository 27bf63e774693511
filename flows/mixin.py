"""What a Metaflow flow inherits to read the batches of its run and to end it exactly once.

    class MyFlow(BatchFlow, FlowSpec):
        @step
        def start(self):
            self.means = {b.sensor: b.values.mean(axis=0) for b in self.batches()}
            self.next(self.end)

        @step
        def end(self):
            self.outputs().write("means.json", json.dumps(...).encode())
            self.finish(sensors=len(self.means))

Headrace starts it with `run --run <URI of a run record>`. Without, the run is *ad hoc*: it
reads the newest record of a job, or all since a time, writes under `adhoc/` and makes no result.
"""

import os
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from metaflow import Parameter, current
from metaflow.exception import MetaflowException

from batching import model, names
from batching.errors import BatchError, SettingError
from batching.failpoints import reached_in_flow
from flows import adhoc
from flows.outputs import Outputs
from flows.reader import Batch, Group, Run, read_run, split_uri

STORE = "HEADRACE_STORE"
ATTEMPT = "HEADRACE_ATTEMPT"
DEFAULT_STORE = Path("headrace-data", "blobs")  # where `headrace run` without a file keeps it


class FlowError(MetaflowException):
    """An error that Metaflow shows as a sentence, without a traceback."""

    headline = "Headrace"


class BatchFlow:
    """The batches of this run, a place for outputs, and a result that is created once.

    Mix it into a FlowSpec, before it. Names of parameters: `run`, `job`, `since`.
    """

    run = Parameter(
        "run", default="", help="URI of the run record; empty: ad hoc, on data that is there."
    )
    job = Parameter(
        "job", default="", help="Ad hoc: the job whose data to read; empty: the one of this flow."
    )
    since = Parameter(
        "since",
        default="",
        help="Ad hoc: all batches sealed since then, such as 2h, 30min or 2025-03-01T06:00; "
        "empty: the newest run record alone.",
    )

    def batches(self, group: "Group | None" = None) -> Iterator[Batch]:
        """Read every batch of this run, or of one group, one after another.

        Nothing comes where the run has its result already: somebody did it before.

        Raises:
            FlowError: the run or its data cannot be read; the message says why.

        """
        try:
            if not self._already_done():
                yield from self._run().batches(group)
        except BatchError as error:
            raise FlowError(str(error)) from error

    def groups(self, width: int) -> "list[Group]":
        """Divide this run for a foreach: at most `width` groups, never none.

        Sizes are balanced, a sensor's batches stay together. In the branch, read with
        `self.batches(self.input)`. A run without batches, or one that has its result
        already, gives one empty group.

        Raises:
            FlowError: the run cannot be read, or `width` is zero or below.

        """
        try:
            if self._already_done():
                return [Group((), 0)]
            return self._run().groups(width)
        except BatchError as error:
            raise FlowError(str(error)) from error

    def outputs(self) -> Outputs:
        """Give the writer for what this attempt makes; each name can be written once."""
        try:
            return Outputs(self._run().store, self._folder(), closed=self._already_done())
        except BatchError as error:
            raise FlowError(str(error)) from error

    def scheduled(self) -> "int | None":
        """Give the moment of its job's schedule that the run serves, nanoseconds UTC, or None."""
        return self._run().record.scheduled

    def finish(self, **facts: Any) -> None:
        """Create the run's result, which makes this attempt the one that counts.

        Call it in `end`, after the last output. Where another attempt was first, the outputs
        of this one are deleted. An ad hoc run has no result.

        Args:
            facts: small JSON values to be shown beside the result, such as counts.

        Raises:
            FlowError: the store does not answer; the attempt has failed, another may follow.

        """
        try:
            print(self._finish(facts))  # noqa: T201  # a flow speaks through Metaflow's log
        except BatchError as error:
            raise FlowError(str(error)) from error

    def _finish(self, facts: "dict[str, Any]") -> str:
        run, folder = self._run(), self._folder()
        if not self.run:
            return f"ad hoc: outputs are in {run.store.uri}/{folder}, no result is written"
        job, n, k = run.record.job, run.record.n, _attempt(run)
        if _result(run) is None:
            result = model.Result(job, n, k, "flow", folder, time.time_ns(), facts)
            reached_in_flow("result.before", k)
            created = run.store.create(names.result(job, n), model.dump(result))
            reached_in_flow("result.after", k)
            if created:
                return f"result {names.result(job, n)} created by attempt {k}"
        winner = _result(run)
        if winner is None or winner.attempt == k:  # the reply of our own creation was lost
            return f"result {names.result(job, n)} is there, by this attempt"
        gone = self.outputs().discard()
        return f"attempt {winner.attempt} was first: {gone} outputs of attempt {k} deleted"

    def _already_done(self) -> bool:
        """Tell whether the result was there when `start` looked; later steps go by that."""
        if (known := getattr(self, "_headrace_done", None)) is not None:
            return bool(known)
        done = bool(self.run) and _result(self._run()) is not None
        if current.step_name == "start":  # branches that looked by themselves could not be merged
            self._headrace_done = done
            if done:
                print("the run has its result already: there is nothing to do")  # noqa: T201
        return done

    def _run(self) -> Run:
        if self.run:
            return _recorded(str(self.run))
        flow, run_id = str(current.flow_name), str(current.run_id)
        return _ad_hoc(flow, run_id, str(self.job), str(self.since))

    def _folder(self) -> str:
        if not self.run:
            return adhoc.folder(str(current.flow_name), str(current.run_id))
        run = self._run()
        return names.outputs(run.record.job, run.record.n, _attempt(run))


@lru_cache(maxsize=1)
def _recorded(uri: str) -> Run:
    if names.URI.fullmatch(uri) is None:
        raise SettingError(
            f"parameter run: {uri!r} has other characters than A-Z a-z 0-9 . _ / : = @ + - "
            "or more than 512 of them"
        )
    if not split_uri(uri)[1].startswith("runs/"):
        raise SettingError(f"parameter run: {uri!r} is no run record of a job")
    return read_run(uri)


@lru_cache(maxsize=1)
def _ad_hoc(flow: str, run_id: str, job: str, since: str) -> Run:
    store = adhoc.current_store(os.environ.get(STORE) or DEFAULT_STORE.absolute().as_uri())
    return Run(store, adhoc.record(store, flow=flow, run_id=run_id, job=job, since=since))


def _result(run: Run) -> "model.Result | None":
    name = names.result(run.record.job, run.record.n)
    raw = run.store.get(name)
    return None if raw is None else model.load(model.Result, name, bytes(raw))


def _attempt(run: Run) -> int:
    """Tell which attempt this is: as the launcher says, else the newest that was decided.

    A launcher that cannot set the environment of one run (Argo) leaves it to the store. An
    earlier attempt that is still alive may then count as the newest: harmless, since an
    output and the result are created once, whoever does it.
    """
    if text := os.environ.get(ATTEMPT):
        if not text.isdigit() or int(text) < 1:
            raise SettingError(f"{ATTEMPT} must be a number from 1 on, got {text!r}")
        return int(text)
    record = run.record
    k = 1
    while run.store.get(names.attempt(record.job, record.n, k + 1)) is not None:
        k += 1
    return k
