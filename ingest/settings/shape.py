"""What settings there are: groups, names and values, read from the types themselves."""

import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from ingest.settings.kinds import Accepts, Hidden

PREFIX, DELIMITER = "HEADRACE_", "__"
_PLAIN = {str: "text", Path: "a path", SecretStr: "text, a secret", bool: "true or false"}
_UNIONS = (Union, types.UnionType)


class Node(NamedTuple):
    """One setting: a value, a group (`model`), or names with a group each (`named` too)."""

    field: FieldInfo
    model: type[BaseModel] | None
    named: bool

    @property
    def secret(self) -> bool:
        """Tell whether its value must never be shown."""
        return SecretStr in (self.field.annotation, *get_args(self.field.annotation))

    @property
    def free(self) -> bool:
        """Tell whether it is a mapping with names of somebody else's."""
        return self.model is None and get_origin(self.field.annotation) is dict


def children(model: type[BaseModel]) -> dict[str, Node]:
    """Give the settings of a group by name, but for those that only reserve a name."""
    return {
        name: Node(field, *_group(field.annotation))
        for name, field in model.model_fields.items()
        if not _marks(field.annotation, field.metadata, Hidden)
    }


def find(model: type[BaseModel], path: Sequence[Any]) -> Node | None:
    """Find a setting by its path, None if there is none (or only a name, as `streams.x`)."""
    node: Node | None = None
    group: type[BaseModel] | None = model
    steps = iter(path)
    for step in steps:
        node = children(group).get(str(step)) if group is not None else None
        if node is None:
            return None
        group = node.model
        if node.named and next(steps, None) is None:
            return node
    return node


def group_at(model: type[BaseModel], path: Sequence[Any]) -> type[BaseModel] | None:
    """Give the group that stands at a path, None if it is a value."""
    if not path:
        return model
    node = find(model, path)
    return None if node is None else node.model


def leaves(
    model: type[BaseModel], names: Mapping[str, Sequence[str]] | None = None
) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Walk all values with their paths.

    Args:
        model: the group to begin at.
        names: of named groups, such as streams; `<name>` stands for them if not given.

    """
    for name, node in children(model).items():
        if node.model is None:
            yield (name,), node
            continue
        heads: list[tuple[str, ...]] = [(name,)]
        if node.named:
            known = ("<name>",) if names is None else names.get(name, ())
            heads = [(name, each) for each in known]
        for head in heads:
            yield from (((*head, *path), leaf) for path, leaf in leaves(node.model))


def accepts(node: Node) -> str:
    """Say what a setting accepts."""
    if node.named:
        return "a mapping of names to groups"
    if node.model is not None:
        return f"a mapping with {', '.join(children(node.model))}"
    if node.free:
        return f"a mapping of names, each to {accepts_inside(node)}"
    return _accepts(node.field.annotation, node.field.metadata)


def said(node: Node) -> str | None:
    """Give what a setting says itself that it accepts, as a group does that may be a word."""
    marks = [mark.text for mark in node.field.metadata if isinstance(mark, Accepts)]
    return marks[-1] if marks else None


def accepts_inside(node: Node) -> str:
    """Say what each name of a mapping with names of somebody else's accepts."""
    return _accepts(get_args(node.field.annotation)[1])


def variable(path: Sequence[str]) -> str:
    """Name the environment variable of a setting."""
    return PREFIX + DELIMITER.join(path).upper()


def _accepts(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    said = [mark.text for mark in metadata if isinstance(mark, Accepts)]
    if said:
        return said[-1]
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _accepts(inner[0], inner[1:])
    if origin in _UNIONS:
        kinds = [_accepts(each) for each in inner if each is not types.NoneType]
        return f"{' or '.join(kinds)}, or null"
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    return _PLAIN.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _group(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """Find the group in an annotation, and whether names come before it."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    if origin is dict:
        return _group(inner[1])[0], _group(inner[1])[0] is not None
    if origin is Annotated:
        return _group(inner[0])
    if origin in _UNIONS:
        found = [_group(each) for each in inner if _group(each)[0] is not None]
        return found[0] if found else (None, False)
    return None, False


def _marks(annotation: Any, metadata: Sequence[Any], kind: type) -> bool:
    if any(isinstance(mark, kind) for mark in metadata):
        return True
    inner = get_args(annotation)
    return get_origin(annotation) is Annotated and _marks(inner[0], inner[1:], kind)
