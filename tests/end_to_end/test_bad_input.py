"""Bad settings and bad events as a user meets them: a sentence or a dead letter, nothing lost."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.end_to_end.plant import Plant, running, stream

PLANTED = "hunter2"
CLOSED = "127.0.0.1:1"
HUB = f"Endpoint=sb://{CLOSED};SharedAccessKeyName=a;SharedAccessKey={PLANTED}"
AZURE = (
    f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey={PLANTED}ab;"
    f"BlobEndpoint=http://{CLOSED}/a"
)
CLOUD = {"event_hubs": {"namespace": "localhost", "hub": "t"}}
CONNECTION = {"HEADRACE_EVENT_HUBS_CONNECTION": f"{HUB};UseDevelopmentEmulator=true"}
RUN = {"flow": "SensorProcessingFlow"}


def refused(folder: Path, settings: dict, environment: dict[str, str]) -> str:
    """Start the service on settings that cannot be, and give what it says."""
    plain = {
        "data": str(folder / "data"),
        "http": {"port": 0},
        "streams": {"motion": stream()},
        **settings,
    }
    with (folder / "headrace.yaml").open("w") as file:
        YAML().dump(plain, file)
    done = subprocess.run(
        [sys.executable, "-m", "ingest", "run", "--config", str(folder / "headrace.yaml")],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert "Traceback" not in said
    assert PLANTED not in said
    return said


@pytest.mark.parametrize(
    ("settings", "environment", "named"),
    [
        ({"streams": {"m": stream(seal={"max_sample": 5})}}, {}, "did you mean max_samples?"),
        ({"streams": {"m": stream(seal={"max_age": "5 parsecs"})}}, {}, "streams.m.seal.max_age"),
        ({"redis": {"url": f"redis://:{PLANTED}@{CLOSED}"}}, {}, "redis.url: no answer from"),
        ({"source": CLOUD}, CONNECTION, "source: hub t"),
        (
            {"blobs": {"azure": {"container": "c"}}},
            {"HEADRACE_BLOBS_CONNECTION": AZURE},
            "blobs",
        ),
        ({"streams": {"m": stream(run={"flow": "NoSuchFlow"})}}, {}, "NoSuchFlow"),
    ],
    ids=["unknown setting", "wrong unit", "redis", "hub", "azure", "flow"],
)
def test_what_cannot_be_is_told_in_a_sentence(
    tmp_path: Path, settings: dict, environment: dict[str, str], named: str
) -> None:
    assert named in refused(tmp_path, settings, environment)


def test_places_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = refused(tmp_path, {"blobs": {"folder": str(tmp_path / "file")}}, {})
    assert "blobs.folder" in said
    spaced = {"blobs": {"folder": str(tmp_path / "a b")}, "streams": {"m": stream(run=RUN)}}
    assert "a flow's parameter carries only" in refused(tmp_path, spaced, {})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"http.port: {port}" in refused(tmp_path, {"http": {"port": port}}, {})


def test_the_store_of_another_consumer_group_is_refused(tmp_path: Path) -> None:
    with running(Plant(tmp_path)) as plant:
        plant.start()
        plant.send(20)
        plant.until(lambda report: report.partitions != {})
        plant.stop()
        source = {"event_hubs": {**CLOUD["event_hubs"], "hub": "telemetry"}}
        source["event_hubs"]["consumer_group"] = "other"
        settings = {"data": str(tmp_path), "source": source}
        said = refused(tmp_path, settings, {"HEADRACE_EVENT_HUBS_CONNECTION": plant.connection})
        assert "consumer group" in said


def test_bad_events_become_dead_letters_and_odd_names_are_sensors(tmp_path: Path) -> None:
    good = b'{"t": [1, 2], "ax": [0.5, 1.5]}'
    samples = b", ".join(b"1.25" for _ in range(70_000))
    times = b", ".join(b"%d" % n for n in range(70_000))
    large = b'{"t": [%s], "ax": [%s]}' % (times, samples)
    bad = (b"\x00\xff garbage", b"", b'{"t": [1], "ax": [NaN]}', b'{"t": [1], "ax": [1e999]}')
    odd = ("press 1", "line/3", 'the "old" one', "it's", "üñí-🌡", "a:b%41")
    with running(Plant(tmp_path)) as plant:
        plant.settings["streams"] = {"motion": stream(seal={"max_age": "1 s"})}
        plant.start()
        for name in odd:
            plant.publish(good, partition_key=name)
        plant.publish(*bad, large, partition_key="press 1")
        plant.publish(good, good, partition_key="two\nlines")
        report = plant.until(lambda report: report.batched == len(odd) + 1)
        plant.drain()
        report = plant.until(lambda report: report.dead_letters == len(bad) + 2)
        assert not report.wrong
        assert set(report.sensors) == set(odd)
        assert report.samples == 2 * len(odd) + 70_000
        assert "Traceback" not in (tmp_path / "one.log").read_text()
