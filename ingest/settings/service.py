"""The whole service: every group of settings, and what other rooms want of them as plain values."""

import math
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from batching.errors import SettingError
from batching.policy import SealPolicy
from batching.retention import Retention as PlainRetention
from batching.runs.jobs import Job as PlainJob
from ingest.cores import cores
from ingest.decode.spec import StopRule, StreamRules
from ingest.sensors import DEVICE
from ingest.settings.argo import Argo
from ingest.settings.job import Job, Run
from ingest.settings.kinds import (
    Accepts,
    Age,
    Bytes,
    Count,
    Few,
    Name,
    Part,
    Place,
    Port,
    Span,
    Text,
    Wait,
)
from ingest.settings.limits import Limits
from ingest.settings.places import Blobs, Redis
from ingest.settings.source import IotHub, Source
from ingest.settings.stream import Stream
from ingest.units import Duration, Kept, Size

RECEIVER_CORES = 2  # from here on there is one for it
SHIPPED_FLOWS = {"SensorProcessingFlow": "sensor_processing_flow.py"}


def _format(value: Any) -> Any:
    if value == "parquet":
        raise ValueError("parquet comes with a later version; use arrow")
    return value


class Bundle(Part):
    """Batches that are written together: one object, committed by one manifest."""

    linger: Wait = Field(
        default=Duration(1), description="Wait for more sealed batches before a commit."
    )
    max_bytes: Bytes = Field(
        default=Size(64 * 2**20),
        description="A commit waits for no more than this, nor for more than 1.25 MiB.",
    )
    format: Annotated[Literal["arrow"], BeforeValidator(_format), Accepts("arrow")] = Field(
        default="arrow", description="Arrow IPC (Feather v2)."
    )
    compression: Literal["none", "lz4", "zstd"] = Field(
        default="none", description="Compression inside the file."
    )


class ReplayBound(Part):
    """What a lost Redis may make each partition read again; what waits longer is parked."""

    events: Count = Field(
        default=1_000_000, description="Events from the oldest that is only in Redis to the newest."
    )
    time: Span = Field(default=Duration(600), description="Time of stream between these two.")


def _kept_whole(value: Any) -> Any:
    if value != "keep":
        raise ValueError("comes with a later version; write keep, or leave it out")
    return value


class Retention(Part):
    """How long the store keeps what nobody needs any more; the janitor of each owner deletes it."""

    bundles: Age = Field(
        default=Kept(math.inf),
        description="Bundles, with their manifests, once every job has been handed them and their"
        " runs have ended.",
    )
    dead_letters: Age = Field(
        default=Kept(90 * 86_400), description="Events set aside; at most as long as bundles."
    )
    outputs: Annotated[Literal["keep"], BeforeValidator(_kept_whole), Accepts("keep")] = Field(
        default="keep", description="What runs wrote."
    )
    superseded: Span = Field(
        default=Duration(3_600), description="Parked objects whose events are in batches."
    )
    orphans: Span = Field(
        default=Duration(86_400),
        description="Bundles that no manifest names: a writer lost a race.",
    )
    interval: Span = Field(default=Duration(600), description="How often the janitor looks.")

    def plain(self) -> PlainRetention:
        """Give what the owner takes."""
        return PlainRetention(
            bundles_ns=self.bundles.age_ns,
            dead_letters_ns=self.dead_letters.age_ns,
            superseded_ns=self.superseded.ns,
            orphans_ns=self.orphans.ns,
            interval_ns=self.interval.ns,
        )


class Ownership(Part):
    """Which process reads which partition; a matter of economy, never of correctness."""

    expiry: Span = Field(default=Duration(20), description="A silent owner's partitions are free.")
    interval: Span = Field(default=Duration(5), description="How often owners say they live.")

    @model_validator(mode="after")
    def _often_enough(self) -> "Ownership":
        if 2 * self.interval > self.expiry:
            raise ValueError(
                f"interval ({self.interval}) must be at most half of expiry ({self.expiry})"
            )
        return self


class Receive(Part):
    """How events are fetched; more is faster and takes memory, a partition each."""

    prefetch: Count = Field(default=1_000, description="Events on their way at once.")
    max_batch: Count = Field(default=1_000, description="Events handed over at once.")
    process: Literal["auto", "own", "same"] = Field(
        default="auto",
        description="Where events are received: in a process of its own, beside decoding and"
        " appending, or in the same one. auto: its own where two cores or more may be used, and"
        " `workers` is 1.",
    )
    silent_after: Span = Field(
        default=Duration(60),
        description="A link that brings nothing for so long, although the hub has more, is opened"
        " anew.",
    )
    look_every: Span = Field(
        default=Duration(60),
        description="How often the hub is asked whether it is still the same, and for partitions"
        " that were added.",
    )


class Http(Part):
    """The port for health, readiness, metrics and commands."""

    host: Text = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 for all.")
    port: Port = Field(default=9464, description="Port to listen on.")
    token: SecretStr | None = Field(
        default=None,
        description="For actions such as drain. Never in the file: from a variable, or from "
        "`token_file`; made anew in `<data>/http-token` if not set.",
    )
    token_file: Place | None = Field(default=None, description="File that holds the token.")


class Logs(Part):
    """What the service says, on standard error."""

    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: for people on a terminal, JSON elsewhere."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least that is said."
    )


class Settings(Part):
    """The whole service. `HEADRACE_BUNDLE__LINGER="2 s"` sets `bundle.linger`."""

    data: Place = Field(
        default=Path("headrace-data"), description="Root of all that is embedded, and of blobs."
    )
    source: Source = Field(default=Source(), description="Where events come from.")
    redis: Redis = Field(default=Redis(), description="Where open batches wait.")
    blobs: Blobs = Field(default=Blobs(), description="Where batches are kept.")
    streams: dict[Name, Stream] = Field(description="Streams by name, the first match counts.")
    jobs: dict[Name, Job] = Field(default={}, description="Jobs by name.")
    argo: Argo = Field(default=Argo(), description="Where runs start on Argo Workflows.")
    flows: dict[str, Place] = Field(
        default={}, description="Files of flows by class, such as {NightlyFlow: flows/nightly.py}."
    )
    python: Text | None = Field(
        default=None, description="Interpreter of local runs; the one of headrace if not set."
    )
    local_runs: Count | None = Field(
        default=None, description="Local runs at once, of all jobs; as many as cores if not set."
    )
    unmatched: Literal["dead_letter", "count"] = Field(
        default="dead_letter", description="What becomes of an event that no stream matches."
    )
    bundle: Bundle = Field(default=Bundle(), description="What is written together.")
    replay_bound: ReplayBound = Field(
        default=ReplayBound(), description="What a lost Redis makes it read again at most."
    )
    ownership: Ownership = Field(default=Ownership(), description="Who reads which partition.")
    receive: Receive = Field(default=Receive(), description="How events are fetched.")
    limits: Limits = Field(default=Limits(), description="What may be held at once.")
    http: Http = Field(default=Http(), description="The service's one port.")
    logs: Logs = Field(default=Logs(), description="What the service says.")
    drain_seconds: Span = Field(default=Duration(25), description="Time to finish after SIGTERM.")
    instance: Text = Field(
        default_factory=socket.gethostname,
        description="This process; two on one machine need two names. POD_NAME, or the host's.",
    )
    workers: Few = Field(
        default=1,
        description="Processes that this service consists of, which share its partitions and its"
        " `limits`; more than cores or partitions are idle.",
    )
    retention: Retention = Field(default=Retention(), description="How long things are kept.")

    @model_validator(mode="before")
    @classmethod
    def _trust_only_the_hub(cls, plain: Any) -> Any:
        """Behind an IoT Hub a stream that does not say so takes the device that the hub names."""
        source = plain.get("source") if isinstance(plain, dict) else None
        streams = plain.get("streams") if isinstance(plain, dict) else None
        if not isinstance(source, dict) or "iot_hub" not in source or not isinstance(streams, dict):
            return plain
        device = {"sensor": {"annotation": DEVICE}}
        named = {n: {**device, **s} if isinstance(s, dict) else s for n, s in streams.items()}
        return {**plain, "streams": named}

    @field_validator("streams")
    @classmethod
    def _at_least_one(cls, streams: dict[str, Stream]) -> dict[str, Stream]:
        if not streams:
            raise ValueError("name at least one stream")
        return streams

    @property
    def iot_hub(self) -> bool:
        """Tell whether devices may forge all but annotations."""
        return isinstance(self.source.chosen, IotHub)

    @property
    def apart(self) -> bool:
        """Tell whether events are received in a process of its own."""
        if self.receive.process == "auto":
            return self.workers == 1 and cores() >= RECEIVER_CORES
        return self.receive.process == "own"

    @property
    def blobs_folder(self) -> Path | None:
        """Give the store's folder, None for Azure."""
        if self.blobs.azure is not None:
            return None
        return self.blobs.folder or self.data / "blobs"

    @property
    def interpreter(self) -> str:
        """Give the Python of local runs."""
        return self.python or sys.executable

    def rules(self) -> tuple[StreamRules, ...]:
        """Give what the classifier takes, in the order that decides."""
        return tuple(stream.rules(name) for name, stream in self.streams.items())

    def policies(self) -> dict[str, SealPolicy]:
        """Give each stream's triggers."""
        return {name: stream.seal.policy() for name, stream in self.streams.items()}

    def stop_rules(self) -> dict[str, StopRule]:
        """Give what stops an intake, for those streams that want that."""
        rules = {name: stream.dead_letters.rule() for name, stream in self.streams.items()}
        return {name: rule for name, rule in rules.items() if rule is not None}

    def runs(self) -> dict[str, tuple[Run, tuple[str, ...]]]:
        """Give every job's settings and streams, those that stand inside a stream first."""
        short = {n: (s.run, (n,)) for n, s in self.streams.items() if s.run is not None}
        return {**short, **{name: (job, job.over) for name, job in self.jobs.items()}}

    def every_job(self) -> tuple[PlainJob, ...]:
        """Give what the dispatcher takes."""
        return tuple(run.job(name, over) for name, (run, over) in self.runs().items())

    def flow_file(self, flow: str) -> Path:
        """Find the file of a flow.

        Raises:
            SettingError: none is known.

        """
        if flow in self.flows:
            return self.flows[flow]
        spec = find_spec("flows") if flow in SHIPPED_FLOWS else None
        if spec is None or not spec.submodule_search_locations:
            raise SettingError(
                f"no file is known for {flow}; add it to flows, such as flows: "
                f"{{{flow}: path/to/file.py}}"
            )
        return Path(spec.submodule_search_locations[0]) / SHIPPED_FLOWS[flow]
