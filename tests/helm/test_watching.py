"""Dashboards show what a running service tells, and alerts fire when they should."""

import json
import subprocess
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ingest.reference.metrics import metric_classes, registered
from tests.end_to_end.plant import Plant, running, stream
from tests.helm.watching import (
    BOARDS,
    RULES,
    alerts,
    filled_in,
    metrics_in,
    queries,
    scraping,
)

CASES = Path(__file__).parent / "alerts.yaml"
PATIENCE_SECONDS = 180.0
METRICS = {metric.name for _, kind in metric_classes() for metric in registered(kind)}
boards = pytest.mark.parametrize("board", BOARDS, ids=lambda path: path.stem)


@boards
def test_a_dashboard_asks_for_metrics_that_there_are(board: Path) -> None:
    asked = set().union(*(metrics_in(query) for _, query in queries(board)))
    assert asked
    assert asked <= METRICS


def test_rules_ask_for_metrics_that_there_are() -> None:
    asked = set().union(*(metrics_in(rule["expr"]) for rule in alerts()))
    assert asked
    assert asked <= METRICS


@boards
def test_panels_have_titles_numbers_and_places_of_their_own(board: Path) -> None:
    panels = json.loads(board.read_text())["panels"]
    for what in ("id", "title"):
        named = [each[what] for each in panels]
        assert len(named) == len(set(named)), what
    taken = set()
    for each in panels:
        at = each["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not taken & cells, each["title"]
        taken |= cells


def test_promtool_takes_the_rules(promtool: str) -> None:
    subprocess.run([promtool, "check", "rules", str(RULES)], check=True, capture_output=True)


def test_alerts_fire_when_they_should_and_only_then(promtool: str) -> None:
    done = subprocess.run(
        [promtool, "test", "rules", str(CASES)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_seen_to_fire_and_to_be_silent() -> None:
    cases = YAML(typ="safe").load(CASES.read_text())["tests"]
    for rule in alerts():
        seen = [
            bool(asked.get("exp_alerts"))
            for case in cases
            for asked in case["alert_rule_test"]
            if asked["alertname"] == rule["alert"]
        ]
        assert set(seen) == {True, False}, rule["alert"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_every_query_of_every_dashboard_shows_something(
    prometheus: str, tmp_path: Path, workers: int
) -> None:
    run = {"flow": "SensorProcessingFlow", "after": "1 s"}
    settings = {"streams": {"motion": stream(run=run)}, "workers": workers}
    plant = Plant(tmp_path / "plant", settings=settings)
    with running(plant):
        plant.start()
        port = _port(plant)
        with scraping(prometheus, port, tmp_path / "prometheus") as server:
            asked = [(title, filled_in(q)) for board in BOARDS for title, q in queries(board)]
            silent, deadline = asked, time.monotonic() + PATIENCE_SECONDS
            while silent and time.monotonic() < deadline:
                plant.send(60, rate=30, garbage=0.1)
                silent = [(title, query) for title, query in silent if not server.ask(query)]
            assert not silent, silent
            # Prometheus has a label `job` of its own, which must not hide ours
            assert server.named("headrace_job_stuck", "job") == {"motion"}
            assert server.ask("sum(headrace_events_received_total) > 60"), "what was sent"
            if workers > 1:
                assert server.named("headrace_partitions_owned", "worker") == {"0", "1"}


def _port(plant: Plant) -> int:
    path, deadline = plant.folder / "http.json", time.monotonic() + plant.patience_seconds
    while not path.exists():
        assert time.monotonic() < deadline, (plant.folder / "one.log").read_text()
        time.sleep(0.2)
    return int(json.loads(path.read_text())["port"])
