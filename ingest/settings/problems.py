"""What is wrong with the settings, all of it, a line each: path, fault, what is accepted."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from batching.errors import SettingError
from ingest.logs import mask
from ingest.settings.kinds import shown
from ingest.settings.shape import Node, accepts, accepts_inside, children, find, group_at

Loc = tuple[Any, ...]


class WrongSettings(SettingError):
    """Settings that cannot be used; `lines` has one for each fault."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


class Problem(NamedTuple):
    """One fault and where it is; the path may be empty."""

    path: Loc
    text: str

    def line(self, origin: str | None = None) -> str:
        """Spell it; `origin` is the file's line, or the variable."""
        where = ".".join(map(str, self.path))
        text = f"{where}: {self.text}" if where else self.text
        return f"{text} ({origin})" if origin else text


class Origins:
    """Where each value came from: a line of a file, or a variable."""

    def __init__(self) -> None:
        self._of: dict[Loc, str] = {}

    def note(self, origins: Mapping[Loc, str]) -> None:
        """Take in origins; later ones win."""
        self._of.update(origins)

    def of(self, path: Loc) -> str | None:
        """Give where a path, or the nearest group around it, came from."""
        for length in range(len(path), 0, -1):
            if found := self._of.get(path[:length]):
                return found
        return None


def from_validation(model: type[BaseModel], error: ValidationError) -> list[Problem]:
    """Turn what pydantic found into lines for people."""
    found = [_problem(model, dict(item)) for item in error.errors(include_url=False)]
    return list(dict.fromkeys(found))


def did_you_mean(word: str, known: Sequence[str]) -> str | None:
    """Give the known word that this one resembles most."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return near[0] if near else None


def unknown(word: str, known: Sequence[str]) -> str:
    """Say that there is no such setting, and which there may be."""
    near = did_you_mean(word, known)
    return (
        f"no such setting; did you mean {near}?"
        if near
        else (f"no such setting; known here: {', '.join(known)}")
    )


def _problem(model: type[BaseModel], item: dict[str, Any]) -> Problem:
    loc: Loc = tuple(item["loc"])
    kind = item["type"]
    if loc and loc[-1] == "[key]":
        return Problem(loc[:-1], _cause(item))
    if kind == "extra_forbidden":
        group = group_at(model, loc[:-1])
        return Problem(loc, unknown(str(loc[-1]), list(children(group)) if group else []))
    if kind == "value_error":
        return Problem(loc, _cause(item))
    return Problem(loc, _wrong_kind(model, loc, kind, item))


def _wrong_kind(model: type[BaseModel], loc: Loc, kind: str, item: dict[str, Any]) -> str:
    """Say what a setting accepts, and what it got unless that is a secret."""
    node = find(model, loc)
    inside = node is None  # a list, or a mapping with names of somebody else's
    node = find(model, loc[:-1]) if node is None else node
    if node is None:
        return str(item["msg"])
    if inside and node.free:
        return f"must be {accepts_inside(node)}{_got(node, item['input'])}"
    within = node.named and len(loc) > 1 and kind in ("model_type", "model_attributes_type")
    wanted = (
        f"a mapping with {', '.join(children(node.model))}"
        if (within and node.model)
        else accepts(node)
    )
    if kind == "missing":
        return f"is required: {wanted}"
    return f"must be {wanted}{_got(node, item['input'])}"


def _got(node: Node, value: Any) -> str:
    """Show a wrong value, unless it may hold a secret."""
    if node.secret or (node.model is not None and isinstance(value, str | list | dict)):
        return ""
    return f", got {mask(shown(value))}"


def _cause(item: dict[str, Any]) -> str:
    cause = item.get("ctx", {}).get("error")
    return str(cause) if cause is not None else str(item["msg"])
