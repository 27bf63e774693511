import subprocess
import sys

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
