"""A job with a schedule: one run a moment, over all that was committed, by whichever process."""

from datetime import datetime

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from batching.runs import lookout
from batching.runs.jobs import Job
from tests.batching.runs.dispatch_world import Chaos, World
from tests.batching.runs.test_dispatcher import dispatcher, handed_out, job, step

MINUTE_NS, HOUR_NS = 60 * 10**9, 3600 * 10**9


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


def hourly(**settings: object) -> Job:
    return job(**{"schedule": "0 * * * *", "zone": "Europe/Berlin", **settings})


def world(begin: str, *jobs: Job, partitions: tuple[str, ...] = ("0",)) -> World:
    """Give a store in which every job has begun."""
    made = World(jobs, partitions, Chaos())
    made.clock.now = at(begin)
    step(dispatcher(made))
    return made


def served(world: World, name: str = "vibration") -> list[int | None]:
    return [r.scheduled for r in world.records(name) if r.batches]


def test_a_run_covers_all_streams_and_partitions_since_the_last_one() -> None:
    both = hourly(over=("vibration", "heat"))
    plant = world("2026-11-25T10:10Z", both, partitions=("0", "1"))
    one = dispatcher(plant)
    for _ in range(5):
        plant.commit("0", "vibration", "heat")
        plant.commit("1", "heat")
        plant.clock.now += 5 * MINUTE_NS
        step(one)
    assert handed_out(plant) == []
    plant.clock.now = at("2026-11-25T11:00Z")
    step(one, 3)
    assert handed_out(plant) == [15]
    plant.commit("1", "vibration")
    plant.clock.now += HOUR_NS - 1
    step(one, 3)
    assert handed_out(plant) == [15]
    plant.clock.now += 1
    step(one, 3)
    assert handed_out(plant) == [15, 1]
    assert served(plant) == [at("2026-11-25T11:00Z"), at("2026-11-25T12:00Z")]


def test_a_new_job_waits_for_its_first_moment_whatever_the_store_holds() -> None:
    plant = World((hourly(),))
    plant.clock.now = at("2026-11-20T10:10Z")
    plant.commit("0", "vibration")
    plant.clock.now = at("2026-11-25T10:10Z")
    one = dispatcher(plant)
    step(one, 3)
    assert handed_out(plant) == []
    plant.clock.now = at("2026-11-25T11:00Z")
    step(one, 3)
    assert handed_out(plant) == [1]


def test_moments_with_nothing_to_do_start_nothing_and_are_not_made_up_for() -> None:
    plant = world("2026-11-25T10:10Z", hourly())
    plant.clock.now = at("2026-11-25T13:03Z")
    step(dispatcher(plant), 3)
    plant.commit("0", "vibration")
    step(dispatcher(plant), 3)
    assert len(plant.records("vibration")) == 1
    plant.clock.now = at("2026-11-25T14:00Z")
    step(dispatcher(plant), 3)
    assert served(plant) == [at("2026-11-25T14:00Z")]


def test_a_service_that_was_down_starts_one_run_when_it_is_back_and_says_so() -> None:
    plant = world("2026-11-25T10:10Z", hourly())
    for _ in range(4):
        plant.commit("0", "vibration")
        plant.clock.now += 50 * MINUTE_NS
    with capture_logs() as logs:
        step(dispatcher(plant), 3)
        step(dispatcher(plant), 3)  # and it is restarted once more
    assert handed_out(plant) == [4]
    assert served(plant) == [at("2026-11-25T13:00Z")]
    (said,) = [line for line in logs if line["event"] == "scheduled run catches up"]
    assert said["missed_since"] == "2026-11-25T12:00:00+01:00"
    assert said["moment"] == "2026-11-25T14:00:00+01:00"
    assert said["late_seconds"] == 2 * 3600 + 30 * 60


def test_each_hour_has_one_run_on_the_days_when_summer_time_comes_and_goes() -> None:
    for day in ("2026-03-28T22:30Z", "2026-10-24T21:30Z"):
        plant = world(day, hourly())
        one = dispatcher(plant)
        for _ in range(6 * 12):
            plant.commit("0", "vibration")
            plant.clock.now += 5 * MINUTE_NS
            step(one)
        first = at(day) + HOUR_NS // 2
        assert served(plant) == [first + n * HOUR_NS for n in range(6)]
        assert handed_out(plant) == [6, *[12] * 5]


def test_any_number_of_processes_with_clocks_that_disagree_start_one_run_a_moment() -> None:
    plant = world("2026-11-25T10:10Z", hourly())
    several = [dispatcher(plant) for _ in range(4)]
    skews = [0, 20, -20, 7]
    for minute in range(6 * 60):
        now = at("2026-11-25T10:10Z") + minute * MINUTE_NS
        plant.clock.now = now
        plant.commit("0", "vibration")
        for skew, each in zip(skews, several, strict=True):
            plant.clock.now = now + skew * 10**9
            step(each)
        if minute % 50 == 0:
            several[minute % 4] = dispatcher(plant)
    found = served(plant)
    assert found == [at("2026-11-25T11:00Z") + n * HOUR_NS for n in range(6)]


def test_a_moment_that_one_run_cannot_hold_has_several_and_a_late_batch_waits() -> None:
    plant = world("2026-11-25T10:10Z", hourly(at_most_batches=2))
    for _ in range(5):
        plant.commit("0", "vibration")
    plant.clock.now = at("2026-11-25T11:00Z")
    for _ in range(4):
        step(dispatcher(plant), 2)  # another process each time
    assert handed_out(plant) == [2, 2, 1]
    assert [record.more for record in plant.records("vibration")][1:] == [True, True, False]
    plant.clock.now -= 10**9
    plant.commit("0", "vibration")  # stamped before the moment, seen after it
    plant.clock.now += 10**9
    step(dispatcher(plant), 3)
    assert handed_out(plant) == [2, 2, 1]


def test_a_run_waits_until_all_that_was_committed_has_been_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lookout, "SCAN_STEP", 3)
    plant = world("2026-11-25T10:10Z", hourly())
    for _ in range(10):
        plant.commit("0", "vibration")
    plant.clock.now = at("2026-11-25T11:00Z")
    step(dispatcher(plant), 1)
    assert handed_out(plant) == []
    one = dispatcher(plant)
    step(one, 5)
    assert handed_out(plant) == [10]


def test_records_that_start_nothing_pass_on_what_was_served() -> None:
    plant = world("2026-11-25T10:10Z", hourly())
    plant.commit("0", "vibration")
    plant.clock.now = at("2026-11-25T11:00Z")
    one = dispatcher(plant, quiet_manifests=2)
    step(one, 2)
    for _ in range(2):
        plant.commit("0", "heat")
    step(one, 2)
    plant.cluster.succeed(plant.cluster.running()[0])
    plant.clock.now += MINUTE_NS
    step(one, 2)  # and the position of the job moves past all of them
    assert plant.records("vibration")[-1].scheduled == at("2026-11-25T11:00Z")
    plant.clock.now -= 2 * MINUTE_NS
    plant.commit("0", "vibration")
    plant.clock.now += 3 * MINUTE_NS
    step(dispatcher(plant), 3)
    assert handed_out(plant) == [1]


def test_over_the_cap_moments_merge() -> None:
    plant = world("2026-11-25T10:10Z", hourly(in_flight=1))
    one = dispatcher(plant)
    for _ in range(4):
        plant.commit("0", "vibration")
        plant.clock.now += HOUR_NS
        step(one, 2)
    assert handed_out(plant) == [1]
    plant.cluster.succeed(plant.cluster.running()[0])
    step(one, 2)
    assert handed_out(plant) == [1, 3]


def test_how_long_a_run_is_overdue_is_a_metric_and_an_hour_of_batches_is_not() -> None:
    plant = world("2026-11-25T10:10Z", hourly(in_flight=1))
    registry = CollectorRegistry()
    one = dispatcher(plant, registry=registry)

    def shown(what: str) -> float | None:
        return registry.get_sample_value(f"headrace_job_{what}", {"job": "vibration"})

    plant.commit("0", "vibration", "vibration")
    plant.clock.now = at("2026-11-25T10:50Z")
    step(one)
    assert shown("backlog_batches") == 2
    assert shown("backlog_bytes") == 200
    assert shown("backlog_age_seconds") == 40 * 60
    assert shown("overdue_seconds") == 0
    plant.clock.now = at("2026-11-25T11:00Z")
    step(one)
    plant.commit("0", "vibration")
    plant.clock.now = at("2026-11-25T12:05Z")
    step(one)
    assert shown("overdue_seconds") == 5 * 60


# --- starts a minute, priority ------------------------------------------------------------


def test_so_many_runs_begin_in_a_minute_whoever_starts_them() -> None:
    plant = World((job(starts_per_minute=3, at_most_batches=1),))
    for _ in range(8):
        plant.commit("0", "vibration")
    for expected in (3, 3, 6, 6, 8):
        for _ in range(5):
            step(dispatcher(plant))  # a restart each time
        assert len(handed_out(plant)) == expected
        plant.clock.now += 30 * 10**9


def test_what_began_before_a_restart_counts_though_it_has_ended() -> None:
    plant = World((job(starts_per_minute=2, at_most_batches=1),))
    one = dispatcher(plant)
    plant.commit("0", "vibration")
    plant.commit("0", "vibration")
    step(one, 3)
    for name in plant.cluster.running():
        plant.cluster.succeed(name)
    plant.clock.now += 11 * 10**9
    step(one, 2)
    assert plant.store.objects["runs/vibration/position.json"]
    plant.commit("0", "vibration")
    step(dispatcher(plant), 3)
    assert handed_out(plant) == [1, 1]
    plant.clock.now += 50 * 10**9
    step(dispatcher(plant), 3)
    assert handed_out(plant) == [1, 1, 1]


def test_a_clock_that_is_set_back_makes_no_run_wait_for_it() -> None:
    plant = World((job(starts_per_minute=1, at_most_batches=1),))
    one = dispatcher(plant)
    plant.commit("0", "vibration")
    step(one, 2)
    plant.clock.now -= HOUR_NS
    plant.commit("0", "vibration")
    step(one, 2)
    assert handed_out(plant) == [1, 1]


def test_the_job_of_higher_priority_gets_room_first_and_equals_take_turns() -> None:
    jobs = [
        job(name=name, at_most_batches=1, priority=p) for name, p in (("a", 0), ("b", 5), ("c", 0))
    ]
    plant = World(tuple(jobs))
    for _ in range(4):
        plant.commit("0", "vibration")
    plant.cluster.slots = 1
    one = dispatcher(plant)
    for _ in range(12):
        step(one)
        for name in plant.cluster.running():
            plant.cluster.succeed(name)
    order = [request.job for request in plant.cluster.starts]
    assert order[:4] == ["b"] * 4
    assert order[4:8].count("a") == 2
