"""`headrace trace` on a store that a real service has written, and on damaged or trimmed ones."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from batching import names
from batching.adapters.local_launcher import log_path
from batching.model import Redrive, Redriven, Retired, Trimmed
from batching.runs.jobs import run_name
from tests.batching.verify.made_store import HUB, NOW, MadeStore
from tests.ingest.cli.conftest import Headrace, Said
from tests.ingest.cli.test_runs import clock, objects


def trace(headrace: Headrace, config: Path, *words: object) -> Said:
    said = headrace("trace", *words, "--config", config)
    assert "\x1b" not in said.out
    return said


def told(headrace: Headrace, config: Path, *words: object) -> Any:
    return json.loads(trace(headrace, config, *words, "--json").out)


def body(said: Said) -> list[str]:
    return [line.rstrip() for line in said.out.splitlines()]


def document(plant: Path, name: str) -> Any:
    return json.loads((objects(plant) / name).read_text())


def manifest(plant: Path, n: int) -> Any:
    (path,) = objects(plant).glob(f"log/*/0/00000000/{n:012d}.json")
    return json.loads(path.read_text())


def attempt_lines(plant: Path, job: str, k: int, state: str, ended_ns: int) -> list[str]:
    name = run_name(objects(plant).name, "Quick", job, 1, k)
    receipt = document(plant, f"runs/{job}/000000000001.a{k}.started.json")
    lines = [
        f"  attempt {k}: {state} after {(ended_ns - receipt['written']) / 1e9:.1f} s",
        f"    name     {name}",
    ]
    if k > 1:
        decision = document(plant, f"runs/{job}/000000000001.a{k}.json")
        lines.append(f"    decided  {clock(decision['written'])}")
    return [
        *lines,
        f"    started  {clock(receipt['written'])}",
        f"    ended    {clock(ended_ns)}",
        f"    log      cat {log_path(plant.parent, name)}",
    ]


def test_an_event_leads_to_its_batch_its_bundle_and_the_runs_of_each_job(
    headrace: Headrace, plant: Path
) -> None:
    root, first = objects(plant).as_uri(), manifest(plant, 0)
    entry = next(e for e in first["entries"] if e["first"] == 5)
    result = document(plant, "results/job_quick/000000000001.json")
    again = document(plant, "runs/job_failing/000000000001.a2.json")
    failed = document(plant, "runs/job_failing/000000000001.a2.failed.json")
    year = time.gmtime().tm_year + 1
    said = trace(headrace, plant, "0/7")
    assert said.code == 0, said.err
    assert body(said) == [
        "event 0/7: in a batch",
        f"  reached the hub  {said.out.split('reached the hub')[1].split(chr(10))[0].strip()}",
        "  checkpoint       12",
        "  read             2 of 2 manifests",
        "",
        "batch 0:0:5",
        "  stream     s",
        "  sensor     press-1",
        "  events     5, numbers 5 to 9",
        "  samples    50",
        f"  sealed     {clock(entry['sealed'])}, max_chunks",
        f"  committed  {clock(first['written'])}, manifest 0 of partition 0",
        f"  bundle     {root}/{entry['data']}",
        "  rows       50 to 99; of the event 70 to 79",
        "",
        "run job_failing/1: failed",
        *attempt_lines(plant, "job_failing", 1, "failed", again["written"]),
        *attempt_lines(plant, "job_failing", 2, "failed", failed["written"]),
        "",
        "run job_quick/1: succeeded",
        f"  outputs  {root}/outputs/job_quick/000000000001.a1/",
        *attempt_lines(plant, "job_quick", 1, "succeeded", result["written"]),
        "",
        f"job yearly: waits for {year}-01-01T00:00:00+00:00, the next moment of its schedule",
    ]


def test_a_batch_a_manifest_a_bundle_and_a_run_lead_to_the_same(
    headrace: Headrace, plant: Path
) -> None:
    event = told(headrace, plant, "0/7")
    batch = told(headrace, plant, "0:0:5")
    bundle = told(headrace, plant, event["batches"][0]["bundle"])
    uri = f"{objects(plant).as_uri()}/{event['batches'][0]['bundle']}"
    whole = told(headrace, plant, "0:0")
    assert batch["batches"] == event["batches"]
    assert [each["first"] for each in bundle["batches"]] == [0, 5]
    assert bundle["batches"] == whole["batches"] == told(headrace, plant, uri)["batches"]
    for each in (batch, bundle, whole):
        assert (each["runs"], each["jobs"]) == (event["runs"], event["jobs"])
    assert [run["run"] for run in event["runs"]] == ["job_failing/1", "job_quick/1"]
    run = told(headrace, plant, "job_quick/1")
    assert run == event["runs"][1]
    assert [each["bundle"] for each in run["batches"]] == [event["batches"][0]["bundle"]] * 2
    name = run["name"]
    shown = headrace("runs", "show", name, "--config", plant).out
    assert trace(headrace, plant, name).out == shown


def test_what_is_in_no_batch_is_told_with_its_reason(headrace: Headrace, plant: Path) -> None:
    said = trace(headrace, plant, "0/10")
    assert (said.code, body(said)[0]) == (0, "event 0/10: set aside as a dead letter")
    assert "  set aside        bad_json: the body is no JSON" in said.out
    assert "  re-driven        no" in said.out
    said = trace(headrace, plant, "0/12")
    assert said.code == 0
    assert body(said)[:2] == [
        "event 0/12: ignored: it belongs to no stream, and such events are only counted",
        "  ignored     2 events from 11 to 12, as manifest 1 says",
    ]
    said = trace(headrace, plant, "0/14")
    assert said.code == 3
    assert body(said) == [
        "event 0/14: in no batch yet: above the checkpoint",
        "  checkpoint       12",
        "  last in the hub  does not answer",
        "  read             0 of 2 manifests",
    ]


def test_a_sensor_s_newest_batches_are_listed_with_their_runs(
    headrace: Headrace, plant: Path
) -> None:
    lines = body(trace(headrace, plant, "--sensor", "press-*"))
    assert lines[0] == "sensor press-*"
    columns = ["batch", "stream", "sensor", "events", "samples", "committed", "by", "runs"]
    assert lines[2].split() == columns
    assert [line.split()[0] for line in lines[3:5]] == ["0:0:0", "0:0:5"]
    assert lines[3].endswith("max_chunks  job_failing/1 failed, job_quick/1 succeeded")
    assert lines[-1].startswith("job yearly: waits for ")
    assert len(body(trace(headrace, plant, "--sensor", "press-1", "--batches", 1))) == 6
    said = trace(headrace, plant, "--sensor", "press-2")
    assert (said.code, "no batch of sensor press-2 was committed since then" in said.err) == (
        2,
        True,
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "say what: an event, a batch, a bundle or a run"),
        (("0/1", "--sensor", "a"), "say what"),
        (("7/1",), "partition 7 is not in this store; known are 0"),
        (("0:2",), "there is no manifest 2 of partition 0; the next one is 2"),
        (("0:0:3",), "no batch of manifest 0 begins with number 3: headrace trace 0:0 shows"),
        (("data/s/h/0/00000000/000000000000-ab.arrow",), "there is no bundle data/s/h/0/0000"),
        (("job_quick/7",), "there is no run job_quick/7"),
        (("nonsense",), "nonsense: expected"),
        (("--sensor", "a", "--since", "soon"), "--since soon: expected a duration"),
    ],
)
def test_what_is_not_there_is_told_in_a_sentence(
    headrace: Headrace, plant: Path, words: tuple[str, ...], why: str
) -> None:
    said = trace(headrace, plant, *words)
    assert said.code == 2
    assert why in said.err


@pytest.fixture
def store(config: Path) -> MadeStore:
    """Two manifests; the job over stream s has a run of the first."""
    made = MadeStore(config.parent / "blobs", start=1)
    made.commit(made.batch("a", 1, 2), made.dead(3), made.lost(4, 5))
    made.commit(made.batch("a", 6), made.batch("b", 7, stream="other"))
    made.position(8)
    made.run(0, 0, 1)
    made.result(0)
    return made


@pytest.mark.parametrize(
    ("number", "code", "fate"),
    [(0, 0, "before"), (1, 0, "batch"), (3, 0, "dead_letter"), (5, 0, "lost"), (8, 1, "missing")],
)
def test_each_fate_has_its_exit_code(
    headrace: Headrace, config: Path, store: MadeStore, number: int, code: int, fate: str
) -> None:
    said = trace(headrace, config, f"0/{number}", "--json")
    assert (said.code, json.loads(said.out)["event"]["fate"]) == (code, fate)


def test_how_a_job_stands_to_a_batch_that_it_has_no_run_of(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    jobs = told(headrace, config, "0/6")["jobs"]
    assert jobs == {"s": "waits, but the job is not in the file: nothing hands it over"}
    assert told(headrace, config, "0/7")["jobs"] == {"s": "the job is not over this stream"}
    flow = "[x]}, run: {flow: SensorProcessingFlow}}"
    config.write_text(config.read_text().replace("[x]}}", flow))
    jobs = told(headrace, config, "0/6")["jobs"]
    assert jobs == {"s": "waits for the service, which hands it over 2 s after it came"}
    store.remove(names.result("s", 0))
    config.write_text(config.read_text().replace("Flow}}", "Flow, in_flight: 1}}"))
    jobs = told(headrace, config, "0/6")["jobs"]
    assert jobs == {"s": "waits: 1 of its runs go on, and in_flight is 1"}
    store.write(names.retired("s"), Retired("s", NOW))
    jobs = told(headrace, config, "0/6")["jobs"]
    assert jobs == {"s": "the job was retired before it was handed over"}


def test_a_job_that_began_behind_a_batch_says_so(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    store.run(0, 2, 2)
    assert told(headrace, config, "0/1")["jobs"] == {"s": "the job began behind it"}


def test_a_run_is_found_among_many_by_few_reads(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    for n in range(2, 200):
        store.commit(store.batch("a", 10 * n))
        store.run(n - 1, n - 1, n)
    store.position(2_000)
    for n in (2, 99, 198):
        assert [run["run"] for run in told(headrace, config, f"0/{10 * n}")["runs"]] == [f"s/{n}"]


def test_what_retention_has_taken_is_told_as_gone(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    store.write(names.trimmed(HUB, "0"), Trimmed(below=1, upto=5))
    said = trace(headrace, config, "0/2")
    assert said.code == 0
    assert body(said)[0].startswith("event 0/2: gone: retention has taken what held it")
    store.remove(names.manifest(HUB, "0", 0))
    said = trace(headrace, config, "0:0")
    assert "manifest 0 of partition 0 is gone: retention has taken it" in said.err
    bundle = store.manifests[0][0].data
    store.remove(str(bundle))
    assert "retention has taken it" in trace(headrace, config, bundle).err


def test_a_letter_that_came_back_is_followed_both_ways(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    letter = Redriven("0", 3, NOW, "ew==")
    store.write(names.redriven(HUB, 0), Redrive("id", HUB, 0, NOW, "test", (letter,)))
    said = trace(headrace, config, "0/3")
    assert "  re-driven as     redrive/0: headrace trace redrive/0" in said.out
    said = trace(headrace, config, "redrive/0")
    assert said.code == 3
    assert body(said)[0] == "event redrive/0: in no batch yet: above the checkpoint"
    assert "  set aside before  0/3: headrace trace 0/3" in said.out
    assert told(headrace, config, "redrive/1")["event"]["fate"] == "not_yet"


def test_a_bundle_that_no_manifest_names_says_whose_it_is_not(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    name = names.data("s", HUB, "0", 1, "0badcafe")
    store.write(name, b"ARROW1\0\0")
    said = trace(headrace, config, name)
    assert (said.code, "manifest 1 does not name it: another owner was first" in said.out) == (
        0,
        True,
    )
    name = names.data("s", HUB, "0", 9, "0badcafe")
    store.write(name, b"ARROW1\0\0")
    assert "no manifest 9 names it" in trace(headrace, config, name).out


def test_what_a_sender_calls_itself_steers_no_terminal(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    odd = "[/red] press \x1b[31m"
    store.commit(store.batch(odd, 30))
    store.position(30)
    for words in (("0/30",), ("0:2",), ("--sensor", "*press*", "--since", "2000-01-01")):
        said = trace(headrace, config, *words)
        assert said.code == 0, said.err
        assert "[/red] press ?[31m" in said.out


def test_entries_without_data_stand_by_their_manifest(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    lines = body(trace(headrace, config, "0:0"))
    assert lines[:2] == ["manifest 0:0", "  lost: 2 events from 4 to 5"]
