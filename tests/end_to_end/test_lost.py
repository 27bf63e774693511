"""The hub drops events before they are read: told from missing, passed over as the setting says."""

import json
import signal
import time
from pathlib import Path

from tests.end_to_end.hub_here import KEEP_LITTLE, HubHere, headrace, metric, wait_for, with_hub
from tests.end_to_end.plant import Plant, stream


def made(folder: Path, on_lost: str) -> Plant:
    plant = Plant(folder, partitions=1)
    plant.settings["streams"] = {"motion": stream(seal={"max_samples": 2_000, "max_age": "1 s"})}
    hub = {"namespace": "localhost", "hub": "telemetry", "on_lost_position": on_lost}
    plant.settings["source"] = {"event_hubs": hub}
    return plant


def overtaken(plant: Plant, hub: HubHere) -> int:
    """Let retention pass a service that is down; give the first number that is left."""
    first = plant.start()
    plant.send(100)
    plant.complete()
    first.kill()
    first.wait()
    plant.send(200)
    hub.restart(retention=KEEP_LITTLE)
    return settled(hub)


def settled(hub: HubHere) -> int:
    """Wait until retention has passed the checkpoint and moves no more."""
    seen = 0
    wait_for(lambda: hub.oldest() > 100)
    while seen != hub.oldest():
        seen = hub.oldest()
        time.sleep(2.5)  # the hub looks once a second
    return seen


def test_what_the_hub_dropped_is_lost_and_nothing_else_is(tmp_path: Path) -> None:
    plant = made(tmp_path, "earliest")
    with with_hub(plant) as hub:
        oldest = overtaken(plant, hub)
        plant.start()
        end = hub.next()
        report = plant.until(lambda r: r.batched + r.lost.count >= end and not r.pending)
        assert not report.wrong, report.plain()
        assert report.lost.count == oldest - 100
        assert report.batched == end - report.lost.count
        assert report.sent_lost == report.lost.count
        assert metric(tmp_path, 'headrace_events_lost_total{reason="retention"}') == oldest - 100
        verified = headrace(plant, "verify", "--against", str(plant.senders))
        assert verified.returncode == 0, verified.stdout
        assert f"{report.lost.count} lost; 0 missing" in verified.stdout
        status = json.loads(headrace(plant, "status", "--json").stdout)
        assert status["partitions"][0]["lost"] == report.lost.count
        assert "events are lost" in (tmp_path / "one.log").read_text()


def test_latest_passes_over_what_is_left_too(tmp_path: Path) -> None:
    plant = made(tmp_path, "latest")
    with with_hub(plant) as hub:
        overtaken(plant, hub)
        end = hub.next()
        plant.start()
        wait_for(lambda: hub.readers() > 0)
        plant.send(50)
        report = plant.until(lambda r: r.batched >= 150 and not r.pending)
        assert not report.wrong, report.plain()
        assert report.lost.count == end - 100
        assert metric(tmp_path, 'headrace_events_lost_total{reason="skipped"}') == end - 100


def test_stop_stops_until_somebody_has_decided(tmp_path: Path) -> None:
    plant = made(tmp_path, "stop")
    with with_hub(plant) as hub:
        oldest = overtaken(plant, hub)
        assert plant.start().wait(60) == 2
        said = (tmp_path / "one.log").read_text()
        assert f"no longer has numbers 100 to {oldest - 1}" in said
        assert "on_lost_position: earliest" in said
        assert not plant.report(against=False).lost.count
        plant.settings["source"]["event_hubs"]["on_lost_position"] = "earliest"
        plant.start()
        report = plant.until(lambda r: r.batched + r.lost.count >= hub.next() and not r.pending)
        assert (report.wrong, report.lost.count) == (False, oldest - 100)


def test_retention_overtakes_a_service_that_does_not_move(tmp_path: Path) -> None:
    plant = made(tmp_path, "earliest")
    plant.settings["receive"] = {"prefetch": 5, "max_batch": 5}
    with with_hub(plant, retention=KEEP_LITTLE) as hub:
        service = plant.start()
        wait_for(lambda: hub.readers() > 0)
        plant.send(50)
        plant.until(lambda r: r.batched + r.lost.count >= 50)
        before = plant.report().lost.count
        service.send_signal(signal.SIGSTOP)
        try:
            plant.send(300, rate=1_000.0)
            wait_for(lambda: hub.oldest() > 200)
        finally:
            service.send_signal(signal.SIGCONT)
        report = plant.until(lambda r: r.batched + r.lost.count >= hub.next() and not r.pending)
        assert not report.wrong, report.plain()
        assert report.lost.count > before
        assert report.sent_lost == report.lost.count
        assert service.poll() is None
