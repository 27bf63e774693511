"""`headrace dead-letters` on a store that holds some: what it prints, and what it writes."""

import dataclasses
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from batching import names
from batching.bundle import DeadLetters
from batching.chunk import UNWRITABLE
from batching.model import EntryKind, Manifest, Redrive, load
from tests.batching.verify.made_store import HUB, LETTER, NOW, MadeStore
from tests.ingest.cli.conftest import Headrace, Said

ODD = "[/red] press/3 \x1b[31m"
GZIP = b"\x1f\x8b\x00"


@pytest.fixture
def store(tmp_path: Path) -> MadeStore:
    """Letters 0 to 3 as an older version wrote them, 4 to 6 as this one does, 7 unwritable."""
    made = MadeStore(tmp_path / "blobs")
    made.commit(made.batch("a", 20), made.dead(0, 1, 2, 3))
    newer = {**LETTER, "stream": "s", "partition_key": ODD, "detail": ODD, "reason": "bad_time"}
    made.commit(
        written(made, 4, {**newer, "body": GZIP, "body_bytes": 3, "content_encoding": "gzip"}),
        written(made, 5, {**newer, "body_bytes": 2**21}),
        written(made, 6, {**newer, "annotations": {"iothub-connection-device-id": "press-6"}}),
        dataclasses.replace(
            written(made, 7, {"reason": UNWRITABLE, "detail": "", "body": b"1", "body_bytes": 1}),
            kind=EntryKind.DEAD.value,
            stream="s",
            sensor="press-7",
        ),
    )
    made.position(20)
    return made


def written(made: MadeStore, number: int, letter: dict[str, Any]) -> Any:
    letters = DeadLetters()
    enqueued_ns = NOW + number * 10**9 + 1  # no whole microsecond
    letters.add(letter, sequence_number=number, enqueued_ns=enqueued_ns, message_id=f"m{number}")
    entry = made._entry(EntryKind.BATCH, names.DEAD_STREAM, "_", (number,))
    return made._kept(entry, letters, rows=(0, 1))


def run(headrace: Headrace, config: Path, *words: object) -> Said:
    return headrace("dead-letters", *words, "--config", config)


def told(headrace: Headrace, config: Path, *words: object) -> dict[str, Any]:
    said = run(headrace, config, *words, "--json")
    assert said.code == 0, said.err
    found = json.loads(said.out)
    assert isinstance(found, dict)
    return found


def came_back(store: MadeStore) -> list[int]:
    found = []
    for path in sorted(store.path(f"redrive/{HUB}").rglob("*.json")):
        found += [x.sequence_number for x in load(Redrive, path.name, path.read_bytes()).letters]
    return found


def test_list_counts_by_reason_and_shows_the_newest(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    found = told(headrace, config, "list", "--limit", 3)
    assert found["counts"] == {"bad_json": 4, "bad_time": 3, UNWRITABLE: 1}
    assert (found["dead_letters"], found["re_driven"]) == (8, 0)
    assert [row["letter"] for row in found["letters"]] == ["0/5", "0/6", "0/7"]
    assert [row["refused"] is None for row in found["letters"]] == [False, True, False]
    assert found["letters"][1]["sender"] == "press-6"
    lines = run(headrace, config, "list", "--limit", 3).out.splitlines()
    assert lines[0].split() == ["reason", "letters", "re-driven", "for", "example"]
    assert lines[1].split()[:3] == ["bad_json", "4", "0"]
    assert "the newest 3 of 8:" in lines
    assert lines[-1].split()[0] == "0/7"


def test_what_a_sender_wrote_steers_no_terminal(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    for words in (("list",), ("show", "0/4")):
        said = run(headrace, config, *words)
        assert "\x1b" not in said.out
        assert "[/red] press/3 ?[31m" in said.out


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (("--reason", "bad_json"), [0, 1, 2, 3]),
        (("--reason", "bad_time", "--reason", UNWRITABLE), [4, 5, 6, 7]),
        (("--stream", "s"), [4, 5, 6, 7]),
        (("--device", "press-*"), [6]),
        (("--partition", "redrive"), []),
        (("--since", "2023-11-14T22:13:26"), [6, 7]),
        (("--since", "2023-11-14T23:13:26+01:00"), [6, 7]),
        (("--since", "1 h"), []),
    ],
)
def test_filters_choose(
    headrace: Headrace, config: Path, store: MadeStore, words: tuple[str, ...], numbers: list[int]
) -> None:
    found = told(headrace, config, "list", *words)
    assert [row["number"] for row in found["letters"]] == numbers
    if not numbers:
        assert "no dead letters" in run(headrace, config, "list", *words).out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("list", "--reason", "bad"), "--reason bad: expected one of empty_body"),
        (("list", "--since", "5 parsecs"), "--since 5 parsecs: expected a duration such as 2 h"),
        (("list", "--partition", "9"), "partition 9 is not in this store; known are 0"),
        (("show", "0-4"), "0-4: expected PARTITION/NUMBER, such as 0/4711"),
        (("show", "0/-4"), "0/-4: expected PARTITION/NUMBER"),
        (("show", "0/20"), "0/20 is no dead letter"),
        (("redrive",), "say which"),
        (("redrive", "0/1", "--all"), "say which"),
        (("redrive", "0/1", "0/20", "0/21"), "no dead letter: 0/20, 0/21"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    headrace: Headrace, config: Path, store: MadeStore, words: tuple[str, ...], named: str
) -> None:
    said = run(headrace, config, *words)
    assert said.code == 2
    assert named in said.err
    assert came_back(store) == []


def test_a_place_without_a_store_is_told(headrace: Headrace, config: Path, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    for words in (("list",), ("redrive", "--all")):
        assert "no service has written here" in run(headrace, config, *words).err
    assert not list((tmp_path / "blobs").iterdir())


def test_show_prints_headers_reason_and_body(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    said = run(headrace, config, "show", "0/4").out
    for line in ("0/4, not re-driven", "bad_time: ", "content encoding  gzip", "1f 8b 00"):
        assert line in said
    assert run(headrace, config, "show", "0/0").out.splitlines()[-1] == "{"
    assert "cut: it was too long" in run(headrace, config, "show", "0/5").out
    assert "2,097,152 bytes, 1 of them kept" in run(headrace, config, "show", "0/5").out
    found = told(headrace, config, "show", "0/6")
    assert (found["annotations"], found["body"]) == (
        {"iothub-connection-device-id": "press-6"},
        "ew==",
    )


def test_the_body_alone_goes_to_a_file_or_to_standard_output(
    headrace: Headrace, config: Path, store: MadeStore, tmp_path: Path
) -> None:
    assert run(headrace, config, "show", "0/0", "--body", "-").out == "{"
    assert run(headrace, config, "show", "0/4", "--body", tmp_path / "body").code == 0
    assert (tmp_path / "body").read_bytes() == GZIP
    said = run(headrace, config, "show", "0/4", "--body", tmp_path / "no" / "body")
    assert "cannot be written" in said.err


def test_a_dry_run_says_what_would_be_done_and_does_nothing(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    found = told(headrace, config, "redrive", "--all", "--dry-run")
    assert (found["dry_run"], found["re_driven"], found["before"]) == (True, 6, 0)
    assert [why.partition(":")[0] for why in sorted(found["refused"])] == ["cut", "unwritable"]
    said = run(headrace, config, "redrive", "--all", "--dry-run").out.splitlines()
    assert said[0] == "6 would be re-driven"
    assert said[1].startswith("1 refused: cut")
    assert came_back(store) == []


def test_letters_come_back_once_by_number_filter_and_all(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    assert "2 re-driven" in run(headrace, config, "redrive", "0/3", "0/1", "0/1").out
    assert came_back(store) == [1, 3]
    found = told(headrace, config, "redrive", "--reason", "bad_json")
    assert (found["re_driven"], found["before"]) == (2, 2)
    said = run(headrace, config, "redrive", "--all").out.splitlines()
    assert said[:2] == ["2 re-driven", "4 left out: re-driven before"]
    assert came_back(store) == [1, 3, 0, 2, 4, 6]
    assert told(headrace, config, "list")["re_driven"] == 6
    assert "0/1, re-driven" in run(headrace, config, "show", "0/1").out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("answer", "expected"), [("n\n", []), ("y\n", [0])])
def test_on_a_terminal_it_asks(
    headrace: Headrace,
    config: Path,
    store: MadeStore,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    expected: list[int],
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    said = run(headrace, config, "redrive", "0/0")
    assert "re-drive 1 dead letters?" in said.err
    assert came_back(store) == expected
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    run(headrace, config, "redrive", "0/2", "--yes")
    assert came_back(store) == [*expected, 2]


def test_status_tells_how_many_came_back_and_of_their_partition(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    run(headrace, config, "redrive", "--reason", "bad_json")
    said = headrace("status", "--config", config).out
    assert "4 dead letters re-driven" in said
    assert [line.split() for line in said.splitlines() if "redrive" in line] == [
        ["redrive", "-1", "0", "0"]
    ]
    verified = headrace("verify", "--config", config).out
    assert "4 not sealed yet" in verified


def test_a_damaged_bundle_is_told_and_the_others_are_shown(
    headrace: Headrace, config: Path, store: MadeStore
) -> None:
    store.remove(store.manifests[0][1].data or "")
    store.write(names.manifest(HUB, "0", 2), Manifest("id", HUB, "0", 3, NOW, "test", ()))
    said = run(headrace, config, "list")
    assert said.code == 0
    assert "is gone" in said.err
    assert "says it is manifest 3" in said.err
    assert "bad_time" in said.out
