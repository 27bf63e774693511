import platform
import subprocess
import sys

import pytest

SETTLED = """
import gc, sys
from batching import interpreter
class Ring: ...
ring, gone = Ring(), []
ring.itself = ring
interpreter.settle()
assert gc.get_freeze_count() > 1_000
assert abs(sys.getswitchinterval() - interpreter.SWITCH_SECONDS) < 1e-6
late = Ring()
late.itself = late
gc.callbacks.append(lambda phase, facts: gone.append(facts["collected"]))
del late
made = [[] for _ in range(interpreter.YOUNG + 1)]
assert sum(gone) >= 1, gone
"""


def test_what_is_there_is_left_alone_and_new_cycles_are_still_found() -> None:
    subprocess.run([sys.executable, "-c", SETTLED], check=True)  # a process of its own: it stays so


MEMORY = """
import os, re, threading
from pathlib import Path
from batching import interpreter
from batching.arrow import pa
interpreter.settle()
assert "ARROW_DEFAULT_MEMORY_POOL" not in os.environ, "that of other processes is theirs"
assert pa.default_memory_pool().backend_name == "system"
held, done = [], threading.Barrier(5)
def take():
    held.append([bytearray(100_000) for _ in range(10)])
    done.wait()
    done.wait()
def aligned():  # a thread's heap begins at a multiple of 64 MiB
    begins = re.findall("^([0-9a-f]+)-", Path("/proc/self/maps").read_text(), re.MULTILINE)
    return {begin for begin in begins if int(begin, 16) % 2**26 == 0}
before = aligned()
threads = [threading.Thread(target=take) for _ in range(4)]
for thread in threads: thread.start()
done.wait()
heaps = aligned() - before
done.wait()
assert not heaps, heaps
"""

LARGE = """
import re
from pathlib import Path
from batching import interpreter
interpreter.settle()
def resident():
    said = Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\\s+([0-9]+) kB", said)[1]) // 1024
given_back = bytearray(2**23)
del given_back  # from here on glibc would take what is smaller from the heap
taken = [(bytearray(interpreter.LARGE_BYTES), bytearray(6_000)) for _ in range(50)]
full = resident()
kept = [small for _, small in taken]
del taken
assert resident() < full - 40, (resident(), full)
"""

AGAIN = """
import resource
from batching import interpreter
interpreter.settle()
def cleared():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def takes():
    return bytearray(2**18), bytearray(2**19), bytearray(2**19)
takes()
before = cleared()
for _ in range(100):
    takes()
assert cleared() - before < 5_000, "pages of 4 kB that the kernel had to clear"
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of threads are the GNU's")
def test_threads_and_arrow_take_memory_from_one_heap() -> None:
    subprocess.run([sys.executable, "-c", MEMORY], check=True)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the threshold is the GNU's")
def test_large_pieces_are_given_back_whatever_is_between_them() -> None:
    subprocess.run([sys.executable, "-c", LARGE], check=True)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the thresholds are the GNU's")
def test_what_an_append_needs_is_taken_again_without_asking_the_kernel() -> None:
    subprocess.run([sys.executable, "-c", AGAIN], check=True)
