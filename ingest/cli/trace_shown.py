"""How what was traced is printed: the event, its batches, the runs of each job; also as JSON."""

from typing import TYPE_CHECKING, Any

from rich.console import Console

from batching.letters import Letter
from batching.model import EntryKind
from batching.runs.reports import RunReport
from batching.tracing.fate import EventTrace, Fate
from batching.tracing.parked import ParkedIn
from ingest.cli import runs_shown
from ingest.cli.told import count, safe, show_facts, table, time

if TYPE_CHECKING:  # half a second
    from ingest.tracing import Step, Traced

_WRONG, _OPEN = {Fate.MISSING}, {Fate.OPEN, Fate.NOT_YET, Fate.PARKED}
Places = dict[str, runs_shown.Places]  # by run


def exit_code(traced: "Traced") -> int:
    """Give 1 for an event that is missing, 3 for one that is in no batch yet, 0 otherwise."""
    fate = None if traced.event is None else traced.event.fate
    return 1 if fate in _WRONG else 3 if fate in _OPEN else 0


def show(traced: "Traced", places: Places, uri: str, out: Console, *, most: int) -> None:
    """Print it."""
    if traced.event is not None:
        _show_event(traced.event, out)
    elif not traced.title.startswith("batch "):  # its name comes with it
        out.print(f"[bold]{safe(traced.title)}[/]", soft_wrap=True)
    if traced.note is not None:
        out.print(f"[yellow]{safe(traced.note)}[/]", soft_wrap=True)
    _show_others(traced, out)
    if traced.many:
        _show_table(traced, out, most=most)
    else:
        for step in traced.steps:
            _show_batch(step, traced.event, uri, out)
        for run in traced.runs:
            out.print()
            _show_run(run, places[run.place], uri, out)
    if traced.standings:
        out.print()
    for job, standing in traced.standings.items():
        out.print(
            f"[bold]job {job}[/]: {safe(traced.waits.get(job, standing.value))}", soft_wrap=True
        )


def _show_event(event: EventTrace, out: Console) -> None:
    name, found = f"{event.partition}/{event.number}", event.found
    colour = "red" if event.fate in _WRONG else "yellow" if event.fate in _OPEN else "green"
    out.print(f"[bold]event {name}[/]: [{colour}]{event.fate.value}[/]", soft_wrap=True)
    said = found.hits[0].told if found.hits else None
    facts = (
        [("reached the hub", time(said.enqueued_ns)), ("message id", safe(said.message_id))]
        if said
        else []
    )
    facts += [("set aside", _why(letter)) for letter in event.letters]
    if event.came_back is not None:
        facts.append(
            ("re-driven as", f"redrive/{event.came_back}: headrace trace redrive/{event.came_back}")
        )
    elif event.letters:
        facts.append(("re-driven", "no"))
    if event.origin is not None:
        facts.append(
            ("set aside before", "{}/{}: headrace trace {}/{}".format(*event.origin, *event.origin))
        )
    facts += _explained(event)
    facts.append(("checkpoint", f"{found.position.checkpoint:,}"))
    if event.fate in _OPEN:
        asked = "does not answer" if event.hub_last is None else f"{event.hub_last:,}"
        facts.append(("last in the hub", asked))
    facts.append(("read", f"{found.read:,} of {count(found.manifests, 'manifest')}"))
    facts += [("cannot be read", safe(what)) for what in found.damaged]
    show_facts(out, facts, indent=2)


def _why(letter: Letter) -> str:
    return safe(f"{letter.letter.reason}: {letter.letter.detail}")


def _told(piece: ParkedIn) -> str:
    return (
        f"{piece.key.stream}, {safe(piece.key.sensor)}: {count(piece.events, 'event')}"
        f" {piece.first} to {piece.last}, sealed by {time(piece.due_ns)} at the latest"
    )


def _explained(event: EventTrace) -> list[tuple[str, str]]:
    facts = [("parked", _told(each)) for each in event.parked]
    if event.fate is Fate.LOST:
        facts += [
            ("lost", f"{e.first} to {e.last}, {e.reason}, as manifest {n} says")
            for n, e in event.found.lost
        ]
    if event.fate is Fate.IGNORED:
        facts += [
            (
                "ignored",
                f"{count(e.events, 'event')} from {e.first} to {e.last}, as manifest {n} says",
            )
            for n, e in event.found.ignored
        ]
    return facts


def _show_batch(step: "Step", event: EventTrace | None, uri: str, out: Console) -> None:
    batch, entry = step.batch, step.batch.entry
    rows = f"{entry.rows[0]:,} to {entry.rows[1] - 1:,}"
    facts = [
        ("stream", entry.stream),
        ("sensor", safe(entry.sensor)),
        ("events", f"{entry.events:,}, numbers {entry.first} to {entry.last}"),
        ("samples", f"{entry.samples:,}" if entry.samples else ""),
        ("sealed", f"{time(entry.sealed)}, {entry.reason}"),
        (
            "committed",
            f"{time(step.committed_ns)}, manifest {batch.n} of partition {batch.partition}",
        ),
        ("bundle", safe(f"{uri}/{entry.data}")),
        ("rows", f"{rows}{_own_rows(step, event)}"),
    ]
    out.print()
    out.print(f"[bold]batch {runs_shown.batch_name(batch)}[/]")
    show_facts(out, facts, indent=2)


def _own_rows(step: "Step", event: EventTrace | None) -> str:
    """Say which rows are the event's own."""
    for hit in event.found.hits if event else ():
        if hit.entry is step.batch.entry and hit.told.rows[0] < hit.told.rows[1]:
            return f"; of the event {hit.told.rows[0]:,} to {hit.told.rows[1] - 1:,}"
    return ""


def _show_others(traced: "Traced", out: Console) -> None:
    for entry in traced.others:
        what = f"{entry.kind}: {count(entry.events, 'event')} from {entry.first} to {entry.last}"
        parked = f", {safe(entry.data or '')}" if entry.kind == EntryKind.PARKED else ""
        out.print(f"  {what}{parked}", soft_wrap=True)


def _show_table(traced: "Traced", out: Console, *, most: int) -> None:
    out.print()
    rows = table("batch", "stream", "sensor", "events", "samples", "committed", "by", "runs")
    for step in traced.steps[-most:] if most else ():
        entry = step.batch.entry
        runs = [f"{each.run.place} {each.run.status.value}" for each in step.handed if each.run]
        rows.add_row(
            runs_shown.batch_name(step.batch),
            entry.stream,
            safe(entry.sensor),
            f"{entry.events:,}",
            f"{entry.samples:,}",
            time(step.committed_ns),
            entry.reason or "-",
            ", ".join(runs) or "-",
        )
    out.print(rows)
    if (left := len(traced.steps) - most) > 0:
        out.print(f"[dim]and {count(left, 'batch', 'batches')} before: --batches shows them[/]")


def _show_run(run: RunReport, places: runs_shown.Places, uri: str, out: Console) -> None:
    runs_shown.show_head(run, out)
    if run.result is not None:
        show_facts(out, [("outputs", safe(f"{uri}/{run.result.outputs}"))], indent=2)
    for attempt in run.attempts:
        runs_shown.show_attempt(attempt, places[attempt.attempt], out, indent=2)


def plain(traced: "Traced", places: Places, uri: str) -> dict[str, Any]:
    """Give values for JSON."""
    event = traced.event
    return {
        "what": traced.title,
        "event": None if event is None else _plain_event(event),
        "note": traced.note,
        "batches": [
            {**runs_shown.plain_batch(step.batch), "committed_ns": step.committed_ns}
            for step in traced.steps
        ],
        "runs": [runs_shown.plain_whole(run, places[run.place], uri) for run in traced.runs],
        "jobs": {
            job: traced.waits.get(job, standing.value) for job, standing in traced.standings.items()
        },
    }


def _plain_event(event: EventTrace) -> dict[str, Any]:
    found = event.found
    said = found.hits[0].told if found.hits else None
    return {
        "partition": event.partition,
        "number": event.number,
        "fate": event.fate.name.lower(),
        "enqueued_ns": None if said is None else said.enqueued_ns,
        "message_id": None if said is None else said.message_id,
        "reasons": [letter.letter.reason for letter in event.letters],
        "re_driven_as": None if event.came_back is None else f"redrive/{event.came_back}",
        "set_aside_as": None if event.origin is None else "{}/{}".format(*event.origin),
        "parked": [
            {"stream": each.key.stream, "sensor": each.key.sensor, "due_ns": each.due_ns}
            for each in event.parked
        ],
        "hub_last": event.hub_last,
        "checkpoint": found.position.checkpoint,
        "manifests_read": found.read,
        "manifests": found.manifests,
        "damaged": found.damaged,
    }
