"""The settings file: YAML 1.2, with the line of each setting for messages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ingest.settings.problems import Loc, WrongSettings

LARGEST_BYTES = 2**20
_READABLE = "it must be a text file in YAML"


def read_file(path: Path) -> str:
    """Give the text of a file.

    Raises:
        WrongSettings: it is missing, no file, unreadable, no text, or over a megabyte.

    """
    try:
        if path.is_dir():
            raise WrongSettings([f"{path} is a folder; name the settings file in it"])
        raw = path.read_bytes()
        if len(raw) > LARGEST_BYTES:
            raise WrongSettings([f"{path} has {len(raw)} bytes; a settings file has at most 1 MiB"])
        return raw.decode("utf-8-sig")
    except FileNotFoundError:
        raise WrongSettings([f"{path}: there is no such file"]) from None
    except OSError as error:
        raise WrongSettings([f"{path} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise WrongSettings([f"{path} is no UTF-8 text; {_READABLE}"]) from None


def parse(text: str, name: str) -> tuple[dict[str, Any], dict[Loc, str]]:
    """Parse a settings file.

    Args:
        text: its content.
        name: its name, for messages.

    Returns:
        The settings as plain values, and for each path `name:line`.

    Raises:
        WrongSettings: it is no YAML, a key stands twice, or it is no mapping.

    """
    yaml = YAML(typ="safe", pure=True)
    try:
        plain = yaml.load(text)
        node = yaml.compose(text)
    except MarkedYAMLError as error:
        raise WrongSettings([_fault(error, name)]) from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise WrongSettings([f"{name} cannot be read as YAML: {error}"]) from None
    if plain is None:
        return {}, {}
    if not isinstance(plain, dict):
        raise WrongSettings([f"{name} must be a mapping of settings, such as streams: ..."])
    lines = {path: f"{name}:{line}" for path, line in _lines(node, (), set(), name)}
    return _text_keys(plain, {}), lines


def value(text: str) -> Any:
    """Parse a value of the environment that is a list or a mapping.

    Raises:
        ValueError: it is no YAML.

    """
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, RecursionError):
        raise ValueError("cannot be read as YAML or JSON") from None


def _fault(error: MarkedYAMLError, name: str) -> str:
    mark = error.problem_mark or error.context_mark
    where = name if mark is None else f"{name}:{mark.line + 1}"
    if isinstance(error, DuplicateKeyError):
        key = str(error.problem).split('"')[1] if '"' in str(error.problem) else ""
        return f"{where}: {key} stands there twice; keep one of them"
    return f"{where}: {error.problem or error.context}; {_READABLE}"


def _lines(node: Node, path: Loc, seen: set[int], name: str) -> Iterator[tuple[Loc, int]]:
    """Walk keys with their lines, counted from 1; what stands in several places, once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, MappingNode):
        for key, inner in node.value:
            if not isinstance(key, ScalarNode):
                raise WrongSettings([f"{name}:{key.start_mark.line + 1}: a key must be a word"])
            below = (*path, key.value)
            yield below, key.start_mark.line + 1
            yield from _lines(inner, below, seen, name)
    elif isinstance(node, SequenceNode):
        for place, inner in enumerate(node.value):
            yield (*path, place), inner.start_mark.line + 1
            yield from _lines(inner, (*path, place), seen, name)


def _text_keys(value: Any, done: dict[int, Any]) -> Any:
    """Spell keys such as 1 and true as text; `done` holds what refers to itself."""
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, dict):
        named = done[id(value)] = {}
        named.update({_text(key): _text_keys(inner, done) for key, inner in value.items()})
        return named
    if isinstance(value, list):
        listed = done[id(value)] = []
        listed.extend(_text_keys(inner, done) for inner in value)
        return listed
    return value


def _text(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)
