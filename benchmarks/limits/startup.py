"""How long it takes from the start of a process to the first event that is kept, and to a help.

`owner` imports the durable path, starts a Valkey, attaches, and appends one event. `service` is
`headrace run` with settings, hub and SDK: an event waits in an embedded hub that runs already,
and Valkey is asked from outside until it has it. `sdk_link` is the SDK alone, with its own pauses.
All libraries were read before, so they are warm; our own modules are compiled at each start where
PYTHONDONTWRITEBYTECODE is set and nobody has compiled them.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import redis

from batching.adapters.embedded_valkey import EmbeddedValkey
from benchmarks import bare, load, processes
from benchmarks.contenders import ROOT
from benchmarks.figures import Figures
from benchmarks.limits.command import Place, Quick, Repeat, start
from benchmarks.load import Shape
from benchmarks.place import BenchmarkFailed, Hub, Service

LOOK_SECONDS, LONGEST_SECONDS = 0.002, 30.0
SHAPE = Shape("one", 2, 100)
EXAMPLE = """
Examples:

  python -m benchmarks.limits.startup                   eleven times each

  python -m benchmarks.limits.startup --quick           does it work? once
"""


def startup(*, repeat: Repeat = 11, quick: Quick = False, folder: Place = None) -> None:
    """Measure start-up of the owner, the service and the help."""
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="hr-bench-", dir=folder) as place_:
        hub = Hub(Path(place_), [SHAPE.name], 1)
        try:
            connection = hub.connection()
            asyncio.run(load.send(connection, SHAPE.name, "0", [("a", next(SHAPE.bodies(0)))]))
            for run in range(-1, 1 if quick else repeat):  # the first one warms
                out = Path(place_) / str(run)
                out.mkdir()
                found = {
                    "owner": _owner(out),
                    "service": _service(out / "service", hub, connection),
                    "sdk_link": asyncio.run(_link(connection)),
                    "help": _ended(_headrace("--help")),
                    "python": _ended([sys.executable, "-c", "pass"]),
                }
                for name, seconds in found.items() if run >= 0 else ():
                    figures.add(f"{name}.took", "s", seconds)
        finally:
            processes.end(hub.process)
    figures.show("from the start of a process")


def _owner(folder: Path) -> float:
    """Give seconds until a process that is only an owner has appended an event."""
    began = time.time()
    command = [sys.executable, "-m", "benchmarks.limits.first", str(folder / "owner")]
    said = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    return float(said) - began


def _service(folder: Path, hub: Hub, connection: str) -> float:
    """Give seconds until the service has appended the event that waits in the hub."""
    service = Service(folder, hub, connection, SHAPE)
    try:
        deadline = service.began + LONGEST_SECONDS
        with redis.Redis.from_url(EmbeddedValkey(folder / "valkey").url) as client:
            while not _has_one(client):
                if time.perf_counter() > deadline or service.process.poll() is not None:
                    raise BenchmarkFailed("the service has not appended the event")
                time.sleep(LOOK_SECONDS)
        return time.perf_counter() - service.began
    finally:
        processes.end(service.process)


async def _link(connection: str) -> float:
    """Give seconds from asking the SDK for events to the first one, on the usual event loop."""
    began = time.perf_counter()
    found = await bare.receive(connection, SHAPE.name, 1, 1, lambda _: None)
    return found.began[0] - began


def _has_one(client: redis.Redis) -> bool:
    """Tell whether a partition's `w` says that event 0 was appended."""
    try:
        return any(int(client.get(key) or -1) >= 0 for key in client.keys("hr:*}:w"))
    except redis.ConnectionError:
        return False  # it has not started yet


def _headrace(*words: str) -> list[str]:
    """Spell a command as it is installed, or as a module where it is not."""
    script = Path(sys.executable).with_name("headrace")
    return [*([str(script)] if script.exists() else [sys.executable, "-m", "ingest"]), *words]


def _ended(command: list[str]) -> float:
    """Give seconds until a command has ended."""
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


if __name__ == "__main__":
    start(startup, EXAMPLE)
