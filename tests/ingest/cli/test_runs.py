"""`headrace runs` on a store that a real service has written, held against what lies there."""

import io
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from batching import names
from batching.adapters.local_launcher import log_path
from batching.model import Attempt, Retired, RunPosition, Trimmed
from batching.runs.jobs import run_name
from tests.batching.verify.made_store import HUB, JOB, NOW, MadeStore
from tests.ingest.cli.conftest import Headrace, Said


def run(headrace: Headrace, config: Path, *words: object) -> Said:
    said = headrace("runs", *words, "--config", config)
    assert "\x1b" not in said.out
    return said


def told(headrace: Headrace, config: Path, *words: object) -> Any:
    said = run(headrace, config, *words, "--json")
    assert said.code == 0, said.err
    return json.loads(said.out)


def objects(plant: Path) -> Path:
    """The folder of the store's objects."""
    blobs = plant.parent / "blobs"
    return blobs / str(json.loads((blobs / "headrace.json").read_text())["id"])


def clock(ns: int) -> str:
    """A time as commands print it, spelled by another way."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(ns // 10**9))


def test_runs_are_listed_with_how_they_stand(headrace: Headrace, plant: Path) -> None:
    lines = run(headrace, plant, "list").out.splitlines()
    columns = ["run", "status", "recorded", "took", "batches", "events", "samples", "attempts"]
    assert lines[0].split() == columns
    rows = {words[0]: words for words in map(str.split, lines[1:])}
    record = json.loads((objects(plant) / "runs/job_quick/000000000001.json").read_text())
    assert set(rows) == {"job_quick/1", "job_failing/1"}
    quick, failing = rows["job_quick/1"], rows["job_failing/1"]
    assert " ".join(quick[2:4]) == clock(record["written"])
    assert (quick[1], quick[6:]) == ("succeeded", ["2", "10", "100", "1"])
    assert (failing[1], failing[6:]) == ("failed", ["2", "10", "100", "2"])


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--job", "job_quick"), ["job_quick/1"]),
        (("--status", "failed"), ["job_failing/1"]),
        (("--status", "failed", "--status", "succeeded"), ["job_failing/1", "job_quick/1"]),
        (("--status", "running"), []),
        (("--job", "yearly", "--status", "empty"), ["yearly/0"]),
        (("--since", "1 h"), ["job_failing/1", "job_quick/1"]),
        (("--since", "2200-01-01"), []),
    ],
)
def test_filters_choose(
    headrace: Headrace, plant: Path, words: tuple[str, ...], found: list[str]
) -> None:
    assert sorted(each["run"] for each in told(headrace, plant, "list", *words)["runs"]) == found
    if not found:
        assert run(headrace, plant, "list", *words).out == "no runs\n"


def test_the_newest_are_shown_the_newest_last(headrace: Headrace, config: Path) -> None:
    store = MadeStore(config.parent / "blobs")
    store.commit(store.batch("a", 0))
    for n in range(30):
        store.run(n, 0, 1)
    found = told(headrace, config, "list", "--limit", 3)["runs"]
    assert [each["run"] for each in found] == [f"{JOB}/27", f"{JOB}/28", f"{JOB}/29"]
    assert len(told(headrace, config, "list")["runs"]) == 20


def test_a_run_is_shown_with_all_that_belongs_to_it(headrace: Headrace, plant: Path) -> None:
    folder = objects(plant)
    result = json.loads((folder / "results/job_quick/000000000001.json").read_text())
    receipt = json.loads((folder / "runs/job_quick/000000000001.a1.started.json").read_text())
    record = json.loads((folder / "runs/job_quick/000000000001.json").read_text())
    first, second = (batch["entry"] for batch in record["batches"])
    name = run_name(folder.name, "Quick", "job_quick", 1, 1)
    log = log_path(plant.parent, name)
    assert log.is_file()
    took = f"{(result['written'] - receipt['written']) / 1e9:.1f} s"
    size = sum(entry["bytes"] for entry in (first, second))
    wanted = f"""\
run job_quick/1: succeeded
flow       Quick
recorded   {clock(record["written"])}
record     {folder.as_uri()}/runs/job_quick/000000000001.json
manifests  0 to 0 of partition 0
batches    2 of 1 sensor: 10 events, 100 samples, {size / 1024:.1f} KiB
result     {clock(result["written"])}, attempt 1: samples 100
outputs    {folder.as_uri()}/outputs/job_quick/000000000001.a1/

attempt 1: succeeded after {took}
  name     {name}
  started  {clock(receipt["written"])}
  ended    {clock(result["written"])}
  log      cat {log}

batch  stream  sensor   numbers  events  samples  sealed                by
0:0:0  s       press-1  0 to 4   5       50       {clock(first["sealed"])}  max_chunks
0:0:5  s       press-1  5 to 9   5       50       {clock(second["sealed"])}  max_chunks

bundle  {first["data"]}
"""
    for words in (("job_quick/1",), (name,), (f"Quick/argo-{name}",)):
        said = run(headrace, plant, "show", *words)
        assert said.code == 0, said.err
        assert [line.rstrip() for line in said.out.splitlines()] == wanted.splitlines()


def test_every_attempt_of_a_run_that_failed_is_told(headrace: Headrace, plant: Path) -> None:
    found = told(headrace, plant, "show", "job_failing/1")
    assert (found["status"], found["causes"], found["result"]) == ("failed", ["failed"] * 2, None)
    assert [(each["attempt"], each["state"]) for each in found["attempts"]] == [
        (1, "failed"),
        (2, "failed"),
    ]
    for each in found["attempts"]:
        assert each["launcher"] == "local"
        assert each["decided_ns"] <= each["started_ns"] <= each["ended_ns"]
        assert Path(each["log_file"]).is_file()
    assert [each["batch"] for each in found["batches"]] == ["0:0:0", "0:0:5"]
    assert found["covers"] == {"0": [0, 1]}


def test_batches_beyond_the_asked_for_are_counted(headrace: Headrace, plant: Path) -> None:
    said = run(headrace, plant, "show", "job_quick/1", "--batches", 1).out
    assert "and 1 batch more: --batches shows them" in said
    assert "0:0:5" not in said


def test_metaflow_s_own_number_of_a_run_is_read_from_its_log(
    headrace: Headrace, plant: Path
) -> None:
    log = log_path(plant.parent, run_name(objects(plant).name, "Quick", "job_failing", 1, 2))
    before = log.read_bytes()
    log.write_bytes(b"2026-11-30 08:06:17.123 Workflow starting (run-id 1796025977123456):\n")
    try:
        said = run(headrace, plant, "show", "job_failing/1").out
        assert "  Metaflow  Quick/1796025977123456\n" in said
        assert said.count("Metaflow") == 1
    finally:
        log.write_bytes(before)


ARGO = """
    run: {flow: PressFlow, launcher: argo}
argo: {namespace: plant7, context: aks, argo_ui: "https://argo.example"}
"""


def test_a_run_on_argo_is_told_with_its_commands_and_pages(
    headrace: Headrace, config: Path
) -> None:
    store = MadeStore(config.parent / "blobs")
    store.commit(store.batch("a", 0))
    store.run(0, 0, 1)
    store.failed(0, "gone")
    config.write_text(
        f"data: {config.parent}\n"
        "streams:\n  s:\n    decode: {format: json, time: {unit: ms}, channels: [x]}" + ARGO
    )
    name = run_name("id", "SomeFlow", JOB, 0, 1)
    found = told(headrace, config, "show", "s/0")["attempts"][0]
    assert (found["launcher"], found["metaflow"]) == ("argo", f"SomeFlow/argo-{name}")
    selected = f"-l workflows.argoproj.io/workflow={name} -c main --tail=-1 --prefix"
    assert found["commands"] == [
        f"kubectl -n plant7 --context aks logs {selected}",
        f"argo -n plant7 --context aks get {name}",
    ]
    assert found["argo_ui"] == f"https://argo.example/workflows/plant7/{name}"


def test_where_a_log_is_not_here_it_says_so(headrace: Headrace, config: Path) -> None:
    store = MadeStore(config.parent / "blobs")
    store.commit(store.batch("a", 0))
    store.run(0, 0, 1)
    store.result(0)
    (place,) = told(headrace, config, "show", "s/0")["attempts"]
    assert (place["launcher"], place["log_file"]) == (None, None)
    config.write_text(
        config.read_text().replace("[x]}}", "[x]}, run: {flow: SensorProcessingFlow}}")
    )
    (place,) = told(headrace, config, "show", "s/0")["attempts"]
    assert place["launcher"] == "local"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("show", "job_quick/9"), "there is no run job_quick/9; job job_quick has 2"),
        (("show", "motion/1"), "there is no job motion in this store; there are: job_failing,"),
        (("show", "quick-aaaaaaaaaaaaaaaa"), "no run of this store has an attempt named quick-a"),
        (("show", "0:3:4"), "expected a run such as motion/7"),
        (("list", "--job", "motion"), "--job motion: it has no runs in this store; jobs that"),
        (("list", "--since", "soon"), "--since soon: expected a duration such as 2 h"),
        (("list", "--status", "dead"), "--status"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    headrace: Headrace, plant: Path, words: tuple[str, ...], why: str
) -> None:
    said = run(headrace, plant, *words)
    assert said.code == 2
    assert why in said.err


def test_a_place_without_a_store_is_told(headrace: Headrace, config: Path) -> None:
    for words in (("list",), ("show", "s/0")):
        assert "there is no store yet" in run(headrace, config, *words).err
    assert not (config.parent / "blobs").exists()


@pytest.fixture
def store(config: Path) -> MadeStore:
    """Runs 0 and 1 of a job that is in the file were given up, 2 has a result."""
    made = MadeStore(config.parent / "blobs")
    for n in range(3):
        made.commit(made.batch("a", n))
        made.run(n, n, n + 1)
    made.failed(0, "failed")
    made.failed(1, "gone")
    made.result(2)
    made.write(names.run_position(JOB), RunPosition(3))
    flow = "[x]}, run: {flow: SensorProcessingFlow}}"
    config.write_text(config.read_text().replace("[x]}}", flow))
    return made


def asked(store: MadeStore) -> dict[str, int]:
    found: dict[str, int] = json.loads(store.path(names.run_position(JOB)).read_text())["asked"]
    return found


def test_runs_that_were_given_up_are_asked_for_once_and_wait(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    said = run(headrace, config, "retry", "s/1", "--dry-run")
    assert (said.code, said.out) == (0, "s/1: attempt 2 would be tried again\n")
    assert asked(store) == {}
    assert run(headrace, config, "retry", "s/1").out == "s/1: attempt 2 asked for\n"
    assert asked(store) == {"1": 2}
    shown = run(headrace, config, "show", "s/1").out
    assert shown.startswith("run s/1: waiting, another attempt is asked for\n")
    again = run(headrace, config, "retry", "s/1").out
    assert again == "s/1: attempt 2 was asked for before, and waits\n"
    found = told(headrace, config, "retry", "--all-failed", "--job", "s")
    assert (found["asked"], found["asked_before"]) == ({"s/0": 2}, {})
    assert asked(store) == {"0": 2, "1": 2}
    assert run(headrace, config, "retry", "--all-failed").out == "no run was given up\n"
    assert json.loads(store.path(names.run_position(JOB)).read_text())["settled"] == 3


def test_a_run_whose_batches_retention_takes_is_refused_and_the_others_are_not(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    store.write(names.trimmed(HUB, "0"), Trimmed(below=1))
    said = run(headrace, config, "retry", "s/0")
    assert said.code == 2
    assert "s/0: its batches are gone: retention has taken manifests below 1 of" in said.err
    said = run(headrace, config, "retry", "--all-failed")
    assert said.code == 0
    assert said.out.startswith("s/1: attempt 2 asked for\ns/0: cannot be tried again: its batches")
    assert asked(store) == {"1": 2}


def test_attempts_that_were_asked_for_and_refused_are_told(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    store.write(names.attempt(JOB, 1, 2), Attempt(JOB, 1, 2, "name", NOW, "asked for"))
    store.write(names.failed(JOB, 1, 2), Attempt(JOB, 1, 2, "name", NOW, "failed"))
    store.write(names.attempt(JOB, 1, 3), Attempt(JOB, 1, 3, "name", NOW, "refused"))
    lines = run(headrace, config, "show", "s/1").out.splitlines()
    assert lines[0] == "run s/1: failed"
    assert "attempt 2 (asked for): failed" in lines
    assert "attempt 3 (asked for): refused: retention has taken what it needs" in lines
    assert run(headrace, config, "retry", "s/1").out == "s/1: attempt 4 asked for\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "expected"), [("n\n", {}), ("y\n", {"0": 2, "1": 2})])
def test_on_a_terminal_it_asks(
    headrace: Headrace,
    config: Path,
    store: MadeStore,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    expected: dict[str, int],
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    said = run(headrace, config, "retry", "--all-failed")
    assert "try 2 runs again?" in said.err
    assert asked(store) == expected


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "say which: JOB/NUMBER of each; or --all-failed"),
        (("s/1", "--all-failed"), "say which"),
        (("s/1", "--job", "s"), "say which"),
        (("s/2",), "s/2: it has a result"),
        (("s/1", "s/2"), "s/2: it has a result"),
        (("s/9",), "there is no run s/9; job s has 3"),
        (("--all-failed", "--job", "t"), "job t is not in the file: nothing would try its runs"),
    ],
)
def test_what_cannot_be_tried_again_is_told_and_nothing_is_asked_for(
    headrace: Headrace, config: Path, store: MadeStore, words: tuple[str, ...], why: str
) -> None:
    said = run(headrace, config, "retry", *words)
    assert said.code == 2
    assert why in said.err
    assert asked(store) == {}


def test_a_job_that_nothing_drives_is_not_asked_for(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    store.write(names.retired(JOB), Retired(JOB, NOW))
    assert "s was retired on 2023-11-14" in run(headrace, config, "retry", "s/1").err
    flow = ", run: {flow: SensorProcessingFlow}"
    config.write_text(config.read_text().replace(flow, ""))
    assert "job s is not in the file" in run(headrace, config, "retry", "s/1").err
    assert asked(store) == {}
