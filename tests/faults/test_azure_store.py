"""The store in Azure refuses, throttles, is slow, loses answers: tried again, written once."""

import asyncio
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from batching import names
from batching.adapters.azure_account import azure_store
from batching.verify import Report, Senders, verify
from tests.azurite import Azurite
from tests.end_to_end.plant import stream
from tests.faults.plant import AGE, FaultPlant, Told
from tests.faults.store_proxy import GOOD, Fault, Plan, StoreProxy, sometimes

pytestmark = pytest.mark.azurite

SERVER_ERROR = Fault("500", status=500, code="InternalError")
BUSY = Fault("503", status=503, code="ServerBusy", headers={"Retry-After": "1"})
THROTTLED = Fault("429", status=429, code="TooManyRequests", headers={"Retry-After": "1"})
CONDITION = Fault("412", status=412, code="ConditionNotMet")
LOST = Fault("lost answer", lose_answer=True)
CUT = Fault("cut", cut=True)
HALF_WRITTEN = Fault("half written", half_request=True)
HALF_READ = Fault("half read", half_answer=True)
SLOW = Fault("slow", wait_seconds=0.7)
GONE = Fault("account gone", status=503, code="AccountIsDisabled")


@dataclass
class AzurePlant(FaultPlant):
    """A plant whose services see Azurite through a proxy; verify looks at it directly."""

    azurite: Azurite | None = None

    def __post_init__(self) -> None:
        assert self.azurite is not None
        self.container = f"c{secrets.token_hex(8)}"
        self.line = StoreProxy(self.azurite.endpoint)
        self.settings = {"blobs": {"azure": {"container": self.container}}, **self.settings}
        self.environment["HEADRACE_BLOBS_CONNECTION"] = self.azurite.connection_string.replace(
            self.azurite.endpoint, self.line.endpoint
        )
        super().__post_init__()

    def has_store(self) -> bool:
        return self._report(None) is not None

    def report(self, *, against: bool = True) -> Report:
        found = self._report(Senders.read(self.senders) if against else None)
        assert found is not None
        return found

    def _report(self, senders: Senders | None) -> Report | None:
        async def run() -> Report | None:
            assert self.azurite is not None
            store = await azure_store(
                self.container, connection_string=self.azurite.connection_string
            )
            try:
                if await store.get(names.STORE) is None:
                    return None
                return await verify(store, senders=senders)
            finally:
                await store.close()

        return asyncio.run(run())


@pytest.fixture
def plant(tmp_path: Path, azurite: Azurite, told: Told) -> Iterator[AzurePlant]:
    made = AzurePlant(tmp_path, azurite=azurite, told=told)
    try:
        with made.running():
            yield made
    finally:
        made.line.close()


@pytest.mark.parametrize(
    ("fault", "share", "only"),
    [
        (SERVER_ERROR, 0.3, ""),
        (BUSY, 0.3, ""),
        (THROTTLED, 0.3, ""),
        (CONDITION, 0.3, "PUT"),
        (LOST, 0.5, "PUT"),
        (CUT, 0.3, ""),
        (HALF_WRITTEN, 0.3, "PUT"),
        (HALF_READ, 0.5, "GET"),
        (SLOW, 1.0, ""),
    ],
    ids=lambda value: value.name.replace(" ", "_") if isinstance(value, Fault) else "",
)
def test_requests_go_wrong(plant: AzurePlant, fault: Fault, share: float, only: str) -> None:
    """From the start of the service on: its first objects are under the fault, too."""
    plant.line.plan = sometimes(fault, share, only=only)
    begin(plant)
    plant.send(150)
    deadline = time.monotonic() + 60
    while plant.line.hits[fault.name] < 8 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert plant.line.hits[fault.name] >= 8
    plant.line.plan = GOOD
    plant.recover(f"store: {fault.name}, {share:.0%} of {only or 'all'} requests")


def begin(plant: AzurePlant) -> None:
    """Start a service; one that meets the fault at its start may end with a sentence: again."""
    for _ in range(20):
        made = plant.start()
        deadline = time.monotonic() + 60
        while made.poll() is None and time.monotonic() < deadline:
            if "service started" in plant.log():
                return
            time.sleep(0.1)
        assert made.poll() == 2, plant.log()
        assert "Traceback" not in plant.log()
    raise AssertionError(plant.log())


def test_a_store_that_is_away_for_a_while(plant: AzurePlant) -> None:
    plant.warm_up()
    plant.line.plan = sometimes(GONE, 1.0)
    plant.send(150)
    plant.says("server does not answer", "503")
    time.sleep(5)
    assert plant.services[0].poll() is None
    plant.line.plan = GOOD
    plant.recover("store: away (503 to all requests)")
    assert plant.metric("headrace_store_seconds_count", outcome="unavailable") > 0


def named(fault: Fault, share: float, *parts: str) -> Plan:
    """Let writes of certain objects go wrong."""
    usual = sometimes(fault, share, only="PUT")

    def plan(method: str, path: str) -> Fault | None:
        return usual(method, path) if any(part in path for part in parts) else None

    return plan


def test_a_store_that_says_of_data_that_it_exists_and_has_not_got_it(plant: AzurePlant) -> None:
    """A 412 that is no truth: the manifest must not be created before its data is there."""
    plant.line.plan = named(CONDITION, 0.7, "/data/")
    plant.warm_up()
    plant.send(100)
    plant.until(lambda report: report.batched > 100)
    assert plant.line.hits[CONDITION.name] > 3
    plant.line.plan = GOOD
    plant.recover("store: 412 to a create of data that is not there")


def test_answers_are_lost_for_run_records_receipts_and_results(plant: AzurePlant) -> None:
    run = {"flow": "SensorProcessingFlow", "after": "1 s", "in_flight": 2}
    plant.settings["streams"] = {"motion": stream(seal=AGE, run=run)}
    plant.line.plan = named(LOST, 0.7, "/runs/", "/results/")
    plant.start()
    plant.send(80, sensors=3)
    report = plant.recover("store: answers lost for run records, receipts and results")
    assert plant.line.hits[LOST.name] > 2
    assert report.runs["succeeded"] >= 1
