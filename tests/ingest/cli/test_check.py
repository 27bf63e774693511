import json
from pathlib import Path

import pytest
import typer
from ruamel.yaml import YAML
from typer.testing import CliRunner, Result

from ingest.cli import check

app = typer.Typer()
app.command("check", epilog=check.EXAMPLE)(check.check)

RIGHT = """
redis: {url: "redis://:hunter2hunter2@h:1"}
streams:
  motion:
    match: {property: {"[bold]": a}}
    decode: {format: json, time: {unit: ms}, channels: [x]}
    run: {flow: SensorProcessingFlow}
  idle:
    decode: {format: json, time: {unit: ms}, channels: [x]}
"""


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("HEADRACE_DATA", raising=False)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "plant.yaml"
    path.write_text(text)
    return str(path)


def test_a_valid_file_is_told_in_a_table_and_ends_with_0(tmp_path: Path) -> None:
    result = run(written(tmp_path, RIGHT))
    assert result.exit_code == 0
    assert "valid" in result.stdout
    for word in ("motion", "[bold]=a", "100,000 samples, 8 MiB, 5 min", "SensorProcessingFlow"):
        assert word in result.stdout
    assert "streams.idle: batches are kept, but no job is run on them" in result.stderr


def test_a_wrong_file_has_a_line_for_each_fault_and_ends_with_2(tmp_path: Path) -> None:
    result = run(written(tmp_path, RIGHT + "drain_second: 5\nhttp: {port: -1}\n"))
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[0].startswith("error: http.port: must be a whole number")
    assert lines[1].endswith("did you mean drain_seconds? (plant.yaml:10)")
    assert lines[2].endswith("plant.yaml: 2 errors")
    assert result.stdout == ""


def test_a_script_reads_json(tmp_path: Path) -> None:
    wrong = run(written(tmp_path, RIGHT + "drain_second: 5\n"), "--json")
    assert wrong.exit_code == 2
    facts = json.loads(wrong.stdout)
    assert facts["valid"] is False
    assert len(facts["errors"]) == 1
    right = run(written(tmp_path, RIGHT), "--json")
    facts = json.loads(right.stdout)
    assert (right.exit_code, facts["valid"], facts["errors"]) == (0, True, [])
    assert facts["settings"]["streams"]["motion"]["seal"]["max_age"] == "5 min"


def test_show_prints_every_setting_as_yaml_and_no_secret(tmp_path: Path) -> None:
    for flag in ("--show", "--json"):
        result = run(written(tmp_path, RIGHT), flag)
        assert "hunter2" not in result.output
    plain = YAML(typ="safe", pure=True).load(run(written(tmp_path, RIGHT), "--show").stdout)
    assert plain["redis"] == {"embedded": False, "url": "redis://h:1", "password": "**********"}
    assert plain["blobs"] == {"folder": "headrace-data/blobs"}
    assert plain["drain_seconds"] == "25 s"


def test_the_help_has_an_example() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "headrace check headrace.yaml --show" in result.stdout


def test_a_file_that_is_missing_is_one_line(tmp_path: Path) -> None:
    result = run(str(tmp_path / "none.yaml"))
    assert result.exit_code == 2
    assert "none.yaml: there is no such file" in result.stderr
    assert "Traceback" not in result.output
