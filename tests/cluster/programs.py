"""The cluster's programs, built from Go modules whose versions stand in go/*/go.mod."""

import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

from tests.cluster.parts import Part, command
from tests.cluster.place import HERE, home

GO = HERE / "go"
ARGO = "github.com/argoproj/argo-workflows/v4"
VERSION = "k8s.io/component-base/version"


def _go(module: str, *words: str | Path) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}
    return command(["go", "-C", GO / module, *words], log=module, environment=environment)


def _build(module: str, to: Path, *more: str | Path, link: str = "") -> None:
    """Build the module's own program into a file, or its tools into a folder that is there."""
    flags: list[str | Path] = [
        "-buildvcs=false",
        "-trimpath",
        "-ldflags",
        f"-s -w {link}",
        "-o",
        to,
    ]
    _go(module, "build", *flags, *more, "tool" if to.is_dir() else ".")


def _fetch(module: str, what: str) -> None:
    """Download the modules that are compiled; `go mod download` would take many more."""
    _go(module, "list", "-deps", "-f", "{{if .Error}}{{.Error}}{{end}}", what)


def _kubernetes(to: Path) -> None:
    """Build kube; charts ask the API server for a version, which is written when linking."""
    version = _go("kubernetes", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes").strip()
    major, minor, _ = version.removeprefix("v").split(".", 2)
    numbers = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    link = " ".join(f"-X {VERSION}.{name}={value}" for name, value in numbers.items())
    _build("kubernetes", to / "kube", link=link)
    (to / "kubectl").symlink_to("kube")


def _argo(to: Path) -> None:
    """Build Argo from a copy of its module in which a file stands that modules cannot carry.

    In Argo's repository `signal_linux.go` is a symbolic link to `signal_darwin.go`. A module has
    no links, so that the executor of the published one does not compile.
    """
    module = Path(_go("argo", "list", "-m", "-f", "{{.Dir}}", ARGO).strip())
    with tempfile.TemporaryDirectory(dir=home(), prefix="argo-source-") as folder:
        copy = Path(folder) / "argo"
        shutil.copytree(module, copy, copy_function=shutil.copyfile)
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)  # the module's own are read-only
        signals = copy / "workflow/executor/osspecific"
        shutil.copyfile(signals / "signal_darwin.go", signals / "signal_linux.go")
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(GO / "argo" / name, Path(folder) / name)
        changed = Path(folder) / "go.mod"
        _go("argo", "mod", "edit", f"-replace={ARGO}={copy}", changed)
        _build("argo", to, "-modfile", changed)
        (to / "crds").mkdir()
        for path in copy.glob("manifests/base/crds/minimal/argoproj.io_*.yaml"):
            shutil.copy(path, to / "crds")


KUBERNETES = Part(
    "kubernetes",
    _kubernetes,
    (GO / "kubernetes", Path(__file__)),
    fetch=partial(_fetch, "kubernetes", "."),
)
ARGO_PROGRAMS = Part(
    "argo", _argo, (GO / "argo", Path(__file__)), fetch=partial(_fetch, "argo", "tool")
)
DNS = Part(
    "dns",
    lambda to: _build("dns", to / "dns"),
    (GO / "dns", Path(__file__)),
    fetch=partial(_fetch, "dns", "."),
)
CLI = Part(
    "cli",
    lambda to: _build("cli", to),
    (GO / "cli", Path(__file__)),
    fetch=partial(_fetch, "cli", "tool"),
)
