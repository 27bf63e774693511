"""Helm and kubeconform, where they are."""

import shutil
from pathlib import Path

import pytest

from tests.helm.chart import Helm


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
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
