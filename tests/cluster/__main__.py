"""The test cluster from the command line: python -m tests.cluster up."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests import azurite
from tests.cluster import needs
from tests.cluster.build import PARTS, build, missing
from tests.cluster.chart import FLOWS, INGEST
from tests.cluster.cluster import Cluster
from tests.cluster.place import ClusterError, home

SERVICE = (INGEST, FLOWS)
EXAMPLES = """
Examples:
  python -m tests.cluster build                    once: some 2,300 CPU-seconds, see README.md
  python -m tests.cluster up                       12 seconds; nothing when it is up
  python -m tests.cluster inside kubectl get pods --all-namespaces
  python -m tests.cluster stop workflow-controller     and start it again later
  python -m tests.cluster down
"""


def say(line: str) -> None:
    """Print a line of progress now, also into a file."""
    print(f"cluster: {line}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what was asked; give 0, or 1 after a message that says what is missing."""
    options = _options(arguments)
    try:
        return COMMANDS[options.command](options)
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1


def _build(options: argparse.Namespace) -> int:
    of_service = SERVICE if options.images else ()
    needed = missing() or [part for part in of_service if not part.built]
    _refuse([*needs.to_run(), *needs.to_build()] if needed else needs.to_run())
    build(say)
    say("azurite ...")
    azurite.install()  # now: from inside a cluster's network nothing can be fetched
    for part in of_service:
        if not part.built:
            say(f"{part.name} ...")
            part.build()
    return 0


def _lacks(_: argparse.Namespace) -> int:
    """Say what is missing; give 0 if nothing is."""
    lacking = [*needs.to_run(), *(needs.to_build() if missing() else [])]
    for line in lacking:
        say(f"missing: {line}")
    return 1 if lacking else 0


def _up(options: argparse.Namespace) -> int:
    _refuse(needs.to_run())
    cluster = Cluster(options.name)
    if not cluster.up(say):
        say("is up already")
    cluster.of_tests.unlink(missing_ok=True)  # who asked wants it to stay
    return 0


def _down(options: argparse.Namespace) -> int:
    Cluster(options.name).down()
    return 0


def _inside(options: argparse.Namespace) -> int:
    cluster = Cluster(options.name)
    words = cluster.words_inside(options.words or [os.environ.get("SHELL", "/bin/sh")])
    os.execvpe(words[0], words, cluster.environment())  # noqa: S606


def _load(options: argparse.Namespace) -> int:
    Cluster(options.name).load(options.archive.resolve())
    return 0


def _start(options: argparse.Namespace) -> int:
    Cluster(options.name).start(options.program)
    return 0


def _stop(options: argparse.Namespace) -> int:
    how = signal.SIGKILL if options.kill else signal.SIGTERM
    Cluster(options.name).stop(options.program, how)
    return 0


def _status(options: argparse.Namespace) -> int:
    """Say what is built and what runs; give 0 when it is up."""
    for part in PARTS:
        state = f"built {_age(part.folder)} ago" if part.built else "not built"
        say(f"{part.name:<12} {state}, {part.folder}")
    _lacks(options)
    cluster = Cluster(options.name)
    running = ", ".join(cluster.running()) if cluster.is_up else ""
    say(f"{cluster.name} is up: {running}" if running else f"{cluster.name} is down")
    say(f"logs are in {cluster.logs}, all of it is in {home()}")
    return 0 if running else 1


def _age(path: Path) -> str:
    minutes = (time.time() - path.stat().st_mtime) / 60
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.0f} h"


def _refuse(lacking: list[str]) -> None:
    if lacking:
        raise ClusterError("\n  ".join(["this machine cannot have it:", *lacking]))


COMMANDS = {
    "lacks": _lacks,
    "build": _build,
    "up": _up,
    "down": _down,
    "inside": _inside,
    "load": _load,
    "start": _start,
    "stop": _stop,
    "status": _status,
}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--name", default="main", help="which cluster of this machine (main)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("lacks", help="say what this machine lacks for it; 0 if nothing")
    building = commands.add_parser("build", help="build programs and images that are missing")
    building.add_argument("--images", action="store_true", help="this clone's two images as well")
    commands.add_parser("up", help="bring it up; once this ends, a pod can run")
    commands.add_parser("down", help="end it; programs, images and logs stay")
    inside = commands.add_parser("inside", help="run a command, or a shell, in its network")
    inside.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD")
    load = commands.add_parser("load", help="give the node an image")
    load.add_argument("archive", type=Path, help="archive of docker's kind, with a tag in it")
    for name, what in (("stop", "end one of the node's programs"), ("start", "start it again")):
        command = commands.add_parser(name, help=what)
        command.add_argument("program", help="such as kube-apiserver; see status")
        if name == "stop":
            command.add_argument("--kill", action="store_true", help="with SIGKILL")
    commands.add_parser("status", help="what is built, and what runs; 0 if it is up")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
