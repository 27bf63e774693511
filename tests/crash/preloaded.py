"""Everything a service imports, imported once for all that are forked."""

import ingest.cli.run
import ingest.config
import ingest.logs
import ingest.service
import tests.crash.served

__all__ = ["ingest", "tests"]
