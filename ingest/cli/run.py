"""`headrace run`: the service."""

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer

NOT_DRAINED = 3
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
    """Receive events, seal batches, start runs, until SIGTERM or Ctrl-C; a second one ends at once.

    Exit code 3: it ended within drain_seconds, and left something to the next start.
    """
    from batching import failpoints, interpreter
    from batching.errors import NotDrained
    from batching.structured import structlog
    from ingest import logs
    from ingest.config import load
    from ingest.hurry import Loop
    from ingest.opening import begun
    from ingest.stopping import leave_at_once, stop_on_signals

    failpoints.arm(os.environ.get(failpoints.VARIABLE, ""))
    settings = load(config, os.environ)
    logs.configure(settings.logs.format, settings.logs.level)

    async def main() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop, leave_at_once)
        if settings.workers == 1:
            interpreter.share_memory()
            async with begun(settings) as receiver:  # reads its program while we read ours
                from ingest.service import serve

                interpreter.settle()
                await serve(settings, stop, begun=receiver)
        else:  # who only keeps workers needs no SDK: half a second and 30 MiB
            from ingest.workers.pack import supervise

            interpreter.settle()
            await supervise(settings, stop)

    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(main())
    except NotDrained as error:
        structlog.get_logger().error("not drained", why=str(error))
        raise typer.Exit(NOT_DRAINED) from error
