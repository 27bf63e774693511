"""The `headrace` command: one module a command, errors told in a sentence."""

import sys
from importlib import import_module
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from batching.errors import BatchError
from ingest.cli.options import OPTIONS

COMMANDS = {
    "run": "Receive events, seal batches, start runs.",
    "check": "Check the settings.",
    "hub": "Run an embedded Event Hubs for the unmodified azure-eventhub SDK.",
    "send": "Send what real sensors send: bursts, silences, late, some twice.",
    "status": "Show partitions and jobs as they lie in the store.",
    "verify": "Account for every event, batch and run in the store.",
    "runs": "List runs, show one with all that it has, or try one again.",
    "trace": "Follow an event to its batch, runs and results, and back.",
    "dead-letters": "List events that were set aside, look at one, drive them again.",
    "drain": "Make the service seal every batch and commit.",
    "jobs": "Show the jobs of a store, or end one.",
    "deploy": "Bring a flow to Argo Workflows, or say why it would fail there.",
    "demo": "Run hub, service, sensors and a flow on this machine; prove it.",
}
HELP = "Gathers sensor events into batches and runs Metaflow flows on them, each exactly once."


class Commands(TyperGroup):
    """Imports a command when it is called: each needs other libraries, and up to a second."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Name the commands, in the order of a first day."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> TyperCommand | None:  # type: ignore[override]
        """Tell of a command what a list says of it."""
        del ctx
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name]) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Import the command that is called."""
        _, stub, rest = super().resolve_command(ctx, args)
        return (stub.name, imported(stub.name), rest) if stub and stub.name else (None, None, rest)


def imported(name: str) -> Any:
    """Import one command, or a group of them."""
    module = import_module(f"ingest.cli.{name.replace('-', '_')}")
    if hasattr(module, "group"):
        return typer.main.get_command(module.group)
    single = typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, context_settings=OPTIONS
    )
    single.command(name, epilog=module.EXAMPLE)(getattr(module, name.replace("-", "_")))
    return typer.main.get_command(single)


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
