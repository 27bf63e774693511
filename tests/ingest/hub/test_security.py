"""Keys, tokens and TLS, by the SDK."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AzureSasCredential
from azure.eventhub import EventData, TransportType
from azure.eventhub.aio import EventHubConsumerClient as AioConsumer
from azure.eventhub.aio import EventHubProducerClient as AioProducer
from azure.eventhub.aio import EventHubSharedKeyCredential
from azure.eventhub.exceptions import AuthenticationError, EventHubError

from ingest.hub import Gate, HubSettings
from ingest.hub.certificate import context, self_made
from tests.ingest.hub.conftest import Serve, Served
from tests.ingest.hub.sdk import QUICK, bodies, counts, receive, run, send
from tests.ingest.hub.test_tokens import token

KEY = "c2VjcmV0LWtleQ=="


@pytest.fixture
def locked(serve: Serve) -> Served:
    return serve(HubSettings("telemetry", partitions=1), gate=Gate(KEY))


def test_the_right_key_opens_the_hub(locked: Served) -> None:
    run(send(locked.at(), ["x"]))
    assert bodies(run(receive(locked.at(), 1))) == ["x"]


def test_a_wrong_key_is_an_authentication_error(locked: Served) -> None:
    wrong = locked.at().replace(KEY, "wrong")
    with pytest.raises(AuthenticationError, match="InvalidSignature"):
        run(send(wrong, ["x"]))


def test_a_wrong_key_name_is_an_authentication_error(locked: Served) -> None:
    wrong = locked.at().replace("RootManageSharedAccessKey", "somebody")
    with pytest.raises(AuthenticationError):
        run(send(wrong, ["x"]))


def test_a_wrong_key_learns_nothing_about_the_hub(locked: Served) -> None:
    with pytest.raises(EventHubError, match="InvalidSignature"):
        run(counts(locked.at().replace(KEY, "wrong")))


def with_token(served: Served, path: str, seconds: float) -> AioProducer:
    resource = f"sb://127.0.0.1:{served.port}/{path}"
    text = token(resource, int(time.time() + seconds), KEY)
    connection = f"Endpoint=sb://127.0.0.1:{served.port};SharedAccessSignature={text}"
    return AioProducer.from_connection_string(
        f"{connection};UseDevelopmentEmulator=true", eventhub_name="telemetry", **QUICK
    )


@pytest.mark.parametrize(
    ("path", "seconds", "opens"),
    [
        ("telemetry", 60, True),
        ("", 60, True),
        ("telemetry", -1, False),
        ("other", 60, False),
        ("telemetry/Publishers/press-7", 60, False),
    ],
    ids=["hub", "namespace", "expired", "other hub", "one device"],
)
def test_a_token_opens_its_path_while_it_lasts(
    locked: Served, path: str, seconds: float, *, opens: bool
) -> None:
    async def story() -> None:
        async with with_token(locked, path, seconds) as producer:
            await producer.send_batch([EventData("x")])

    if opens:
        run(story())
    else:
        with pytest.raises(EventHubError):
            run(story())
    count = locked.server._hubs["telemetry"].partitions[0].next
    assert count == int(opens)


def test_a_link_ends_when_its_token_does(locked: Served) -> None:
    async def story() -> None:
        async with with_token(locked, "telemetry", 2) as producer:
            await producer.send_batch([EventData("in time")])
            await asyncio.sleep(3.2)
            with pytest.raises(EventHubError):
                await producer.send_batch([EventData("too late")])

    run(story())
    assert locked.server._hubs["telemetry"].partitions[0].next == 1


def test_tls_with_a_certificate_made_here(serve: Serve, tmp_path: Path) -> None:
    certificate, key = self_made(tmp_path)
    assert self_made(tmp_path) == (certificate, key)
    served = serve(tls=context(certificate, key), gate=Gate(KEY))
    assert "UseDevelopmentEmulator" not in served.at()

    async def story() -> list[int]:
        trust = {"connection_verify": str(certificate)} | elsewhere(served)
        async with AioProducer.from_connection_string(served.at(), **trust) as producer:
            await producer.send_batch([EventData("sealed")], partition_id="1")
        credential = EventHubSharedKeyCredential("RootManageSharedAccessKey", KEY)
        consumer = AioConsumer("127.0.0.1", "telemetry", "$Default", credential, **trust)
        async with consumer:
            told = [await consumer.get_partition_properties(p) for p in "01"]
        return [partition["last_enqueued_sequence_number"] for partition in told]

    assert run(story()) == [-1, 0]


def elsewhere(served: Served) -> dict[str, Any]:
    """With TLS the SDK connects to port 5671, unless it is told another address."""
    return {
        "custom_endpoint_address": f"sb://127.0.0.1:{served.port}",
        "transport_type": TransportType.Amqp,  # with such an address web sockets are the default
    } | QUICK


def test_a_client_that_does_not_know_the_certificate_turns_away(
    serve: Serve, tmp_path: Path
) -> None:
    served = serve(tls=context(*self_made(tmp_path)))

    async def story() -> None:
        async with AioProducer.from_connection_string(served.at(), **elsewhere(served)) as producer:
            await producer.send_batch([EventData("x")])

    with pytest.raises(EventHubError, match="CERTIFICATE_VERIFY_FAILED"):
        run(story())


def test_azure_sas_credentials_are_tokens_too(locked: Served) -> None:
    resource = f"sb://127.0.0.1:{locked.port}/telemetry"
    text = token(resource, int(time.time() + 60), KEY)

    async def story() -> None:
        producer = AioProducer(
            f"127.0.0.1:{locked.port}",
            "telemetry",
            AzureSasCredential(text),
            use_tls=False,
            **QUICK,
        )
        async with producer:
            await producer.send_event(EventData("x"))

    run(story())
