"""Where tests keep what takes long to make or to download: outside of the clone."""

import os
from pathlib import Path


def cache() -> Path:
    """Give the folder; `HEADRACE_CACHE` names another."""
    if chosen := os.environ.get("HEADRACE_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headrace"
