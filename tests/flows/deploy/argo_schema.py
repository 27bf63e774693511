"""Argo's own schema of its kinds, from the Go module of the release that the test cluster runs."""

import functools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

MODULE = "github.com/argoproj/argo-workflows/v4@v4.0.2"
KIND = "io.argoproj.workflow.v1alpha1."


def faults(found: dict[str, Any]) -> list[str]:
    """Say where an object is not what Argo reads; a field that it does not know is a fault."""
    whole = {**_schema(), "$ref": f"#/definitions/{KIND}{found['kind']}"}
    errors = jsonschema.Draft7Validator(whole).iter_errors(found)
    return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in errors]


@functools.cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((_module() / "api/jsonschema/schema.json").read_text())
    del schema["oneOf"], schema["type"]
    for definition in schema["definitions"].values():
        if "properties" in definition:
            definition.setdefault("additionalProperties", False)
    # the schema says text, Kubernetes takes a number as well
    either = schema["definitions"]["io.k8s.apimachinery.pkg.util.intstr.IntOrString"]
    either["type"] = ["string", "integer"]
    return schema


def _module() -> Path:
    """Give the module's folder, downloaded once; skip with the reason why it is not to be had."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("no go, with which Argo's schema is downloaded")
    done = subprocess.run(
        [go, "mod", "download", "-json", MODULE], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"Argo's schema cannot be downloaded: {done.stderr or done.stdout}")
    return Path(json.loads(done.stdout)["Dir"])
