"""Reference pages written from the code: settings, metrics, formats, failpoints."""

from ingest.reference.pages import PAGES, write

__all__ = ["PAGES", "write"]
