"""The service's pod, the API server and Argo's controller are killed: still one effect a record.

Each test ends with `headrace verify` against what the senders logged, and with a look at the
Workflows and at the results that runs have created.
"""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import chart, needs
from tests.cluster.cluster import Cluster
from tests.cluster.desk import FLOW, Desk, template
from tests.cluster.place import ClusterError
from tests.cluster.site import Site, running_site

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
RECORD = "headrace/run-record"


@dataclass
class Stage:
    """A site whose flow is the desk's, with the chart installed and ready."""

    site: Site
    desk: Desk

    def until(self, what: str, true: Callable[[], Any], seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, f"not {what} in {seconds} s\n{self.site.told()}"
            time.sleep(0.3)

    def kill_pod(self) -> None:
        """Kill the service's container from outside; its disk stays, and what Valkey has there."""
        before = self.site.restarts()
        (pod,) = self.site.release.pods()
        place = (self.site.namespace, pod["metadata"]["name"], chart.NAME)
        self.site.release.cluster.kill_container(*place)
        self.until("started again", lambda: self.site.restarts() > before)

    def each_record_has_one_effect(self) -> Counter[str]:
        """Hold results and Workflows against the records; give the Workflows by record."""
        self.site.complete()
        made = [each["metadata"]["annotations"][RECORD] for each in self.site.ended()]
        results = self.site.objects("results")
        assert len(results) == len(self.desk.effects)
        assert set(self.desk.effects.values()) == {1}
        assert set(made) <= set(self.desk.effects)
        return Counter(made)


@pytest.fixture
def stage(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Stage]:
    if not chart.INGEST.built and (lacking := needs.to_build()):
        pytest.skip("no images: " + "; ".join(lacking))
    with running_site(cluster, namespace, tmp_path) as site:
        desk = Desk(site.lake)
        desk.answer_all(0)
        site.write_config(flow=FLOW, after="0.5 s", in_flight=5, backoff="1 s")
        site.release.kubectl("create", "--filename", "-", given=template(namespace, desk))
        try:
            yield Stage(site, desk)
        finally:
            desk.close()


def started(stage: Stage, failpoint: str) -> None:
    """Install the chart with a failpoint in the pod's first life alone."""
    stage.site.fail_at(failpoint)
    stage.site.install()
    stage.site.fail_at("")


@pytest.mark.parametrize(
    "failpoint",
    [
        pytest.param("start.before=kill@2", id="with a record and no Workflow"),
        pytest.param("start.after=kill@2", id="with a Workflow and no receipt"),
        pytest.param("receipt.after=kill@2", id="with a receipt that it does not know"),
    ],
)
def test_a_pod_that_is_killed_in_the_midst_of_a_start_starts_that_run_once(
    stage: Stage, failpoint: str
) -> None:
    started(stage, failpoint)
    stage.site.send(200)  # some three seconds of batches: several runs
    stage.until("killed", lambda: stage.site.restarts() == 1)
    stage.site.send(200)
    made = stage.each_record_has_one_effect()
    assert set(made.values()) == {1}, "one attempt each"
    assert all(stage.desk.asked[w["metadata"]["name"]] == 1 for w in stage.site.workflows())
    place, _, _ = failpoint.partition("=")
    (pod,) = stage.site.release.pods()
    said = stage.site.release.kubectl("logs", pod["metadata"]["name"], "--previous")
    assert f"failpoint {place}: kill" in said


def test_a_pod_that_is_killed_and_replaced_during_a_burst_loses_nothing(stage: Stage) -> None:
    started(stage, "")
    for turn in range(3):
        stage.site.send(300, rate=0)  # as fast as it goes
        time.sleep(turn)
        stage.kill_pod()
    stage.site.send(300, rate=0)
    (old,) = stage.site.release.pods()
    now = ("--grace-period=0", "--force")  # its disk goes, and Valkey's data with it
    stage.site.release.kubectl("delete", "pod", old["metadata"]["name"], *now)
    made = stage.each_record_has_one_effect()
    assert set(made.values()) == {1}


def test_a_workflow_that_ended_and_is_gone_before_its_receipt_has_no_second_effect(
    stage: Stage,
) -> None:
    """As its TTL does it: the re-drive makes it anew, under the same name."""
    started(stage, "start.after=pause:3600")
    stage.site.send(50)
    stage.until("ended", lambda: phases(stage) == ["Succeeded"])
    (first,) = stage.site.workflows()
    stage.site.release.kubectl("delete", "workflow", first["metadata"]["name"])
    stage.kill_pod()
    stage.site.send(50)
    made = stage.each_record_has_one_effect()
    assert set(made.values()) <= {1}
    # its result was there: nobody drives it any more, and a run that came would find it
    assert stage.desk.effects[first["metadata"]["annotations"][RECORD]] == 1


def test_a_workflow_that_is_gone_without_a_result_is_made_again_and_counts_once(
    stage: Stage,
) -> None:
    stage.desk.answer_all(None)
    started(stage, "start.after=pause:3600")
    stage.site.send(50)
    stage.until("begun", lambda: stage.desk.asked)
    (first,) = stage.site.workflows()
    stage.site.release.kubectl("delete", "workflow", first["metadata"]["name"])
    stage.kill_pod()
    stage.until("made again", lambda: uids(stage) - {first["metadata"]["uid"]})
    stage.desk.answer_all(0)  # also to the first pod, should it still be there
    made = stage.each_record_has_one_effect()
    assert made[first["metadata"]["annotations"][RECORD]] == 1


@pytest.mark.alone
def test_the_api_server_and_the_controller_are_killed_with_the_pod(stage: Stage) -> None:
    cluster = stage.site.release.cluster
    started(stage, "")
    stage.desk.answer_all(None)
    stage.site.send(200)
    stage.until("begun", lambda: stage.desk.asked)
    cluster.stop("kube-apiserver", signal.SIGKILL)
    cluster.stop("workflow-controller", signal.SIGKILL)
    stage.desk.answer_all(0)  # runs end unseen
    stage.site.send(200)
    cluster.start("kube-apiserver")
    stage.until("the API server ready", lambda: ready(cluster))
    cluster.start("workflow-controller")
    stage.kill_pod()
    made = stage.each_record_has_one_effect()
    # an API server that has just begun tells 403 to Argo's executors: Argo fails what ended well
    assert max(made.values()) <= 2
    assert set(phases(stage)) <= {"Succeeded", "Failed", "Error"}


def phases(stage: Stage) -> list[str]:
    return sorted(w.get("status", {}).get("phase", "") for w in stage.site.workflows())


def uids(stage: Stage) -> set[str]:
    return {w["metadata"]["uid"] for w in stage.site.workflows()}


def ready(cluster: Cluster) -> bool:
    try:
        cluster.kubectl("get", "--raw", "/readyz")
    except ClusterError:
        return False
    return True
