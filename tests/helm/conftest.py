"""Helm and kubeconform, where they are."""

import shutil
from pathlib import Path

import pytest

from tests.cluster.programs import CLI
from tests.helm.chart import Helm


def _program(name: str) -> str:
    """Find a program on this machine, or among those that `make chart` builds."""
    built = CLI.folder / name
    found = shutil.which(name) or (str(built) if built.exists() else None)
    if found is None:
        pytest.skip(f"{name} is not installed; `make chart` builds helm and kubeconform")
    return found


@pytest.fixture
def helm(tmp_path: Path) -> Helm:
    return Helm(_program("helm"), tmp_path)


@pytest.fixture
def kubeconform() -> str:
    return _program("kubeconform")


@pytest.fixture
def promtool() -> str:
    return _program("promtool")


@pytest.fixture
def prometheus() -> str:
    return _program("prometheus")
