"""What a deployment says that it changes, against what is deployed."""

import copy
import json
from typing import Any

from flows.deploy.changes import carried_over, changes
from flows.deploy.dressing import dress
from tests.flows.deploy.conftest import SHIPPED, Compile, request_for

Json = dict[str, Any]


def deployed(compiled: Compile) -> Json:
    request = request_for(SHIPPED)
    return dress(compiled(request).template, request)


def step(template: Json, name: str) -> Json:
    found: Json = next(each for each in template["spec"]["templates"] if each["name"] == name)
    return found


def test_what_the_server_adds_and_each_compilation_writes_anew_is_no_change(
    compiled: Compile,
) -> None:
    old, new = deployed(compiled), deployed(compiled)
    old["metadata"] |= {"resourceVersion": "17", "uid": "u", "generation": 3, "managedFields": [{}]}
    old["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = "{}"
    for metadata in (old["metadata"], old["spec"]["workflowMetadata"]):
        metadata["annotations"]["metaflow/deployment_timestamp"] = "2020-01-01T00:00:00+00:00"
    old["spec"]["templates"].reverse()  # they are found by name
    assert changes(old, new) == []


def test_a_change_in_all_steps_is_told_once_with_their_names(compiled: Compile) -> None:
    old, new = deployed(compiled), deployed(compiled)
    for each in new["spec"]["templates"]:
        if "container" in each:
            each["container"]["image"] = "example.net/headrace-flows:2"
    (line,) = changes(old, new)
    assert line == (
        "end, filter-bank, join, lags, preprocess, start: container.image:"
        " example.net/headrace-flows:1 -> example.net/headrace-flows:2"
    )


def test_new_code_is_one_change(compiled: Compile) -> None:
    old = deployed(compiled)
    env = {each["name"]: each for each in step(old, "end")["container"]["env"]}
    sha = env["METAFLOW_CODE_SHA"]["value"]
    new = json.loads(json.dumps(old).replace(sha, "0" * 40).replace(f"/{sha[:2]}/", "/00/"))
    (line,) = changes(old, new)
    assert line == f"code package: {sha} -> {'0' * 40}"


def test_variables_steps_and_settings_are_compared_by_name(compiled: Compile) -> None:
    old, new = deployed(compiled), deployed(compiled)
    step(new, "end")["container"]["env"].insert(0, {"name": "DEPTH", "value": "3"})
    del new["spec"]["podGC"]
    new["spec"]["ttlStrategy"]["secondsAfterSuccess"] = 60
    assert changes(old, new) == [
        "spec.ttlStrategy.secondsAfterSuccess: 3600 -> 60",
        "spec.podGC.strategy: removed, was OnPodSuccess",
        "end: container.env.DEPTH.value: added, 3",
    ]  # fmt: skip


def test_in_a_long_command_only_what_differs_is_shown(compiled: Compile) -> None:
    old, new = deployed(compiled), deployed(compiled)
    command = step(new, "end")["container"]["command"]
    command[2] = command[2].replace("--max-user-code-retries 2", "--max-user-code-retries 3")
    (line,) = changes(old, new)
    assert line.startswith("end: container.command: ...--max-user-code-retries 2 ")
    assert " -> ...--max-user-code-retries 3 " in line
    assert len(line) < 200


def test_nothing_before_and_nothing_after() -> None:
    one = {"kind": "CronWorkflow", "metadata": {"name": "a"}, "spec": {"suspend": True}}
    assert changes(None, one) == ["metadata.name: added, a", "spec.suspend: added, true"]
    assert changes(one, None)[1] == "spec.suspend: removed, was true"
    assert changes(None, None) == []


def test_what_others_wrote_on_the_deployed_object_stays(compiled: Compile) -> None:
    new = deployed(compiled)
    old = copy.deepcopy(new)
    old["metadata"]["labels"]["team"] = "plant 7"
    old["metadata"]["annotations"] |= {"argocd.argoproj.io/tracking-id": "x", "metaflow/gone": "y"}
    kept = carried_over(old, new)["metadata"]
    assert kept["labels"]["team"] == "plant 7"
    assert kept["annotations"]["argocd.argoproj.io/tracking-id"] == "x"
    assert "metaflow/gone" not in kept["annotations"]
    assert "team" not in new["metadata"]["labels"]
