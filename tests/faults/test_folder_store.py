"""The store's folder full, read-only, forbidden, gone for a while: nothing is lost, it goes on."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.disks import fill, small_disk
from tests.faults.plant import FaultPlant, Told

RETRYING = "server does not answer, trying again"


@pytest.fixture
def plant(tmp_path: Path, told: Told) -> Iterator[FaultPlant]:
    """Its store is the folder `blobs` in a folder of its own, so that this may be a disk."""
    with small_disk(tmp_path / "disk", megabytes=24):
        made = FaultPlant(tmp_path / "plant", told=told)
        (made.folder / "blobs").symlink_to(tmp_path / "disk/blobs")
        made.settings["blobs"] = {"folder": str(tmp_path / "disk/blobs")}
        with made.running():
            yield made


@contextmanager
def mounted_read_only(disk: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


def test_its_disk_is_full(plant: FaultPlant, tmp_path: Path) -> None:
    plant.warm_up()
    ballast = tmp_path / "disk/ballast"
    fill(ballast)
    plant.send(150)
    plant.says(RETRYING, "No space left on device")
    time.sleep(4)
    ballast.unlink()
    report = plant.recover("store (folder): disk full")
    assert not report.damaged.count
    assert not list((tmp_path / "disk").rglob(".tmp-*")), "half-written files stay"


def test_it_becomes_read_only(plant: FaultPlant, tmp_path: Path) -> None:
    plant.warm_up()
    with mounted_read_only(tmp_path / "disk"):
        plant.send(150)
        plant.says(RETRYING, "Read-only file system")
        plant.says("ownership store failed, keeping partitions")
    plant.recover("store (folder): read-only")


@contextmanager
def forbidden(folder: Path) -> Iterator[None]:
    """Take the right to write from every folder in it."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    for each in folders:
        each.chmod(0o500)
    try:
        yield
    finally:
        for each in folders:
            each.chmod(0o700)


def test_the_right_to_write_is_taken_away(tmp_path: Path, told: Told) -> None:
    """Root may write everywhere: its service is started without that privilege."""
    plant = FaultPlant(tmp_path / "plant", told=told, wrapper=without_privileges())
    with plant.running():
        plant.warm_up()
        with forbidden(tmp_path / "plant/blobs"):
            plant.send(150)
            plant.says(RETRYING, "Permission denied")
            time.sleep(3)
        plant.recover("store (folder): permission taken away")


def without_privileges() -> tuple[str, ...]:
    tool = shutil.which("setpriv")
    if tool is None:
        pytest.skip("setpriv (util-linux) is not installed")
    return (tool, "--bounding-set=-all", "--inh-caps=-all")


def test_it_vanishes_and_comes_back(tmp_path: Path, told: Told) -> None:
    plant = FaultPlant(tmp_path / "plant", told=told)
    with plant.running():
        plant.warm_up()
        (tmp_path / "plant/blobs").rename(tmp_path / "elsewhere")
        plant.send(150)
        plant.says(RETRYING, "the store's folder is gone")
        time.sleep(4)
        assert not (tmp_path / "plant/blobs").exists(), "an empty store was made in its place"
        (tmp_path / "elsewhere").rename(tmp_path / "plant/blobs")
        plant.recover("store (folder): gone, and back")
        assert plant.services[0].poll() is None
