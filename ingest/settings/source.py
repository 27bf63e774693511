"""Where events come from: exactly one hub, in the cloud or embedded."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from ingest.settings.kinds import Accepts, Count, Part, Place, Port, Text

Start = Literal["earliest", "latest"]
OnLostPosition = Literal["earliest", "latest", "stop"]
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?")


def _host(value: Any) -> Any:
    if isinstance(value, str) and _HOST.fullmatch(value) is None:
        raise ValueError(
            "must be a host name such as plant7.servicebus.windows.net, without sb:// or slashes"
        )
    return value


Host = Annotated[
    str, BeforeValidator(_host), Accepts("a host name such as plant7.servicebus.windows.net")
]


class _Group(Part):
    consumer_group: Text = Field(
        default="$Default", description="Consumer group; nobody else may read with it."
    )
    start: Start = Field(
        default="earliest",
        description="Where a new store begins: with all that the hub has, or with new events.",
    )
    on_lost_position: OnLostPosition = Field(
        default="earliest",
        description="If the hub no longer has what comes next: go on with the oldest event that"
        " it has, with new ones, or stop.",
    )


class _Connected(_Group):
    connection_string: SecretStr | None = Field(
        default=None,
        description="Never in the file: from a variable, or from `connection_string_file`.",
    )
    connection_string_file: Place | None = Field(
        default=None, description="File that holds the connection string, such as a mounted secret."
    )

    @model_validator(mode="before")
    @classmethod
    def _read_connection_string(cls, plain: Any) -> Any:
        """Take the hub's name, and the namespace, from a connection string that has them."""
        if not isinstance(plain, dict) or not plain.get("connection_string"):
            return plain
        parts = connection_parts(_reveal(plain["connection_string"]))
        plain = dict(plain)
        path = parts.get("entitypath")
        if path and plain.setdefault("hub", path) != path:
            raise ValueError(f"hub is {plain['hub']}, but the connection string is for hub {path}")
        if "namespace" in cls.model_fields:
            plain.setdefault("namespace", re.sub(r"^\w+://|/.*$", "", parts["endpoint"]))
        return plain


class EventHubs(_Connected):
    """A hub in Azure Event Hubs, or the embedded one run elsewhere by `headrace hub`."""

    namespace: Host | None = Field(
        default=None,
        description="Host of the namespace; may be left out with a connection string.",
    )
    hub: Text | None = Field(
        default=None, description="The hub; may be left out if the connection string has it."
    )

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.hub is None:
            raise ValueError("hub is required: the name of the hub")
        if self.namespace is None:
            raise ValueError(
                "namespace is required (sign-in by Entra), or a connection string in "
                "HEADRACE_EVENT_HUBS_CONNECTION"
            )
        return self


class IotHub(_Connected):
    """The built-in endpoint of an IoT Hub, which is compatible with Event Hubs."""

    hub: Text | None = Field(default=None, description="Its Event Hub-compatible name.")

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.connection_string is None:
            raise ValueError(
                "a connection string is required: set HEADRACE_IOT_HUB_CONNECTION or "
                "connection_string_file to the Event Hub-compatible endpoint"
            )
        if self.hub is None:
            raise ValueError("hub is required: the Event Hub-compatible name")
        return self


class EmbeddedHub(_Group):
    """An Event Hubs of our own, started and stopped with the service."""

    port: Port = Field(default=0, description="Port on this machine.")
    partitions: Count = Field(default=4, description="Partitions of a new hub.")
    hub: Text = Field(default="telemetry", description="Name of the hub.")


class Source(Part):
    """Exactly one of its settings; an embedded hub if there is none."""

    event_hubs: EventHubs | None = Field(default=None, description="A hub in Azure Event Hubs.")
    iot_hub: IotHub | None = Field(default=None, description="An IoT Hub's built-in endpoint.")
    embedded: EmbeddedHub | None = Field(default=None, description="An embedded hub.")

    @model_validator(mode="before")
    @classmethod
    def _one(cls, plain: Any) -> Any:
        if not isinstance(plain, dict):
            return plain
        # `embedded:` with nothing behind it means the embedded hub as it is
        plain = {key: {} if value is None else value for key, value in plain.items()}
        chosen = [name for name in cls.model_fields if name in plain]
        if len(chosen) > 1:
            raise ValueError(
                f"name one of event_hubs, iot_hub, embedded; got {' and '.join(chosen)}"
            )
        return plain or {"embedded": {}}

    @property
    def chosen(self) -> EventHubs | IotHub | EmbeddedHub:
        """Give the one that is set."""
        found = self.event_hubs or self.iot_hub or self.embedded
        return found if found is not None else EmbeddedHub()


def connection_parts(text: str) -> dict[str, str]:
    """Split a connection string; names in lower case.

    Raises:
        ValueError: it has no endpoint; the text itself is not repeated.

    """
    pairs = (part.partition("=") for part in text.strip().split(";") if part.strip())
    parts = {key.strip().lower(): value.strip() for key, _, value in pairs}
    if not parts.get("endpoint"):
        raise ValueError(
            "the connection string has no Endpoint=sb://...; copy it whole from the page "
            "`Shared access policies` in the Azure portal"
        )
    return parts


def _reveal(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
