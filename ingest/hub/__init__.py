"""The embedded Event Hubs: an AMQP 1.0 server that the unmodified azure-eventhub SDK uses."""

from ingest.hub.faults import Faults
from ingest.hub.hub import HubSettings
from ingest.hub.partition_log import Retention
from ingest.hub.server import HubServer
from ingest.hub.tokens import Gate

__all__ = ["Faults", "Gate", "HubServer", "HubSettings", "Retention"]
