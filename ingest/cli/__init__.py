"""The `headrace` command: one module a command, errors told in a sentence."""

import sys
from importlib import import_module

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from batching.errors import BatchError

COMMANDS = (
    "run", "check", "hub", "send", "status", "verify", "runs", "dead-letters", "drain", "jobs",
    "deploy", "demo",
)  # fmt: skip
HELP = "Gathers sensor events into batches and runs Metaflow flows on them, each exactly once."
OPTIONS = {"help_option_names": ["-h", "--help"]}


class Commands(TyperGroup):
    """Imports a command when it is asked for: each needs other libraries, and half a second."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Name the commands, in the order of a first day."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> typer.core.TyperCommand | None:  # type: ignore[override]
        """Import one command, or a group of them."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"ingest.cli.{cmd_name.replace('-', '_')}")
        if hasattr(module, "group"):
            return typer.main.get_command(module.group)  # type: ignore[return-value]
        single = typer.Typer(
            add_completion=False, pretty_exceptions_enable=False, context_settings=OPTIONS
        )
        single.command(cmd_name, epilog=module.EXAMPLE)(getattr(module, cmd_name))
        return typer.main.get_command(single)  # type: ignore[return-value]


app = typer.Typer(
    name="headrace",
    cls=Commands,
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings=OPTIONS,
)


@app.callback()
def headrace() -> None:
    """Gathers sensor events into batches and runs Metaflow flows on them, each exactly once."""


def main() -> None:
    """Run the command; an error made for people is printed as one, without a traceback."""
    try:
        app()
    except BatchError as error:
        told = Console(stderr=True, highlight=False, emoji=False)  # names may look like markup
        told.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(2)
