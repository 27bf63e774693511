"""The page of formats: each object of a store as it is written, with a real example."""

import json
from typing import Any, NamedTuple

import numpy as np

from batching import bundle, model, names
from batching.lost import lost_entry
from batching.model import Entry, LostReason, RunBatch, SealReason
from batching.parking import objects
from ingest.reference.tables import NOTE, table

HUB = names.hub_id("plant7.servicebus.windows.net", "telemetry", 1_767_225_600_000)
STORE = "9f2c61d07be84a35"
NOON_NS = 1_767_268_800 * 10**9
SECOND_NS = 10**9
RETENTION = LostReason.RETENTION
BUNDLE = names.data("vibration", HUB, "0", 41, "5e1f0c93")
INTRO = f"""# Formats

All that is durable is objects by name, in a folder or a container. Only `{names.STORE}` lies at the
root; everything else lies under the store's id, so that a process of a store that was replaced
harms none (decision 0003). Objects under `log/`, `runs/` and `results/` are created once and never
changed: the n-th manifest of a partition *is* its n-th commit, and a result is what a run has done.

- Each JSON object carries `format`. A reader takes the current one and the one before it, ignores
  fields it does not know, and refuses a newer one by name. Current: {model.FORMAT}.
- All times are nanoseconds UTC since 1970 as integers. `first` and `last` are sequence numbers of
  the hub, both included; ranges such as `rows` are `[from, to)`.
- A sensor's name is UTF-8 as it came, in NFC. Numbers in names have twelve digits and lie in
  folders of 10,000.
- `<hub>` is namespace, name and creation time of the hub: one that was made anew numbers from zero
  again, and is another hub.
- Rules for a storage account's lifecycle must not touch `log/`, `runs/`, `results/`, `position/`.
"""


class Example(NamedTuple):
    """One kind of object: its title, its name, what it is for, and one of them."""

    title: str
    name: str
    pattern: str
    about: str
    document: Any


def page() -> str:
    """Write the page."""
    parts = [NOTE, INTRO]
    for each in examples():
        text = json.dumps(json.loads(model.dump(each.document)), indent=2, ensure_ascii=False)
        parts.append(f"## {each.title}\n\n`{each.pattern}`\n\n{each.about}\n")
        parts.append(f"```json\n{text}\n```\n")
    return "\n".join([*parts, _bundles(), _parked(), _others()])


def examples() -> list[Example]:
    """Give one of each kind; the values fit each other."""
    return [*_log(), _redrive(), *_runs()]


def _log() -> list[Example]:
    return [
        Example(
            "Store",
            names.STORE,
            names.STORE,
            "Which hub and consumer group the store belongs to, and the first sequence number that"
            " counts in each partition. A service of another hub or group refuses to start.",
            model.Store(
                id=STORE,
                namespace="plant7.servicebus.windows.net",
                hub="telemetry",
                hub_id=HUB,
                consumer_group="headrace",
                start={"0": 0, "1": 0},
                created=NOON_NS,
            ),
        ),
        Example(
            "Manifest",
            names.manifest(HUB, "0", 41),
            "<id>/log/<hub>/<partition>/<n div 10000>/<n>.json",
            "The n-th commit of a partition. Its entries, by `kind`: `batch` (rows of a bundle;"
            " of stream `_dead` they are events set aside, each with its reason), `dead` (a sealed"
            " buffer that no longer fits its stream, its events set aside), `ignored` (events of no"
            " stream, if `unmatched: count`), `lost` (numbers that the hub no longer had when all"
            " before them had been appended, `reason` `retention`; or that were `skipped` because"
            " of that; `events` is an upper bound, since some may be in batches from before Redis"
            " was lost); `parked` (an object of chunks whose batches are open, listed with the rows"
            " of its index that are `used`, all where that is null); `rules` is reserved. `bytes`"
            " of samples are eight for each time and those of its values, however they lay in"
            " Redis; of `parked` they are the object's. `reason`"
            f" of a batch is one of {', '.join(f'`{each.value}`' for each in SealReason)}.",
            model.Manifest(
                log=STORE,
                hub=HUB,
                partition="0",
                n=41,
                written=NOON_NS + 301 * SECOND_NS,
                writer="headrace-0",
                entries=(_batch(), _set_aside(), _ignored(), lost_entry(73_215, 73_400, RETENTION)),
            ),
        ),
        Example(
            "Rules",
            names.RULES,
            "<id>/rules.json",
            "By which rules events were last sorted: what differs from a default, in the order of"
            " the streams. A start with others finishes what these began, then replaces it.",
            model.KeptRules(
                streams=[
                    {
                        "name": "vibration",
                        "match": {"properties": {"kind": "vibration"}},
                        "sensor": {"by": "annotation", "name": "iothub-connection-device-id"},
                        "decode": {
                            "format": "json",
                            "time": {"field": "t", "unit": "ms"},
                            "channels": ["x", "y", "z"],
                        },
                    }
                ],
                unmatched="dead_letter",
                written=NOON_NS,
            ),
        ),
        Example(
            "Position",
            names.position(HUB, "0"),
            "<id>/position/<hub>/<partition>.json",
            "Everything up to `checkpoint` is durable; manifests are read from `first` on. `lost`"
            " is the sum of what manifests before `first` say is lost, for `headrace status`. The"
            " one object beside a job's position that is replaced, and it only rises.",
            model.Position(checkpoint=73_214, first=0),
        ),
        Example(
            "Trimmed",
            names.trimmed(HUB, "0"),
            "<id>/position/<hub>/<partition>.trimmed.json",
            "What retention has taken of the log, or is about to take: manifests below `below` with"
            " their bundles, whose numbers end at `upto`, and dead letters of manifests below"
            " `dead_below`. Bundles of manifests below `judged` were looked through for orphans.",
            model.Trimmed(below=12, upto=20_177, dead_below=12, judged=31),
        ),
    ]


def _redrive() -> Example:
    letter = model.Redriven(
        partition="0",
        sequence_number=73_011,
        arrived_ns=NOON_NS,
        body="eyJ0IjogMX0=",
        message_id="m73011",
        partition_key="press-1",
        content_type="application/json",
        properties={"kind": "vibration", "line": "3"},
        property_types={"line": "int"},
        annotations={"iothub-connection-device-id": "press-1"},
    )
    return Example(
        "Re-driven events",
        names.redriven(HUB, 0),
        "<id>/redrive/<hub>/<first div 10000>/<first>.json",
        "Dead letters that came back, as events number `first`, `first` + 1, ... of partition"
        " `redrive` (decision 0011); the next object's name follows from it. `partition` and"
        " `sequence_number` say where the letter lies, `arrived_ns` when the hub got it, `written`"
        " when it came back. `body` is base64. Headers are text; `..._types` names the types of"
        " those that were not. At most 1,000 events and 8 MiB of bodies; never deleted.",
        model.Redrive(STORE, HUB, 0, NOON_NS + 900 * SECOND_NS, "headrace-0-1f2e3d4c", (letter,)),
    )


def _runs() -> list[Example]:
    name = "sensorprocessingflow-k5yz3jxk7pjx4v2d"
    record = model.RunRecord(
        job="vibration",
        n=7,
        flow="SensorProcessingFlow",
        store=STORE,
        hub=HUB,
        written=NOON_NS + 303 * SECOND_NS,
        start={"0": 41, "1": 38},
        to={"0": 42, "1": 38},
        batches=(RunBatch("0", 41, _batch()),),
        over=("vibration",),
    )
    job, n = record.job, record.n
    receipt = model.Attempt(job, n, 1, name, NOON_NS + 304 * SECOND_NS)
    second = model.Attempt(job, n, 2, name, NOON_NS + 330 * SECOND_NS, "failed")
    result = model.Result(
        job, n, 1, "flow", names.outputs(job, n, 1), NOON_NS + 310 * SECOND_NS, {"sensors": 1}
    )
    return [
        Example(
            "Run record",
            names.run(job, n),
            "<id>/runs/<job>/<n>.json",
            "The n-th run of a job covers manifests `[from, to)` of each partition; the next record"
            " begins where this one ends, so each batch is in exactly one. Record 0 has no"
            " batches. Of a job with a schedule, `scheduled` is the moment that a record serves, or"
            " the last one before, if it has no batches; `more`: the next record goes on with it.",
            record,
        ),
        Example(
            "Receipt",
            names.receipt(job, n, 1),
            "<id>/runs/<job>/<n>.a<k>.started.json",
            "Attempt k was started under `name`, which follows from store, job, n and k.",
            receipt,
        ),
        Example(
            "Attempt",
            names.attempt(job, n, 2),
            "<id>/runs/<job>/<n>.a<k>.json",
            "The decision to try again, from k = 2 on, and why: how the attempt before ended, or"
            " `asked for` by `headrace runs retry`. `refused`: it was asked for, and what it needs"
            " is gone; then there is no such attempt.",
            second,
        ),
        Example(
            "Failed",
            names.failed(job, n, 2),
            "<id>/runs/<job>/<n>.a<k>.failed.json",
            "Attempt k failed, and no other follows unless somebody asks for one; `headrace status`"
            " lists it. A late result still counts. An older Headrace left the attempt out of the"
            " name.",
            second,
        ),
        Example(
            "Result",
            names.result(job, n),
            "<id>/results/<job>/<n>.json",
            "Created once, by the flow's last step (`by: flow`) or for a flow that does not know"
            " of results (`by: workflow`): this object is the run's one effect.",
            result,
        ),
        Example(
            "Retired job",
            names.retired(job),
            "<id>/runs/<job>/retired.json",
            "The job has ended for good: it holds no manifests back, `verify` waits for nothing of"
            " it, and a file that names it again is refused.",
            model.Retired(job, NOON_NS + 900 * SECOND_NS),
        ),
        Example(
            "Position of a job",
            names.run_position(job),
            "<id>/runs/<job>/position.json",
            "All records below `settled` have a result or have failed, but for those in `asked`:"
            " records that were given up, and the attempt that somebody asked for since. They stay"
            " there until that attempt has ended.",
            model.RunPosition(settled=7, asked={"2": 4}),
        ),
    ]


def _batch() -> Entry:
    return Entry(
        kind="batch",
        stream="vibration",
        sensor="press-1/axis β",
        first=73_010,
        last=73_214,
        events=2,
        samples=5,
        bytes=160,
        time_first_ns=NOON_NS,
        time_last_ns=NOON_NS + 4 * SECOND_NS,
        opened=NOON_NS,
        due=NOON_NS + 300 * SECOND_NS,
        sealed=NOON_NS + 300 * SECOND_NS,
        reason=SealReason.MAX_AGE.value,
        data=BUNDLE,
        rows=(0, 5),
        chunks=(0, 2),
    )


def _set_aside() -> Entry:
    return Entry(
        kind="batch",
        stream=names.DEAD_STREAM,
        sensor=names.DEAD.sensor,
        first=73_011,
        last=73_011,
        events=1,
        bytes=412,
        opened=NOON_NS,
        due=NOON_NS + 60 * SECOND_NS,
        sealed=NOON_NS + 60 * SECOND_NS,
        reason=SealReason.MAX_AGE.value,
        data=names.data(names.DEAD_STREAM, HUB, "0", 41, "5e1f0c93"),
        rows=(0, 1),
        chunks=(0, 1),
    )


def _ignored() -> Entry:
    return Entry(
        kind="ignored",
        stream=names.IGNORED_STREAM,
        sensor=names.IGNORED.sensor,
        first=73_012,
        last=73_190,
        events=120,
        reason=SealReason.MAX_AGE.value,
    )


def example_bundle() -> Any:
    """Build the bundle of the manifest's first entry, as a pyarrow Table."""
    builder = bundle.Builder(["x", "y", "z"])
    for number, rows in ((73_010, 2), (73_214, 3)):
        times = NOON_NS + np.arange(builder.rows, builder.rows + rows) * SECOND_NS
        values = np.zeros((rows, 3))
        builder.add_chunk(
            times, values, sequence_number=number, enqueued_ns=NOON_NS, message_id=f"m{number}"
        )
    builder.end_batch("press-1/axis β", 0)
    return bundle.open_bundle(b"".join(builder.write()))


def _bundles() -> str:
    opened = example_bundle()
    columns = table(("Column", "Type"), [(f"`{f.name}`", str(f.type)) for f in opened.schema])
    chunks = bundle.chunks_of(opened)
    small = table(("Column", "Type"), [(f"`{f.name}`", str(f.type)) for f in chunks.schema])
    letters = {"time": "timestamp[ns, tz=UTC]", **bundle.DEAD_COLUMNS}
    about = {
        "body": "up to 1 MiB of it",
        "body_bytes": "how long it was",
        "property_types": "of properties that were no text: their types; `cut`: too long to keep",
        "annotation_types": "the same of annotations",
        "stream": "whose rules it broke; empty: no stream wanted it",
        "arrived_ns": "when the hub got it, also if it came back since",
    }
    rows = [(f"`{name}`", str(kind), about.get(name, "")) for name, kind in letters.items()]
    dead = table(("Column", "Type", ""), rows)
    return (
        "## Bundle\n\n`<id>/data/<stream>/<hub>/<partition>/<n div 10000>/<n>-<nonce>.arrow`\n\n"
        "One Arrow IPC file (Feather v2) for the batches of a stream that one manifest commits;"
        " pandas, polars, DuckDB and Spark read it. The values have the stream's dtype, and a"
        " missing one is NaN. Only rows that a manifest names count: a bundle without a manifest"
        " is what a process left that lost a race.\n\nColumns, here of a stream with channels x, y,"
        f" z:\n\n{columns}\nThe schema's metadata holds under `{bundle.CHUNKS.decode()}` a second"
        " small Arrow file, a row for each event, so that every event stays known:\n\n"
        f"{small}\nA bundle of dead letters (stream `{names.DEAD_STREAM}`) has other columns, a row"
        " for each event. A reader takes bundles without those from `content_encoding` on, which"
        f" older versions wrote:\n\n{dead}"
    )


def _parked() -> str:
    index = table(("Column", "Type"), [(f"`{f.name}`", str(f.type)) for f in objects.SCHEMA])
    return (
        "## Parked object\n\n`<id>/parked/<hub>/<partition>/<n div 10000>/<n>-<nonce>.chunks` and"
        " `.index.arrow` beside it\n\nWhat open batches hold, moved out of Redis so that the"
        " checkpoint can move on (decision 0008). The content is encoded chunks as in"
        " `batching/chunk.py`, those of one piece one after another; `bytes` are theirs. A reader"
        " takes every version of a chunk, mixed too (decision 0024). The"
        f" index is an Arrow IPC file, a row for each piece:\n\n{index}"
    )


def _others() -> str:
    return (
        "## Outputs\n\n`<id>/outputs/<job>/<n>.a<k>/...`\n\nWhat attempt k of run n wrote. Only"
        " those of the attempt that the result names count.\n"
    )
