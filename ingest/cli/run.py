"""`headrace run`: the service."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = """
Examples:

  headrace run                                   embedded hub, Valkey and folder; no file

  headrace run --config headrace.yaml            what the file says

  HEADRACE_HTTP__PORT=0 headrace run --config headrace.yaml
"""


def run(
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", envvar="HEADRACE_CONFIG", help="The YAML file."),
    ] = None,
) -> None:
    """Receive events, seal batches, start runs, until SIGTERM or Ctrl-C."""
    from batching import failpoints
    from ingest import logs
    from ingest.config import load
    from ingest.service import serve, stop_on_signals

    failpoints.arm(os.environ.get(failpoints.VARIABLE, ""))
    settings = load(config, os.environ)
    logs.configure(settings.logs.format, settings.logs.level)

    async def main() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        await serve(settings, stop)

    asyncio.run(main())
