"""Redis killed, rolled back, emptied, replaced, full, silent: a replay, and nothing else."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import redis

from tests.end_to_end.plant import stream
from tests.faults.disks import fill, small_disk
from tests.faults.plant import FaultPlant, Told
from tests.faults.proxy import Proxy
from tests.faults.valkey import Valkey

SCARCE_BYTES = 3_000_000  # the events take more than twice that
RETRYING = "server does not answer, trying again"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Valkey]:
    made = Valkey(tmp_path / "valkey")
    yield made
    made.close()


@pytest.fixture
def plant(tmp_path: Path, server: Valkey, told: Told) -> Iterator[FaultPlant]:
    made = FaultPlant(tmp_path / "plant", redis_port=server.port, told=told)
    with made.running():
        yield made


def test_killed_and_the_end_of_its_file_cut_off(plant: FaultPlant, server: Valkey) -> None:
    chance = Random(2026)
    plant.warm_up()
    for _ in range(3):
        plant.send(60, rate=400)
        server.kill()
        server.cut_tail(chance, at_least=1, at_most=200_000)
        server.start()
    plant.recover("Redis: kill -9, the end of its file cut (3 times)")
    plant.says("server does not answer")


def test_more_was_cut_off_than_was_open(plant: FaultPlant, server: Valkey) -> None:
    plant.warm_up()
    plant.send(100)
    before = server.appended()
    server.kill()
    server.cut_tail(Random(1), at_least=10**6, at_most=10**6)
    server.start()
    assert server.appended() != before, "the cut took nothing back"
    plant.ride_out("Redis: rolled back by a megabyte", seconds=0)
    plant.says("attaching again", "Redis has events up to")
    assert plant.metric("headrace_partition_reattached") >= 1


def test_emptied_with_its_scripts(plant: FaultPlant, server: Valkey) -> None:
    plant.warm_up()
    plant.send(60, rate=400)
    server.client.flushall()
    server.client.script_flush()
    plant.ride_out("Redis: FLUSHALL and SCRIPT FLUSH", seconds=0)
    plant.says("attaching again")


def test_a_replica_is_promoted_that_lacks_the_last_writes(
    plant: FaultPlant, server: Valkey, tmp_path: Path
) -> None:
    link = Proxy(server.port)
    replica = Valkey(tmp_path / "replica", replicaof=f"127.0.0.1 {link.port}")
    try:
        replica.until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        plant.warm_up()
        replica.until(lambda: replica.appended() == server.appended())
        link.refuse()
        plant.send(150)
        plant.until(lambda report: report.batched > 60)
        lacking, whole = replica.appended(), server.appended()
        assert sum(lacking.values()) < sum(whole.values()), "no write was lost"
        server.kill()
        replica.client.replicaof("NO", "ONE")
        plant.redis_line.move(replica.port)
        plant.ride_out("Redis: a replica promoted that lacks the last writes", seconds=0)
        plant.says("attaching again", "Redis has events up to")
        plant.stop()  # while its Redis is there
    finally:
        replica.close()
        link.close()


def test_a_replica_that_was_not_promoted_answers_for_a_while(
    plant: FaultPlant, server: Valkey, tmp_path: Path
) -> None:
    replica = Valkey(tmp_path / "replica", replicaof=f"127.0.0.1 {server.port}")
    try:
        plant.warm_up()
        plant.redis_line.move(replica.port)
        plant.send(100)
        plant.says("server does not answer", "read only replica")
        refused = plant.start("two")
        assert refused.wait(60) == 2
        assert "is a replica; give the address of its primary" in plant.log("two")
        plant.services.pop()
        plant.redis_line.move(server.port)
        plant.recover("Redis: a replica answers that may not be written")
    finally:
        replica.close()


def test_out_of_memory_until_an_operator_gives_it_some(plant: FaultPlant, server: Valkey) -> None:
    plant.warm_up()
    server.client.config_set("maxmemory", "1mb")  # less than it holds: nothing can be appended
    plant.send(100)
    plant.says("more comes than fits", "redis_full")
    time.sleep(4)
    server.client.config_set("maxmemory", 0)
    plant.recover("Redis: out of memory (noeviction), given more")


def test_out_of_memory_and_nobody_gives_it_more(plant: FaultPlant, server: Valkey) -> None:
    never = {"max_samples": 1_000_000, "max_age": "1 h"}
    plant.settings["streams"] = {"motion": stream(seal=never)}
    plant.start()
    used = server.client.info("memory")["used_memory"]
    server.client.config_set("maxmemory", used + SCARCE_BYTES)
    plant.send(3_000, rate=0)
    plant.says("more comes than fits")
    plant.until(lambda report: report.batched > 2_000)  # sealed for want of room alone
    plant.drain()
    plant.recover("Redis: out of memory (noeviction), given nothing, drained")
    assert server.client.info("memory")["maxmemory"] == used + SCARCE_BYTES


def test_its_disk_is_full(tmp_path: Path, told: Told) -> None:
    with small_disk(tmp_path / "disk", megabytes=24):
        server = Valkey(tmp_path / "disk/valkey")
        plant = FaultPlant(tmp_path / "plant", redis_port=server.port, told=told)
        try:
            with plant.running():
                plant.warm_up()
                ballast = tmp_path / "disk/ballast"
                fill(ballast)
                plant.send(150)
                plant.says("server does not answer", "MISCONF")
                time.sleep(3)
                ballast.unlink()
                plant.recover("Redis: disk full under its append-only file")
        finally:
            server.close()


def test_the_way_to_it_is_slow(plant: FaultPlant) -> None:
    plant.warm_up()
    with plant.redis_line.slow(0.25):
        plant.send(150)
        plant.complete()  # slower, and without a retry
    assert RETRYING not in plant.log()
    plant.recover("Redis: each answer half a second late")


def test_connections_to_it_are_cut_again_and_again(plant: FaultPlant) -> None:
    plant.warm_up()
    plant.ride_out("Redis: connections cut at any byte", plant.redis_line.cutting(600))
    assert plant.redis_line.connections > 8
    plant.says(RETRYING)
    plant.says("server answers again")


def test_it_takes_connections_and_says_nothing(plant: FaultPlant) -> None:
    plant.warm_up()
    plant.ride_out("Redis: silent (a blackhole)", plant.redis_line.silent(), seconds=12)
    plant.says(RETRYING)
    assert plant.services[0].poll() is None


def test_it_refuses_connections_for_a_while(plant: FaultPlant) -> None:
    plant.warm_up()
    plant.ride_out("Redis: connections refused", plant.redis_line.refusing(), seconds=8)
    plant.says(RETRYING)


def test_it_is_started_again_and_reads_its_files_for_a_while(
    plant: FaultPlant, server: Valkey
) -> None:
    plant.warm_up()
    with server.client.pipeline() as pipe:
        for n in range(3_000):
            pipe.set(f"junk:{n}", os.urandom(100))
        pipe.execute()
    server.kill()
    server.start(wait=False, key_load_delay=1_000, loading_process_events_interval_bytes=2_048)
    plant.send(100)
    plant.says("server does not answer", "loading")
    server.wait()
    plant.recover("Redis: started again, LOADING for some seconds")


def test_a_service_that_starts_while_it_is_away_says_so(plant: FaultPlant, server: Valkey) -> None:
    server.kill()
    refused = plant.start("early")
    assert refused.wait(60) == 2
    said = plant.log("early")
    assert "redis.url: no answer from redis://127.0.0.1:" in said
    assert "Traceback" not in said
    plant.services.clear()
    server.start()
    assert isinstance(server.client, redis.Redis)
    plant.start()
    plant.send(60)
    plant.recover("Redis: away at the start (exit code 2), service started again")
