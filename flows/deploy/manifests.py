"""Deployments as YAML: printed, or files of a folder that GitOps applies."""

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from batching.errors import SettingError

Json = dict[str, Any]
_SUFFIX = {"WorkflowTemplate": "workflowtemplate", "CronWorkflow": "cronworkflow"}


def as_yaml(*objects: Json) -> str:
    """Write objects as documents of one YAML text."""
    yaml, text = YAML(), io.StringIO()
    yaml.default_flow_style, yaml.width = False, 10**6  # no line is folded: commands stay whole
    yaml.explicit_start = True
    yaml.representer.ignore_aliases = lambda _: True
    yaml.dump_all(objects, text)
    return text.getvalue()


class Folder:
    """A folder with one file for each object, `<name>.<kind>.yaml`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, kind: str, name: str) -> "Json | None":
        """Read an object; None if there is none.

        Raises:
            SettingError: its file cannot be read.

        """
        path = self._path(kind, name)
        try:
            found: Json = YAML(typ="safe").load(path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, YAMLError) as error:
            raise SettingError(f"output: {path} cannot be read: {error}") from error
        return found

    def put(self, body: Json, old: "Json | None") -> None:
        """Write an object's file."""
        del old
        path = self._path(body["kind"], body["metadata"]["name"])
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path.write_text(as_yaml(body))
        except OSError as error:
            raise SettingError(f"output: {path}: {error.strerror}") from error

    def delete(self, kind: str, name: str) -> None:
        """Remove an object's file."""
        self._path(kind, name).unlink(missing_ok=True)

    def _path(self, kind: str, name: str) -> Path:
        return self._folder / f"{name}.{_SUFFIX[kind]}.yaml"
