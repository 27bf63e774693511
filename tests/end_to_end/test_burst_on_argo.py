"""500 bundles in a burst against a cap of five: two services, real Workflows, and a picture.

BURST_PICTURE=burst.png keeps the picture.
"""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from batching import names
from batching.model import EntryKind, Manifest, RunRecord, load
from ingest.virtual.recording import signals
from tests.batching.adapters.argo_stage import ArgoStage
from tests.batching.runs import on_disk
from tests.cluster.cluster import Cluster
from tests.cluster.conftest import cluster, namespace  # noqa: F401
from tests.end_to_end.plant import Plant, running, stream

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
CAP, BUNDLES, MOST_RUNS, SENSORS = 5, 500, 50, 24
# A stream for each sensor, and so a bundle for each in a manifest; each event is a batch.
STREAMS = {
    f"motion_{k}": stream(match={"sensors": f"{sensor.name}.*"}, seal={"max_samples": 1})
    for k, sensor in enumerate(signals("smartwatch", SENSORS, seed=0))
}
JOB = {
    "flow": "PlainFlow",
    "over": list(STREAMS),
    "launcher": "argo",
    "after": "0.5 s",
    "in_flight": CAP,
    "at_most": {"batches": 200},
}


@pytest.fixture
def stage(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[ArgoStage]:  # noqa: F811
    made = ArgoStage(cluster, namespace, tmp_path)
    made.codes.answer_all(0)
    yield made
    made.close()


@dataclass
class Watch:
    """What the store says, several times a second: batches that wait, runs that are on."""

    folder: Path
    began: float = field(default_factory=time.monotonic)
    samples: list[dict[str, float]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    marks: list[tuple[float, str]] = field(default_factory=list)

    def mark(self, what: str) -> None:
        self.marks.append((time.monotonic() - self.began, what))

    def run(self) -> None:
        while not self.over.wait(0.25):
            records, batches, bundles = self.records(), *self.committed()
            taken = sum(len(record.batches) for record in records)
            done = sum(self._result(record).exists() for record in records)
            self.samples.append(
                {
                    "at": time.monotonic() - self.began,
                    "waiting": batches - taken,
                    "in_flight": len(records) - done,
                    "runs": len(records),
                    "bundles": bundles,
                }
            )

    def store(self) -> Path:
        return next(p for p in (self.folder / "blobs").iterdir() if (p / "log").is_dir())

    def committed(self) -> tuple[int, int]:
        """Count batches and bundles of all manifests."""
        paths = (self.folder / "blobs").glob("*/log/*/*/*/*.json")
        entries = [e for p in paths for e in load(Manifest, p.name, p.read_bytes()).entries]
        batches = [e for e in entries if e.kind == EntryKind.BATCH]
        return len(batches), len({e.data for e in batches})

    def records(self) -> list[RunRecord]:
        """Read every run record with batches, in order."""
        if not list((self.folder / "blobs").glob("*/log")):
            return []
        return on_disk.records(self.store(), "job")

    def _result(self, record: RunRecord) -> Path:
        return self.store() / names.result("job", record.n)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    made = Watch(tmp_path)
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.over.set()
    thread.join()


def test_a_burst_is_merged_and_two_services_keep_the_cap(
    stage: ArgoStage, tmp_path: Path, watch: Watch
) -> None:
    settings: dict[str, Any] = {
        "argo": {"namespace": stage.namespace, "kubeconfig": str(stage.kubeconfig())},
        "bundle": {"linger": "0 s"},
        "streams": STREAMS,
        "jobs": {"job": JOB},
    }
    plant = Plant(tmp_path, partitions=2, settings=settings, patience_seconds=240)
    with running(plant):
        services = {"one": plant.start("one")}
        plant.send(1, sensors=SENSORS)  # whoever is alone has all partitions, the lowest one, too
        plant.until(plant.all_committed)
        services["two"] = plant.start("two")
        time.sleep(6)  # it finds its share
        watch.mark("burst")
        before = started(tmp_path)
        while watch.committed()[1] < BUNDLES:
            plant.send(10 * SENSORS, rate=400, sensors=SENSORS)
        dispatching, other = sorted(services, key=lambda s: before[s] - started(tmp_path)[s])
        watch.mark("the dispatching service is paused")
        services[dispatching].send_signal(signal.SIGSTOP)
        time.sleep(8)  # twice the time after which others take over
        plant.send(10 * SENSORS, rate=400, sensors=SENSORS)
        watch.mark("it goes on, beside the other")
        services[dispatching].send_signal(signal.SIGCONT)
        plant.complete()
        watch.over.set()
    _draw(watch, Path(os.environ.get("BURST_PICTURE", tmp_path / "burst.png")))
    _, bundles = watch.committed()
    records = watch.records()
    assert bundles >= BUNDLES
    assert on_disk.most_in_flight(watch.store(), "job") == CAP
    assert max(sample["in_flight"] for sample in watch.samples) <= CAP
    assert len(records) <= MOST_RUNS
    taken = [(b.partition, b.n, b.entry.first) for record in records for b in record.batches]
    assert len(set(taken)) == len(taken)
    assert len(stage.workflows()) == len(records), "one Workflow each"
    assert set(stage.codes.asked.values()) == {1}
    assert started(tmp_path)[other] > before[other], "both dispatched"


def started(folder: Path) -> Counter[str]:
    """Count the runs that each service has started."""
    logs = folder.glob("*.log")
    return Counter({path.stem: path.read_bytes().count(b"run started") for path in logs})


def _draw(watch: Watch, path: Path) -> None:
    """Draw what waited and what was on, over time."""
    import matplotlib as mpl  # noqa: PLC0415 only a slow test draws

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (backlog, flight) = plt.subplots(
        2, 1, figsize=(9, 6), sharex=True, layout="constrained"
    )
    runs, bundles = len(watch.records()), watch.committed()[1]
    figure.suptitle(f"{bundles} bundles in a burst, {runs} runs, at most {CAP} at once")
    seconds = [sample["at"] for sample in watch.samples]
    for axis, key, label in (
        (backlog, "waiting", "batches waiting"),
        (flight, "in_flight", "runs in flight"),
    ):
        axis.step(seconds, [sample[key] for sample in watch.samples], where="post")
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        for k, (at, what) in enumerate(watch.marks):
            axis.axvline(at, color=f"C{k + 1}", lw=1, label=what)
    flight.axhline(CAP, color="black", lw=1, ls=":", label="in_flight")
    flight.set_xlabel("seconds")
    figure.legend(
        *flight.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8
    )
    figure.savefig(path, dpi=90)
    plt.close(figure)
