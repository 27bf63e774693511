"""How a program of this folder is started as a command."""

from collections.abc import Callable

import typer


def start(command: Callable[..., None], example: str) -> None:
    """Run a function as a command, with examples below its help."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=example)(command)
    app()
