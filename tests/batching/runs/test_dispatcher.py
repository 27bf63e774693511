"""Each batch is handed to exactly one run of each job, whatever happens to dispatchers."""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from batching import names
from batching.errors import SettingError, StoreUnavailable, Transient
from batching.model import Attempt, RunPosition, RunRecord, dump
from batching.ports import RunState
from batching.runs.dispatcher import Dispatcher
from batching.runs.jobs import Job, run_name
from batching.runs.manifests import Manifests
from batching.runs.metrics import DispatchMetrics
from tests.batching.runs.dispatch_world import IDENTITY, Chaos, World

SECOND_NS = 10**9
YEAR_NS = 365 * 86_400 * SECOND_NS


def job(**settings: Any) -> Job:
    plain = {"name": "vibration", "flow": "SensorProcessingFlow", "over": ("vibration",)}
    return Job(**{**plain, "after_ns": 0, "backoff_seconds": 0.0, **settings})


def dispatcher(world: World, **settings: Any) -> Dispatcher:
    registry = settings.pop("registry", None) or CollectorRegistry()
    return Dispatcher(
        world.store,
        IDENTITY,
        world.partitions,
        world.jobs,
        dict.fromkeys((job.name for job in world.jobs), world.cluster),
        clock=world.clock,
        metrics=DispatchMetrics(registry),
        **settings,
    )


def step(one: Dispatcher, times: int = 1) -> None:
    for _ in range(times):
        asyncio.run(one.step())


def handed_out(world: World, name: str = "vibration") -> list[int]:
    """Numbers of batches of each record, empty ones left out."""
    return [len(r.batches) for r in world.records(name) if r.batches]


# --- one dispatcher, calm -----------------------------------------------------------------


def test_a_batch_gets_one_run_and_its_result_ends_it() -> None:
    world = World((job(),))
    world.commit("0", "vibration")
    one = dispatcher(world)
    step(one, 2)
    assert [r.n for r in world.cluster.starts] == [1]
    request = world.cluster.starts[0]
    assert request.record_uri == "file:///data/blobs/store1/runs/vibration/000000000001.json"
    assert not asyncio.run(one.idle())
    world.cluster.succeed(request.name)
    step(one, 3)
    assert asyncio.run(one.idle())
    assert len(world.cluster.starts) == 1


def test_a_new_job_begins_at_the_start_of_the_log() -> None:
    world = World((job(),))
    for _ in range(5):
        world.commit("0", "vibration")
    world.trim("0", 3)
    step(dispatcher(world))
    assert world.records("vibration")[0].to == {"0": 3}
    assert handed_out(world) == [2]


def test_a_new_job_begins_above_what_retention_says_that_it_takes() -> None:
    world = World((job(),))
    for _ in range(5):
        world.commit("0", "vibration")
    world.say_trimmed("0", 2)
    step(dispatcher(world))
    assert world.records("vibration")[0].to == {"0": 2}


def test_a_job_that_began_while_retention_chose_begins_once_more_above_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World((job(),))
    for _ in range(5):
        world.commit("0", "vibration")
    trimmed, asked = Manifests.trimmed, []

    async def slow(manifests: Manifests, partition: str) -> int:
        found = await trimmed(manifests, partition)
        asked.append(found)
        if len(asked) == 1:  # it was asked, and only then a janitor says it and deletes
            world.say_trimmed("0", 3)
            world.trim("0", 3)
        return found

    monkeypatch.setattr(Manifests, "trimmed", slow)
    step(dispatcher(world), 2)
    first, second = world.records("vibration")[:2]
    assert (first.to, second.start, second.to) == ({"0": 0}, {"0": 0}, {"0": 3})
    assert handed_out(world) == [2]


def test_a_new_job_begins_now_where_it_is_told_to() -> None:
    world = World((job(start="now"),), ("0", "1"))
    for _ in range(3):
        world.commit("0", "vibration")
    one = dispatcher(world)
    step(one)
    assert world.records("vibration")[0].to == {"0": 3, "1": 0}
    world.commit("0", "vibration")
    step(one)
    assert handed_out(world) == [1]


def test_batches_that_come_soon_after_each_other_share_a_run() -> None:
    world = World((job(after_ns=2 * SECOND_NS),))
    one = dispatcher(world)
    world.commit("0", "vibration")
    step(one)
    world.clock.now += SECOND_NS
    world.commit("0", "vibration", "vibration")
    step(one)
    assert handed_out(world) == []
    world.clock.now += SECOND_NS
    step(one)
    assert handed_out(world) == [3]


def test_a_full_run_waits_for_nothing() -> None:
    world = World((job(after_ns=60 * SECOND_NS, at_most_batches=2),))
    world.commit("0", "vibration", "vibration")
    step(dispatcher(world))
    assert handed_out(world) == [2]


def test_a_run_is_over_its_limit_of_batches_by_at_most_one_manifest() -> None:
    world = World((job(at_most_batches=4),), ("0", "1"))
    for _ in range(6):
        world.commit("0", *["vibration"] * 3)
        world.commit("1", *["vibration"] * 3)
    step(dispatcher(world), 20)
    assert handed_out(world) == [6] * 6


def test_a_run_is_over_its_limit_of_bytes_by_at_most_one_manifest() -> None:
    world = World((job(at_most_bytes=250),))
    for _ in range(5):
        world.commit("0", "vibration", size_bytes=100)
    step(dispatcher(world), 5)
    assert handed_out(world) == [3, 2]


def test_what_waited_longest_goes_first_over_all_partitions() -> None:
    world = World((job(at_most_batches=2),), ("0", "1"))
    for partition in ("1", "0", "1", "0"):
        world.commit(partition, "vibration")
        world.clock.now += SECOND_NS
    step(dispatcher(world))
    assert [record.to for record in world.records("vibration")][1] == {"0": 1, "1": 1}


def test_no_record_is_created_before_its_run_may_start() -> None:
    world = World((job(in_flight=2, at_most_batches=1),))
    for _ in range(5):
        world.commit("0", "vibration")
    one = dispatcher(world)
    step(one, 6)
    assert handed_out(world) == [1, 1]
    world.commit("0", "vibration")
    world.cluster.succeed(world.cluster.running()[0])
    step(one, 6)
    assert handed_out(world) == [1, 1, 1]


def test_all_jobs_together_take_the_slots_of_the_launcher_in_turn() -> None:
    jobs = (
        job(name="a", at_most_batches=1),
        job(name="b", at_most_batches=1),
        job(name="c", at_most_batches=1),
    )
    world = World(jobs)
    for _ in range(8):
        world.commit("0", "vibration")
    world.cluster.slots = 2
    one = dispatcher(world)
    for _ in range(12):
        step(one)
        assert len(world.cluster.running()) <= 2
        world.cluster.succeed(world.cluster.running()[0])
    started = [request.job for request in world.cluster.starts]
    assert min(started.count(name) for name in "abc") >= 3


def test_two_jobs_over_one_stream_each_get_every_batch_and_read_each_manifest_once() -> None:
    world = World((job(name="a"), job(name="b"), job(name="c", over=("heat", "vibration"))))
    world.commit("0", "vibration", "heat")
    world.commit("0", "heat")
    step(dispatcher(world), 3)
    assert handed_out(world, "a") == handed_out(world, "b") == [1]
    assert handed_out(world, "c") == [3]
    for n in (0, 1):
        assert world.store.gets.count(names.manifest(IDENTITY.hub_id, "0", n)) == 1


def test_the_vector_of_a_quiet_job_is_moved_by_a_record_that_starts_nothing() -> None:
    world = World((job(),))
    one = dispatcher(world, quiet_manifests=5)
    for _ in range(4):
        world.commit("0", "heat")
    step(one, 2)
    assert len(world.records("vibration")) == 1
    world.commit("0", "heat")
    step(one, 2)
    records = world.records("vibration")
    assert [record.to["0"] for record in records] == [0, 5]
    assert not world.cluster.starts
    assert asyncio.run(one.idle())


def test_entries_that_are_no_batches_of_samples_start_nothing() -> None:
    world = World((job(),))
    world.commit("0", "vibration")
    name = names.manifest(IDENTITY.hub_id, "0", 0)
    body, version = world.store.objects[name]
    world.store.objects[name] = body.replace(b'"batch"', b'"dead"'), version
    one = dispatcher(world)
    step(one, 2)
    assert handed_out(world) == []
    assert asyncio.run(one.idle())


# --- attempts ----------------------------------------------------------------------------


def test_a_failed_run_is_tried_again_after_a_backoff_that_doubles() -> None:
    world = World((job(backoff_seconds=10.0),))
    world.commit("0", "vibration")
    one = dispatcher(world)
    step(one)
    for attempt, wait in ((2, 10), (3, 20)):
        world.cluster.fail(world.cluster.running()[0])
        step(one, 2)
        world.clock.now += (wait - 1) * SECOND_NS
        step(one)
        assert len(world.cluster.starts) == attempt - 1
        world.clock.now += 1 * SECOND_NS
        step(one)
        assert [r.attempt for r in world.cluster.starts] == list(range(1, attempt + 1))
    assert len({r.name for r in world.cluster.starts}) == 3
    decision = world.read(Attempt, names.attempt("vibration", 1, 2))
    assert decision is not None
    assert decision.cause == "failed"


def test_a_clock_that_is_set_back_by_a_year_makes_nobody_wait_for_a_year() -> None:
    world = World((job(after_ns=2 * SECOND_NS, backoff_seconds=10.0),))
    one = dispatcher(world)
    world.commit("0", "vibration")
    step(one)
    assert handed_out(world) == []
    world.clock.now -= YEAR_NS
    step(one)
    assert handed_out(world) == [1]  # at once: how long it has waited is not known
    step(one)
    world.cluster.fail(world.cluster.running()[0])
    step(one, 2)
    world.clock.now -= YEAR_NS
    step(one)
    world.clock.now += 10 * SECOND_NS
    step(one)
    assert [r.attempt for r in world.cluster.starts] == [1, 2]


def test_a_job_that_is_stuck_is_tried_again_though_the_clock_was_set_back() -> None:
    world = World((job(),))
    one = dispatcher(world)
    one._problems["vibration", "_hand_out"] = ("stuck", world.clock.now)
    assert one._resting(("vibration", "_hand_out"))
    world.clock.now -= YEAR_NS
    assert not one._resting(("vibration", "_hand_out"))


def test_a_run_that_is_refused_calls_an_operator_and_keeps_no_other_run_waiting() -> None:
    world = World((job(at_most_batches=1),))
    taken = run_name(IDENTITY.id, "SensorProcessingFlow", "vibration", 1, 1)
    world.cluster.refused.add(taken)
    world.cluster.busy = True
    for _ in range(2):
        world.commit("0", "vibration")
    one = dispatcher(world)
    step(one, 2)
    world.cluster.busy = False
    step(one)
    assert [request.n for request in world.cluster.starts] == [2]
    assert one.problems == {"vibration": f"{taken} is not ours"}
    world.cluster.refused.clear()
    world.clock.now += 61 * SECOND_NS  # an operator is called again so often
    step(one)
    assert [request.n for request in world.cluster.starts] == [2, 1]
    assert not one.problems


def test_a_run_is_told_which_manifests_it_covers() -> None:
    world = World((job(),))
    for _ in range(2):
        world.commit("0", "vibration")
    step(dispatcher(world))
    assert [request.covers for request in world.cluster.starts] == [{"0": (0, 2)}]


def test_a_record_whose_last_attempt_failed_makes_room_and_is_listed_as_failed() -> None:
    world = World((job(attempts=2, in_flight=1, at_most_batches=1),))
    world.commit("0", "vibration")
    world.commit("0", "vibration")
    registry = CollectorRegistry()
    one = dispatcher(world, registry=registry)
    step(one)
    for _ in range(2):
        world.cluster.fail(world.cluster.running()[0])
        step(one, 3)
    ended = world.failed("vibration", 1)
    assert ended is not None
    assert (ended.attempt, ended.cause) == (2, "failed")
    assert [r.n for r in world.cluster.starts] == [1, 1, 2]
    outcome = {"job": "vibration", "outcome": "failed"}
    assert registry.get_sample_value("headrace_runs_total", outcome) == 1


def test_a_run_that_vanished_without_a_result_is_tried_again() -> None:
    world = World((job(),))
    world.commit("0", "vibration")
    one = dispatcher(world)
    step(one)
    world.cluster.flows.clear()
    step(one, 3)
    assert [r.attempt for r in world.cluster.starts] == [1, 2]
    decision = world.read(Attempt, names.attempt("vibration", 1, 2))
    assert decision is not None
    assert decision.cause == "gone"


def test_a_result_counts_however_its_run_ended() -> None:
    for how in (RunState.FAILED, None):
        world = World((job(),))
        world.commit("0", "vibration")
        one = dispatcher(world)
        step(one)
        name = world.cluster.running()[0]
        world.cluster.succeed(name)
        if how is None:
            del world.cluster.flows[name]
        else:
            world.cluster.flows[name].state = how
        step(one, 3)
        assert asyncio.run(one.idle())
        assert len(world.cluster.starts) == 1


def test_a_run_that_lingers_after_its_result_makes_room() -> None:
    world = World((job(),))
    world.commit("0", "vibration")
    one = dispatcher(world)
    step(one)
    name = world.cluster.running()[0]
    world.cluster.succeed(name)
    world.cluster.flows[name].state = RunState.RUNNING
    world.clock.now += 60 * SECOND_NS
    step(one)
    assert not one._lines[0].drives


def test_an_ordinary_flow_that_succeeds_gets_its_result_from_the_dispatcher() -> None:
    world = World((job(),))
    world.commit("0", "vibration")
    one = dispatcher(world)
    step(one)
    world.cluster.succeed(world.cluster.running()[0], result=False)
    step(one)
    result = world.result("vibration", 1)
    assert result is not None
    assert (result.by, result.attempt) == ("workflow", 1)
    assert asyncio.run(one.idle())


def test_a_run_that_finds_no_slot_waits_without_a_receipt() -> None:
    world = World((job(),))
    world.commit("0", "vibration")
    world.cluster.busy = True
    one = dispatcher(world)
    step(one, 3)
    assert handed_out(world) == [1]
    assert names.receipt("vibration", 1, 1) not in world.store.objects
    world.cluster.busy = False
    step(one)
    assert names.receipt("vibration", 1, 1) in world.store.objects
    assert [r.attempt for r in world.cluster.starts] == [1]


# --- start-up, other stores, trimmed logs ----------------------------------------------------


def test_a_newcomer_reads_from_where_all_records_have_ended() -> None:
    world = World((job(at_most_batches=1),))
    for _ in range(9):
        world.commit("0", "vibration")
    one = dispatcher(world)
    for _ in range(12):
        step(one)
        world.clock.now += 20 * SECOND_NS
        for name in world.cluster.running()[: 7 - len(world.cluster.effects)]:
            world.cluster.succeed(name)
    assert world.read(RunPosition, names.run_position("vibration")) == RunPosition(8)
    world.store.gets.clear()
    other = dispatcher(world)
    world.commit("0", "vibration")
    step(other, 2)
    read = [name for name in world.store.gets if name.startswith("runs/vibration/0")]
    assert min(read) == names.run("vibration", 7)
    assert handed_out(world) == [1] * 10
    assert len(world.cluster.starts) == 10


def test_the_settled_number_never_falls() -> None:
    world = World((job(),))
    world.commit("0", "vibration")
    one, two = dispatcher(world), dispatcher(world)
    step(one)
    step(two)
    world.cluster.succeed(world.cluster.running()[0])
    step(one, 2)
    name = names.run_position("vibration")
    version = world.store.objects[name][1]
    world.clock.now += 60 * SECOND_NS
    world.store.objects[name] = dump(RunPosition(5)), version + "x"  # somebody who is far ahead
    step(two, 2)
    assert world.read(RunPosition, name) == RunPosition(5)


def test_a_position_that_no_record_supports_is_not_believed() -> None:
    world = World((job(),))
    world.store.put(names.run_position("vibration"), dump(RunPosition(4)))
    world.commit("0", "vibration")
    step(dispatcher(world), 2)
    assert [record.n for record in world.records("vibration")] == [0, 1]
    assert handed_out(world) == [1]


def test_a_record_of_another_store_counts_as_empty_and_moves_nothing() -> None:
    world = World((job(),))
    world.commit("0", "vibration")
    foreign = RunRecord("vibration", 0, "F", "older", "h", 0, {"0": 0}, {"0": 9}, ())
    assert world.store.put(names.run("vibration", 0), dump(foreign))
    one = dispatcher(world)
    step(one, 2)
    assert [r.store for r in world.records("vibration")] == ["older", IDENTITY.id, IDENTITY.id]
    assert handed_out(world) == [1]
    step(dispatcher(world), 2)
    assert handed_out(world) == [1]


def test_a_manifest_of_another_store_counts_as_empty() -> None:
    world = World((job(),))
    world.commit("0", "vibration", log="older")
    world.commit("0", "vibration")
    step(dispatcher(world), 2)
    assert handed_out(world) == [1]


def test_a_trimmed_log_is_an_error_of_its_job_alone() -> None:
    world = World((job(name="a"), job(name="b", over=("heat",))))
    registry = CollectorRegistry()
    one = dispatcher(world, registry=registry)
    step(one)
    for _ in range(4):
        world.commit("0", "vibration")
    world.trim("0", 2)
    world.jobs = (*world.jobs, job(name="new"))
    other = dispatcher(world, registry=CollectorRegistry())
    world.clock.now += 120 * SECOND_NS
    with capture_logs() as logs:
        step(other, 3)
    assert "log trimmed under job a" in other.problems["a"]
    errors = sorted(entry["job"] for entry in logs if entry["log_level"] == "error")
    assert errors == ["a", "b"], "once each, not with every look"
    assert handed_out(world, "a") == []
    assert handed_out(world, "new") == [2]


def test_a_manifest_that_is_deleted_before_a_run_covers_it_is_never_left_out() -> None:
    world = World((job(after_ns=10 * SECOND_NS),))
    world.commit("0", "vibration")
    one = dispatcher(world)
    step(one)
    one._manifests._kept.clear()
    world.trim("0", 1)
    world.clock.now += 20 * SECOND_NS
    step(one)
    assert "log trimmed under job vibration" in one.problems["vibration"]
    assert handed_out(world) == []


def test_a_manifest_that_is_only_late_is_no_trimmed_log() -> None:
    world = World((job(),))
    one = dispatcher(world)
    step(one)
    for _ in range(3):
        world.clock.now += 120 * SECOND_NS
        step(one)
    world.commit("0", "vibration")
    world.clock.now += 120 * SECOND_NS
    name = names.position(IDENTITY.hub_id, "0")
    world.store.objects[name] = b'{"checkpoint":100,"first":1,"format":1}', "v"
    step(one)
    assert not one.problems
    assert handed_out(world) == [1]


def grown(world: World) -> None:
    world.partitions = ("0", "1")
    world.next["1"] = 0
    world.commit("1", "vibration")


def test_a_partition_that_is_added_is_dispatched_from_its_beginning() -> None:
    world = World((job(), job(name="new", start="now")))
    world.commit("0", "vibration")
    one = dispatcher(world)
    step(one, 2)
    grown(world)
    step(one, 2)
    assert handed_out(world) == [1], "it does not know of it yet"
    one.know(("0", "1"))
    step(one, 2)
    assert handed_out(world) == [1, 1]
    assert handed_out(world, "new") == [1]
    assert world.records("new")[-1].to == {"0": 1, "1": 1}


def test_a_job_begins_in_partitions_that_its_dispatcher_does_not_know_yet() -> None:
    world = World((job(),))
    grown(world)
    world.commit("1", "vibration")
    world.trim("1", 1)  # a janitor has been at work there
    world.partitions = ("0",)
    one = dispatcher(world)
    step(one, 2)
    assert world.records("vibration")[0].to == {"0": 0, "1": 1}
    world.partitions = ("0", "1")
    one.know(world.partitions)
    step(one, 2)
    assert handed_out(world) == [1]


def test_dispatchers_that_do_not_know_of_it_yet_do_no_harm() -> None:
    world = World((job(),))
    world.commit("0", "vibration")
    old, new = dispatcher(world), dispatcher(world)
    step(old, 2)
    grown(world)
    new.know(("0", "1"))
    step(new, 2)
    world.commit("0", "vibration")
    world.commit("1", "vibration")
    step(old, 2)  # it goes on with the new one's vector, and reads partition 0 alone
    step(new, 2)
    assert sum(handed_out(world)) == 4
    assert world.records("vibration")[-1].to == {"0": 2, "1": 2}


# --- settings --------------------------------------------------------------------------------


def test_a_store_whose_uri_a_flow_cannot_read_is_refused() -> None:
    world = World((job(),))
    world.store.uri = "file:///my%20data/blobs"
    with pytest.raises(SettingError, match="choose a shorter place, or one whose name"):
        dispatcher(world)


def test_two_jobs_of_one_name_are_refused() -> None:
    with pytest.raises(SettingError, match="a name of its own"):
        dispatcher(World((job(), job())))


# --- running ---------------------------------------------------------------------------------


async def eventually(condition: Any, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def test_it_runs_until_it_is_stopped_through_silence_of_the_store() -> None:
    async def story() -> None:
        world = World((job(),))
        one, stop = dispatcher(world, poll_seconds=0.01), asyncio.Event()
        world.chaos.fails = {"get", "create"}
        task = asyncio.create_task(one.run(stop))
        await asyncio.sleep(0.05)
        world.commit("0", "vibration")
        world.chaos.fails = set()
        await eventually(world.cluster.running)
        world.chaos.fails = {"state"}
        await asyncio.sleep(0.05)
        world.cluster.succeed(world.cluster.running()[0])
        world.chaos.fails = set()
        await eventually(lambda: not world.in_flight("vibration"))
        stop.set()
        await asyncio.wait_for(task, 1)
        assert await one.idle()

    asyncio.run(story())


def test_a_kick_makes_it_look_at_once() -> None:
    async def story() -> None:
        world = World((job(),))
        one, stop = dispatcher(world, poll_seconds=3600), asyncio.Event()
        task = asyncio.create_task(one.run(stop))
        await eventually(lambda: world.records("vibration"))
        await asyncio.sleep(0.02)
        world.commit("0", "vibration")
        one.kick()
        await eventually(world.cluster.running)
        stop.set()
        await asyncio.wait_for(task, 1)

    asyncio.run(story())


def test_it_does_nothing_while_another_process_dispatches() -> None:
    async def story() -> None:
        world, stop, mine = World((job(),)), asyncio.Event(), False
        world.commit("0", "vibration")
        task = asyncio.create_task(
            dispatcher(world, poll_seconds=0.01).run(stop, active=lambda: mine)
        )
        await asyncio.sleep(0.1)
        assert not world.records("vibration")
        mine = True
        await eventually(world.cluster.running)
        stop.set()
        await asyncio.wait_for(task, 1)

    asyncio.run(story())


def test_silence_about_one_run_does_not_keep_the_others_waiting() -> None:
    world = World((job(at_most_batches=1),))
    for _ in range(3):
        world.commit("0", "vibration")
    one = dispatcher(world)
    step(one, 3)
    first, *others = world.cluster.running()
    for name in others:
        world.cluster.succeed(name)
    look = world.cluster.state

    async def silent_about_the_first(name: str) -> RunState:
        if name == first:
            raise StoreUnavailable("silence")
        return await look(name)

    world.cluster.state = silent_about_the_first  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        step(one)
    assert world.in_flight("vibration") == 1
    line = one._lines[0]
    assert list(line.drives) == [1]


# --- several dispatchers, chaos ----------------------------------------------------------------


class Scheduler:
    """Steps 3 dispatchers, the flows and the log in a random order; kills, freezes, fails."""

    def __init__(self, seed: int) -> None:
        self.rnd = rnd = Random(seed)
        self.jobs = (
            job(name="a", in_flight=rnd.choice([1, 2, 5]), at_most_batches=rnd.choice([1, 3, 9])),
            job(
                name="b",
                over=("vibration", "heat"),
                attempts=rnd.choice([1, 2, 4]),
                at_most_bytes=rnd.choice([100, 350, 10**9]),
                start="earliest",
            ),
        )
        self.world = World(self.jobs, ("0", "1"), Chaos(rnd, rnd.choice([0.0, 0.05, 0.3])))
        self.running: list[tuple[Dispatcher, Coroutine[Any, Any, bool]]] = []

    def play(self, steps: int) -> None:
        acts = [self.dispatch] * 40 + [self.commit, self.flow, self.flow, self.delete, self.kill]
        for _ in range(steps):
            self.world.clock.now += self.rnd.randrange(10**9)
            self.rnd.choice(acts)()

    def dispatch(self) -> None:
        while len(self.running) < 3:
            one = dispatcher(self.world, quiet_manifests=4)
            self.running.append((one, one.step()))
        at = self.rnd.randrange(3)
        one, coroutine = self.running[at]
        try:
            coroutine.send(None)
        except StopIteration:
            self.running[at] = one, one.step()
        except Transient:
            self.running[at] = one, one.step()

    def commit(self) -> None:
        if sum(self.world.next.values()) < 40:
            streams = self.rnd.choices(["vibration", "heat", "other"], k=self.rnd.randrange(4))
            self.world.commit(self.rnd.choice("01"), *streams)

    def flow(self) -> None:
        if running := self.world.cluster.running():
            name, chance = self.rnd.choice(running), self.rnd.random()
            if chance < 0.25:
                self.world.cluster.fail(name)
            else:
                self.world.cluster.succeed(name, result=chance < 0.9)

    def delete(self) -> None:
        """Ended Workflows are deleted, running ones vanish with their node."""
        names_ = list(self.world.cluster.flows)
        if names_ and self.rnd.random() < 0.5:
            del self.world.cluster.flows[self.rnd.choice(names_)]

    def kill(self) -> None:
        if self.running and self.rnd.random() < 0.3:
            _, coroutine = self.running.pop(self.rnd.randrange(len(self.running)))
            coroutine.close()

    def calm_down(self) -> None:
        """One dispatcher alone, nothing fails, every flow succeeds: it must come to an end."""
        for _, coroutine in self.running:
            coroutine.close()
        self.world.chaos.rnd = None
        one = dispatcher(self.world)
        for _ in range(300):
            step(one)
            self.world.clock.now += 70 * SECOND_NS
            for name in self.world.cluster.running():
                self.world.cluster.succeed(name)
            if asyncio.run(one.idle()):
                return
        pytest.fail("it does not come to an end")


@pytest.mark.parametrize("seeds", [range(at, at + 10) for at in range(0, 40, 10)], ids=str)
def test_each_batch_is_in_one_record_and_has_one_effect_whoever_is_killed(seeds: range) -> None:
    starts = records = 0
    for seed in seeds:
        scheduler = Scheduler(seed)
        scheduler.play(4_000)
        scheduler.calm_down()
        world = scheduler.world
        for each in scheduler.jobs:
            found = [
                (b.partition, b.n, b.entry) for r in world.records(each.name) for b in r.batches
            ]
            expected = [
                (p, n, entry)
                for p in world.partitions
                for n, entry in world.committed(each, p, 0, world.next[p])
            ]
            assert len(found) == len(expected), f"seed {seed}"
            assert sorted(found, key=str) == sorted(expected, key=str), f"seed {seed}"
            for record in world.records(each.name):
                ended = world.result(each.name, record.n) or world.failed(each.name, record.n)
                assert bool(ended) == bool(record.batches), f"seed {seed}, record {record.n}"
        effects = [(name, n) for name, n, _ in world.cluster.effects]
        assert len(effects) == len(set(effects)), f"seed {seed}"
        starts += len(world.cluster.starts)
        records += sum(handed_out(world, each.name) != [] for each in scheduler.jobs)
    assert records > len(seeds)
    assert starts > 3 * len(seeds)
