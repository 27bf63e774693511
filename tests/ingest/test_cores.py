import os
from pathlib import Path

import pytest

from ingest import cores as module
from ingest.cores import cores
from ingest.settings import service as settings_module
from ingest.settings.service import Settings
from tests.end_to_end.plant import stream

MANY = 64


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Put the kernel's files elsewhere, none of them there yet; the machine has many cores."""
    names = {"_QUOTA": "cpu.max", "_QUOTA_1": "quota", "_PERIOD_1": "period"}
    made = {name: tmp_path / file for name, file in names.items()}
    for name, path in made.items():
        monkeypatch.setattr(module, name, path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(MANY)))
    return made


def test_without_a_container_it_is_what_the_kernel_gives(files: dict[str, Path]) -> None:
    assert not any(path.exists() for path in files.values())
    assert cores() == MANY


@pytest.mark.parametrize(
    ("said", "found"), [("max 100000", MANY), ("150000 100000", 1.5), ("50000 100000", 0.5)]
)
def test_a_container_of_version_2_may_have_less(
    files: dict[str, Path], said: str, found: float
) -> None:
    files["_QUOTA"].write_text(f"{said}\n")
    assert cores() == found


@pytest.mark.parametrize(("quota", "found"), [("-1", MANY), ("300000", 3.0)])
def test_and_one_of_version_1(files: dict[str, Path], quota: str, found: float) -> None:
    files["_QUOTA_1"].write_text(f"{quota}\n")
    files["_PERIOD_1"].write_text("100000\n")
    assert cores() == found


@pytest.mark.parametrize(
    ("free", "workers", "process", "apart"),
    [
        (2.0, 1, "auto", True),
        (1.9, 1, "auto", False),
        (8.0, 2, "auto", False),
        (1.0, 1, "own", True),
        (8.0, 3, "own", True),
        (8.0, 1, "same", False),
    ],
)
def test_the_receiver_has_a_process_of_its_own_where_that_is_of_use(
    free: float, workers: int, process: str, *, apart: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings_module, "cores", lambda: free)
    plain = {"streams": {"motion": stream()}, "workers": workers, "receive": {"process": process}}
    assert Settings.model_validate(plain).apart is apart
