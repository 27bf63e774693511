"""What goes into the images is pinned, and is what the project asks for; no host is named."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = {path.stem: path for path in (ROOT / "containers").glob("*.txt")}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IMAGE = {"python_version": "3.13", "sys_platform": "linux", "extra": ""}


def pinned(lock: str) -> dict[str, str]:
    found = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", LOCKS[lock].read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def asked(*lines: str) -> list[Requirement]:
    wanted = [Requirement(line) for line in lines]
    return [each for each in wanted if each.marker is None or each.marker.evaluate(IMAGE)]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_wheel_has_hashes(lock: str) -> None:
    lines = [line for line in LOCKS[lock].read_text().splitlines() if not line.startswith("    #")]
    blocks = re.split(r"\n(?=\S)", "\n".join(lines))
    assert len(blocks) == len(pinned(lock))
    for block in blocks:
        assert "--hash=sha256:" in block, block.splitlines()[0]


def test_the_service_has_what_the_project_asks_for() -> None:
    project = PROJECT["project"]
    locked = pinned("ingest")
    for each in asked(*project["dependencies"], *project["optional-dependencies"]["argo"]):
        assert each.specifier.contains(locked[canonicalize_name(each.name)]), f"{each}: make lock"


def test_flows_have_what_the_project_asks_for_in_the_versions_of_the_service() -> None:
    project, locked, service = PROJECT["project"], pinned("flows"), pinned("ingest")
    (metaflow,) = asked(*project["optional-dependencies"]["flows"])
    assert metaflow.specifier.contains(locked["metaflow"])
    known = [each for each in asked(*project["dependencies"]) if each.name in locked]
    assert {"azure-identity", "azure-storage-blob", "numpy", "pyarrow"} <= {e.name for e in known}
    for name in locked.keys() & service.keys():
        assert locked[name] == service[name], f"{name}: make lock"


def test_each_image_is_without_the_other_side() -> None:
    assert not pinned("ingest").keys() & {"metaflow", "boto3"}
    assert not pinned("flows").keys() & {"azure-eventhub", "redis", "msgspec", "lightkube"}


def test_no_host_is_named() -> None:
    for path in (ROOT / "Containerfile", *(ROOT / "containers").iterdir()):
        assert not re.search(r"https?://|\w+\.(io|com|org)/", path.read_text()), path
