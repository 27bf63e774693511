"""The `headrace` command: one module a command, errors told in a sentence."""

import sys

import typer
from rich.console import Console
from rich.markup import escape

from batching.errors import BatchError
from ingest.cli import check, demo, hub, run, send, status, verify

app = typer.Typer(
    name="headrace",
    help="Gathers sensor events into batches and runs Metaflow flows on them, each exactly once.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
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


app.command("hub", epilog=hub.EXAMPLE)(hub.hub)
app.command("run", epilog=run.EXAMPLE)(run.run)
app.command("send", epilog=send.EXAMPLE)(send.send)
app.command("status", epilog=status.EXAMPLE)(status.status)
app.command("verify", epilog=verify.EXAMPLE)(verify.verify)
app.command("demo", epilog=demo.EXAMPLE)(demo.demo)
app.command("check", epilog=check.EXAMPLE)(check.check)
