"""A `@conda_base` that steps aside on a laptop and brings what reading needs where conda is used.

Metaflow's own refuses to start a flow without `--environment=conda`. This one takes the same
arguments; without conda the flow runs in the Python that started it. With conda, the steps'
environment gets pyarrow, and the code package these two rooms, which no conda channel has.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import metaflow
from metaflow.exception import MetaflowException
from metaflow.metaflow_config import DEFAULT_ENVIRONMENT

import batching

CONDA = ("conda", "pypi", "fast-bakery")  # the environments that Metaflow's decorator takes
PYARROW = ">=14"  # the first of which conda-forge has builds for Python 3.10 and numpy 1.23

Decorator = Callable[[type], type]


def conda_base(
    *,
    python: "str | None" = None,
    libraries: "Mapping[str, str] | None" = None,
    packages: "Mapping[str, str] | None" = None,
    disabled: "bool | None" = None,
) -> Decorator:
    """Set the conda environment of all steps, as `metaflow.conda_base` does, or nothing.

    Args:
        python: version of Python, such as "3.10.8".
        libraries: versions by name; pyarrow is added. Packages for Azure are added by
            Metaflow itself where its own data store is there.
        packages: Metaflow's newer word for the same.
        disabled: as in Metaflow.

    Raises:
        MetaflowException: conda is asked for and this metaflow cannot pack other sources.

    """
    if not conda_is_asked(sys.argv, os.environ):
        return lambda flow: flow
    merged = {"pyarrow": PYARROW, **(libraries or {}), **(packages or {})}
    conda = metaflow.conda_base(packages=merged, python=python, disabled=disabled)
    if not hasattr(metaflow, "package_sources"):
        raise MetaflowException("--environment=conda needs a newer metaflow: pip install -U it")
    rooms = metaflow.package_sources([Path(__file__).parent, Path(batching.__file__).parent])
    return lambda flow: conda(rooms(flow))


def conda_is_asked(arguments: "Sequence[str]", environ: "Mapping[str, str]") -> bool:
    """Tell whether this process was started with a conda environment for its steps.

    Metaflow hands the choice on to each step's command line, remote ones too.
    """
    chosen: Any = environ.get("METAFLOW_ENVIRONMENT") or DEFAULT_ENVIRONMENT
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        if argument == "--environment":
            chosen = following
        elif argument.startswith("--environment="):
            chosen = argument.partition("=")[2]
    return chosen in CONDA
