"""A run that was given up, tried again by command; commands and the service are killed."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batching.adapters.folder import FolderStore
from batching.identity import read_store
from batching.runs.records import RunLog
from batching.runs.reports import RunReport, read_run
from batching.scope import Scoped
from tests.end_to_end.plant import Plant, running
from tests.ingest.cli.served import body

PATIENCE_SECONDS = 90.0
FLOW = """
import os, sys, time
from pathlib import Path
from batching import model, names
from flows.reader import read_run

run = read_run(sys.argv[sys.argv.index("--run") + 1])
samples = sum(len(batch.times_ns) for batch in run.batches())
if not Path(__file__).with_name("mended").exists():
    sys.exit("not mended")
job, n, k = run.record.job, run.record.n, int(os.environ["HEADRACE_ATTEMPT"])
facts, outputs = {"samples": samples}, names.outputs(job, n, k)
result = model.Result(job, n, k, "flow", outputs, time.time_ns(), facts)
run.store.create(names.result(job, n), model.dump(result))
"""
RUN = "s/1"


def plant(folder: Path) -> Plant:
    (folder / "flow.py").write_text(FLOW)
    decode = {"format": "json", "time": {"field": "t", "unit": "ms"}, "channels": ["x"]}
    run = {"flow": "Mended", "after": 0, "backoff": 0, "attempts": 1, "in_flight": 1}
    streams = {"s": {"decode": decode, "seal": {"max_chunks": 5, "max_age": "1 h"}, "run": run}}
    flows = {"Mended": str(folder / "flow.py")}
    return Plant(folder, partitions=1, settings={"streams": streams, "flows": flows})


def retry(plant: Plant, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "ingest", "runs", *words, "--config", str(plant.config())],
        env={**os.environ, "HEADRACE_EVENT_HUBS_CONNECTION": plant.connection, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def shown(plant: Plant) -> RunReport:
    """Read how the run stands, in this process: it is looked at often."""

    async def read() -> RunReport | None:
        store = FolderStore(plant.folder / "blobs", read_only=True)
        try:
            identity = await read_store(store)
            assert identity is not None
            return await read_run(RunLog(Scoped(store, identity.id), identity.id, "s"), 1)
        finally:
            await store.close()

    found = asyncio.run(read())
    assert found is not None
    return found


def until(plant: Plant, true: Callable[[RunReport], bool]) -> RunReport:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if true(found := shown(plant)):
            return found
        time.sleep(0.2)
    raise AssertionError(f"{found}\n{(plant.folder / 'one.log').read_text()[-3_000:]}")


def position(plant: Plant) -> dict[str, Any]:
    (path,) = plant.folder.glob("blobs/*/runs/s/position.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def states(run: RunReport) -> list[str]:
    return [each.state for each in run.attempts]


def test_a_run_that_was_given_up_is_tried_again_until_its_flow_is_mended(tmp_path: Path) -> None:
    with running(plant(tmp_path)) as made:
        service = made.start()
        made.publish(*map(body, range(5)), partition_key="press-1")
        made.until(lambda report: report.runs["failed"] == 1)
        until(made, lambda _: bool(list(tmp_path.glob("blobs/*/runs/s/position.json"))))
        killed = retry(made, "retry", RUN, HEADRACE_FAILPOINTS="retry.before=kill")
        assert killed.returncode < 0
        assert position(made)["asked"] == {}
        killed = retry(made, "retry", RUN, HEADRACE_FAILPOINTS="retry.after=kill")
        assert killed.returncode < 0
        until(made, lambda run: states(run) == ["failed", "failed"])

        service.kill()
        service.wait()
        said = retry(made, "retry", "--all-failed")
        assert said.stdout == f"{RUN}: attempt 3 asked for\n", said.stderr
        assert retry(made, "retry", RUN).stdout.startswith(f"{RUN}: attempt 3 was asked for before")
        made.start()
        until(made, lambda run: states(run) == ["failed"] * 3)

        (tmp_path / "mended").touch()
        assert retry(made, "retry", RUN).stdout == f"{RUN}: attempt 4 asked for\n"
        run = until(made, lambda run: run.result is not None)
        assert run.result is not None
        assert (run.result.attempt, run.result.facts) == (4, {"samples": 50})
        assert [each.asked for each in run.attempts] == [False, True, True, True]
        report = made.until(lambda report: not report.pending)
        assert (report.runs["succeeded"], report.wrong) == (1, False)
        until(made, lambda _: position(made)["asked"] == {})
