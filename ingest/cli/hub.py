"""`headrace hub`: an Event Hubs of one's own, until Ctrl-C."""

import asyncio
import json
import os
import signal
import ssl
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from batching.errors import SettingError
from batching.structured import structlog
from ingest.hub import Faults, Gate, HubServer, HubSettings, Retention
from ingest.hub.certificate import context, self_made
from ingest.units import Duration, Size

AMQP_PORT, AMQPS_PORT = 5672, 5671
_DEFAULT_PARTITIONS = 4
_MEMORY_BYTES = 256 * 2**20  # of a partition, when only memory holds it and nothing was said
EXAMPLE = """
Example: two hubs, kept on disk for seven days, with a key

  HEADRACE_HUB_KEY=secret headrace hub --hub telemetry:8 --hub alarms:2 --retention "7 d"
"""


Quantity = TypeVar("Quantity", Duration, Size)


def _read(kind: type[Quantity], option: str, text: str) -> Quantity:
    try:
        found = kind.read(text)
    except ValueError as error:
        raise SettingError(f"{option}: {error}") from error
    if found <= 0:
        raise SettingError(f"{option}: must be above zero, got {text}")
    return found


@dataclass(frozen=True)
class _Tls:
    """A context and, where it was made here, the certificate that clients must trust."""

    context: ssl.SSLContext | None = None
    made: Path | None = None


def hub(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port; 0 picks a free one (default: 5672, TLS 5671)."),
    ] = None,
    hubs: Annotated[
        list[str] | None,
        typer.Option(
            "--hub", metavar="NAME[:PARTITIONS]", help="A hub; repeatable (default: telemetry:4)."
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="A consumer group of every hub, besides $Default; repeatable."),
    ] = None,
    data: Annotated[Path, typer.Option(help="Folder that keeps the events.")] = Path(
        "headrace-data/hub"
    ),
    memory: Annotated[bool, typer.Option("--memory", help="Keep events in memory only.")] = False,
    key: Annotated[
        str | None,
        typer.Option(
            envvar="HEADRACE_HUB_KEY",
            show_envvar=True,
            help="Key that clients must have; better in the environment than in the shell history.",
        ),
    ] = None,
    show_key: Annotated[bool, typer.Option("--show-key", help="Print the key too.")] = False,
    tls: Annotated[
        bool, typer.Option("--tls", help="TLS with a certificate made here, kept with the data.")
    ] = False,
    cert: Annotated[Path | None, typer.Option(help="TLS certificate, PEM.")] = None,
    cert_key: Annotated[Path | None, typer.Option(help="Key of the certificate, PEM.")] = None,
    iot: Annotated[
        bool, typer.Option("--iot", help="Say who sent an event, as an IoT Hub does.")
    ] = False,
    retention: Annotated[str, typer.Option(help="How long events are kept.")] = "1 d",
    retention_bytes: Annotated[
        str | None,
        typer.Option(help="How much a partition keeps (default: no limit; 256 MiB with --memory)."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=SHARE",
            help="Go wrong on purpose: redeliver=0.1, drop=0.05, seed=7; repeatable.",
        ),
    ] = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(help="Written once it listens: JSON with port and connection_string."),
    ] = None,
) -> None:
    """Run an embedded Event Hubs that the unmodified azure-eventhub SDK talks to."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
    limit = _read(Size, "--retention-bytes", retention_bytes) if retention_bytes else None
    kept = Retention(
        max_age_seconds=_read(Duration, "--retention", retention),
        max_bytes=_MEMORY_BYTES if memory and limit is None else limit,
    )
    groups = tuple(group or ())
    faults = Faults.read(fault or ())
    plain = [_hub(text, groups, kept, iot=iot) for text in hubs or ["telemetry"]]
    settings = [replace(each, faults=faults) for each in plain]
    made = _tls(None if memory else data, cert, cert_key, wanted=tls)
    server = HubServer(
        settings,
        data=None if memory else data,
        host=host,
        port=(AMQPS_PORT if made.context else AMQP_PORT) if port is None else port,
        gate=Gate(key or None),
        tls=made.context,
    )
    asyncio.run(_run(server, _Announcement(settings, made.made, ready_file, show_key=show_key)))


def _hub(text: str, groups: tuple[str, ...], kept: Retention, *, iot: bool) -> HubSettings:
    name, colon, count = text.partition(":")
    if colon and not count.isdecimal():
        raise SettingError(f"--hub {text}: write NAME or NAME:PARTITIONS, such as telemetry:8")
    partitions = int(count) if colon else _DEFAULT_PARTITIONS
    return HubSettings(name, partitions, groups=groups, iot=iot, retention=kept)


def _tls(data: Path | None, cert: Path | None, cert_key: Path | None, *, wanted: bool) -> _Tls:
    if cert is not None and cert_key is not None:
        return _Tls(context(cert, cert_key))
    if cert is not None or cert_key is not None:
        raise SettingError("--cert and --cert-key belong together: give both, or --tls alone")
    if not wanted:
        return _Tls()
    if data is None:
        raise SettingError(
            "--tls keeps its certificate with the data: drop --memory, or give --cert"
        )
    certificate, key = self_made(data)
    return _Tls(context(certificate, key), certificate)


@dataclass(frozen=True)
class _Announcement:
    """What is told once the hub listens, on the terminal and in the ready file."""

    settings: list[HubSettings]
    certificate: Path | None
    ready_file: Path | None
    show_key: bool

    def make(self, server: HubServer) -> None:
        names = ", ".join(f"{hub.name} ({hub.partitions} partitions)" for hub in self.settings)
        shown = server.connection_string(show_key=self.show_key)
        typer.echo(f"hub ready: {names} on port {server.port}; {shown}")
        if self.certificate is not None:
            typer.echo(f"clients trust it by connection_verify={self.certificate}")
        if server.tls and server.port != AMQPS_PORT:
            typer.echo(
                f"with TLS the SDK connects to port {AMQPS_PORT} unless it is given "
                f"custom_endpoint_address='sb://<host>:{server.port}' and "
                "transport_type=TransportType.Amqp"
            )
        if self.ready_file is not None:
            self._write(self.ready_file, server)

    def _write(self, path: Path, server: HubServer) -> None:
        """Write it whole or not at all, for its owner's eyes: the key is in it."""
        only = self.settings[0].name if len(self.settings) == 1 else None
        facts: dict[str, int | str] = {
            "pid": os.getpid(),
            "port": server.port,
            "connection_string": server.connection_string(only),
        }
        if self.certificate is not None:
            facts["certificate"] = str(self.certificate)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.new")
        temporary.unlink(missing_ok=True)
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(facts))
        temporary.replace(path)


async def _run(server: HubServer, announcement: _Announcement) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with server:
        announcement.make(server)
        await stop.wait()
