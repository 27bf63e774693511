"""Secrets: from variables or files that hold nothing else, never from the settings file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingest.settings.problems import Loc, Problem

SECRETS: Mapping[Loc, str] = {
    ("source", "event_hubs", "connection_string"): "HEADRACE_EVENT_HUBS_CONNECTION",
    ("source", "iot_hub", "connection_string"): "HEADRACE_IOT_HUB_CONNECTION",
    ("redis", "password"): "HEADRACE_REDIS_PASSWORD",
    ("blobs", "azure", "connection_string"): "HEADRACE_BLOBS_CONNECTION",
    ("http", "token"): "HEADRACE_HTTP_TOKEN",
}
AZURE_VARIABLE = "AZURE_STORAGE_CONNECTION_STRING"
FILE = "_file"


def refuse_in_file(plain: Mapping[str, Any]) -> list[Problem]:
    """Name the secrets that stand in the settings file; such a line is never shown."""
    return [
        Problem(
            path,
            f"a secret does not belong in the file; set {variable}, or {path[-1]}{FILE} to a file"
            " that holds it",
        )
        for path, variable in SECRETS.items()
        if (group := _group(plain, path)) is not None and group.get(path[-1]) is not None
    ]


def add(plain: dict[str, Any], environ: Mapping[str, str]) -> tuple[list[Problem], list[str]]:
    """Put secrets from their own variables and files where they belong.

    Returns:
        What is wrong, and which variables say something that nobody asks for.

    """
    problems: list[Problem] = []
    idle: list[str] = []
    for path, variable in SECRETS.items():
        if text := environ.get(variable):
            if path[1] == "event_hubs" and not plain.get("source"):
                plain["source"] = {"event_hubs": {}}
            if (group := _group(plain, path, make=path[0] in ("redis", "http"))) is None:
                idle.append(f"{variable} is set, but {'.'.join(path[:-1])} is not in use")
            else:
                group.setdefault(path[-1], text)
    for path in SECRETS:
        problems += _read_file(plain, path)
    _add_azure(plain, environ)
    return problems, idle


def _read_file(plain: dict[str, Any], path: Loc) -> list[Problem]:
    """Read `<name>_file` unless the secret is there already."""
    group = _group(plain, path)
    name = f"{path[-1]}{FILE}"
    if group is None or not group.get(name) or group.get(path[-1]):
        return []
    try:
        text = Path(str(group[name])).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        return [Problem((*path[:-1], name), f"{group[name]} cannot be read: {why}")]
    if not text:
        return [Problem((*path[:-1], name), f"{group[name]} is empty")]
    group[path[-1]] = text
    return []


def _add_azure(plain: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Take the variable that Azure's own tools use, where nothing else says how to sign in."""
    group = _group(plain, ("blobs", "azure", "connection_string"))
    text = environ.get(AZURE_VARIABLE)
    if group is not None and text and not {"account", "connection_string"} & group.keys():
        group["connection_string"] = text


def _group(plain: Mapping[str, Any], path: Loc, *, make: bool = False) -> dict[str, Any] | None:
    """Find the group that a secret belongs to; None if it is not in use."""
    group: Any = plain
    for step in path[:-1]:
        if make and isinstance(group, dict) and group.get(step) is None:
            group[step] = {}
        group = group.get(step) if isinstance(group, Mapping) else None
    return group if isinstance(group, dict) else None
