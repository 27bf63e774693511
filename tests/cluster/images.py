"""Container images as archives that a node is given; buildah makes them, no registry is asked."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.parts import Part, command
from tests.cluster.place import HERE, alone, home
from tests.cluster.programs import ARGO_PROGRAMS

CONTAINERS = HERE / "containers"
ARCHIVE = "image.tar"
BUSYBOX = Path("/bin/busybox")


def _buildah(*words: str | Path, log: str) -> str:
    store = ("--root", home() / "storage", "--runroot", home() / "storage-run")
    command_line = ["buildah", *store, "--storage-driver", "overlay", *words]
    return command(command_line, log=log, environment=dict(os.environ))


def build(
    context: Path,
    tag: str,
    archive: Path,
    *,
    containerfile: Path | None = None,
    target: str | None = None,
    arguments: Mapping[str, str] | None = None,
) -> None:
    """Build an image and write it to an archive that `Cluster.load` takes.

    Args:
        context: folder that the Containerfile copies from.
        tag: full name, such as localhost/flows:latest; pods name it so, never to be pulled.
        archive: file to write; one that is there is replaced.
        containerfile: `context / "Containerfile"` unless given.
        target: stage to build; the last unless given.
        arguments: build arguments; `base()` gives a value for the base image.

    Raises:
        ClusterError: buildah failed.
    """
    log = tag.rpartition("/")[2].partition(":")[0]  # localhost/flows:latest: flows
    # The default isolation raises limits, which takes a capability that containers often lack.
    words = ["build", "--isolation", "chroot", "--tag", tag]
    words += ["--file", str(containerfile or context / "Containerfile")]
    words += ["--target", target] if target else []
    for name, value in (arguments or {}).items():
        words += ["--build-arg", f"{name}={value}"]
    fresh = archive.with_name(f"{archive.name}.new")
    fresh.unlink(missing_ok=True)
    with alone("storage"):
        _buildah(*words, context, log=log)
        # Not compressed, as this format never is: it is unpacked at each start.
        _buildah("push", "--quiet", tag, f"docker-archive:{fresh}:{tag}", log=log)
    fresh.rename(archive)


def base() -> str:
    """Give the name of the base image, Debian with Python 3.13, for the build argument `BASE`."""
    BASE.build()
    tag = f"localhost/python:{BASE.key}"
    with alone("storage"):
        if tag not in _buildah("images", "--format", "{{.Name}}:{{.Tag}}", log="base").split():
            _buildah("pull", "--quiet", f"docker-archive:{BASE.folder / ARCHIVE}", log="base")
            _buildah("tag", "localhost/python:3.13", tag, log="base")
    return tag


def _image(name: str, tag: str, to: Path, *files: Path) -> None:
    """Build the image of `containers/NAME` with these files beside its Containerfile."""
    with tempfile.TemporaryDirectory(dir=home(), prefix=f"image-{name}-") as folder:
        context = Path(folder)
        shutil.copyfile(CONTAINERS / name / "Containerfile", context / "Containerfile")
        for file in files:
            shutil.copy(file, context)
        build(context, tag, to / ARCHIVE)


def _base(to: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home(), prefix="debian-") as folder:
        root = Path(folder) / "root.tar"
        make = CONTAINERS / "base/root.sh"
        command([make, root], log="base", environment=dict(os.environ))
        _image("base", "localhost/python:3.13", to, root)


BASE = Part("base", _base, (CONTAINERS / "base",))
PAUSE = Part(
    "pause",
    lambda to: _image("pause", "localhost/pause:latest", to, BUSYBOX),
    (CONTAINERS / "pause", Path(__file__)),
)
ARGOEXEC = Part(
    "argoexec",
    lambda to: _image(
        "argoexec", "localhost/argoexec:latest", to, ARGO_PROGRAMS.folder / "argoexec"
    ),
    (CONTAINERS / "argoexec", Path(__file__)),
    needs=(ARGO_PROGRAMS,),
)
