import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from azure.eventhub.aio import CheckpointStore
from azure.eventhub.extensions.checkpointstoreblobaio import BlobCheckpointStore

from ingest.ownership.folder import FolderCheckpointStore
from tests.azurite import Azurite
from tests.ingest.ownership.test_balancer import make_container

SCOPE = ("Plant7.servicebus.windows.net", "telemetry", "$Default")


def entry(partition: str, **facts: Any) -> dict[str, Any]:
    namespace, hub, group = SCOPE
    return {
        "fully_qualified_namespace": namespace,
        "eventhub_name": hub,
        "consumer_group": group,
        "partition_id": partition,
        **facts,
    }


class Kinds:
    """The folder's store and the SDK's own in Azure, which it must behave like."""

    def __init__(self, request: pytest.FixtureRequest, tmp_path: Path) -> None:
        self._kind, self._folder = request.param, tmp_path
        self._azurite: Azurite | None = None
        if self._kind == "azure":
            self._azurite = request.getfixturevalue("azurite")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[CheckpointStore | FolderCheckpointStore]:
        if self._azurite is None:
            folder = FolderCheckpointStore(self._folder)
            yield folder
            await folder.close()
            return
        name = f"o{abs(hash(self._folder))}"
        await make_container(self._azurite, name)
        async with BlobCheckpointStore.from_connection_string(
            self._azurite.connection_string, name
        ) as store:
            yield store


@pytest.fixture(params=["folder", pytest.param("azure", marks=pytest.mark.azurite)])
def kinds(request: pytest.FixtureRequest, tmp_path: Path) -> Kinds:
    return Kinds(request, tmp_path)


def test_a_claim_is_listed_as_it_was_won(kinds: Kinds) -> None:
    async def story() -> None:
        async with kinds.open() as store:
            assert await store.list_ownership(*SCOPE) == []
            won = await store.claim_ownership([entry("0", owner_id="a"), entry("1", owner_id="a")])
            listed = await store.list_ownership(*SCOPE)
            for claim, found in zip(won, listed, strict=True):
                assert found["partition_id"] == claim["partition_id"]
                assert found["owner_id"] == "a"
                assert found["etag"] == claim["etag"].strip('"')  # Azure quotes it in claims
                assert found["last_modified_time"] == pytest.approx(
                    claim["last_modified_time"], abs=2
                )
            assert await store.list_ownership("other.net", *SCOPE[1:]) == []

    asyncio.run(story())


def test_only_who_read_the_last_etag_wins_a_claim(kinds: Kinds) -> None:
    async def story() -> None:
        async with kinds.open() as store:
            [first] = await store.claim_ownership([entry("0", owner_id="a")])
            [second] = await store.claim_ownership([{**first, "owner_id": "b"}])
            assert second["etag"] != first["etag"]
            assert await store.claim_ownership([{**first, "owner_id": "c"}]) == []
            tries = [store.claim_ownership([{**second, "owner_id": str(i)}]) for i in range(10)]
            assert sum(len(list(won)) for won in await asyncio.gather(*tries)) == 1

    asyncio.run(story())


def test_a_released_partition_is_listed_without_owner(kinds: Kinds) -> None:
    async def story() -> None:
        async with kinds.open() as store:
            [claim] = await store.claim_ownership([entry("0", owner_id="a")])
            assert len(list(await store.claim_ownership([{**claim, "owner_id": ""}]))) == 1
            [listed] = await store.list_ownership(*SCOPE)
            assert not listed["owner_id"]

    asyncio.run(story())


def test_a_checkpoint_is_written_over_the_one_before(kinds: Kinds) -> None:
    async def story() -> None:
        async with kinds.open() as store:
            for number in (5, 7):
                await store.update_checkpoint(
                    entry("0", offset=str(number), sequence_number=number)
                )
            [found] = await store.list_checkpoints(*SCOPE)
            assert (found["offset"], found["sequence_number"]) == ("7", 7)
            assert await store.list_ownership(*SCOPE) == []

    asyncio.run(story())


def test_of_first_claims_one_is_won(tmp_path: Path) -> None:
    """Not asked of Azure: Azurite does not see `If-None-Match` where metadata is set."""

    async def story() -> None:
        store = FolderCheckpointStore(tmp_path)
        tries = [store.claim_ownership([entry("0", owner_id=str(i))]) for i in range(10)]
        assert sum(len(won) for won in await asyncio.gather(*tries)) == 1
        await store.close()

    asyncio.run(story())
