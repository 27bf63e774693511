"""A part of the cluster: built once, and kept in a folder named after all that went into it."""

import hashlib
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.cluster.place import HERE, ClusterError, alone, home

TAIL_LINES = 15


@dataclass(frozen=True)
class Part:
    """One folder of programs or images.

    `make` fills an empty folder. `fetch` downloads what it will need, and may run while other
    parts are being made. A change to a file of `sources`, or to a part of `needs`, makes another
    part of it, with a folder of its own.
    """

    name: str
    make: Callable[[Path], None]
    sources: tuple[Path, ...]
    needs: tuple["Part", ...] = ()
    fetch: Callable[[], None] | None = None

    @cached_property
    def key(self) -> str:
        return key_of(self.sources, self.needs)

    @property
    def folder(self) -> Path:
        return home() / f"{self.name}-{self.key}"

    @property
    def built(self) -> bool:
        return self.folder.exists()

    def build(self) -> None:
        """Make it, unless it is there; a part that failed half-way is not there."""
        with alone(self.folder.name):
            if self.built:
                return
            fresh = self.folder.with_name(f"{self.folder.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            self.make(fresh)
            fresh.rename(self.folder)


def key_of(sources: Sequence[Path], needs: Sequence[Part]) -> str:
    """Give a hash of files, of all files in folders, and of parts."""
    digest = hashlib.sha256(platform.machine().encode())
    for path in _files(sources):
        content = path.read_bytes()
        digest.update(f"{os.path.relpath(path, HERE)} {len(content)}\n".encode() + content)
    for part in needs:
        digest.update(part.key.encode())
    return digest.hexdigest()[:12]


def _files(sources: Sequence[Path]) -> Iterator[Path]:
    for source in sources:
        inside = source.rglob("*") if source.is_dir() else [source]
        yield from sorted(
            path for path in inside if path.is_file() and "__pycache__" not in path.parts
        )


def command(words: Sequence[str | Path], *, log: str, environment: dict[str, str]) -> str:
    """Run one command of a build; its messages go to a log, its output is given.

    Raises:
        ClusterError: it cannot be run or it failed; with the end of its log.
    """
    path = home() / "logs" / f"build-{log}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as messages:
        messages.write(f"+ {' '.join(map(str, words))}\n")
        messages.flush()
        try:
            done = subprocess.run(
                [str(word) for word in words],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=messages,
                text=True,
                check=False,
            )
        except FileNotFoundError as error:
            raise ClusterError(f"{log}: there is no program {error.filename}") from error
        messages.write(done.stdout)
    if done.returncode:
        end = "\n".join(path.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        raise ClusterError(f"{log}: {words[0]} gave {done.returncode}; {path} ends with\n{end}")
    return done.stdout
