"""What counts as a change of rules, and what does not."""

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from batching.model import KeptRules, dump
from batching.model import load as read
from ingest.changeover import changes, rules_of
from ingest.config import load


def stream(**more: Any) -> dict[str, Any]:
    decode = {"format": "json", "time": {"unit": "ms"}, "channels": ["x", "y"], **more}
    return {"match": {"property": {"kind": "a", "line": "1"}}, "decode": decode}


def rules(folder: Path, streams: dict[str, Any], **more: Any) -> KeptRules:
    """Give the rules of a file, as they come back from the store."""
    path = folder / "headrace.yaml"
    with path.open("w") as file:
        YAML().dump({"streams": streams, **more}, file)
    kept = rules_of(load(path, {}), 5)
    back = read(KeptRules, "rules.json", dump(kept))
    assert changes(back, kept) == []
    return back


def test_only_what_differs_from_a_default_is_kept(tmp_path: Path) -> None:
    kept = rules(tmp_path, {"s": stream()})
    assert kept.streams == [
        {
            "name": "s",
            "match": {"properties": {"kind": "a", "line": "1"}},
            "sensor": {},
            "decode": {
                "format": "json",
                "time": {"field": "t", "unit": "ms"},
                "channels": ["x", "y"],
            },
        }
    ]
    assert json.loads(dump(kept))["format"] == 1


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ({"s": stream(channels=["x"])}, ["streams.s.decode.channels"]),
        ({"s": stream(dtype="int16")}, ["streams.s.decode.dtype"]),
        ({"s": stream(time={"unit": "s"})}, ["streams.s.decode.time.unit"]),
        ({"t": stream()}, ["streams.s is gone", "streams.t is new"]),
        ({"s": stream(), "t": stream()}, ["streams.t is new"]),
        ({"s": {**stream(), "sensor": {"property": "id"}}}, ["streams.s.sensor.by"]),
    ],
)
def test_what_changes_is_named_by_its_setting(
    tmp_path: Path, after: dict[str, Any], said: list[str]
) -> None:
    found = changes(rules(tmp_path, {"s": stream()}), rules(tmp_path, after))
    assert found[: len(said)] == said


def test_the_order_of_streams_decides_and_is_a_change(tmp_path: Path) -> None:
    one = rules(tmp_path, {"s": stream(), "t": stream()})
    other = rules(tmp_path, {"t": stream(), "s": stream()})
    assert changes(one, other) == ["the order of streams"]


def test_when_to_seal_and_what_to_run_are_no_rules(tmp_path: Path) -> None:
    one = rules(tmp_path, {"s": stream()})
    sealed = {**stream(), "seal": {"max_age": "1 s"}, "run": {"flow": "SensorProcessingFlow"}}
    assert changes(one, rules(tmp_path, {"s": sealed})) == []
    assert changes(one, rules(tmp_path, {"s": stream()}, unmatched="count")) == ["unmatched"]
