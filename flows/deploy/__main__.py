"""`python -m flows.deploy REQUEST`: what `headrace deploy` starts, with a request as JSON."""

import importlib.util
import os
import sys

from batching.errors import BatchError
from flows.deploy.request import Request

NEEDED = ("metaflow", "kubernetes", "azure.storage.blob", "ruamel.yaml")
WRONG = 2


def main(arguments: "list[str]") -> int:
    """Deploy, and give the exit code: 0, or 2 with a sentence on what stands in the way."""
    try:
        if missing := [name for name in NEEDED if not _is_there(name)]:
            _say(
                f"error: deploying needs {' and '.join(missing)}, which {sys.executable} has not:"
                " pip install 'headrace[deploy]'"
            )
            return WRONG
        (text,) = arguments
        request = Request.of(text)
        from flows.deploy.deploying import deploy  # noqa: PLC0415  # imports what may be missing

        deploy(request, os.environ, _say)
    except BatchError as error:
        _say(f"error: {error}")
        return WRONG
    return 0


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # of a package above it
        return False


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201  # stdout is for YAML


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
