"""The service's settings: defaults, then one YAML file, then HEADRACE_ variables; checked whole.

Every fault is found at once, named by its path, with its line or variable.
"""

import copy
from collections.abc import Collection, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from ingest.settings import checks, environment, secrets, yaml_file
from ingest.settings.problems import Origins, Problem, WrongSettings, from_validation
from ingest.settings.service import Settings

__all__ = ["Loaded", "Settings", "WrongSettings", "load", "load_all"]

DEFAULT = "the embedded default"
_ONE_OF = {
    "source": ("event_hubs", "iot_hub", "embedded"),
    "redis": ("url", "embedded"),
    "blobs": ("folder", "azure"),
}
# stand in for what is wrong while the rest is checked
_STREAM = {"decode": {"format": "json", "time": {"unit": "ms"}, "channels": ["x"]}}
_JOB = {"flow": "SensorProcessingFlow"}


class Loaded(NamedTuple):
    """Settings that can be used, and what is hardly meant in them."""

    settings: Settings
    warnings: tuple[str, ...]


def load(
    path: Path | None, environ: Mapping[str, str], *, without: Collection[str] = ()
) -> Settings:
    """Load the settings of the service.

    Args:
        path: YAML file; None for the embedded default.
        environ: variables; those with our prefix win over the file.
        without: sections that do not matter to the caller, who may not have their secrets.

    Raises:
        WrongSettings: with a line for each fault.

    """
    return load_all(path, environ, without=without).settings


def load_all(
    path: Path | None, environ: Mapping[str, str], *, without: Collection[str] = ()
) -> Loaded:
    """Load the settings, and say what is hardly meant.

    Raises:
        WrongSettings: with a line for each fault.

    """
    plain, lines = _file(path)
    origins = Origins()
    origins.note(lines)
    faults = secrets.refuse_in_file(plain)
    said = environment.read(environ, Settings, plain)
    origins.note(said.origins)
    plain = _left(merge(plain, said.plain), without)
    more, idle = secrets.add(plain, environ)
    plain = _left(plain, without)
    if pod := environ.get("POD_NAME"):
        plain.setdefault("instance", pod)
    faults += said.problems + more
    settings, found = _validate(plain)
    faults += [problem for problem in found if problem.path not in {f.path for f in faults}]
    if faults or settings is None:
        raise WrongSettings([fault.line(origins.of(fault.path)) for fault in faults])
    return Loaded(settings, (*idle, *checks.warnings(settings)))


def _left(plain: Mapping[str, Any], without: Collection[str]) -> dict[str, Any]:
    return {section: what for section, what in plain.items() if section not in without}


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one set of plain settings over another; neither is changed.

    Mappings are merged; of things that exclude each other the upper one stays.
    """
    merged = copy.deepcopy(dict(below))
    for name, rivals in _ONE_OF.items():
        chosen = above.get(name)
        if not isinstance(chosen, Mapping) or not isinstance(merged.get(name), dict):
            continue
        if any(rival in chosen for rival in rivals):
            dropped = {rival for rival in rivals if rival not in chosen}
            merged[name] = {k: v for k, v in merged[name].items() if k not in dropped}
    return _over(merged, above)


def _over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in above.items():
        if isinstance(value, Mapping) and isinstance(below.get(key), dict):
            below[key] = _over(below[key], value)
        else:
            below[key] = copy.deepcopy(value)
    return below


def _file(path: Path | None) -> tuple[dict[str, Any], dict[tuple[Any, ...], str]]:
    if path is None:
        text = (files("ingest") / "data" / "default.yaml").read_text(encoding="utf-8")
        return yaml_file.parse(text, DEFAULT)
    return yaml_file.parse(yaml_file.read_file(path), path.name)


def _validate(plain: dict[str, Any]) -> tuple[Settings | None, list[Problem]]:
    """Check each setting, then what they say together."""
    try:
        settings = Settings.model_validate(plain)
    except ValidationError as error:
        return None, from_validation(Settings, error) + _beyond(plain, error)
    return settings, checks.contradictions(settings)


def _beyond(plain: dict[str, Any], error: ValidationError) -> list[Problem]:
    """Look for contradictions although single settings are wrong, with those left out."""
    rest = copy.deepcopy(plain)
    wrong = {item["loc"][:2] for item in error.errors(include_url=False)}
    misnamed = {item["loc"][:2] for item in error.errors() if "[key]" in item["loc"]}
    for loc in wrong:
        _stand_in(rest, loc, keep=loc not in misnamed)
    try:
        found = checks.contradictions(Settings.model_validate(rest))
    except ValidationError:
        return []
    return [each for each in found if each.path[:2] not in wrong or each.path[2:] == ("over",)]


def _stand_in(plain: dict[Any, Any], loc: tuple[int | str, ...], *, keep: bool) -> None:
    """Put something right in the place of a wrong stream or job; leave out all else."""
    group, name = (*loc, None, None)[:2]
    named = plain.get(group)
    if name is None or group not in ("streams", "jobs") or not isinstance(named, dict):
        plain.pop(group, None)
    elif not keep:
        named.pop(name, None)
    elif group == "streams":
        named[name] = _STREAM
    else:
        named[name] = {**_JOB, "over": _texts(named[name])}


def _texts(job: Any) -> list[str]:
    """Give the streams that a job names, as far as they can be read."""
    over = job.get("over") if isinstance(job, dict) else None
    texts = [over] if isinstance(over, str) else over
    return [each for each in texts if isinstance(each, str)] if isinstance(texts, list) else []
