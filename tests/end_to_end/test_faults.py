"""The service is killed, Redis emptied, the store deleted: nothing is missing, nothing twice."""

import json
import shutil
import time
from pathlib import Path

import redis

from batching.adapters.embedded_valkey import EmbeddedValkey
from tests.end_to_end.plant import Plant, running


def valkey(folder: Path) -> "redis.Redis[bytes]":
    return redis.Redis.from_url(EmbeddedValkey(folder / "valkey").url)


def test_a_service_killed_in_the_middle_goes_on_where_it_was(tmp_path: Path) -> None:
    with running(Plant(tmp_path)) as plant:
        first = plant.start()
        plant.send(300, garbage=0.02)
        plant.until(lambda report: report.batched > 50)
        first.kill()
        first.wait()
        plant.send(300)
        plant.start()
        plant.until(lambda report: report.batched > 500)
        plant.drain()  # dead letters wait for a minute otherwise
        report = plant.complete()
        assert report.dead_letters > 0
        assert report.sent == plant.senders.read_text().count("\n")
        plant.stop()
        assert plant.services[-1].returncode == 0


def test_an_emptied_redis_costs_a_replay_and_nothing_else(tmp_path: Path) -> None:
    with running(Plant(tmp_path)) as plant:
        plant.start()
        plant.send(300)
        plant.until(lambda report: report.batched > 50)
        with valkey(tmp_path) as client:
            client.flushall()
            client.script_flush()
        plant.send(300)
        plant.complete()


def test_a_deleted_store_is_made_anew_and_everything_is_batched_again(tmp_path: Path) -> None:
    with running(Plant(tmp_path)) as plant:
        first = plant.start()
        plant.send(200)
        plant.complete()
        old = json.loads((tmp_path / "blobs/headrace.json").read_text())["id"]
        shutil.rmtree(tmp_path / "blobs")  # Valkey runs on, with the old store's keys
        plant.start("two")
        plant.send(200)
        plant.complete()
        assert json.loads((tmp_path / "blobs/headrace.json").read_text())["id"] != old
        assert first.wait(60) == 2
        assert "deleted or replaced" in (tmp_path / "one.log").read_text()


def test_the_redis_of_another_store_does_no_harm(tmp_path: Path) -> None:
    with running(Plant(tmp_path)) as plant:
        plant.start()
        plant.send(200)
        plant.complete()
        plant.stop()
        plant.settings["blobs"] = {"folder": str(tmp_path / "other")}
        plant.start()
        (tmp_path / "blobs").rename(tmp_path / "first")
        deadline = time.monotonic() + 30
        while not (tmp_path / "other/headrace.json").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        (tmp_path / "blobs").symlink_to(tmp_path / "other")
        plant.complete()


def test_a_store_brought_back_from_a_backup_gets_what_it_lacks(tmp_path: Path) -> None:
    with running(Plant(tmp_path)) as plant:
        plant.start()
        plant.send(200)
        plant.complete()
        plant.stop()
        shutil.copytree(tmp_path / "blobs", tmp_path / "backup")
        plant.start()
        plant.send(200)
        plant.complete()
        plant.stop()
        shutil.rmtree(tmp_path / "blobs")
        (tmp_path / "backup").rename(tmp_path / "blobs")
        plant.start()
        plant.send(100)
        plant.complete()
        assert "older than Redis" in (tmp_path / "one.log").read_text()
