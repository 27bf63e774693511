"""A hub with `iot`: it says who sent an event, and no sender can say otherwise."""

import time
import zlib

import pytest
from azure.core.credentials import AzureSasCredential
from azure.eventhub import EventData
from azure.eventhub.aio import EventHubProducerClient as AioProducer
from azure.eventhub.amqp import AmqpAnnotatedMessage
from azure.eventhub.exceptions import EventHubError

from ingest.hub import Gate, HubSettings
from ingest.hub.amqp import Symbol
from ingest.hub.messages import BATCH_FORMAT, DATA, MESSAGE, section
from tests.ingest.hub.conftest import Serve
from tests.ingest.hub.raw import RawClient, condition
from tests.ingest.hub.sdk import QUICK, receive, run, send
from tests.ingest.hub.test_tokens import token

IOT = HubSettings("telemetry", partitions=4, iot=True)
DEVICE = b"iothub-connection-device-id"


def as_device(connection: str, device: str) -> AioProducer:
    return AioProducer.from_connection_string(
        connection.replace("EntityPath=telemetry", f"EntityPath=telemetry/Publishers/{device}")
    )


def test_a_publisher_is_a_device_and_the_hub_says_so(serve: Serve) -> None:
    hub = serve(IOT).at()

    async def story() -> EventData:
        async with as_device(hub, "press-7/Modules/camera%20one") as producer:
            await producer.send_batch([EventData("x")])
        return (await receive(hub, 1))[0]

    marks = run(story()).system_properties
    assert marks[DEVICE] == b"press-7"
    assert marks[b"iothub-connection-module-id"] == b"camera one"
    assert b'"scope":"device"' in marks[b"iothub-connection-auth-method"]
    assert marks[b"iothub-message-source"] == b"Telemetry"
    assert marks[b"x-opt-publisher"] == b"press-7"
    assert abs(marks[b"iothub-enqueuedtime"] / 1000 - time.time()) < 60


def test_a_device_has_a_partition_of_its_own(serve: Serve) -> None:
    served = serve(IOT)

    async def story() -> None:
        async with as_device(served.at(), "press-7") as producer:
            await producer.send_batch([EventData("x"), EventData("y")])

    run(story())
    home = zlib.crc32(b"press-7") % 4
    counts = [p.next for p in served.server._hubs["telemetry"].partitions]
    assert counts == [2 if i == home else 0 for i in range(4)]


def test_a_partition_key_names_the_device_for_a_sender_with_the_hubs_key(serve: Serve) -> None:
    hub = serve(IOT).at()
    run(send(hub, ["x"], partition_key="press-8"))
    (event,) = run(receive(hub, 1))
    assert event.system_properties[DEVICE] == b"press-8"
    assert b'"scope":"hub"' in event.system_properties[b"iothub-connection-auth-method"]


def test_what_a_sender_writes_under_the_hubs_names_is_dropped(serve: Serve) -> None:
    hub = serve(IOT).at()

    async def story() -> EventData:
        forged = AmqpAnnotatedMessage(
            data_body=b"x",
            annotations={
                "iothub-connection-device-id": "somebody",
                "IoTHub-connection-module-id": "else",
                b"iothub-interface-id": "as bytes",
                "x-opt-publisher": "somebody",
                "x-opt-sequence-number": 99,
                "mine": "kept",
            },
        )
        async with as_device(hub, "press-7") as producer:
            await producer.send_batch([forged])
        return (await receive(hub, 1))[0]

    event = run(story())
    marks = event.system_properties
    assert marks[DEVICE] == b"press-7"
    assert marks[b"x-opt-publisher"] == b"press-7"
    assert event.sequence_number == 0
    assert event.raw_amqp_message.annotations[b"mine"] == b"kept"
    told = {bytes(name).lower() for name in event.raw_amqp_message.annotations}
    assert {name for name in told if name.startswith(b"iothub-")} == {
        DEVICE,
        b"iothub-connection-auth-method",
        b"iothub-enqueuedtime",
        b"iothub-message-source",
    }


@pytest.mark.parametrize("message_format", [0, BATCH_FORMAT])
def test_a_second_section_of_annotations_does_not_get_through(
    serve: Serve, message_format: int
) -> None:
    served = serve(IOT)
    client = RawClient(served.port)
    client.attach_sender("telemetry/Publishers/press-7")
    forged = section(MESSAGE, {Symbol("iothub-connection-device-id"): "somebody"})
    message = forged + section(DATA, b"x") + forged
    if message_format:
        message = section(DATA, message)
    assert condition(client.send(message, message_format=message_format)) == "amqp:decode-error"
    client.close()


def test_a_sender_that_names_no_device_is_refused(serve: Serve) -> None:
    with pytest.raises(EventHubError, match="Publishers/<device>"):
        run(send(serve(IOT).at(), ["x"]))


def test_a_devices_token_opens_its_own_address_alone(serve: Serve) -> None:
    served = serve(IOT, gate=Gate("key"))
    resource = f"sb://127.0.0.1:{served.port}/telemetry/Publishers/press-7"
    credential = AzureSasCredential(token(resource, int(time.time()) + 60, "key"))

    async def send_as(device: str) -> None:
        producer = AioProducer(
            f"127.0.0.1:{served.port}",
            f"telemetry/Publishers/{device}",
            credential,
            use_tls=False,
            **QUICK,
        )
        async with producer:
            await producer.send_batch([EventData("x")])

    run(send_as("press-7"))
    with pytest.raises(EventHubError):
        run(send_as("press-8"))
    (event,) = run(receive(served.at(), 1))
    assert event.system_properties[DEVICE] == b"press-7"


def test_without_iot_annotations_of_senders_pass(serve: Serve) -> None:
    hub = serve(HubSettings("telemetry", partitions=1)).at()

    async def story() -> EventData:
        said = AmqpAnnotatedMessage(
            data_body=b"x", annotations={"iothub-connection-device-id": "d"}
        )
        async with AioProducer.from_connection_string(hub) as producer:
            await producer.send_batch([said])
        return (await receive(hub, 1))[0]

    assert run(story()).system_properties[DEVICE] == b"d"
