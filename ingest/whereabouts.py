"""Where a person looks at one attempt of a run: its log, Metaflow's run, pages of interfaces."""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from batching.adapters.argo.workflow import Pages
from batching.adapters.local_launcher import log_path
from ingest.config import Settings
from ingest.launchers import ARGO, LOCAL

_RUN_ID = re.compile(r"Workflow starting \(run-id (\S+?)\)")
_HEAD_BYTES = 2**16  # Metaflow says its run's number in the first lines


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where one attempt is looked at; `launcher` is None where nothing tells who started it."""

    launcher: str | None
    metaflow: str | None = None  # the pathspec of Metaflow's run
    log_file: str | None = None
    commands: tuple[str, ...] = ()  # what shows the log
    pages: dict[str, str] = field(default_factory=dict)
    note: str | None = None  # why something is not here

    def plain(self) -> dict[str, object]:
        """Give values for JSON."""
        return {
            "launcher": self.launcher,
            "metaflow": self.metaflow,
            "log_file": self.log_file,
            "commands": list(self.commands),
            **self.pages,
        }


def whereabouts(settings: Settings, job: str, flow: str, name: str) -> Whereabouts:
    """Tell where an attempt is looked at.

    A log that is here says that it ran on this machine, whatever the file says by now.

    Args:
        settings: the service's.
        job: the run's.
        flow: the class of the flow.
        name: the attempt's.

    """
    path = log_path(settings.data, name)
    run, _ = settings.runs().get(job, (None, ()))
    launcher = LOCAL if path.is_file() else None if run is None else run.launcher
    if launcher == ARGO:
        return _on_argo(settings, flow, name)
    if path.is_file():
        return Whereabouts(
            LOCAL, _metaflow_run(path, flow), str(path), (f"cat {shlex.quote(str(path))}",)
        )
    note = f"no log {path}: it did not start, ran on another machine, or was cleaned up"
    if launcher is None:
        note = f"job {job} is not in the file, so who started it is not known; {note}"
    return Whereabouts(launcher, note=note)


def _metaflow_run(path: Path, flow: str) -> str | None:
    with path.open("rb") as file:
        found = _RUN_ID.search(file.read(_HEAD_BYTES).decode("utf-8", "replace"))
    return None if found is None else f"{flow}/{found[1]}"


def _on_argo(settings: Settings, flow: str, name: str) -> Whereabouts:
    argo = settings.argo
    place = ["-n", argo.namespace]
    if argo.kubeconfig is not None:
        place += ["--kubeconfig", str(argo.kubeconfig)]
    if argo.context is not None:
        place += ["--context", argo.context]
    where = shlex.join(place)
    selected = f"-l workflows.argoproj.io/workflow={name}"
    return Whereabouts(
        ARGO,
        metaflow=f"{flow}/argo-{name}",
        commands=(
            f"kubectl {where} logs {selected} -c main --tail=-1 --prefix",
            f"argo {where} get {name}",
        ),
        pages=Pages(argo.argo_ui, argo.metaflow_ui).of(argo.namespace, name, flow),
    )
