"""The virtual environment of each peer, and of py-spy, made once and kept outside of the clone."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cache import cache

HERE = Path(__file__).parent
INSTALL_SECONDS = 600


class NotInstalled(Exception):
    """A peer cannot be installed here; the message is the last word of the installer."""


def python_of(peer: str) -> Path:
    """Give the Python that has a peer; its versions are those of `<peer>.txt`.

    Raises:
        NotInstalled: no network, no wheel for this Python, or the like.

    """
    home = _home(peer)
    home.parent.mkdir(parents=True, exist_ok=True)
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two may come at once
        if not is_installed(peer):
            _make(home, HERE / f"{peer}.txt")
    return home / "bin/python"


def is_installed(peer: str) -> bool:
    """Tell whether a peer is there already."""
    return (_home(peer) / ".ready").exists()


def versions_of(peer: str) -> dict[str, str]:
    """Give the versions that are pinned."""
    lines = (HERE / f"{peer}.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines)


def _home(peer: str) -> Path:
    wanted = (HERE / f"{peer}.txt").read_bytes()
    digest = hashlib.sha256(wanted + sys.version.encode()).hexdigest()[:8]
    return cache() / "peers" / f"{peer}-{digest}"


def _make(home: Path, wanted: Path) -> None:
    print(f"installing {wanted.stem} into {home}, once", file=sys.stderr)
    shutil.rmtree(home, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(home)])
    pip = [str(home / "bin/python"), "-m", "pip", "install", "--quiet", "--requirement"]
    _run([*pip, str(wanted)])
    (home / ".ready").touch()


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"it took more than {INSTALL_SECONDS} s") from error
    if done.returncode:
        words = [line for line in done.stderr.splitlines() if line.strip()]
        raise NotInstalled(words[-1] if words else f"exit code {done.returncode}")
