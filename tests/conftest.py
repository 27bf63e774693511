"""Servers that tests of several rooms share: real ones, started once a session."""

import os
from collections.abc import Iterator

import pytest

from tests.azurite import Azurite, running_azurite


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Give a running Azurite; use `azurite.connection_string`, and a container of your own."""
    if os.environ.get("HEADRACE_SKIP_AZURITE") == "1":
        pytest.skip("HEADRACE_SKIP_AZURITE is set")
    with running_azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server
