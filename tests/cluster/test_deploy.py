"""`headrace deploy` against the real API server, with Argo's own kinds and least rights."""

import copy
from pathlib import Path
from typing import Any

import pytest

from batching.errors import LauncherRefused, LauncherUnavailable, SettingError
from flows.deploy.cluster import Cluster as Namespace
from flows.deploy.deploying import apply, compared, plan
from flows.deploy.request import Job
from tests.cluster.cluster import Cluster
from tests.cluster.deployed import kubeconfig_of_deployer
from tests.flows.deploy.conftest import EXAMPLES, SHIPPED, Compile, compiled, request_for

__all__ = ["compiled"]  # a fixture
FOREACH, PLAIN = EXAMPLES / "foreach_flow.py", EXAMPLES / "plain_flow.py"
Json = dict[str, Any]


@pytest.fixture
def place(cluster: Cluster, namespace: str, tmp_path: Path) -> Namespace:
    path = kubeconfig_of_deployer(cluster, namespace, tmp_path / "kubeconfig")
    return Namespace(namespace, str(path), None)


def of(namespace: Namespace, template: Json) -> Json:
    """Move what was compiled into the test's namespace."""
    template["metadata"]["namespace"] = namespace.namespace
    return template


@pytest.mark.parametrize("file", [SHIPPED, FOREACH, PLAIN], ids=lambda path: path.stem)
def test_the_api_server_takes_every_flow_and_a_second_time_nothing_changes(
    file: Path, place: Namespace, compiled: Compile
) -> None:
    request, said = request_for(file), list[str]()
    found = compiled(request)
    of(place, found.template)
    apply(plan(found, request, place), place, said.append)
    again = plan(found, request, place)
    assert "WorkflowTemplate: unchanged" in compared(again)
    apply(again, place, said.append)
    assert said[0].startswith("applied: WorkflowTemplate")
    assert said[1] == "nothing to do: it is deployed like this"


def test_what_changes_is_told_and_what_others_wrote_stays(
    cluster: Cluster, place: Namespace, compiled: Compile
) -> None:
    request, said = request_for(PLAIN), list[str]()
    found = compiled(request)
    of(place, found.template)
    apply(plan(found, request, place), place, said.append)
    where = ("--namespace", place.namespace)
    cluster.kubectl(*where, "label", "workflowtemplate/plain-flow", "team=plant-7")
    under = request_for(PLAIN, jobs=(Job("motion"),), keep_failed_seconds=60)
    second = plan(found, under, place)
    assert compared(second) == [
        "WorkflowTemplate: changed",
        "  spec.ttlStrategy.secondsAfterFailure: 86400 -> 60",
        "CronWorkflow: changed",
        "  spec.suspend: false -> true",
        "  metadata.annotations.headrace/suspended-for: added, motion",
    ]
    apply(second, place, said.append)
    template = place.get("WorkflowTemplate", "plain-flow")
    cron = place.get("CronWorkflow", "plain-flow")
    assert template is not None
    assert cron is not None
    assert template["metadata"]["labels"]["team"] == "plant-7"
    assert cron["spec"]["suspend"] is True

    del found.template["metadata"]["annotations"]["metaflow/cron"]
    apply(plan(found, request, place), place, said.append)
    assert place.get("CronWorkflow", "plain-flow") is None
    place.delete("CronWorkflow", "plain-flow")  # gone already: fine


def test_what_was_deployed_since_the_look_is_not_overwritten(
    cluster: Cluster, place: Namespace, compiled: Compile
) -> None:
    request = request_for(FOREACH)
    found = compiled(request)
    of(place, found.template)
    first = plan(found, request, place)
    apply(first, place, list[str]().append)
    with pytest.raises(LauncherRefused, match="deployed it meanwhile"):  # seen as new, and is not
        apply(first, place, list[str]().append)
    changed = plan(found, request_for(FOREACH, keep_failed_seconds=60), place)
    where = ("--namespace", place.namespace)
    cluster.kubectl(*where, "annotate", "workflowtemplate/foreach-flow", "note=x")
    with pytest.raises(LauncherRefused, match="deployed it meanwhile"):
        apply(changed, place, list[str]().append)


def test_a_template_that_metaflow_did_not_make_is_left_alone(
    cluster: Cluster, place: Namespace, compiled: Compile
) -> None:
    request = request_for(FOREACH)
    other = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": {"name": "foreach-flow", "namespace": place.namespace},
        "spec": {"entrypoint": "a", "templates": [{"name": "a", "suspend": {}}]},
    }
    cluster.kubectl("create", "--filename", "-", given=other)
    with pytest.raises(SettingError, match="that Metaflow did not make"):
        plan(compiled(request), request, place)


def test_each_no_of_the_api_server_is_a_sentence(
    place: Namespace, compiled: Compile, tmp_path: Path
) -> None:
    request = request_for(FOREACH)
    template = of(place, compiled(request).template)
    broken = copy.deepcopy(template)
    broken["metadata"]["labels"]["team"] = "no label!"
    with pytest.raises(LauncherRefused, match=r"create WorkflowTemplate foreach-flow .*no label!"):
        place.put(broken, None)
    elsewhere = Namespace("default", str(tmp_path / "kubeconfig"), None)
    with pytest.raises(LauncherRefused, match=r"in namespace default: not allowed: .*forbidden"):
        elsewhere.get("WorkflowTemplate", "foreach-flow")
    assert place.lacks_account("nobody-s")
    assert not place.lacks_account("flow-runner")
    assert not elsewhere.lacks_account("nobody-s")  # we may not look
    nowhere = tmp_path / "nowhere"
    nowhere.write_text((tmp_path / "kubeconfig").read_text().replace(":443", ":444"))
    with pytest.raises(LauncherUnavailable, match="the cluster does not answer"):
        Namespace(place.namespace, str(nowhere), None).get("WorkflowTemplate", "foreach-flow")


def test_a_kubeconfig_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"kubeconfig: .*--kubeconfig or KUBECONFIG"):
        Namespace("argo", str(tmp_path / "missing"), None)
