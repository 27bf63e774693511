"""Processes that are stopped in the middle of their turn, at each line of it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from random import Random

import pytest

from batching.adapters import turns
from batching.adapters.turns import Turns

WAIT = 0.05
COUNTER = """
import os, signal, sys
from pathlib import Path
from batching.adapters import turns
from tests.batching.adapters.test_turns import WAIT, increment

def trace(frame, event, argument):
    global left
    if frame.f_code.co_filename != turns.__file__:
        return None
    if event == "line":
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
    return trace

turns.TURN_SECONDS = WAIT
folder, left, times = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
sys.settrace(trace)
print(sum(increment(folder) for _ in range(times)))
"""


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_SECONDS", WAIT)


def increment(
    folder: Path, found: bytes | None = None, meanwhile: Callable[[], None] = lambda: None
) -> bool:
    """Count one up where nobody else did since we looked; the first look may take its time."""
    path, new = folder / "n", folder / f"new-{os.getpid()}"
    found = path.read_bytes() if found is None else found
    new.write_bytes(b"%d" % (int(found) + 1))
    own = Turns(path, lock=folder / "lock", staged=folder / "staged")
    waiting = [meanwhile]

    def unchanged() -> bool:
        same = path.read_bytes() == found
        if waiting:
            waiting.pop()()
        return same

    try:
        return own.replace(new, unchanged)
    finally:
        new.unlink()  # it may be the file itself, under another name


@contextmanager
def counting(folder: Path, line: int, times: int = 1) -> Iterator["subprocess.Popen[str]"]:
    """Let another process count, which stops before the given line of all that it runs there."""
    words = [sys.executable, "-c", COUNTER, str(folder), str(line), str(times)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    with process:
        try:
            yield process
        finally:
            process.kill()


def stops(process: "subprocess.Popen[str]") -> bool:
    """Wait until it is stopped; False if it came to its end instead."""
    ended = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    return ended is not None and ended.si_code == os.CLD_STOPPED


def wake_up(process: "subprocess.Popen[str]", counted: list[int]) -> None:
    process.send_signal(signal.SIGCONT)
    counted.append(int(process.communicate()[0]))


@pytest.mark.parametrize("wakes", ["after our turn", "in our turn"])
def test_wherever_one_is_stopped_another_goes_on_and_one_of_them_wins(
    tmp_path: Path, wakes: str
) -> None:
    won = []
    for line in count(1):
        folder = tmp_path / str(line)
        folder.mkdir()
        (folder / "n").write_bytes(b"0")
        with counting(folder, line) as sleeper:
            if not stops(sleeper):
                break
            theirs: list[int] = []
            wake = partial(wake_up, sleeper, theirs)
            if wakes == "in our turn":
                ours = increment(folder, found=b"0", meanwhile=wake)
            else:
                ours = increment(folder, found=b"0")
                assert (folder / "n").read_bytes() == b"1"
                wake()
        assert ours + sum(theirs) == 1
        assert (folder / "n").read_bytes() == b"1"
        assert not list(folder.glob("staged*"))
        won.append(ours)
    assert line > 30
    # who is woken in our turn finds it longer than a second, and goes on without us
    assert set(won) == ({True, False} if wakes == "after our turn" else {False})


@pytest.mark.parametrize("seed", range(4))
def test_three_that_are_stopped_now_and_then_count_as_many_as_they_say(
    tmp_path: Path, seed: int
) -> None:
    (tmp_path / "n").write_bytes(b"0")
    chance, counted = Random(seed), list[int]()
    for _ in range(4):
        lines = [chance.randrange(1, 150) for _ in range(3)]
        with (
            counting(tmp_path, lines[0], 5) as one,
            counting(tmp_path, lines[1], 5) as two,
            counting(tmp_path, lines[2], 5) as three,
        ):
            for process in (one, two, three):
                stops(process)
            counted += [increment(tmp_path) for _ in range(3)]
            for process in (three, one, two):
                wake_up(process, counted)
    assert int((tmp_path / "n").read_bytes()) == sum(counted)
    assert sum(counted) > 12


def test_a_lock_whose_successors_are_held_too_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "n").write_bytes(b"0")
    monkeypatch.setattr(turns, "GIVE_UP_SECONDS", 0.2)
    monkeypatch.setattr(turns, "_try_lock", lambda descriptor, seconds: False)
    with pytest.raises(OSError, match="other processes hold its lock lock"):
        increment(tmp_path)
