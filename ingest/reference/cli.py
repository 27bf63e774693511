"""The page of the `headrace` command, from the commands themselves."""

import inspect
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from ingest.cli import COMMANDS, imported
from ingest.reference.tables import NOTE, table

HEAD = ("Option", "Accepts", "Default", "What it does")
WORDS = {
    bool: "-",
    int: "a whole number",
    float: "a number",
    Path: "a path",
    str: "text",
    list: "text",
}
INTRO = """# The `headrace` command

`headrace COMMAND --help` says the same. Wrong settings and servers that do not answer are told in
a sentence, with exit code 2. Options that take a variable say which; an option wins over it.
"""


def page() -> str:
    """Write the page."""
    parts = [NOTE, INTRO]
    for name, command in commands().items():
        parts += [
            f"## `headrace {name}`\n",
            _help(command),
            *_options(command),
            *_examples(command),
        ]
    return "\n".join(parts)


def commands() -> dict[str, Any]:
    """Give each command by its name, in the order of `headrace --help`; those of a group too."""
    found: dict[str, Any] = {}
    for name in COMMANDS:
        command = imported(name)
        inner = getattr(command, "commands", None)
        found |= {name: command} if inner is None else {f"{name} {n}": c for n, c in inner.items()}
    return found


def _help(command: Any) -> str:
    return f"{inspect.cleandoc(command.help or '')}\n"


def _options(command: Any) -> Iterator[str]:
    kinds = _kinds(inspect.unwrap(command.callback))
    rows = [_row(each, kinds[each.name]) for each in command.params if each.name in kinds]
    if rows:
        yield table(HEAD, rows)


def _kinds(callback: Any) -> dict[str, type]:
    """Give the plain type of each parameter; typer's own word for it changes with its version."""
    hints = get_type_hints(callback)
    hints.pop("return", None)
    return {name: _plain(hint) for name, hint in hints.items()}


def _plain(hint: Any) -> type:
    """Give `Path` for `Path | None`, and `list` for `list[str]`."""
    if isinstance(hint, UnionType):
        (hint,) = (each for each in get_args(hint) if each is not NoneType)
    found: type = get_origin(hint) or hint
    return found


def _row(option: Any, kind: type) -> tuple[str, ...]:
    names = [*option.opts, *option.secondary_opts]
    if option.param_type_name == "argument":
        names = [str(option.name).upper()]
    about = option.help or ""
    if option.envvar:
        about += f" Variable: `{option.envvar}`."
    accepts = option.metavar or WORDS[kind]
    many = ", repeatable" if kind is list and "repeat" not in about else ""
    spelled = ", ".join(f"`{each}`" for each in names)
    return spelled, f"{accepts}{many}", _default(option), about


def _default(option: Any) -> str:
    if option.required:
        return "**required**"
    if option.default is None or option.default is False:
        return "-"
    return f"`{option.default}`"


def _examples(command: Any) -> Iterator[str]:
    lines = [line.strip() for line in (command.epilog or "").strip().splitlines()]
    for code, group in itertools.groupby(filter(None, lines), _is_command):
        yield "".join(f"    {line}\n" if code else f"{line}\n" for line in group)


def _is_command(line: str) -> bool:
    return re.match(r"(HEADRACE_\w+=\S+ )?headrace ", line) is not None
