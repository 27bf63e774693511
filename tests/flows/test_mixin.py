"""Which attempt counts, what the others leave behind, and what a step sees."""

import json

import pytest

from batching import model, names
from flows.mixin import BatchFlow, FlowError
from tests.flows.conftest import Lake, sine


def written(lake: Lake) -> list[str]:
    return list(lake.store.names("outputs/"))


def result_of(lake: Lake, attempt: int, n: int = 0) -> None:
    folder = names.outputs("vibration", n, attempt)
    made = model.Result("vibration", n, attempt, "flow", folder, 1)
    assert lake.store.create(names.result("vibration", n), model.dump(made))


@pytest.fixture
def uri(lake: Lake) -> str:
    return lake.run(lake.bundle({"a": [sine(2.0)], "b": [sine(5.0)]}))


def test_a_flow_reads_writes_and_creates_its_result(lake: Lake, uri, step_of) -> None:
    flow = step_of(uri, attempt=2)
    assert [batch.sensor for batch in flow.batches()] == ["a", "b"]
    where = flow.outputs().write("part/means.json", b"{}")
    flow.finish(sensors=2)
    assert where == f"{lake.uri}/outputs/vibration/000000000000.a2/part/means.json"
    assert written(lake) == ["outputs/vibration/000000000000.a2/part/means.json"]
    made = lake.result()
    assert made is not None
    assert (made.attempt, made.by, made.facts) == (2, "flow", {"sensors": 2})
    assert made.outputs == "outputs/vibration/000000000000.a2/"
    assert made.written > 1_700_000_000 * 10**9


def test_a_second_attempt_that_was_too_late_deletes_only_its_own_outputs(
    lake: Lake, uri, step_of, capsys
) -> None:
    first, second = names.outputs("vibration", 0, 1), names.outputs("vibration", 0, 2)
    flow = step_of(uri, attempt=2)
    assert list(flow.batches())
    flow.outputs().write("x", b"2")
    lake.store.create(f"{first}x", b"1")
    lake.store.create(f"{second[:-1]}2/x", b"22")
    result_of(lake, 1)
    flow.finish()
    assert written(lake) == [f"{first}x", f"{second[:-1]}2/x"]
    assert "attempt 1 was first" in capsys.readouterr().out
    made = lake.result()
    assert made is not None
    assert made.attempt == 1


def test_an_attempt_that_finds_its_own_result_keeps_its_outputs(lake: Lake, uri, step_of) -> None:
    flow = step_of(uri, attempt=1)
    assert list(flow.batches())
    flow.outputs().write("x", b"1")
    result_of(lake, 1)
    flow.finish()
    assert written(lake) == ["outputs/vibration/000000000000.a1/x"]


@pytest.mark.parametrize("attempt", [1, 2])
def test_where_the_result_is_there_at_the_start_nothing_is_read_or_written(
    lake: Lake, uri, step_of, attempt
) -> None:
    result_of(lake, 1)
    before = bytes(lake.store.get(names.result("vibration", 0)))
    lake.store.create("outputs/vibration/000000000000.a1/x", b"1")
    flow = step_of(uri, attempt=attempt)
    assert list(flow.batches()) == []
    (group,) = flow.groups(5)
    assert group.batches == ()
    flow.outputs().write("y", b"2")
    flow.finish(sensors=0)
    assert written(lake) == ["outputs/vibration/000000000000.a1/x"]
    assert bytes(lake.store.get(names.result("vibration", 0))) == before


def test_a_result_that_comes_while_the_flow_runs_does_not_empty_its_later_steps(
    lake: Lake, uri, step_of
) -> None:
    flow = step_of(uri, attempt=2)
    assert len(flow.groups(2)) == 2
    result_of(lake, 1)
    assert len(list(flow.batches())) == 2


def test_an_output_is_written_once_and_stays(lake: Lake, uri, step_of, capsys) -> None:
    outputs = step_of(uri, attempt=1).outputs()
    assert outputs.write("x", b"first") == outputs.write("x", b"second")
    assert bytes(lake.store.get(f"{outputs.folder}x")) == b"first"
    assert "stays as it is" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "/x", "../x", "a//b", "a/../../b"])
def test_an_output_cannot_leave_its_folder(uri, step_of, name) -> None:
    with pytest.raises(Exception, match="an output needs a name"):
        step_of(uri, attempt=1).outputs().write(name, b"")


def test_an_empty_record_gives_one_empty_group_and_a_result(lake: Lake, step_of) -> None:
    flow = step_of(lake.run([]), attempt=1)
    (group,) = flow.groups(3)
    assert (group.batches, group.samples) == ((), 0)
    assert list(flow.batches(group)) == []
    flow.finish()
    assert lake.result() is not None


def test_groups_are_read_in_the_branches(lake: Lake, uri, step_of) -> None:
    groups = step_of(uri, attempt=1).groups(2)
    seen = [b.sensor for group in groups for b in step_of(uri, step="branch").batches(group)]
    assert sorted(seen) == ["a", "b"]


def test_without_a_launchers_word_the_attempt_is_the_newest_that_was_decided(
    lake: Lake, uri, step_of
) -> None:
    assert step_of(uri).outputs().folder.endswith(".a1/")
    for k in (2, 3):
        decided = model.Attempt("vibration", 0, k, f"name-{k}", 1, "failed")
        lake.store.create(names.attempt("vibration", 0, k), model.dump(decided))
    assert step_of(uri).outputs().folder.endswith(".a3/")


@pytest.mark.parametrize("wrong", ["0", "x", "-1", "1.5"])
def test_an_attempt_that_is_no_number_is_refused(uri, step_of, monkeypatch, wrong) -> None:
    flow = step_of(uri)
    monkeypatch.setenv("HEADRACE_ATTEMPT", wrong)
    with pytest.raises(FlowError, match="HEADRACE_ATTEMPT must be a number"):
        flow.finish()


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ("file:///x/$(id)/runs/j/000000000000.json", "other characters"),
        ("file:///x", "no run record"),
        ("file:///x/adhoc/F/1/record.json", "no run record of a job"),
        ("file:///nowhere/runs/j/000000000000.json", "there is no run record"),
    ],
)
def test_a_run_parameter_that_is_none_is_told_in_a_sentence(step_of, run, message) -> None:
    with pytest.raises(FlowError, match=message):
        list(step_of(run).batches())


def test_a_store_that_is_gone_fails_the_step_not_the_data(lake: Lake, uri, step_of) -> None:
    flow = step_of(uri, attempt=1)
    assert list(flow.batches())
    lake.path().rename(lake.path().with_name("moved"))
    with pytest.raises(FlowError, match="creating results/"):
        flow.finish()


class TestAdHoc:
    """Runs without a record of their own."""

    @pytest.fixture(autouse=True)
    def _store(self, lake: Lake, monkeypatch) -> None:
        monkeypatch.setenv("HEADRACE_STORE", lake.root.uri)

    def sensors(self, flow: BatchFlow) -> list[str]:
        return [batch.sensor for batch in flow.batches()]

    def test_the_newest_record_with_batches_is_read(self, lake: Lake, step_of) -> None:
        lake.run(lake.bundle({"old": [sine(1.0)]}))
        lake.run(lake.bundle({"new": [sine(1.0)]}))
        lake.run([])
        assert self.sensors(step_of()) == ["new"]

    def test_every_step_of_a_run_reads_the_same(self, lake: Lake, step_of) -> None:
        lake.run(lake.bundle({"first": [sine(1.0)]}))
        assert self.sensors(step_of()) == ["first"]
        lake.run(lake.bundle({"second": [sine(1.0)]}))
        assert self.sensors(step_of(step="later")) == ["first"]

    def test_it_writes_beside_the_jobs_and_makes_no_result(
        self, lake: Lake, step_of, capsys
    ) -> None:
        lake.run(lake.bundle({"a": [sine(1.0)]}))
        result_of(lake, 1)  # of the very record that is read: it is read all the same
        flow = step_of()
        assert self.sensors(flow) == ["a"]
        flow.outputs().write("x", b"1")
        flow.finish()
        assert written(lake) == []
        assert lake.store.get("adhoc/SensorProcessingFlow/17/x") is not None
        assert list(lake.store.names("results/")) == [names.result("vibration", 0)]
        assert "no result is written" in capsys.readouterr().out

    def test_since_gathers_what_was_sealed_from_then_on(self, lake: Lake, step_of) -> None:
        hour_ns = 3600 * 10**9
        for age, sensor in ((5, "e"), (3, "c"), (2, "b"), (1, "a")):
            at = 1_800_000_000 * 10**9 - age * hour_ns
            lake.run(lake.bundle({sensor: [sine(1.0)]}, sealed=at), written=at + 1)
        since = "2027-01-15T05:00:00Z"  # three hours before 1.8e9 seconds
        assert self.sensors(step_of(since=since)) == ["c", "b", "a"]

    def test_nothing_since_then_is_said(self, lake: Lake, step_of) -> None:
        old = lake.bundle({"a": [sine(1.0)]}, sealed=10**18)
        lake.run(old, written=10**18)
        with pytest.raises(FlowError, match="no batch of job 'vibration'"):
            self.sensors(step_of(since="1h"))

    def test_the_job_of_the_flow_is_taken_among_several(self, lake: Lake, step_of) -> None:
        lake.run(lake.bundle({"mine": [sine(1.0)]}))
        lake.run(lake.bundle({"other": [sine(1.0)]}), job="report", flow="ReportFlow")
        assert self.sensors(step_of()) == ["mine"]

    def test_the_job_can_be_said(self, lake: Lake, step_of) -> None:
        lake.run(lake.bundle({"mine": [sine(1.0)]}))
        lake.run(lake.bundle({"other": [sine(1.0)]}), job="report", flow="ReportFlow")
        assert self.sensors(step_of(job="report")) == ["other"]

    def test_a_choice_that_nobody_made_is_asked_for(self, lake: Lake, step_of) -> None:
        for job in ("day", "night"):
            lake.run(lake.bundle({"a": [sine(1.0)]}), job=job, flow="Other")
        with pytest.raises(FlowError, match="--job day or --job night"):
            self.sensors(step_of())

    def test_a_job_that_is_not_there_is_named(self, lake: Lake, step_of) -> None:
        lake.run(lake.bundle({"a": [sine(1.0)]}))
        with pytest.raises(FlowError, match=r"'vibrations' has no runs .*\['vibration'\] have"):
            self.sensors(step_of(job="vibrations"))

    def test_an_empty_store_says_what_to_do(self, step_of) -> None:
        with pytest.raises(FlowError, match=r"no runs in file://.*headrace run"):
            self.sensors(step_of())

    def test_no_store_says_what_to_do(self, step_of, tmp_path, monkeypatch) -> None:
        monkeypatch.setenv("HEADRACE_STORE", (tmp_path / "none").as_uri())
        with pytest.raises(FlowError, match=r"no Headrace store in .*HEADRACE_STORE="):
            self.sensors(step_of())

    def test_without_a_word_the_store_is_that_of_the_folder_we_are_in(
        self, tmp_path, step_of, monkeypatch
    ) -> None:
        monkeypatch.delenv("HEADRACE_STORE")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(FlowError, match=r"no Headrace store in file://.*/headrace-data/blobs"):
            self.sensors(step_of())


@pytest.mark.azurite
def test_the_whole_life_of_a_run_in_azure(azure_store, step_of) -> None:
    lake = Lake(azure_store)
    uri = lake.run(lake.bundle({"a": [sine(2.0)]}))
    late = step_of(uri, attempt=2)
    assert [batch.samples for batch in late.groups(3)] == [2000]
    late.outputs().write("x", b"2")
    first = step_of(uri, attempt=1)
    assert [batch.sensor for batch in first.batches()] == ["a"]
    first.outputs().write("x", b"1")
    first.finish(note=json.dumps([1]))
    late = replace_attempt(step_of, uri, late)
    late.finish()
    assert written(lake) == ["outputs/vibration/000000000000.a1/x"]


def replace_attempt(step_of, uri: str, flow: BatchFlow) -> BatchFlow:
    """Give the same flow object, in the process of attempt 2 again."""
    again = step_of(uri, attempt=2)
    again.__dict__.update(flow.__dict__)
    return again
