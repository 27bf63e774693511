"""The service's clock jumps while it runs, and runs apart from the hub's: only ages feel it."""

import time
from pathlib import Path

import pytest

from tests.faults.plant import FaultPlant, Told

HOUR, YEAR = 3_600, 365 * 86_400
LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
# The library refuses the sleep of Python until a time of the monotonic clock ("Invalid argument"),
# which a service comes to where it waits for a process that is just ending.
SLEEP = """\
import select
import time

def sleep(seconds: float) -> None:
    select.select((), (), (), seconds)

time.sleep = sleep
"""


class TurnedClock:
    """The wall clock of processes that are started with `environment`; others keep theirs."""

    def __init__(self, folder: Path) -> None:
        if not LIBRARIES:
            pytest.skip("libfaketime is not installed (Debian: libfaketime)")
        self._file = folder / "clock"
        self.turn(0)
        start = folder / "python" / "sitecustomize.py"
        start.parent.mkdir()
        start.write_text(SLEEP)
        self.environment = {
            "PYTHONPATH": str(start.parent),
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def turn(self, seconds: int) -> None:
        """Set the clock so far ahead of the true time; it is read anew each second."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}")
        new.replace(self._file)
        time.sleep(1.2)


@pytest.mark.parametrize("seconds", [HOUR, -HOUR, YEAR, -YEAR], ids="{:+d}s".format)
def test_the_clock_jumps_and_jumps_back(tmp_path: Path, told: Told, seconds: int) -> None:
    """While it is wrong, it is also ahead of the hub's or behind it."""
    clock = TurnedClock(tmp_path)
    plant = FaultPlant(tmp_path / "plant", told=told, environment=clock.environment)
    with plant.running():
        plant.warm_up()
        clock.turn(seconds)
        unit = "an hour" if abs(seconds) == HOUR else "a year"
        way = "forward" if seconds > 0 else "back"
        plant.ride_out(f"clock: {way} by {unit}, and while it is wrong", seconds=0)
        clock.turn(0)
        plant.ride_out(f"clock: right again after {way} by {unit}", seconds=0)
        assert hours_told(plant) > 1, "the clock was never turned"


def hours_told(plant: FaultPlant) -> int:
    """Count the hours in which, by its own clock, the service said something."""
    lines = plant.log().splitlines()
    return len({line.rpartition('"timestamp": "')[2][:13] for line in lines})


def test_one_of_two_services_has_a_clock_that_jumps(tmp_path: Path, told: Told) -> None:
    """What it takes over because of the jump costs work alone; from the dead it takes over, too."""
    clock = TurnedClock(tmp_path)
    plant = FaultPlant(tmp_path / "plant", told=told)
    with plant.running():
        plant.warm_up()
        plant.environment |= clock.environment
        plant.start("two")
        plant.says("attached", instance="two")
        for seconds in (HOUR, -HOUR):
            clock.turn(seconds)
            plant.send(60)
        plant.services[0].kill()
        plant.services[0].wait()
        plant.send(60)
        plant.recover("clock: of one service back by an hour, the other one is killed")
