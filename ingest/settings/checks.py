"""What settings say together: flows that nobody knows, sensors that can be forged, and so on."""

import fnmatch
import re
from collections.abc import Iterator

from batching.errors import SettingError
from ingest import sensors
from ingest.decode.checks import check
from ingest.settings.argo import Argo
from ingest.settings.job import Run
from ingest.settings.problems import Problem, did_you_mean
from ingest.settings.service import SHIPPED_FLOWS, Settings
from ingest.settings.source import EmbeddedHub
from ingest.settings.stream import Stream

_WILD = frozenset("*?[")
_PATH = re.compile(r"(?P<path>(decode|sensor|schedule|zone)(\.\w+)*):? (?P<text>.*)", re.DOTALL)


def contradictions(settings: Settings) -> list[Problem]:
    """Find what cannot work though every setting by itself could."""
    return [*_streams(settings), *_jobs(settings)]


def warnings(settings: Settings) -> list[str]:
    """Find what can work and is hardly meant."""
    return [
        *_hidden_streams(settings),
        *_idle_streams(settings),
        *_missing_files(settings),
        *_far_runs(settings),
        *_idle_workers(settings),
    ]


def _streams(settings: Settings) -> Iterator[Problem]:
    for rules in settings.rules():
        where = ("streams", rules.name)
        try:
            sensors.check(rules, iot_hub=settings.iot_hub)
            check(rules.decode)
        except SettingError as error:
            yield _problem(where, str(error).removeprefix(f"streams.{rules.name}."))


def _problem(where: tuple[str, ...], text: str) -> Problem:
    """Put a problem that begins with a setting's path beside that setting."""
    found = _PATH.fullmatch(text)
    path = found["path"].split(".") if found else ()
    return Problem((*where, *path), found["text"] if found else text)


def _jobs(settings: Settings) -> Iterator[Problem]:
    for name, job in settings.jobs.items():
        if name in settings.streams and settings.streams[name].run is not None:
            yield Problem(("jobs", name), f"streams.{name}.run is a job of this name already")
        if not job.over:
            yield Problem(("jobs", name, "over"), "name at least one stream")
        for stream in job.over:
            if stream not in settings.streams:
                near = did_you_mean(stream, list(settings.streams))
                hint = f"did you mean {near}?" if near else f"known: {', '.join(settings.streams)}"
                yield Problem(("jobs", name, "over"), f"there is no stream {stream!r}; {hint}")
    for name, (run, over) in settings.runs().items():
        where = ("jobs", name) if name in settings.jobs else ("streams", name, "run")
        yield from _launched(settings, run, where)
        yield from _scheduled(run, where)
        try:
            run.job(name, over)
        except SettingError as error:
            if over:
                yield _problem(where, str(error).removeprefix(f"jobs.{name}."))


def _scheduled(run: Run, where: tuple[str, ...]) -> Iterator[Problem]:
    """A schedule says when runs start; without one nothing looks at its zone."""
    if run.schedule is not None and run.after != Run.model_fields["after"].default:
        text = "does not go with schedule, whose moments say when runs start; leave one out"
        yield Problem((*where, "after"), text)
    if run.schedule is None and run.zone != Run.model_fields["zone"].default:
        yield Problem((*where, "zone"), "goes with schedule; leave it out")


def _launched(settings: Settings, run: Run, where: tuple[str, ...]) -> Iterator[Problem]:
    """A flow needs a file on this machine, or a template where it is deployed."""
    if run.launcher == "argo":
        return
    if run.template is not None:
        yield Problem((*where, "template"), "goes with launcher: argo; leave it out")
    try:
        settings.flow_file(run.flow)
    except SettingError as error:
        near = did_you_mean(run.flow, [*settings.flows, *SHIPPED_FLOWS])
        hint = f"; did you mean {near}?" if near else ""
        yield Problem((*where, "flow"), f"{error}{hint}")


def _hidden_streams(settings: Settings) -> Iterator[str]:
    seen: list[tuple[str, Stream]] = []
    for name, stream in settings.streams.items():
        for other, earlier in seen:
            if covers(earlier, stream):
                yield (
                    f"streams.{name}: never gets an event, since {other} stands before it and"
                    f" matches everything that it would; put {name} first, or narrow {other}.match"
                )
                break
        seen.append((name, stream))


def covers(earlier: Stream, later: Stream) -> bool:
    """Tell whether every event of the later stream surely belongs to the earlier one."""
    first, second = earlier.match, later.match
    if first.content_type is not None and first.content_type != second.content_type:
        return False
    for name, pattern in first.property.items():
        if name not in second.property or not _wider(pattern, second.property[name]):
            return False
    if not first.sensors:
        return True
    same = earlier.sensor == later.sensor and earlier.decode == later.decode
    return (
        same
        and bool(second.sensors)
        and all(
            any(_wider(pattern, other) for pattern in first.sensors) for other in second.sensors
        )
    )


def _wider(pattern: str, other: str) -> bool:
    """Tell whether all that the other pattern matches is matched by this one, if that is plain."""
    if pattern in (other, "*"):
        return True
    return not _WILD & set(other) and fnmatch.fnmatchcase(other, pattern)


def _idle_streams(settings: Settings) -> Iterator[str]:
    used = {stream for _, over in settings.runs().values() for stream in over}
    for name in settings.streams:
        if name not in used:
            yield f"streams.{name}: batches are kept, but no job is run on them"


def _missing_files(settings: Settings) -> Iterator[str]:
    for flow, path in settings.flows.items():
        if not path.is_file():
            yield f"flows.{flow}: there is no file {path}"


def _far_runs(settings: Settings) -> Iterator[str]:
    far = [name for name, (run, _) in settings.runs().items() if run.launcher == "argo"]
    if far and settings.blobs_folder is not None:
        yield (
            f"blobs: {settings.blobs_folder} is a folder, which the pods of {', '.join(far)} must"
            " find under the same path; blobs.azure is what they can read from anywhere"
        )
    if not far and settings.argo != Argo():
        yield "argo: no job says launcher: argo"


def _idle_workers(settings: Settings) -> Iterator[str]:
    hub = settings.source.chosen
    if isinstance(hub, EmbeddedHub) and settings.workers > hub.partitions:
        yield (
            f"workers: {settings.workers}, but a new embedded hub has {hub.partitions} partitions"
            " (source.embedded.partitions), and a worker without one has nothing to do"
        )
