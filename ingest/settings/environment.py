"""Settings from HEADRACE_ variables: `__` between the steps of a path, every name known."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel

from ingest.settings import yaml_file
from ingest.settings.problems import Loc, Problem, did_you_mean
from ingest.settings.secrets import SECRETS
from ingest.settings.shape import DELIMITER, PREFIX, Node, children, leaves, variable

# read by others: flows, the embedded hub, `headrace send`, the tests
RESERVED = frozenset(
    PREFIX + name
    for name in (
        "STORE",
        "ATTEMPT",
        "HUB_KEY",
        "SEND_TO",
        "CONFIG",
        "CACHE",
        "SKIP_AZURITE",
        "FAILPOINTS",
    )
)
# Kubernetes sets these for each Service whose name begins with headrace
_SERVICE_LINK = re.compile(
    r"HEADRACE_(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_PORT = re.compile(r"HEADRACE_(\w+_)?PORT=(tcp|udp|sctp)://.*")


class Found(NamedTuple):
    """What the environment says: values by path, each variable, and what is wrong."""

    plain: dict[str, Any]
    origins: dict[Loc, str]
    problems: list[Problem]


def read(environ: Mapping[str, str], model: type[BaseModel], names: Mapping[str, Any]) -> Found:
    """Read all settings that stand in variables.

    Args:
        environ: variables.
        model: the settings that there are.
        names: names of streams and jobs that are known already, for suggestions.

    """
    found = Found({}, {}, [])
    for name in sorted(environ):  # a group comes before what stands in it
        if not name.startswith(PREFIX) or _somebody_elses(name, environ[name]):
            continue
        path = tuple(name[len(PREFIX) :].lower().split(DELIMITER))
        node = _at(model, path)
        if node is None:
            found.problems.append(Problem((), _unknown(name, path, model, names)))
            continue
        try:
            _put(found.plain, path, _value(node, environ[name]))
        except ValueError as error:
            found.problems.append(Problem((name,), str(error)))
        found.origins[path] = name
    return found


def _somebody_elses(name: str, value: str) -> bool:
    own = name in RESERVED or name in SECRETS.values()
    linked = _SERVICE_LINK.fullmatch(name) or _SERVICE_PORT.fullmatch(f"{name}={value}")
    return own or linked is not None


def _at(model: type[BaseModel], path: Sequence[str]) -> Node | None:
    """Find the setting of a path; names of streams and jobs are taken as they come."""
    node: Node | None = None
    group: type[BaseModel] | None = model
    steps = iter(path)
    for step in steps:
        node = children(group).get(step) if group is not None else None
        if node is None:
            return None
        group = node.model
        if node.named:
            next(steps, None)
    return node


def _value(node: Node, text: str) -> Any:
    """Read lists, mappings and null; all else is text that the setting's own kind reads."""
    if node.secret:
        return text
    if text.strip() in ("null", "~"):
        return None
    if text.lstrip().startswith(("{", "[")):
        return yaml_file.value(text)
    return text


def _put(plain: dict[str, Any], path: Sequence[str], value: Any) -> None:
    for step in path[:-1]:
        below = plain.setdefault(step, {})
        if not isinstance(below, dict):
            raise ValueError(f"{step} has a plain value in another variable")  # noqa: TRY004
        plain = below
    plain[path[-1]] = value


def _unknown(
    name: str, path: Sequence[str], model: type[BaseModel], names: Mapping[str, Any]
) -> str:
    known = [*_variables(model, path, names), *SECRETS.values(), *sorted(RESERVED)]
    near = did_you_mean(name, known)
    hint = (
        f"did you mean {near}?" if near else "`headrace check --help` tells where they are listed"
    )
    return f"{name}: no such setting; {hint}"


def _variables(
    model: type[BaseModel], path: Sequence[str], names: Mapping[str, Any]
) -> Iterator[str]:
    """Name every variable there could be, with the names in use and the one asked for."""
    used = {
        group: [*(map(str, names.get(group) or ())), *path[1:2]] for group in ("streams", "jobs")
    }
    for each, _ in leaves(model, used):
        yield variable(each)
