"""Which reference pages there are; each is a function of the code alone."""

from collections.abc import Callable, Mapping
from pathlib import Path

from ingest.reference import cli, failpoints, formats, metrics, settings

PAGES: Mapping[str, Callable[[], str]] = {
    "settings.md": settings.page,
    "metrics.md": metrics.page,
    "formats.md": formats.page,
    "cli.md": cli.page,
    "failpoints.md": failpoints.page,
}


def write(folder: Path) -> list[Path]:
    """Write all pages; give their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (folder / name).write_text(page(), encoding="utf-8")
    return [folder / name for name in PAGES]
