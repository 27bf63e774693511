"""A run as a Workflow: the manifest that is sent, and what is read of one that comes back."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching import names
from batching.adapters.argo.workflow import (
    Pages,
    course_of,
    head_of,
    record_of,
    selector,
    takes_run,
    workflow,
)
from batching.errors import LauncherRefused
from batching.ports import RunRequest, RunState
from batching.runs.jobs import run_name

STORE = "0123456789abcdef"
URI = "https://plant7data.blob.core.windows.net/headrace/0123456789abcdef/runs/vibration/000000000007.json"
REQUEST = RunRequest(
    run_name(STORE, "SensorProcessingFlow", "vibration", 7, 2),
    "vibration",
    7,
    2,
    "SensorProcessingFlow",
    URI,
    {"0": (3, 5), "redrive": (0, 1)},
)


def test_a_workflow_names_its_template_its_run_and_one_parameter() -> None:
    assert workflow(REQUEST, store=STORE, template="sensorprocessingflow") == {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {
            "name": "sensorprocessingflow-ei7sorts6ad73wsa",
            "labels": {
                "app.kubernetes.io/managed-by": "headrace",
                "headrace/store": STORE,
                "headrace/job": "vibration",
                "headrace/run": "7",
                "headrace/attempt": "2",
            },
            "annotations": {
                "headrace/run-record": URI,
                "headrace/manifests": '{"0":[3,5],"redrive":[0,1]}',
            },
        },
        "spec": {
            "workflowTemplateRef": {"name": "sensorprocessingflow"},
            "arguments": {"parameters": [{"name": "run", "value": f'"{URI}"'}]},
        },
    }


def test_a_job_of_higher_priority_passes_those_that_wait_for_the_controller() -> None:
    made = workflow(replace(REQUEST, priority=5), store=STORE, template="sensorprocessingflow")
    assert made["spec"]["priority"] == 5


@given(st.text(max_size=40))
def test_no_other_uri_gets_into_a_workflow_than_one_that_a_shell_leaves_alone(text: str) -> None:
    request = RunRequest("name", "job", 1, 1, "Flow", text)
    try:
        made = workflow(request, store=STORE, template="flow")
    except LauncherRefused:
        assert names.URI.fullmatch(text) is None
    else:
        value = made["spec"]["arguments"]["parameters"][0]["value"]
        assert json.loads(value) == text
        assert not set(value) & set("$`'\\;&|<>(){}*?!~# \n\t")


def test_what_goes_back_and_forth_is_the_same_run() -> None:
    made = workflow(REQUEST, store=STORE, template="flow")
    head = head_of(made)
    assert (head.name, head.job, head.state) == (REQUEST.name, "vibration", RunState.RUNNING)
    assert record_of(made) == URI
    labels = made["metadata"]["labels"]
    assert all(f"{labels[k]}" == v for k, v in (p.split("=") for p in selector(STORE).split(",")))


@pytest.mark.parametrize(
    ("phase", "state"),
    [
        ("", RunState.RUNNING),
        ("Pending", RunState.RUNNING),
        ("Running", RunState.RUNNING),
        ("Succeeded", RunState.SUCCEEDED),
        ("Failed", RunState.FAILED),
        ("Error", RunState.FAILED),
    ],
)
def test_the_phase_of_a_workflow_is_in_its_labels(phase: str, state: RunState) -> None:
    labels = {"workflows.argoproj.io/phase": phase} if phase else {}
    head = head_of({"metadata": {"name": "a", "labels": labels}})
    assert head.state is state
    assert head.ended == (state is not RunState.RUNNING)
    assert head.begun == (phase not in ("", "Pending"))


def test_a_workflow_of_somebody_elses_names_no_run() -> None:
    bare = {"metadata": {"name": "a"}}
    assert record_of(bare) is None
    assert head_of(bare).job == ""


def test_the_course_of_a_workflow_is_told_by_the_clocks_of_the_cluster() -> None:
    found = {
        "metadata": {"name": "a", "creationTimestamp": "2026-03-01T06:00:00Z"},
        "status": {
            "phase": "Failed",
            "message": "Error (exit code 1)",
            "startedAt": "2026-03-01T06:00:02Z",
            "finishedAt": "2026-03-01T06:01:02Z",
        },
    }
    course = course_of(found)
    assert (course.phase, course.message) == ("Failed", "Error (exit code 1)")
    assert (course.wait_seconds, course.took_seconds) == (2.0, 60.0)
    bare = course_of({"metadata": {"name": "a"}, "status": {"startedAt": None}})
    assert (bare.wait_seconds, bare.took_seconds, bare.message) == (None, None, "")


def test_a_template_takes_a_run_if_it_declares_the_parameter() -> None:
    parameters = [{"name": "job", "value": ""}, {"name": "run", "value": ""}]
    assert takes_run({"spec": {"arguments": {"parameters": parameters}}})
    assert not takes_run({"spec": {"arguments": {"parameters": parameters[:1]}}})
    assert not takes_run({"spec": {"arguments": {}}})
    assert not takes_run({})


def test_pages_of_a_run_are_those_that_settings_name() -> None:
    pages = Pages("https://argo.example/", "https://metaflow.example/base")
    assert pages.of("argo", "flow-abc", "MyFlow") == {
        "argo_ui": "https://argo.example/workflows/argo/flow-abc",
        "metaflow_ui": "https://metaflow.example/base/MyFlow/argo-flow-abc",
    }
    assert Pages().of("argo", "flow-abc", "MyFlow") == {}
