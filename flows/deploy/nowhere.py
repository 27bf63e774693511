"""Runs a flow's command with a datastore that keeps nothing, so that compiling uploads nothing.

    python -m flows.deploy.nowhere FLOW_FILE ... argo-workflows create --only-json ...

Names of what would have been uploaded follow from its content, and are those of a real deployment.
"""

import runpy
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from metaflow.plugins import DATASTORES


class Nowhere:
    """Comes before a datastore of Metaflow, and lets nothing through to its server."""

    def is_file(self, paths: "Iterable[str]") -> "list[bool]":
        """Say that nothing is there."""
        return [False for _ in paths]

    def save_bytes(self, path_and_bytes_iter: "Iterable[Any]", *_: Any, **__: Any) -> None:
        """Take all, which makes Metaflow name it, and drop it."""
        for _dropped in path_and_bytes_iter:
            pass


def main() -> None:
    """Run the flow's file as its own command would."""
    DATASTORES[:] = [type(each.__name__, (Nowhere, each), {}) for each in DATASTORES]
    del sys.argv[0]
    sys.path.insert(0, str(Path(sys.argv[0]).resolve().parent))  # as `python FILE` does
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
