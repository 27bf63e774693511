"""The chart as helm renders it, and what it takes to look at that."""

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

CHART = Path(__file__).parents[2] / "helm" / "headrace"
EXAMPLES = sorted((CHART / "ci").glob("*.yaml"))
NAMESPACE = "plant"
# The oldest that the chart says it is for, and the newest that there are schemas of.
KUBERNETES = ("1.27.0", "1.37.0")
DEFINITIONS = "_definitions.json"
Values = Mapping[str, Any]
Objects = dict[tuple[str, str], Any]


class Refused(Exception):
    """Helm did not take the values; the message is helm's."""


class Helm:
    """Runs helm on our chart.

    Args:
        program: helm.
        folder: for files of values.

    """

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder

    def lint(self, *examples: Path) -> None:
        self._run("lint", "--strict", CHART, *_given(examples))

    def text(self, values: Values | None = None, *examples: Path) -> str:
        """Render all manifests.

        Raises:
            Refused: the values are wrong.

        """
        path = self._folder / "values.yaml"
        with path.open("w") as file:
            YAML().dump(dict(values or {}), file)
        named = ("--namespace", NAMESPACE, *_given((*examples, path)))
        return self._run("template", "headrace", CHART, *named)

    def objects(self, values: Values | None = None, *examples: Path) -> Objects:
        """Render all manifests: objects by kind and name.

        Raises:
            Refused: the values are wrong.

        """
        read = YAML(typ="safe").load_all(self.text(values, *examples))
        return {(each["kind"], each["metadata"]["name"]): each for each in read if each}

    def notes(self, values: Values) -> str:
        """Render what a person is told after an install."""
        path = self._folder / "values.yaml"
        with path.open("w") as file:
            YAML().dump(dict(values), file)
        words = ("install", "headrace", CHART, "--dry-run=client", *_given((path,)))
        return self._run(*words).partition("NOTES:\n")[2]

    def _run(self, *words: str | Path) -> str:
        done = subprocess.run(
            [self._program, *map(str, words)], check=False, capture_output=True, text=True
        )
        if done.returncode:
            raise Refused(done.stderr or done.stdout)
        return done.stdout


def _given(paths: Iterable[Path]) -> list[str | Path]:
    return [word for path in paths for word in ("--values", path)]


def schemas(version: str, folder: Path) -> Path:
    """Write the strict schemas of a version of Kubernetes as kubeconform reads them."""
    there = files("kubernetes_validate") / "kubernetes-json-schema" / f"v{version}-local-strict"
    to = folder / version
    shutil.copytree(Path(str(there)), to)
    for path in to.iterdir():  # they are named as if they lay on a server
        schema = json.loads(path.read_text().replace(f"/api/{DEFINITIONS}", DEFINITIONS))
        schema.pop("$id", None)
        path.write_text(json.dumps(schema))
    return to


def container(objects: Objects, kind: str = "Deployment", name: str = "headrace") -> Any:
    """Give the one container of a workload."""
    (found,) = objects[kind, name]["spec"]["template"]["spec"]["containers"]
    return found


def environment(container: Any) -> dict[str, Any]:
    """Give a container's variables: values, or where they come from."""
    names = [each["name"] for each in container["env"]]
    assert len(names) == len(set(names)), "the last of two would win"
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}
