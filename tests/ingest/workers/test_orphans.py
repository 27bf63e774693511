import os
import subprocess
import sys
import time

from ingest.workers.orphans import reap
from tests.processes import alive


def ended() -> int:
    """Start a process that nobody waits for; give its number once it has ended."""
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], os.environ)
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.01)
    return pid


def test_orphans_that_have_ended_leave_the_table_and_children_are_waited_for_by_others() -> None:
    orphan = ended()
    assert alive(orphan)
    reap(known=())
    assert not alive(orphan)
    child = ended()
    reap(known={child})
    assert os.waitpid(child, 0) == (child, 0)


def test_who_still_runs_is_left_alone() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as runs:
        reap(known=())
        assert runs.poll() is None
        assert runs.stdin is not None
        runs.stdin.close()
        runs.wait()
    reap(known=())  # nobody is left at all
