"""Options that most commands have, and how a command or a group of them is built."""

from pathlib import Path
from typing import Annotated

import typer

OPTIONS = {"help_option_names": ["-h", "--help"]}
Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="HEADRACE_CONFIG", help="The service's YAML file."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def new_group(name: str, about: str, examples: str) -> typer.Typer:
    """Make a command that is a group of commands."""
    return typer.Typer(
        name=name,
        help=about,
        epilog=examples,
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings=OPTIONS,
    )
