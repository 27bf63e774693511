"""A wrong decoder, what it set aside, and all of it driven again once the settings are mended."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from batching.verify import Report
from tests.end_to_end.plant import Plant, running, stream

PATIENCE_SECONDS = 60.0


def wrong(**more: Any) -> dict[str, Any]:
    """A stream that looks for times where senders do not put them."""
    made = stream(**more)
    made["decode"]["time"] = {"field": "time", "unit": "ms"}
    return made


def command(plant: Plant, *words: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "ingest", "dead-letters", *words, "--config", str(plant.config())],
        env={**os.environ, "HEADRACE_EVENT_HUBS_CONNECTION": plant.connection, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: "subprocess.Popen[str]") -> dict[str, Any]:
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, err
    found = json.loads(out)
    assert isinstance(found, dict)
    return found


def set_aside(plant: Plant, events: int) -> int:
    """Let a wrong decoder set events aside; mend it, and give how many there are."""
    plant.settings["streams"] = {"motion": wrong()}
    service = plant.start()
    plant.send(events, rate=400)
    sent = plant.senders.read_text().count("\n")
    drained(plant, sent)
    plant.settings["streams"] = {"motion": stream()}
    service.send_signal(signal.SIGTERM)
    service.wait(60)
    plant.start()
    return sent


def test_all_that_a_wrong_decoder_set_aside_comes_back_once_it_is_mended(tmp_path: Path) -> None:
    """Commands are killed before and after they write, then two run at once; live traffic too."""
    with running(Plant(tmp_path)) as plant:
        sent = set_aside(plant, 150)
        assert said(command(plant, "list", "--json"))["counts"] == {"bad_time": sent}
        tried = said(command(plant, "redrive", "--all", "--dry-run", "--json"))
        assert (tried["re_driven"], tried["dry_run"]) == (sent, True)
        killed(command(plant, "redrive", "--all", HEADRACE_FAILPOINTS="redrive.before=kill"))
        assert said(command(plant, "list", "--json"))["re_driven"] == 0
        both = [command(plant, "redrive", "--all", "--json") for _ in range(2)]
        told = [said(each) for each in both]
        assert sum(each["re_driven"] for each in told) == sent
        assert sum(each["before"] for each in told) == sent
        plant.send(100)
        sent_all = plant.senders.read_text().count("\n")
        report = plant.until(lambda r: r.batched == sent_all and not r.open)
        assert not report.wrong, report.plain()
        assert report.re_driven == report.dead_letters == sent
        assert report.sent_set_aside == 0
        assert report.events == sent_all


def killed(process: "subprocess.Popen[str]") -> None:
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == -signal.SIGKILL


def test_what_fails_again_comes_back_again_through_kills_of_all_that_work_on_it(
    tmp_path: Path,
) -> None:
    with running(Plant(tmp_path)) as plant:
        plant.settings["streams"] = {"motion": wrong()}
        plant.start()
        plant.send(40)
        sent = plant.senders.read_text().count("\n")
        drained(plant, sent)
        killed(command(plant, "redrive", "--all", HEADRACE_FAILPOINTS="redrive.after=kill"))
        told = said(command(plant, "redrive", "--all", "--json"))
        assert (told["re_driven"], told["before"]) == (0, sent)
        drained(plant, 2 * sent)
        listed = said(command(plant, "list", "--partition", "redrive", "--json"))
        assert listed["counts"] == {"bad_time": sent}
        plant.stop()
        plant.settings["streams"] = {"motion": stream()}
        told = said(command(plant, "redrive", "--partition", "redrive", "--json"))
        assert told["re_driven"] == sent
        plant.environment["HEADRACE_FAILPOINTS"] = "append.after=kill"  # of these very letters
        assert plant.start("two").wait(PATIENCE_SECONDS) == -signal.SIGKILL
        del plant.environment["HEADRACE_FAILPOINTS"]
        plant.start("three")
        report = plant.until(lambda r: r.batched == sent and not r.open)
        assert not report.wrong, report.plain()
        assert (report.dead_letters, report.re_driven) == (2 * sent, 2 * sent)
        assert report.events == sent


def drained(plant: Plant, dead_letters: int) -> None:
    """Drain until so many letters are there: what nobody owns yet is not drained."""

    def done(_: Report) -> bool:
        if (plant.folder / "http.json").exists():
            plant.drain()
        return plant.report().dead_letters == dead_letters

    plant.until(done)


def test_a_stream_that_stops_loses_nothing_and_sets_nothing_aside(tmp_path: Path) -> None:
    with running(Plant(tmp_path, partitions=1)) as plant:
        plant.settings["streams"] = {"motion": wrong(dead_letters={"stop_above": 0, "over": 10})}
        service = plant.start()
        plant.send(100)
        reasons = stopped(plant)
        assert "stream motion" in reasons
        assert "bad_time" in reasons
        assert "mend streams.motion.decode" in reasons
        plant.drain()  # it does not wait for what is not taken in
        service.send_signal(signal.SIGTERM)
        assert service.wait(60) == 0
        plant.settings["streams"] = {"motion": stream()}
        plant.start()
        report = plant.complete()
        assert report.dead_letters == 0


def test_other_partitions_go_on_beside_one_that_stopped(tmp_path: Path) -> None:
    with running(Plant(tmp_path, partitions=2)) as plant:
        limit = {"stop_above": 0.5, "over": 10}
        plant.settings["streams"] = {"motion": stream(dead_letters=limit)}
        plant.start()
        plant.send(100)
        sent = plant.senders.read_text().count("\n")
        plant.until(lambda _: received(plant) == sent)
        plant.publish(*[b"garbage"] * 6, partition_key="wrist-broken")
        assert "6 of the last 10 events of stream motion" in stopped(plant)
        plant.until(lambda r: r.batched == sent)  # by age, in the one that stopped too
        plant.send(100, sensors=12)
        plant.until(lambda r: r.batched > sent + 20)
        assert not plant.report(against=False).wrong


def stopped(plant: Plant) -> str:
    """Wait until a partition says that it stopped; give its words."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        reasons = page(plant, "readyz")
        if "stopped" in reasons:
            return reasons
        time.sleep(0.2)
    raise AssertionError((plant.folder / "one.log").read_text()[-3_000:])


def received(plant: Plant) -> int:
    lines = [line for line in page(plant, "metrics").splitlines() if line[:1] != "#"]
    return sum(int(float(x.split()[-1])) for x in lines if "events_received_total{" in x)


def page(plant: Plant, name: str) -> str:
    try:
        port = json.loads((plant.folder / "http.json").read_text())["port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{name}") as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return str(error.read().decode())
    except OSError:
        return ""
