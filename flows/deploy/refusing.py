"""Finds in a compiled template what would fail later, when batches wait for their runs."""

import json
import re
from collections.abc import Iterator
from typing import Any

from flows.deploy.request import Request

Json = dict[str, Any]
RUN = "run"
TRIGGERS = (
    "@trigger and @trigger_on_finish need Argo Events, which Headrace does not set up; a job starts"
    " the flow when there are batches"
)
# A Workflow holds its template, and is at most 1 MiB with the state of its nodes (Argo's
# MAX_WORKFLOW_SIZE); Linux takes at most 128 KiB in one word of a command; the API server takes
# at most 256 KiB of annotations.
LARGEST_TEMPLATE, LARGEST_WORD, LARGEST_ANNOTATIONS = 768 * 1024, 128 * 1024, 256 * 1024
_PLAIN_PYTHON = re.compile(r"(docker\.io/)?(library/)?python(:[\w.-]+)?")
_CONDA = re.compile(r"--environment[= ](conda|pypi|fast-bakery)\b")
_UNSUPPORTED = {
    "resource": "@parallel needs JobSets, whose pods Headrace cannot confine",
    "http": "@exit_hook calls a server from Argo's agent, which Headrace does not set up",
}


def problems(template: Json, request: Request) -> "list[str]":
    """Say, a sentence each, why what was compiled would fail; nothing if it would not."""
    return [
        *_images(template, request),
        *_unsupported(template),
        *_parameters(template, request),
        *_sizes(template),
    ]


def _images(template: Json, request: Request) -> Iterator[str]:
    if _CONDA.search(" ".join(request.metaflow)):
        return  # the steps' environments bring their own packages
    bare = [each for each in _pods(template) if _PLAIN_PYTHON.fullmatch(each["container"]["image"])]
    if bare:
        (image, *_) = {each["container"]["image"] for each in bare}
        yield (
            f"image: {_steps(bare)} would run in {image}, which holds neither Metaflow's packages"
            " nor flows: name the image of the target `flows` with --image"
        )


def _unsupported(template: Json) -> Iterator[str]:
    for kind, why in _UNSUPPORTED.items():
        if found := [each for each in template["spec"]["templates"] if kind in each]:
            yield f"decorator: {why} ({_steps(found)})"
    if "metaflow/triggers" in template["metadata"]["annotations"]:
        yield f"decorator: {TRIGGERS}"


def _parameters(template: Json, request: Request) -> Iterator[str]:
    if not request.jobs:
        return
    known = parameters(template)
    run = known.get(RUN)
    if run is not None and run["type"] != "str":
        yield f"parameter run: must be text, a run record's URI, and is of type {run['type']}"
    lacking = [
        name
        for name, facts in known.items()
        if name != RUN and facts["is_required"] and facts["value"] == "null"
    ]
    if lacking:
        jobs = ", ".join(job.name for job in request.jobs)
        yield (
            f"parameter {', '.join(lacking)}: is required, and runs of {jobs} get `run` alone:"
            " give it a default"
        )


def _sizes(template: Json) -> Iterator[str]:
    size = len(json.dumps(template))
    if size > LARGEST_TEMPLATE:
        yield (
            f"size: the template has {size // 1024} KiB, over {LARGEST_TEMPLATE // 1024} KiB Argo"
            " cannot keep a Workflow of it: fewer steps, or smaller defaults of parameters"
        )
    for each in _pods(template):
        longest = max((len(word.encode()) for word in each["container"]["command"]), default=0)
        if longest >= LARGEST_WORD:
            yield (
                f"size: the command of step {each['name']} has {longest // 1024} KiB, Linux takes"
                f" {LARGEST_WORD // 1024} KiB: smaller decorators' arguments"
            )
    for where, metadata in (
        ("template", template["metadata"]),
        ("pods", template["spec"].get("podMetadata", {})),
    ):
        notes = sum(len(k) + len(v) for k, v in metadata.get("annotations", {}).items())
        if notes > LARGEST_ANNOTATIONS:
            yield (
                f"size: annotations of the {where} have {notes // 1024} KiB, Kubernetes takes"
                f" {LARGEST_ANNOTATIONS // 1024} KiB: smaller defaults of parameters"
            )


def parameters(template: Json) -> "dict[str, Json]":
    """Give what Metaflow says of the flow's parameters, by name."""
    found = template["metadata"]["annotations"].get("metaflow/parameters", "{}")
    known: dict[str, Json] = json.loads(found)
    return known


def _pods(template: Json) -> "list[Json]":
    return [each for each in template["spec"]["templates"] if "container" in each]


def _steps(found: "list[Json]") -> str:
    names = [str(each["name"]) for each in found]
    return f"step {names[0]}" if len(names) == 1 else f"steps {', '.join(names)}"
