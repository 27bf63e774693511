"""The environment of the seed article: Python 3.10 and numpy 1.23.5, built once into a cache."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cache import cache

NUMPY = "1.23.5"
PACKAGES = ("metaflow>=2.15", f"numpy=={NUMPY}", "pyarrow>=14")
PROBE = f"import sys, metaflow, pyarrow, numpy; assert numpy.__version__ == '{NUMPY}', sys.version"
INSTALL_SECONDS = 300


def old_python() -> Path:
    """Give the interpreter of that environment, or skip with the reason why there is none."""
    base = next(filter(_is_310, _candidates()), None)
    if base is None:
        pytest.skip("no working Python 3.10 on PATH or under PYENV_ROOT")
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    home = folder / f"python3.10-numpy{NUMPY}"
    with (folder / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _works(home / "bin/python", PROBE):
            _build(base, home)
    return home / "bin/python"


def _candidates() -> Iterator[str]:
    if found := shutil.which("python3.10"):
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob("versions/3.10*/bin/python"), reverse=True))


def _is_310(python: str) -> bool:
    return _works(python, "import sys, venv, ensurepip; assert sys.version_info[:2] == (3, 10)")


def _works(python: "str | Path", code: str) -> bool:
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _build(base: str, home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run([base, "-m", "venv", home], check=True, capture_output=True, timeout=120)
    install = [home / "bin/python", "-m", "pip", "install", "-q", *PACKAGES]
    try:
        done = subprocess.run(
            install, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"installing numpy {NUMPY} took more than {INSTALL_SECONDS} s")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        pytest.skip(f"numpy {NUMPY} for Python 3.10 cannot be installed: {reason}")
    assert _works(home / "bin/python", PROBE), "the environment was built, yet does not import"
