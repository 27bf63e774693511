"""`headrace verify` and `headrace status` on stores that are whole, unfinished or damaged."""

import json
from pathlib import Path
from typing import Any

import pytest

from batching import names
from tests.batching.verify.made_store import HUB, JOB, MadeStore
from tests.ingest.cli.conftest import Headrace

ODD = "[/red] :smile: press/3 'x' 🌡"


@pytest.fixture
def store(tmp_path: Path) -> MadeStore:
    made = MadeStore(tmp_path / "blobs")
    made.commit(made.batch(ODD, 0, 1), made.dead(2))
    made.position(2)
    made.run(0, 0, 1)
    made.result(0)
    return made


def told(headrace: Headrace, config: Path, *words: object) -> dict[str, Any]:
    said = headrace(*words, "--json", "--config", config)
    found = json.loads(said.out)
    assert isinstance(found, dict)
    return found


def test_a_complete_store_ends_with_0_and_its_closing_line(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    said = headrace("verify", "--config", config)
    assert said.code == 0
    assert said.out.splitlines()[-1] == (
        "complete: 3 events = 2 in 1 batch + 1 dead letter; 0 missing, 0 twice; 1 run succeeded"
    )
    assert "the hub does not answer" in said.err  # said, since it bounds what was proven


def test_damage_ends_with_1_and_names_a_sensor_as_it_is(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    store.run(0, 0, 1, leave_out=1)
    said = headrace("verify", "--config", config, "--allow-pending")
    assert said.code == 1
    assert f"missing: run s/0 leaves out a batch of sensor {ODD} in stream s" in said.out
    assert told(headrace, config, "verify")["missing"]["count"] == 1


def test_what_is_not_done_yet_ends_with_3_unless_it_may_be(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    store.remove(names.result(JOB, 0))
    assert headrace("verify", "--config", config).code == 3
    assert headrace("verify", "--config", config, "--allow-pending").code == 0
    store.failed(0, "exit [code] 1")
    said = headrace("verify", "--config", config)
    assert said.code == 3
    assert "failed: run s/0: exit [code] 1" in said.out


def test_more_faults_than_examples_are_counted(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    store.commit(store.batch("a", *range(4, 60, 2)))
    store.position(59)
    said = headrace("verify", "--config", config)
    assert said.out.count("missing: partition 0") == 10
    assert "missing: and 19 more" in said.out


def test_the_senders_are_summed_up(headrace: Headrace, config: Path, store: MadeStore) -> None:
    log = config.with_name("senders.jsonl")
    lines = [{"id": f"m{n}", "samples": 2, "sum": 2.0 * n} for n in range(3)]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = headrace("verify", "--config", config, "--against", log)
    assert said.code == 0
    assert (
        "senders: 3 events sent, 0 of them repeats, 1 with samples set aside as dead letters;"
        " counts and sample sums agree" in said.out
    )
    lines[0]["sum"] = 5.0
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = headrace("verify", "--config", config, "--against", log)
    assert said.code == 1
    assert "damaged: message m0 does not hold what was sent" in said.out
    assert "agree" not in said.out


@pytest.mark.parametrize("command", ["verify", "status"])
def test_where_no_service_has_written_it_says_so(
    headrace: Headrace, config: Path, command: str
) -> None:
    said = headrace(command, "--config", config)
    assert said.code == 2
    assert "there is no store yet, or the path is wrong" in said.err
    assert not (config.parent / "blobs").exists()  # who only looks makes nothing


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--against", "none.jsonl"), "--against none.jsonl: No such file"),
        (("--partition", "9"), "--partition 9 is not in this store; known are 0"),
        (("--to", "many"), "--to"),
    ],
)
def test_wrong_options_of_verify_are_named(
    headrace: Headrace, config: Path, store: MadeStore, words: tuple[str, str], why: str
) -> None:
    said = headrace("verify", "--config", config, *words)
    assert said.code == 2
    assert why in said.err


def test_status_tells_of_each_partition_and_job(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    store.commit(store.batch("b", 3))
    store.run(1, 1, 2)
    store.failed(1, "exit code 1")
    found = told(headrace, config, "status")
    assert found["partitions"] == [{"partition": "0", "checkpoint": 2, "manifests": 2, "lost": 0}]
    (job,) = found["jobs"]
    assert (job["job"], job["runs"], job["succeeded"], job["failed"]) == ("s", 2, 1, 1)
    assert found["failed"] == ["s/1"]
    said = headrace("status", "--config", config)
    assert said.code == 0
    for words in ("store id of hub h, group $Default", "failed: s/1", "succeeded"):
        assert words in said.out


def test_status_names_an_object_that_it_cannot_read(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    store.write(names.position(HUB, "0"), b"{")
    said = headrace("status", "--config", config)
    assert said.code == 2
    assert f"position/{HUB}/0.json" in said.err
