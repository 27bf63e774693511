import os
import subprocess
import sys
from pathlib import Path

from benchmarks import processes


def test_who_works_in_a_folder_is_found_without_its_parent(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    waits = [sys.executable, "-c", "print(flush=True); input()"]
    pipe = subprocess.PIPE
    with subprocess.Popen(waits, cwd=below, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert processes.working_in(tmp_path) == [process.pid]
        assert processes.working_in(tmp_path / "other") == []
        assert os.getpid() not in processes.working_in(tmp_path)
        process.communicate(b"\n")
    assert processes.working_in(tmp_path) == []
