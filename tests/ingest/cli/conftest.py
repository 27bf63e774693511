"""The `headrace` command as `main` runs it, in this process: what it prints, how it ends."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ingest.cli import main
from tests.ingest.cli.served import served

NO_HUB = "Endpoint=sb://localhost/;SharedAccessKeyName=a;SharedAccessKey=a2V5"


@dataclass(frozen=True)
class Said:
    """Exit code and output of one command."""

    code: int
    out: str
    err: str


Headrace = Callable[..., Said]


@pytest.fixture
def headrace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Headrace:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")

    def run(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["headrace", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        code = ended.value.code
        return Said(code if isinstance(code, int) else int(code is not None), out, err)

    return run


@pytest.fixture(scope="session")
def plant_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The settings of a service that has run and was stopped; tests look, and change nothing."""
    return served(tmp_path_factory.mktemp("served")).config()


@pytest.fixture
def plant(plant_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, with the variable that the file needs; nothing answers at that hub."""
    monkeypatch.setenv("HEADRACE_EVENT_HUBS_CONNECTION", NO_HUB)
    return plant_file


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file with one stream, whose store lies beside it."""
    path = tmp_path / "plant.yaml"
    decode = "{format: json, time: {unit: ms}, channels: [x]}"
    path.write_text(f"data: {tmp_path}\nstreams: {{s: {{decode: {decode}}}}}\n")
    return path
