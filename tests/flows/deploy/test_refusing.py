"""Each thing that would fail later, refused now, and what is said of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from batching.errors import SettingError
from flows.deploy.compiling import compile_flow
from flows.deploy.dressing import dress
from flows.deploy.refusing import problems
from flows.deploy.request import Job, Request
from tests.flows.deploy.conftest import EXAMPLES, SHIPPED, Compile, environment, request_for

WANTING = EXAMPLES / "wanting_flow.py"


def said(compiled: Compile, request: Request, asked: Request | None = None) -> list[str]:
    asked = asked or request
    return problems(dress(compiled(request).template, asked), asked)


def test_nothing_stands_in_the_way_of_the_shipped_flow(compiled: Compile) -> None:
    assert said(compiled, request_for(SHIPPED), request_for(SHIPPED, jobs=(Job("motion"),))) == []


def test_a_missing_image_is_refused_but_not_where_conda_brings_the_packages(
    compiled: Compile,
) -> None:
    request = request_for(EXAMPLES / "foreach_flow.py", image=None)
    (sentence,) = said(compiled, request)
    assert sentence.startswith("image: steps end, join, start would run in python:3.")
    assert "--image" in sentence
    conda = request_for(EXAMPLES / "foreach_flow.py", metaflow=("--environment=conda",))
    assert said(compiled, request, conda) == []


def test_a_required_parameter_is_refused_under_a_job_which_gives_only_run(
    compiled: Compile,
) -> None:
    under = request_for(WANTING, jobs=(Job("motion"),))
    found = said(compiled, request_for(WANTING), under)
    assert any(
        each.startswith("parameter plant: is required, and runs of motion") for each in found
    )
    assert "parameter run: must be text, a run record's URI, and is of type int" in found
    assert said(compiled, request_for(WANTING)) == []  # somebody who starts it by hand gives them


def test_triggers_of_argo_events_are_refused(compiled: Compile, tmp_path: Path) -> None:
    request = request_for(EXAMPLES / "trigger_flow.py")
    with pytest.raises(SettingError, match="@trigger and @trigger_on_finish need Argo Events"):
        compiled(request)
    configured = environment(tmp_path) | {
        f"METAFLOW_ARGO_EVENTS_{name}": "set"
        for name in ("EVENT", "EVENT_SOURCE", "SERVICE_ACCOUNT")
    }
    template = dress(compile_flow(request, configured).template, request)
    (sentence,) = problems(template, request)
    assert sentence.startswith("decorator: @trigger and @trigger_on_finish need Argo Events")


def test_steps_on_several_machines_are_refused(compiled: Compile) -> None:
    (sentence,) = said(compiled, request_for(EXAMPLES / "parallel_flow.py"))
    assert sentence == (
        "decorator: @parallel needs JobSets, whose pods Headrace cannot confine (step gang)"
    )


def test_what_is_too_large_is_refused_with_its_size(compiled: Compile) -> None:
    request = request_for(SHIPPED)
    template = dress(compiled(request).template, request)
    step = next(each for each in template["spec"]["templates"] if each["name"] == "lags")
    step["container"]["command"][2] += "x" * 2**17
    (command,) = problems(template, request)
    assert command.startswith("size: the command of step lags has 13")
    step["container"]["command"][2] = "true"
    template["spec"]["arguments"]["parameters"][0]["description"] = "y" * 2**20
    (size,) = problems(template, request)
    assert "over 768 KiB Argo cannot keep a Workflow" in size
    template["spec"]["arguments"]["parameters"][0]["description"] = ""
    parameters = template["metadata"]["annotations"]["metaflow/parameters"]
    template["metadata"]["annotations"]["metaflow/parameters"] = padded(parameters)
    (notes,) = problems(template, request)
    assert notes.startswith("size: annotations of the template have 25")


def padded(parameters: str) -> str:
    known: dict[str, Any] = json.loads(parameters)
    known["run"]["description"] = "z" * (250 * 1024)
    known["job"]["description"] = "z" * (8 * 1024)
    return json.dumps(known)
