"""The places at which the contract of a BlobStore is tried out."""

from pathlib import Path

import pytest

from tests.azurite import Azurite
from tests.batching.adapters.places import Container, Folder, Place


@pytest.fixture(params=["folder", pytest.param("azure", marks=pytest.mark.azurite)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """One empty store of each kind."""
    if request.param == "folder":
        return Folder(tmp_path / "store of tests")
    azurite: Azurite = request.getfixturevalue("azurite")
    return Container(azurite.connection_string)
