"""The chart on the test cluster: both images of this clone, helm, and the service's pods."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster import images
from tests.cluster.cluster import Cluster
from tests.cluster.parts import Part, command
from tests.cluster.place import HERE, alone, home
from tests.cluster.programs import CLI

ROOT = HERE.parents[1]
CHART = ROOT / "helm" / "headrace"
NAME = "headrace"  # of releases, and so of what they install
SOURCES = ("Containerfile", "containers", "pyproject.toml", "README.md", "LICENSE")
ROOMS = ("batching", "flows", "ingest")
KEPT = 3  # images of older clones that stay, for whoever still uses them


def _image(target: str) -> Part:
    """Give one of the two images; another clone's code makes another."""
    sources = tuple(ROOT / name for name in SOURCES + ROOMS)
    part: Part
    part = Part(f"headrace-{target}", lambda to: _make(part, target, to), sources, (images.BASE,))
    return part


def _make(part: Part, target: str, to: Path) -> None:
    log = f"headrace-{target}"
    with alone("wheels"):  # its wheels are checked by their hashes here, and in the image again
        command([ROOT / "containers/wheels.sh"], log=log, environment=dict(os.environ))
    arguments = {"BASE": images.base()}
    images.build(ROOT, tag(part), to / images.ARCHIVE, target=target, arguments=arguments)
    older = sorted(
        home().glob(f"headrace-{target}-*[0-9a-f]"), key=lambda path: path.stat().st_mtime
    )
    for folder in older[:-KEPT]:
        shutil.rmtree(folder)


def tag(part: Part) -> str:
    """Give an image's full name, in which its content's hash is."""
    return f"localhost/headrace/{part.name.removeprefix('headrace-')}:{part.key}"


INGEST, FLOWS = _image("ingest"), _image("flows")


def load(cluster: Cluster, part: Part) -> str:
    """Give the node an image, built if need be; gives its name."""
    part.build()
    cluster.load_once(tag(part), part.folder / images.ARCHIVE)
    return tag(part)


@dataclass(frozen=True)
class Release:
    """An installation of the chart in a namespace."""

    cluster: Cluster
    namespace: str

    def helm(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Run helm as administrator."""
        command_line = [str(CLI.folder / "helm"), "--namespace", self.namespace, *map(str, words)]
        return subprocess.run(
            self.cluster.words_inside(command_line),
            check=False,
            capture_output=True,
            text=True,
            env=self.cluster.environment(),
        )

    def install(
        self, config: Path, *words: str, wait: bool = True, **values: Any
    ) -> subprocess.CompletedProcess[str]:
        """Install or upgrade: a settings file, the image of this clone, and values."""
        repository, _, version = tag(INGEST).rpartition(":")
        image = {"repository": repository, "tag": version, "pullPolicy": "Never"}
        file = config.with_suffix(".values.json")
        file.write_text(json.dumps({"image": image, **values}))
        patience = ["--wait", "--timeout", "180s"] if wait else []
        given = ["--set-file", f"config={config}", "--values", str(file)]
        return self.helm("upgrade", "--install", NAME, CHART, *patience, *given, *words)

    def remove(self) -> None:
        """Uninstall it, if it is there."""
        self.helm("uninstall", NAME, "--ignore-not-found")

    def kubectl(self, *words: str | Path, given: object = None) -> str:
        """Run kubectl as administrator in the namespace."""
        return self.cluster.kubectl("--namespace", self.namespace, *words, given=given)

    def inside(self, *words: str) -> str:
        """Run a command in the service's pod."""
        return self.kubectl("exec", f"deployment/{NAME}", "--", *words)

    def pods(self) -> list[Any]:
        """Give the service's pods."""
        selector = ("--selector", "app.kubernetes.io/component=ingest")
        return list(self.cluster.get("--namespace", self.namespace, "pods", *selector)["items"])
