"""What a compiled template gets, seen in real ones: a pure function, template to template."""

import copy
import json
from typing import Any

import pytest

from flows.deploy.dressing import MANAGED_BY, TEMPORARY, TOKEN, WORK, dress
from flows.deploy.request import Request
from tests.flows.deploy.argo_schema import faults
from tests.flows.deploy.conftest import EXAMPLES, SHIPPED, Compile, request_for

FOREACH = EXAMPLES / "foreach_flow.py"
EXAMPLE_FILES = (SHIPPED, FOREACH, EXAMPLES / "plain_flow.py")
Json = dict[str, Any]


def dressed(compiled: Compile, request: Request, token: str | None = None) -> Json:
    return dress(compiled(request).template, request, token)


def pods(template: Json) -> dict[str, Json]:
    return {each["name"]: each for each in template["spec"]["templates"] if "container" in each}


@pytest.mark.parametrize("file", EXAMPLE_FILES, ids=lambda path: path.stem)
def test_argo_reads_every_field_of_it(file, compiled: Compile) -> None:
    assert faults(dressed(compiled, request_for(file))) == []


def test_the_compiled_template_stays_as_it_was(compiled: Compile) -> None:
    template = compiled(request_for(FOREACH)).template
    before = copy.deepcopy(template)
    dress(template, request_for(FOREACH), "other-token")
    assert template == before


@pytest.mark.parametrize("file", EXAMPLE_FILES, ids=lambda path: path.stem)
def test_pod_security_restricted_finds_nothing_in_any_container(file, compiled: Compile) -> None:
    template = dressed(compiled, request_for(file))
    pod = template["spec"]["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] == pod["runAsGroup"] == pod["fsGroup"] == 10001
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in pods(template).values():
        patch = json.loads(each["podSpecPatch"])
        (init,), (wait,) = patch["initContainers"], patch["containers"]
        assert (init["name"], wait["name"]) == ("init", "wait")  # which Argo adds
        for container in (each["container"], init, wait):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
        assert each["container"]["securityContext"]["readOnlyRootFilesystem"] is True


def test_what_steps_write_outside_their_volumes_is_in_volumes_of_the_pod(compiled: Compile) -> None:
    step = pods(dressed(compiled, request_for(SHIPPED)))["start"]
    mounted = {each["mountPath"]: each["name"] for each in step["container"]["volumeMounts"]}
    volumes = {each["name"] for each in step["volumes"] if "emptyDir" in each}
    assert {WORK, TEMPORARY, "/mnt/out"} <= set(mounted)
    assert set(mounted.values()) <= volumes
    assert step["container"]["workingDir"] == WORK
    assert {"name": "HOME", "value": WORK} in step["container"]["env"]


def test_an_image_may_need_a_root_that_can_be_written(compiled: Compile) -> None:
    compiled_from, asked = request_for(SHIPPED), request_for(SHIPPED, writable_root=True, user=1000)
    template = dress(compiled(compiled_from).template, asked)
    context = pods(template)["end"]["container"]["securityContext"]
    assert context["readOnlyRootFilesystem"] is False
    assert template["spec"]["securityContext"]["runAsUser"] == 1000


def test_a_step_keeps_what_its_author_said(compiled: Compile) -> None:
    template = compiled(request_for(FOREACH)).template
    (count,) = (each for each in template["spec"]["templates"] if each["name"] == "count")
    count["container"]["securityContext"] = {"readOnlyRootFilesystem": False, "privileged": None}
    step = pods(dress(template, request_for(FOREACH)))["count"]
    assert step["container"]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": False,
    }
    assert json.loads(step["podSpecPatch"])["imagePullSecrets"] == [{"name": "pull"}]


def test_memory_is_bounded_by_what_was_asked_for(compiled: Compile) -> None:
    steps = pods(dressed(compiled, request_for(FOREACH)))
    for each in steps.values():
        resources = each["container"]["resources"]
        assert resources["limits"] == {"memory": resources["requests"]["memory"]}
    assert steps["count"]["container"]["resources"]["limits"] == {"memory": "512M"}


def test_workflows_and_pods_go_when_their_time_is_over(compiled: Compile) -> None:
    compiled_from = request_for(SHIPPED)
    asked = request_for(SHIPPED, keep_succeeded_seconds=60, keep_failed_seconds=7200)
    spec = dress(compiled(compiled_from).template, asked)["spec"]
    assert spec["ttlStrategy"] == {"secondsAfterSuccess": 60, "secondsAfterFailure": 7200}
    assert spec["podGC"] == {"strategy": "OnPodSuccess"}
    assert spec["parallelism"] == 100


def test_pods_sign_in_to_azure_as_their_service_account(compiled: Compile) -> None:
    template = compiled(request_for(SHIPPED)).template
    asked = request_for(SHIPPED, service_account="flows", store="https://a.blob.example.net/box")
    spec = dress(template, asked)["spec"]
    assert spec["podMetadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert spec["serviceAccountName"] == "flows"
    variables = pods({"spec": spec})["start"]["container"]["env"]
    store = {"name": "HEADRACE_STORE", "value": "https://a.blob.example.net/box"}
    assert store in variables  # for runs that are ad hoc
    without = dress(template, request_for(SHIPPED, workload_identity=False))["spec"]
    assert "azure.workload.identity/use" not in without["podMetadata"]["labels"]


def test_it_can_be_told_from_what_others_deployed_but_its_runs_cannot(compiled: Compile) -> None:
    """Runs that are the service's carry the label already; ad hoc ones must not."""
    template = dressed(compiled, request_for(SHIPPED))
    assert MANAGED_BY.items() <= template["metadata"]["labels"].items()
    assert not MANAGED_BY.keys() & template["spec"]["workflowMetadata"]["labels"].keys()


def test_nothing_is_null(compiled: Compile) -> None:
    def nulls(value: Any) -> bool:
        inner = value.values() if isinstance(value, dict) else value
        return value is None or (isinstance(value, dict | list) and any(map(nulls, inner)))

    assert nulls(compiled(request_for(SHIPPED)).template)
    assert not nulls(dressed(compiled, request_for(SHIPPED)))


def test_the_production_token_of_what_is_deployed_is_kept_everywhere(compiled: Compile) -> None:
    template = compiled(request_for(SHIPPED)).template
    token = template["metadata"]["annotations"][TOKEN]
    older = 'an "older" token'
    kept = dress(template, request_for(SHIPPED), older)
    assert token not in json.dumps(kept)
    assert kept["metadata"]["annotations"][TOKEN] == older
    env = {each["name"]: each.get("value") for each in pods(kept)["start"]["container"]["env"]}
    assert env["METAFLOW_PRODUCTION_TOKEN"] == older
