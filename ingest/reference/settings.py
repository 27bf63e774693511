"""The page of settings, from their types."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from ingest.reference.tables import NOTE, table
from ingest.settings.environment import RESERVED
from ingest.settings.secrets import AZURE_VARIABLE, SECRETS
from ingest.settings.service import Settings
from ingest.settings.shape import Node, accepts, children, leaves, said, variable
from ingest.settings.stream import Sensor
from ingest.units import DURATION_UNITS, SIZE_UNITS, Duration, Size

_MANY = 10_000
_SHORT = {
    Duration.ACCEPTS: "a duration",
    Size.ACCEPTS: "a size",
    ", relative to where headrace is started": "",
}
HEAD = ("Setting", "Accepts", "Default", "What it does", "Variable")
INTRO = """# Settings

One YAML file (`headrace run --config FILE`), and variables that begin with `HEADRACE_`: defaults
count least, then the file, then variables. `headrace check FILE` names every wrong setting, and
`headrace check FILE --show` prints all that are in force. Without a file the embedded default at
the end of this page counts.

- The file is YAML 1.2: only `true` and `false` are booleans, a key that stands twice is an error.
- A variable's name is the path with `__` between its steps: `HEADRACE_BUNDLE__LINGER="2 s"` sets
  `bundle.linger`; a list or a mapping is written as JSON; `null` switches off what can be.
- `<NAME>` stands for the name of a stream or a job: a-z, 0-9 and `_`, beginning with a letter, at
  most 40.
- Secrets never stand in the file: see [Secrets](#secrets).
- A duration is a number of seconds, or has a unit: {durations}; `5 min`, `1.5 h`.
- A size is a number of bytes, or has a unit: {sizes}; `8 MiB`, `10 MB`.
- A relative path counts from where `headrace` is started.
- Of settings that exclude each other, such as two sources, one in a variable replaces one in the
  file.
"""


def page() -> str:
    """Write the page."""
    intro = INTRO.format(durations=", ".join(DURATION_UNITS), sizes=", ".join(SIZE_UNITS))
    parts = [NOTE, intro, *_tables(), _secrets(), _reserved(), _default()]
    return "\n".join(parts)


def _tables() -> Iterator[str]:
    plain = [(name, node) for name, node in children(Settings).items() if node.model is None]
    yield "## The service\n"
    yield table(HEAD, [_row((name,), node) for name, node in plain])
    for name, node in children(Settings).items():
        if node.model is not None:
            yield from _group(name, node, node.model)


def _group(name: str, node: Node, model: type[BaseModel]) -> Iterator[str]:
    head = (name, "<name>") if node.named else (name,)
    yield f"## `{'.'.join(head)}`\n"
    yield f"{model.__doc__}\n"
    yield table(HEAD, [_row((*head, *path), leaf) for path, leaf in _worded(model)])


def _worded(model: type[BaseModel]) -> Iterator[tuple[tuple[str, ...], Node]]:
    """Walk all values, and before its own each group that may be a word as well."""
    told: set[str] = set()
    for path, leaf in leaves(model):
        node = children(model)[path[0]]
        if node.model is not None and path[0] not in told and said(node):
            yield path[:1], node
        told.add(path[0])
        yield path, leaf


def _row(path: tuple[str, ...], node: Node) -> tuple[str, ...]:
    name = SECRETS.get(path) or variable(path)
    return (
        f"`{'.'.join(path)}`",
        _short(said(node) or accepts(node)),
        _default_of(node),
        node.field.description or "",
        f"`{name}`",
    )


def _short(text: str) -> str:
    """Leave out what the page says at its head."""
    for long, short in _SHORT.items():
        text = text.replace(long, short)
    return text


def _default_of(node: Node) -> str:
    default = node.field.default
    if node.field.default_factory is not None:
        return "the machine's name"
    if default is PydanticUndefined:
        return "**required**"
    if default is None:
        return "not set"
    return f"`{_spell(default)}`"


def _spell(value: Any) -> str:
    if isinstance(value, Duration | Size | Path | str):
        return str(value) or '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Sensor):
        return value.spec().by
    if isinstance(value, int):
        return f"{value:_}" if value >= _MANY else str(value)
    return "{}" if isinstance(value, dict) else "[]"


def _secrets() -> str:
    rows = [
        (f"`{'.'.join(path)}`", f"`{name}`", f"`{'.'.join(path)}_file`")
        for path, name in SECRETS.items()
    ]
    return (
        "## Secrets\n\nA secret comes from a variable, or from a file that holds nothing else, such"
        " as one that Kubernetes mounts. It never shows in messages, logs or `--show`. A password"
        " in `redis.url` is taken out of it and treated alike.\n\n"
        + table(("Setting", "Variable", "File"), rows)
        + f"\nWhere Azure has neither an account nor a connection string, `{AZURE_VARIABLE}`"
        " counts. With `HEADRACE_EVENT_HUBS_CONNECTION` and no `source` at all, events come from"
        " there.\n"
    )


def _reserved() -> str:
    names = ", ".join(f"`{name}`" for name in sorted(RESERVED))
    return (
        "## Other variables\n\nAny other variable that begins with `HEADRACE_` is an error, since"
        f" it is most likely misspelled. Not settings of the service, and left alone: {names}, and"
        " what Kubernetes sets for Services whose names begin with headrace.\n"
    )


def _default() -> str:
    text = (files("ingest") / "data" / "default.yaml").read_text(encoding="utf-8")
    return f"## The embedded default\n\n```yaml\n{text}```\n"
