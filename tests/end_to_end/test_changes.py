"""Rules and jobs change between two starts: no gap, nothing twice, nothing by both rules."""

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import redis

from batching.adapters.embedded_valkey import EmbeddedValkey
from batching.model import Manifest, load
from tests.end_to_end.hub_here import headrace, ready, with_hub
from tests.end_to_end.plant import Plant, stream

SLOW = {"max_samples": 2_000, "max_age": "10 min"}  # so that something is always open


def made(folder: Path) -> Plant:
    plant = Plant(folder)
    plant.settings["streams"] = {"motion": stream(seal=SLOW)}
    return plant


@contextlib.contextmanager
def under_load(plant: Plant) -> Iterator[None]:
    """Go on sending as long as it lasts."""
    enough = threading.Event()

    def send() -> None:
        while not enough.is_set():
            plant.send(60, rate=60.0)

    sending = threading.Thread(target=send)
    sending.start()
    try:
        yield
    finally:
        enough.set()
        sending.join()


def sent(plant: Plant) -> int:
    return plant.senders.read_text().count("\n")


def streams(plant: Plant) -> set[str]:
    paths = (plant.folder / "blobs").glob("*/log/*/*/*/*.json")
    manifests = [load(Manifest, path.name, path.read_bytes()) for path in paths]
    return {entry.stream for manifest in manifests for entry in manifest.entries}


def test_a_stream_gets_another_name_under_load_without_a_gap(tmp_path: Path) -> None:
    plant = made(tmp_path)
    with with_hub(plant, partitions=2):
        plant.start()
        with under_load(plant):
            plant.until(lambda report: report.batched > 50)
            drained = headrace(plant, "drain", "--stop", "--json")
            assert drained.returncode == 0, drained.stderr
            assert json.loads(drained.stdout)["stopped"]
            assert plant.services[0].wait(60) == 0
            plant.settings["streams"] = {"movement": stream(seal=SLOW)}
            plant.start()
            ready(plant)
        plant.drain()
        report = plant.complete()  # an event in batches of both streams would be twice
        assert (report.dead_letters, report.sent) == (0, sent(plant))
        assert streams(plant) == {"motion", "movement"}


def test_rules_that_change_without_a_drain_wait_for_what_the_old_ones_began(
    tmp_path: Path,
) -> None:
    plant = made(tmp_path)
    with with_hub(plant, partitions=2):
        service = plant.start()
        with under_load(plant):
            plant.until(lambda report: report.batched > 50)
            service.kill()
            service.wait()
            fewer = stream()
            fewer["decode"] = {**fewer["decode"], "channels": ["ax", "ay", "az"]}
            plant.settings["streams"] = {"motion": fewer}
            plant.start("one")
            plant.start("two")  # both find the old rules, and must not disturb each other
        report = plant.until(lambda r: r.batched >= sent(plant) and not r.pending)
        assert (report.missing.count, report.twice.count, report.dead_letters) == (0, 0, 0)
        said = [(tmp_path / f"{name}.log").read_text() for name in ("one", "two")]
        assert any("streams.motion.decode.channels" in text for text in said)
        assert any("rules are in force" in text for text in said)
        assert all(service.poll() is None for service in plant.services[1:])


def test_a_lost_redis_and_other_rules_at_once_are_refused_until_the_old_ones_are_done(
    tmp_path: Path,
) -> None:
    plant = made(tmp_path)
    with with_hub(plant, partitions=1):
        service = plant.start()
        plant.send(300)
        plant.until(lambda report: report.batched > 50)
        service.kill()  # some are in batches above the checkpoint
        service.wait()
        with redis.Redis.from_url(EmbeddedValkey(tmp_path / "valkey").url) as client:
            client.flushall()
        old = plant.settings["streams"]
        plant.settings["streams"] = {"movement": stream(seal=SLOW)}
        assert plant.start().wait(60) == 2
        said = (tmp_path / "one.log").read_text()
        assert "streams.motion is gone, streams.movement is new: the rules have changed" in said
        assert "in partition 0" in said
        plant.settings["streams"] = old
        plant.start()
        ready(plant)
        assert headrace(plant, "drain", "--stop").returncode == 0
        plant.settings["streams"] = {"movement": stream(seal=SLOW)}
        plant.start()
        plant.send(100)
        ready(plant)
        plant.drain()
        report = plant.complete()
        assert (report.dead_letters, streams(plant)) == (0, {"motion", "movement"})


def test_a_job_that_was_removed_is_retired_and_its_name_used_up(tmp_path: Path) -> None:
    plant = made(tmp_path)
    plant.settings["streams"] = {"motion": stream()}
    job = {"flow": "SensorProcessingFlow", "over": ["motion"], "after": "1 h"}
    plant.settings["jobs"] = {"nightly": job}
    with with_hub(plant, partitions=1):
        service = plant.start()
        plant.send(50)
        plant.until(lambda report: report.pending_batches > 0)
        refused = headrace(plant, "jobs", "retire", "nightly")
        assert refused.returncode == 2
        assert "nightly is still in the file" in refused.stderr
        service.terminate()
        service.wait(60)
        plant.settings["jobs"] = {}
        listed = json.loads(headrace(plant, "jobs", "list", "--json").stdout)
        assert listed == [{"job": "nightly", "state": "removed, holds the log until it is retired"}]
        assert plant.report().pending_batches > 0
        assert "no job nigthly" in headrace(plant, "jobs", "retire", "nigthly").stderr
        assert "is retired" in headrace(plant, "jobs", "retire", "nightly").stdout
        assert "was retired before" in headrace(plant, "jobs", "retire", "nightly").stdout
        report = plant.report()
        assert (report.pending_batches, report.retired_jobs) == (0, ["nightly"])
        assert "nightly (retired)" in headrace(plant, "status").stdout
        plant.settings["jobs"] = {"nightly": job}
        assert plant.start().wait(60) == 2
        assert "nightly was retired on 20" in (tmp_path / "one.log").read_text()
