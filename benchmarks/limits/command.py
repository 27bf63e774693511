"""What all programs have in common: options, and how they are started."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from batching import interpreter
from benchmarks.command import start as run
from benchmarks.owners import silent

Repeat = Annotated[int, typer.Option(min=1, help="How often all is measured.")]
Quick = Annotated[bool, typer.Option("--quick", help="Does it work? As little as can be, once.")]
Full = Annotated[bool, typer.Option("--full", help="Largest sizes, too; takes much longer.")]
Place = Annotated[Path | None, typer.Option("--folder", help="Where to put it all meanwhile.")]


def start(command: Callable[..., None], example: str) -> None:
    """Run a program as a command, with Python's interpreter set as the service has it."""
    silent()
    interpreter.settle()
    run(command, example)
