import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from benchmarks import processes

MAPS = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    sum(mapped[::mmap.PAGESIZE])
own = bytearray(int(sys.argv[2]))
print("ready", flush=True)
sys.stdin.read()
"""
MIB = 2**20


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


def test_memory_is_that_of_processes_which_are_alone(tmp_path: Path) -> None:
    (file := tmp_path / "file").write_bytes(bytes(16 * MIB))
    with ExitStack() as stack:
        mapping = []
        for own in (0, 4 * MIB, 8 * MIB):
            command = [sys.executable, "-c", MAPS, str(file), str(own)]
            pipe = subprocess.PIPE
            each = stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe))
            stack.callback(each.stdin.close)
            assert each.stdout.readline() == b"ready\n"
            mapping.append(each.pid)
        alone = [processes.pss_bytes([pid]) for pid in mapping]
        assert alone[0] > 16 * MIB, "others have the file, too"
        assert abs(alone[2] - alone[1] - 4 * MIB) < MIB / 2
        both = processes.pss_bytes(mapping[:2])
        assert 2 * MIB < both - alone[0] < 12 * MIB, "it is there once"
    assert processes.pss_bytes(mapping) == 0, "they have ended"
