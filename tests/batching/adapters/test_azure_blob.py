import asyncio
import base64
import datetime as dt
import os
import re
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from azure.storage.blob import (
    AccountSasPermissions,
    ContainerSasPermissions,
    ResourceTypes,
    generate_account_sas,
    generate_container_sas,
)

from batching.adapters import azure_blob
from batching.adapters.azure_account import azure_store
from batching.adapters.azure_blob import AzureBlobStore
from batching.errors import SettingError, StoreUnavailable
from tests.azurite import Azurite
from tests.batching.adapters.places import Container, tell

LATER = dt.datetime.now(dt.UTC) + dt.timedelta(hours=2)
SECRET = base64.b64encode(b"a secret key of nobody").decode()


@pytest.fixture
def container(azurite: Azurite) -> Container:
    return Container(azurite.connection_string)


class Wire:
    """A proxy that hands on requests and, once, cuts the line instead of handing on a reply."""

    def __init__(self, endpoint: str) -> None:
        host = re.fullmatch(r"http://([\d.]+):(\d+)/.*", endpoint)
        assert host is not None
        self._target = (host[1], int(host[2]))
        self.lose_next_reply = False
        self.lost = 0
        self.sent = bytearray()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[int]:
        async with asyncio.TaskGroup() as lines:

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await lines.create_task(self._serve(reader, writer))

            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            try:
                yield server.sockets[0].getsockname()[1]
            finally:
                server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(*self._target)
        sending = asyncio.create_task(self._send(reader, forth))
        while reply := await back.read(65536):
            if self.lose_next_reply:
                self.lose_next_reply, self.lost = False, self.lost + 1
                break
            writer.write(reply)
        writer.close()
        await writer.wait_closed()
        await sending

    async def _send(self, reader: asyncio.StreamReader, forth: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            self.sent += data
            forth.write(data)
        forth.close()
        await forth.wait_closed()


@pytest.mark.azurite
def test_a_create_whose_reply_was_lost_looks_like_somebody_elses(azurite: Azurite) -> None:
    async def story() -> None:
        wire = Wire(azurite.endpoint)
        async with wire.open() as port:
            store = await through(port, azurite, "lostreply")
            wire.lose_next_reply = True
            assert not await store.create("log/0", [b"ours"])
            assert wire.lost == 1
            assert await store.get("log/0") == b"ours"
            found = await store.get_versioned("log/0")
            assert found is not None
            wire.lose_next_reply = True
            assert await store.replace("log/0", b"next", found[1]) is None
            assert await store.get("log/0") == b"next"
            await store.close()

    asyncio.run(story())


@pytest.mark.azurite
def test_a_body_in_blocks_is_created_once_and_never_mixed(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azure_blob, "SINGLE_PUT_BYTES", 2**20)
    monkeypatch.setattr(azure_blob, "BLOCK_BYTES", 2**19)
    bodies = [bytes([i]) * (3 * 2**20 + i) for i in range(4)]

    async def story(*stores: AzureBlobStore) -> None:
        tries = [stores[i % 2].create("data/large", [body]) for i, body in enumerate(bodies)]
        created = await asyncio.gather(*tries)
        assert created.count(True) == 1
        assert await stores[0].get("data/large") == bodies[created.index(True)]
        assert not await stores[0].create("data/large", [bodies[0]])
        found = await stores[0].get_versioned("data/large")
        assert found is not None
        assert await stores[0].replace("data/large", bodies[1], found[1]) is not None
        assert await stores[1].replace("data/large", bodies[2], found[1]) is None
        assert await stores[0].get("data/large") == bodies[1]

    tell(container, story, stores=2)


@pytest.mark.azurite
def test_a_create_is_one_request_that_carries_its_condition(azurite: Azurite) -> None:
    async def story() -> None:
        wire = Wire(azurite.endpoint)
        async with wire.open() as port:
            store = await through(port, azurite, "onerequest")
            wire.sent.clear()
            assert await store.create("log/2", [b"x" * 2**22])
            await store.close()
        requests = re.findall(rb"(?:PUT|GET|POST|HEAD) \S+ HTTP/1.1\r\n", wire.sent)
        assert len(requests) == 1
        assert re.search(rb"(?i)\r\nif-none-match: \*\r\n", wire.sent)

    asyncio.run(story())


async def through(port: int, azurite: Azurite, container: str) -> AzureBlobStore:
    return await azure_store(
        container,
        account=azurite.account,
        account_key=azurite.key,
        endpoint=f"http://127.0.0.1:{port}/{azurite.account}",
    )


@pytest.mark.azurite
def test_a_listing_in_many_pages_is_complete_and_in_order(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"log/p/{n // 10:08d}/{n:012d}.json" for n in range(60)] + ["log/p.json", "log/p0/x"]

    async def story(store: AzureBlobStore) -> None:
        for word in ("list_blob_names", "walk_blobs"):
            method = getattr(store._container, word)
            monkeypatch.setattr(
                store._container, word, lambda m=method, **k: m(results_per_page=3, **k)
            )
        await asyncio.gather(*(store.create(name, [b""]) for name in names))
        for after in ("", names[0], names[34], names[59], "log/p/00000002/", "log/p/9", "log/pz"):
            expected = sorted(name for name in names if name > after)
            assert [name async for name in store.names("", after)] == expected
            expected = [name for name in expected if name.startswith("log/p/")]
            assert [name async for name in store.names("log/p/", after)] == expected

    tell(container, story)


@pytest.mark.azurite
def test_a_container_that_is_gone_is_no_answer(container: Container) -> None:
    async def story(store: AzureBlobStore) -> None:
        version = await store.replace("n", b"1", None)
        await store._container.delete_container()
        for call in (
            store.get("n"),
            store.get_range("n", 0, 1),
            store.get_range("n", 0, 0),
            store.get_versioned("n"),
            store.create("m", [b""]),
            store.replace("n", b"2", version),
            store.delete("n"),
            anext(store.names("")),
        ):
            with pytest.raises(StoreUnavailable, match="404"):
                await call

    tell(container, story)


@pytest.mark.azurite
def test_a_store_below_a_prefix_sees_nothing_else(azurite: Azurite) -> None:
    name = "prefixes"

    async def story() -> None:
        stores = [
            await azure_store(name, connection_string=azurite.connection_string, prefix=prefix)
            for prefix in ("", "a", "ab")
        ]
        for store in stores:
            assert await store.create("n", [store.uri.encode()])
        assert [n async for n in stores[1].names("")] == ["n"]
        assert [n async for n in stores[0].names("")] == ["a/n", "ab/n", "n"]
        assert [store.uri for store in stores] == [
            f"{azurite.endpoint}/{name}",
            f"{azurite.endpoint}/{name}/a",
            f"{azurite.endpoint}/{name}/ab",
        ]
        for store in stores:
            await store.close()

    asyncio.run(story())


@pytest.mark.azurite
def test_a_sas_opens_a_container_and_is_not_in_the_uri(azurite: Azurite) -> None:
    async def story() -> None:
        owner = await azure_store("withsas", connection_string=azurite.connection_string)
        await owner.close()
        sas = generate_container_sas(
            azurite.account,
            "withsas",
            account_key=azurite.key,
            permission=ContainerSasPermissions(read=True, write=True, list=True, delete=True),
            expiry=LATER,
        )
        store = await azure_store("withsas", connection_string=with_sas(azurite, sas))
        assert await store.create("n", [b"1"])
        assert [name async for name in store.names("")] == ["n"]
        assert "sig" not in store.uri
        await store.close()

    asyncio.run(story())


@pytest.mark.azurite
def test_a_missing_container_that_may_not_be_made_is_a_setting_error(azurite: Azurite) -> None:
    sas = generate_account_sas(
        azurite.account,
        azurite.key,
        ResourceTypes(object=True),
        AccountSasPermissions(read=True, write=True),
        LATER,
    )
    with pytest.raises(SettingError, match=r"blobs.azure.container: .*nothere does not exist"):
        asyncio.run(azure_store("nothere", connection_string=with_sas(azurite, sas)))


@pytest.mark.azurite
def test_reading_makes_no_container(azurite: Azurite) -> None:
    for _ in range(2):
        with pytest.raises(SettingError, match="there is no store yet"):
            asyncio.run(
                azure_store("notyet", connection_string=azurite.connection_string, read_only=True)
            )


def with_sas(azurite: Azurite, sas: str) -> str:
    return f"BlobEndpoint={azurite.endpoint};SharedAccessSignature={sas}"


@pytest.mark.azurite
def test_a_wrong_key_is_a_setting_error_that_does_not_show_it(azurite: Azurite) -> None:
    with pytest.raises(SettingError, match="refuses this identity") as caught:
        asyncio.run(
            azure_store(
                "c-1", account=azurite.account, account_key=SECRET, endpoint=azurite.endpoint
            )
        )
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({}, "either account or connection_string"),
        ({"account": "a", "connection_string": "b"}, "either account or connection_string"),
        ({"account": "Plant_7"}, "blobs.azure.account"),
        ({"connection_string": "garbage"}, "cannot be read"),
        ({"account": "plant7data", "prefix": "/a"}, "blobs.azure.prefix"),
        ({"account": "plant7data", "prefix": "a//b"}, "blobs.azure.prefix"),
        ({"account": "plant7data", "prefix": "a b"}, "blobs.azure.prefix"),
        ({"account": "plant7data", "prefix": "a/../b"}, "blobs.azure.prefix"),
        ({"account": "plant7data", "account_key": "no base64!"}, "account_key"),
    ],
)
def test_wrong_settings_are_named(words: dict[str, str], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        asyncio.run(azure_store("headrace", **words))  # type: ignore[arg-type]


@pytest.mark.parametrize("container", ["", "ab", "Upper", "a--b", "-abc", "abc-", "a" * 64])
def test_names_that_are_no_container_are_refused(container: str) -> None:
    with pytest.raises(SettingError, match=r"blobs.azure.container"):
        asyncio.run(azure_store(container, account="plant7data"))


def test_a_closed_port_is_told_in_bounded_time() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}") as caught:
            asyncio.run(nobody(port, retries=1))
        assert time.monotonic() - started < 10
    assert SECRET not in str(caught.value)
    assert "get headrace.json in http://127.0.0.1" in str(caught.value)


def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        started = time.monotonic()
        with pytest.raises(StoreUnavailable, match="no answer in time"):
            asyncio.run(nobody(silent.getsockname()[1], timeout_seconds=1.0))
        assert time.monotonic() - started < 3


async def nobody(port: int, *, retries: int = 0, timeout_seconds: float = 45.0) -> AzureBlobStore:
    return await azure_store(
        "headrace",
        account="plant7data",
        account_key=SECRET,
        endpoint=f"http://127.0.0.1:{port}/plant7data",
        retries=retries,
        timeout_seconds=timeout_seconds,
    )


def test_nobody_signed_in_is_a_setting_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AZURE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    with pytest.raises(SettingError, match=r"no sign-in for https://127\.0"):
        asyncio.run(
            azure_store(
                "headrace",
                account="plant7data",
                endpoint="https://127.0.0.1:1/plant7data",
                retries=0,
            )
        )
