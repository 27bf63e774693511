"""Stores as the service leaves them, for flows to read: identity, bundles, run records."""

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from azure.storage.blob import ContainerClient
from numpy.typing import NDArray

from batching import model, names
from batching.bundle import Builder
from flows import mixin
from flows.azure_store import ACCOUNT_KEY, API_VERSION
from flows.store import FolderStore, Store, open_store
from tests.azurite import Azurite

STORE_ID = "5f0c1d2e3a4b5c6d"
HUB = names.hub_id("localhost", "telemetry", 0)
START_NS = 1_700_000_000 * 10**9

Samples = tuple[NDArray[np.int64], NDArray[np.float64]]


def sine(frequency_hz: float, *, rate_hz: float = 100.0, seconds: float = 20.0) -> Samples:
    """One channel `x` that swings, and `y` that does not."""
    elapsed = np.arange(0, seconds, 1 / rate_hz)
    values = np.column_stack([np.sin(2 * np.pi * frequency_hz * elapsed), np.full(len(elapsed), 7)])
    return START_NS + (elapsed * 1e9).astype(np.int64), values


@dataclass
class Lake:
    """A store with a job `vibration`, filled run by run with real bundles."""

    root: Store
    channels: tuple[str, ...] = ("x", "y")
    records: int = 0
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(10**9)))

    @property
    def uri(self) -> str:
        return f"{self.root.uri}/{STORE_ID}"

    @property
    def store(self) -> Store:
        return open_store(self.uri)

    def path(self) -> Path:
        assert isinstance(self.root, FolderStore)
        return self.root.root / STORE_ID

    def bundle(
        self, batches: dict[str, list[Samples]], *, sealed: int | None = None
    ) -> list[model.RunBatch]:
        """Write one bundle: for each sensor a batch of one chunk an item."""
        builder, entries = Builder(list(self.channels)), []
        nonce = f"{next(self.numbers):08x}"
        data = names.data("vibration", HUB, "0", self.records, nonce)
        for sensor, chunks in batches.items():
            entries.append(self._add(builder, sensor, chunks, data, sealed or time.time_ns()))
        assert self.store.create(data, memoryview(b"".join(builder.write())))
        return [model.RunBatch("0", self.records, entry) for entry in entries]

    def _add(
        self, builder: Builder, sensor: str, chunks: list[Samples], data: str, sealed: int
    ) -> model.Entry:
        row, chunk, taken = builder.rows, len(builder.chunks), []
        for times_ns, values in chunks:
            taken.append(next(self.numbers))
            builder.add_chunk(
                times_ns,
                values,
                sequence_number=taken[-1],
                enqueued_ns=START_NS,
                message_id=f"m{taken[-1]}",
            )
        builder.end_batch(sensor, row)
        return model.Entry(
            model.EntryKind.BATCH,
            "vibration",
            sensor,
            taken[0],
            taken[-1],
            len(chunks),
            samples=builder.rows - row,
            sealed=sealed,
            reason="max_age",
            data=data,
            rows=(row, builder.rows),
            chunks=(chunk, len(builder.chunks)),
        )

    def run(
        self,
        batches: list[model.RunBatch],
        *,
        job: str = "vibration",
        flow: str = "SensorProcessingFlow",
        written: int | None = None,
    ) -> str:
        """Write the next run record and give its URI."""
        n, self.records = self.records, self.records + 1
        record = model.RunRecord(
            job, n, flow, STORE_ID, HUB, written or time.time_ns(), {"0": n}, {"0": n + 1},
            tuple(batches),
        )  # fmt: skip
        assert self.store.create(names.run(job, n), model.dump(record))
        return f"{self.uri}/{names.run(job, n)}"

    def result(self, job: str = "vibration", n: int = 0) -> model.Result | None:
        raw = self.store.get(names.result(job, n))
        return None if raw is None else model.load(model.Result, "result", bytes(raw))


def identity() -> bytes:
    """What `headrace.json` of these stores holds."""
    return model.dump(
        model.Store(STORE_ID, "localhost", "telemetry", HUB, "headrace", {"0": 0}, START_NS)
    )


@pytest.fixture
def azure_store(azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Give a prefix in a container of its own, signed in to by the account's key."""
    container = f"flows-{uuid.uuid4().hex}"
    with ContainerClient.from_connection_string(
        azurite.connection_string, container, api_version=API_VERSION
    ) as client:
        client.create_container()
    monkeypatch.setenv(ACCOUNT_KEY, azurite.key)
    return open_store(f"{azurite.endpoint}/{container}/deep/prefix")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    (tmp_path / "blobs" / STORE_ID).mkdir(parents=True)
    root = FolderStore(tmp_path / "blobs")
    root.create(names.STORE, identity())
    return Lake(root)


@pytest.fixture
def step_of(monkeypatch: pytest.MonkeyPatch) -> Callable[..., mixin.BatchFlow]:
    """Give a flow object as Metaflow hands it to a step, without Metaflow around it."""

    def make(
        run: str = "", *, attempt: int | None = None, step: str = "start", **parameters: str
    ) -> mixin.BatchFlow:
        mixin._recorded.cache_clear()
        mixin._ad_hoc.cache_clear()
        monkeypatch.delenv(mixin.ATTEMPT, raising=False)
        if attempt is not None:
            monkeypatch.setenv(mixin.ATTEMPT, str(attempt))
        for name, value in {"flow_name": "SensorProcessingFlow", "run_id": "17"}.items():
            monkeypatch.setattr(type(mixin.current), name, value, raising=False)
        monkeypatch.setattr(type(mixin.current), "step_name", step, raising=False)
        flow = mixin.BatchFlow()
        for name, value in {"run": run, "job": "", "since": "", **parameters}.items():
            setattr(flow, name, value)
        return flow

    return make
