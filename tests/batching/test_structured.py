import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LEFT_OUT = """
import sys
{before}
from batching.structured import structlog
assert structlog.dev.default_exception_formatter is structlog.dev.plain_traceback
assert not {{"rich.traceback", "pygments"}} & set(sys.modules)
assert ("rich" in sys.modules) is {loaded}
from rich.traceback import Traceback
"""


@pytest.mark.parametrize(("before", "loaded"), [("", False), ("import rich.console", True)])
def test_structlog_is_loaded_without_what_draws_tracebacks(before: str, *, loaded: bool) -> None:
    program = LEFT_OUT.format(before=before, loaded=loaded)
    subprocess.run([sys.executable, "-c", program], check=True)


def test_nobody_loads_structlog_with_it() -> None:
    ours = [
        path
        for room in ("batching", "ingest", "benchmarks", "flows")
        for path in (ROOT / room).rglob("*.py")
        if path != ROOT / "batching" / "structured.py"
    ]
    loading = ("import structlog", "from structlog")
    lines = [(path, line) for path in ours for line in path.read_text().splitlines()]
    assert [path for path, line in lines if line.lstrip().startswith(loading)] == []
