"""How runs are printed: a list of them, and one with all that belongs to it; also as JSON."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from batching.model import RunBatch
from batching.runs.records import REFUSED
from batching.runs.reports import AttemptReport, RunReport, RunStatus
from ingest.cli.told import console, count, safe, show_facts, size, span, table, time

if TYPE_CHECKING:  # half a second
    from ingest.retrying import Retries
    from ingest.whereabouts import Whereabouts

COLOURS = {RunStatus.FAILED: "red", RunStatus.SUCCEEDED: "green"}
Places = dict[int, "Whereabouts"]  # by attempt


def plain(run: RunReport) -> dict[str, Any]:
    """Give one run's values for JSON, as a list has them."""
    counts = run.counts
    return {
        "run": run.place,
        "job": run.job,
        "n": run.n,
        "status": run.status.value,
        "flow": run.record.flow,
        "recorded_ns": run.record.written,
        "scheduled_ns": run.record.scheduled if run.batches else None,
        "batches": len(run.batches),
        "events": sum(b.entry.events for b in run.batches),
        "samples": sum(b.entry.samples for b in run.batches),
        "bytes": sum(b.entry.bytes for b in run.batches),
        "attempts": len(run.attempts),
        "causes": list(run.causes),
        "asked": run.asked,
        "name": None if counts is None else counts.name,
        "started_ns": None if counts is None else counts.started_ns,
        "ended_ns": None if counts is None else counts.ended_ns,
    }


def plain_whole(run: RunReport, places: Places, uri: str) -> dict[str, Any]:
    """Give one run's values for JSON, with attempts, batches and result."""
    result = run.result
    return {
        **plain(run),
        "over": list(run.record.over),
        "covers": {p: list(span) for p, span in covers(run).items()},
        "attempts": [
            {
                "attempt": each.attempt,
                "name": each.name,
                "state": each.state,
                "asked": each.asked,
                "decided_ns": each.decided_ns,
                "started_ns": each.started_ns,
                "ended_ns": each.ended_ns,
                **places[each.attempt].plain(),
            }
            for each in run.attempts
        ],
        "batches": [plain_batch(batch) for batch in run.batches],
        "result": None
        if result is None
        else {
            "attempt": result.attempt,
            "by": result.by,
            "written_ns": result.written,
            "outputs": f"{uri}/{result.outputs}",
            "facts": result.facts,
        },
    }


def plain_batch(batch: RunBatch) -> dict[str, Any]:
    """Give one batch's values for JSON."""
    entry = batch.entry
    return {
        "batch": batch_name(batch),
        "partition": batch.partition,
        "manifest": batch.n,
        "stream": entry.stream,
        "sensor": entry.sensor,
        "first": entry.first,
        "last": entry.last,
        "events": entry.events,
        "samples": entry.samples,
        "reason": entry.reason,
        "sealed_ns": entry.sealed,
        "bundle": entry.data,
        "rows": list(entry.rows),
    }


def batch_name(batch: RunBatch) -> str:
    """Name a batch as commands do: partition, manifest, its first event's number."""
    return f"{batch.partition}:{batch.n}:{batch.entry.first}"


def covers(run: RunReport) -> dict[str, tuple[int, int]]:
    """Give the manifests of each partition that a run covers: from, and to before."""
    record = run.record
    spans = {p: (record.start.get(p, 0), to) for p, to in record.to.items()}
    return {p: each for p, each in spans.items() if each[0] < each[1]}


def show_list(runs: list[RunReport], out: Console) -> None:
    """Print runs, one a line."""
    if not runs:
        out.print("no runs")
        return
    rows = table("run", "status", "recorded", "took", "batches", "events", "samples", "attempts")
    for run in runs:
        counts = run.counts
        colour = COLOURS.get(run.status, "yellow")
        took = "-" if counts is None else span(counts.started_ns, counts.ended_ns)
        sums = (sum(b.entry.events for b in run.batches), sum(b.entry.samples for b in run.batches))
        rows.add_row(
            run.place,
            f"[{colour}]{run.status.value}[/]",
            time(run.record.written),
            took,
            *(f"{n:,}" for n in (len(run.batches), *sums, len(run.attempts))),
        )
    out.print(rows)


def tell(run: RunReport, places: Places, uri: str, *, most: int, as_json: bool) -> None:
    """Print one run whole, for people or as JSON."""
    if as_json:
        typer.echo(json.dumps(plain_whole(run, places, uri)))
    else:
        show(run, places, uri, console(), most=most)


def show(run: RunReport, places: Places, uri: str, out: Console, *, most: int) -> None:
    """Print one run whole, but for batches beyond `most`."""
    show_head(run, out)
    show_facts(out, _facts(run, uri))
    for each in run.attempts:
        out.print()
        show_attempt(each, places[each.attempt], out)
    if run.batches:
        out.print()
        show_batches(run.batches, out, most=most)


def show_head(run: RunReport, out: Console) -> None:
    """Print which run it is, and how it stands."""
    colour = COLOURS.get(run.status, "yellow")
    asked = ", another attempt is asked for" if run.asked else ""
    out.print(f"[bold]run {run.place}[/]: [{colour}]{run.status.value}[/]{asked}")


def _facts(run: RunReport, uri: str) -> list[tuple[str, str]]:
    record, result = run.record, run.result
    spans = [f"{a} to {b - 1} of partition {p}" for p, (a, b) in covers(run).items()]
    facts = [
        ("flow", record.flow),
        ("recorded", time(record.written)),
        ("scheduled", time(record.scheduled) if record.scheduled and run.batches else ""),
        ("record", f"{uri}/runs/{run.job}/{run.n:012d}.json"),
        ("manifests", safe(", ".join(spans))),
        ("batches", _sums(run)),
    ]
    if result is not None:
        said = ", ".join(f"{name} {value}" for name, value in result.facts.items())
        by = f"attempt {result.attempt}" + (
            "" if result.by == "flow" else ", by its Workflow's end"
        )
        facts += [
            ("result", f"{time(result.written)}, {by}{safe(f': {said}') if said else ''}"),
            ("outputs", safe(f"{uri}/{result.outputs}")),
        ]
    return facts


def _sums(run: RunReport) -> str:
    if not run.batches:
        return ""
    entries = [batch.entry for batch in run.batches]
    sensors = len({entry.key for entry in entries})
    return (
        f"{len(entries):,} of {count(sensors, 'sensor')}:"
        f" {count(sum(e.events for e in entries), 'event')},"
        f" {count(sum(e.samples for e in entries), 'sample')},"
        f" {size(sum(e.bytes for e in entries))}"
    )


def show_attempt(
    attempt: AttemptReport, place: "Whereabouts", out: Console, *, indent: int = 0
) -> None:
    """Print one attempt, and where to look at it."""
    took = span(attempt.started_ns, attempt.ended_ns)
    asked = " (asked for)" if attempt.asked else ""
    out.print(
        f"{' ' * indent}[bold]attempt {attempt.attempt}[/]{asked}: {_told(attempt)}"
        f"{'' if took == '-' else f' after {took}'}"
    )
    facts = [
        ("name", attempt.name),
        ("decided", time(attempt.decided_ns) if attempt.attempt > 1 else ""),
        ("started", time(attempt.started_ns)),
        ("ended", time(attempt.ended_ns)),
    ]
    if attempt.started_ns is not None or place.log_file is not None:
        facts += [("Metaflow", place.metaflow or "")]
        facts += [("log", safe(command)) for command in place.commands]
        facts += [(name.replace("_", " "), page) for name, page in place.pages.items()]
        facts += [("log", safe(place.note or ""))]
    show_facts(out, facts, indent=indent + 2)


def _told(attempt: AttemptReport) -> str:
    if attempt.state == REFUSED:
        return "refused: retention has taken what it needs"
    return safe(attempt.state)


def plain_retries(made: "Retries", *, dry_run: bool) -> dict[str, Any]:
    """Give values for JSON."""
    return {
        "dry_run": dry_run,
        "asked": made.asked,
        "asked_before": made.before,
        "refused": made.refused,
    }


def show_retries(made: "Retries", out: Console, *, dry_run: bool) -> None:
    """Print what is tried again, and what cannot be."""
    verb = "would be tried again" if dry_run else "asked for"
    if not made.asked and not made.before and not made.refused:
        out.print("no run was given up")
    for run, k in made.asked.items():
        out.print(f"{run}: attempt {k} {verb}")
    for run, k in made.before.items():
        out.print(f"{run}: attempt {k} was asked for before, and waits")
    for run, why in made.refused.items():
        out.print(f"[yellow]{run}: cannot be tried again:[/] {safe(why)}", soft_wrap=True)


def show_batches(batches: Sequence[RunBatch], out: Console, *, most: int) -> None:
    """Print batches, and the bundles that they lie in."""
    rows = table("batch", "stream", "sensor", "numbers", "events", "samples", "sealed", "by")
    shown = batches[:most]
    for batch in shown:
        entry = batch.entry
        rows.add_row(
            batch_name(batch),
            entry.stream,
            safe(entry.sensor),
            f"{entry.first} to {entry.last}",
            f"{entry.events:,}",
            f"{entry.samples:,}",
            time(entry.sealed),
            entry.reason or "-",
        )
    out.print(rows)
    if left := len(batches) - len(shown):
        out.print(f"[dim]and {count(left, 'batch', 'batches')} more: --batches shows them[/]")
    out.print()
    bundles = dict.fromkeys(batch.entry.data or "" for batch in batches)
    for name in list(bundles)[:most]:
        out.print(f"[dim]bundle[/]  {safe(name)}", soft_wrap=True)
    if left := max(0, len(bundles) - most):
        out.print(f"[dim]and {count(left, 'bundle')} more[/]")
