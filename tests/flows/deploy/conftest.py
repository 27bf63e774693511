"""Flows compiled by Metaflow itself, each once a session, as a dry run: nothing is uploaded."""

import copy
import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.deploy.compiling import Compiled, compile_flow
from flows.deploy.request import Request

ROOT = Path(__file__).parents[3]
EXAMPLES = Path(__file__).parent / "examples"
SHIPPED = ROOT / "flows" / "sensor_processing_flow.py"
IMAGE = "example.net/headrace-flows:1"
DATASTORE = "https://plant7data.blob.core.windows.net/headrace/metaflow"

Compile = Callable[[Request], Compiled]


def request_for(file: Path, **more: object) -> Request:
    plain = {"name": file.stem.replace("_", "-"), "image": IMAGE, "datastore": DATASTORE}
    return Request(**{"file": str(file), "dry_run": True, **plain, **more})  # type: ignore[arg-type]


def environment(home: Path) -> dict[str, str]:
    """What a person's shell has, without a configuration of Metaflow."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("METAFLOW_", "HEADRACE_"))}
    return {**kept, "METAFLOW_HOME": str(home), "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compile:
    variables = environment(tmp_path_factory.mktemp("metaflow"))
    once = functools.cache(lambda request: compile_flow(request, variables))
    return lambda request: copy.deepcopy(once(request))
