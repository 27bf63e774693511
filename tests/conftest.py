"""Servers that tests of several rooms share: real ones, started once a session."""

import os
from collections.abc import Iterator

import hypothesis
import pytest

from batching import failpoints
from tests.azurite import Azurite, running_azurite

# Machines are shared and noisy: how long an example takes says nothing about the code.
hypothesis.settings.register_profile(
    "shared", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared")


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    """Give a running Azurite; use `azurite.connection_string`, and a container of your own."""
    if os.environ.get("HEADRACE_SKIP_AZURITE") == "1":
        pytest.skip("HEADRACE_SKIP_AZURITE is set")
    with running_azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture
def nothing_armed_afterwards() -> Iterator[None]:
    """Switch off what a test has armed in its own process."""
    yield
    failpoints.arm("")
