"""Says what a deployment changes: two objects of Kubernetes, compared where it means something.

Lists of named things (steps, variables, parameters) are compared by name. What each compilation
writes anew is left out, and the code package is one change, not two in every step.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]
LONGEST = 60
CODE = "code package"
# The server's own, and what differs between two compilations of the same flow.
_SERVERS = {
    "creationTimestamp",
    "generation",
    "managedFields",
    "resourceVersion",
    "uid",
    "selfLink",
}
_PASSING = {"metaflow/deployment_timestamp", "METAFLOW_VERSION"}
_FOREIGN = ("kubectl.kubernetes.io/", "argocd.argoproj.io/", "kustomize.toolkit.fluxcd.io/")
_ABSENT = object()


def changes(old: "Json | None", new: "Json | None") -> "list[str]":
    """Say what changes from one object to another, a line each; nothing if nothing does.

    Args:
        old: as it is deployed, or None.
        new: as it is to be, or None if it is to go.

    """
    before, after = _plain(old), _plain(new)
    found: dict[tuple[str, str], list[str]] = {}
    for path in [*before, *(path for path in after if path not in before)]:
        was, is_ = before.get(path, _ABSENT), after.get(path, _ABSENT)
        if was != is_:
            step, where = _step_of(path)
            found.setdefault((where, _said(was, is_)), []).append(step)
    return [f"{_in_steps(steps)}{where}: {said}" for (where, said), steps in found.items()]


def carried_over(old: "Json | None", new: Json) -> Json:
    """Give `new` with the labels and annotations that others put on the deployed object."""
    if old is None:
        return new
    metadata = dict(new["metadata"])
    for kind in ("labels", "annotations"):
        theirs = {k: v for k, v in (old["metadata"].get(kind) or {}).items() if _is_foreign(k)}
        if theirs:
            metadata[kind] = {**theirs, **metadata.get(kind, {})}
    return {**new, "metadata": metadata}


def _is_foreign(key: str) -> bool:
    ours = ("metaflow/", "headrace/", "workflows.argoproj.io/", "app.kubernetes.io/")
    return not key.startswith(ours)


def _plain(whole: "Json | None") -> "dict[tuple[str, ...], Any]":
    """Lay an object out as values by path."""
    if whole is None:
        return {}
    metadata = {k: v for k, v in whole.get("metadata", {}).items() if k not in _SERVERS}
    code, text = _code_of(whole), json.dumps({"metadata": metadata, "spec": whole.get("spec", {})})
    for part in code:
        text = text.replace(part, CODE)
    found = {path: value for path, value in _leaves(json.loads(text)) if not _passes(path)}
    return {**found, **({(CODE,): code[-1]} if code else {})}


def _code_of(whole: Json) -> "list[str]":
    """Give where the code package lies and its digest, as one step's variables have them."""
    for step in whole.get("spec", {}).get("templates", ()):
        env = {each["name"]: each.get("value") for each in step.get("container", {}).get("env", ())}
        found = [env.get("METAFLOW_CODE_URL"), env.get("METAFLOW_CODE_SHA")]
        if all(found):
            # the command names it without its container
            return [str(found[0]), str(found[0]).partition("/")[2] or str(found[0]), str(found[1])]
    return []


def _passes(path: "tuple[str, ...]") -> bool:
    return any(part in _PASSING or part.startswith(_FOREIGN) for part in path)


def _leaves(value: Any, path: "tuple[str, ...]" = ()) -> "Iterator[tuple[tuple[str, ...], Any]]":
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and value and all(_name(each) for each in value):
        for each in value:
            rest = {k: v for k, v in each.items() if k != "name"}
            yield from _leaves(rest, (*path, each["name"]))
    else:
        yield path, value


def _name(each: Any) -> bool:
    return isinstance(each, Mapping) and isinstance(each.get("name"), str)


def _step_of(path: "tuple[str, ...]") -> "tuple[str, str]":
    """Take the step out of a path, so that what changes in all steps is told once."""
    if path[:2] == ("spec", "templates") and len(path) > len(("spec", "templates", "step")):
        return path[2], ".".join(path[3:])
    return "", ".".join(path)


def _in_steps(steps: "list[str]") -> str:
    return f"{', '.join(steps)}: " if any(steps) else ""


def _said(was: Any, is_: Any) -> str:
    if was is _ABSENT:
        return f"added, {_short(is_)}"
    if is_ is _ABSENT:
        return f"removed, was {_short(was)}"
    if isinstance(was, list) and isinstance(is_, list) and len(was) == len(is_):
        (was, is_), *more = [pair for pair in zip(was, is_, strict=True) if pair[0] != pair[1]]
        if more:
            return "changed"
    if isinstance(was, str) and isinstance(is_, str) and max(len(was), len(is_)) > LONGEST:
        was, is_ = _around(was, is_)
    return f"{_short(was)} -> {_short(is_)}"


def _around(was: str, is_: str) -> "tuple[str, str]":
    """Cut two long texts down to the words in which they differ, and one before."""
    old, new = re.split(r"(?<=\s)", was), re.split(r"(?<=\s)", is_)
    first = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), 0)
    begin = max(0, first - 1)
    return f"...{''.join(old[begin:])}", f"...{''.join(new[begin:])}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
