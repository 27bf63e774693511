"""The `headrace` command: one module a command, errors told in a sentence."""

import sys

import typer
from rich.console import Console

from batching.errors import BatchError

app = typer.Typer(
    name="headrace",
    help="Gathers sensor events into batches and runs Metaflow flows on them, each exactly once.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command; an error made for people is printed as one, without a traceback."""
    try:
        app()
    except BatchError as error:
        Console(stderr=True, highlight=False).print(f"[red]error:[/] {error}", soft_wrap=True)
        sys.exit(2)
