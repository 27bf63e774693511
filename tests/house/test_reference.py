"""The reference pages say what the code says, and no more."""

import json
import re
from pathlib import Path

import pytest

from batching import bundle, model
from ingest.reference import PAGES
from ingest.reference.formats import example_bundle, examples
from ingest.reference.metrics import metric_classes, registered
from ingest.settings.service import Settings
from ingest.settings.shape import leaves

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_page_in_the_repository_is_what_the_code_gives(name: str) -> None:
    written = (REFERENCE / name).read_text(encoding="utf-8")
    assert written == PAGES[name](), "write it anew: .venv/bin/python -m ingest.reference"


def test_every_setting_is_described_and_on_the_page() -> None:
    page = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    for path, node in leaves(Settings):
        assert node.field.description, path
        assert node.field.description.endswith("."), path
        assert f"| `{'.'.join(path)}` |" in page


def test_every_metric_is_on_the_page_and_named_by_the_house_rule() -> None:
    page = (REFERENCE / "metrics.md").read_text(encoding="utf-8")
    found = [metric for _, kind in metric_classes() for metric in registered(kind)]
    assert len(found) > 20
    for metric in found:
        assert f"| `{metric.name}` | {metric.kind} |" in page
        assert re.fullmatch(r"headrace_[a-z0-9_]+", metric.name)
        assert metric.help.endswith(".")
        assert "sensor" not in metric.labels
    names = [metric.name for metric in found]
    assert len(set(names)) == len(names)


def test_no_metric_is_made_outside_the_classes_that_the_page_is_made_of() -> None:
    made = re.compile(r"\b(Counter|Gauge|Histogram|Summary)\(\s*f?[\"']headrace_")
    for room in ("ingest", "batching"):
        for path in (ROOT / room).rglob("*.py"):
            if made.search(path.read_text(encoding="utf-8")):
                assert path.name.startswith("metrics"), path.relative_to(ROOT)


def test_every_example_of_an_object_reads_back_as_itself() -> None:
    for each in examples():
        raw = model.dump(each.document)
        assert json.loads(raw)["format"] == model.FORMAT
        assert model.load(type(each.document), each.name, raw) == each.document


def test_there_is_an_example_of_every_object_with_a_format() -> None:
    kinds = {k for k in vars(model).values() if isinstance(k, type) and hasattr(k, "format")}
    documents = {kind for kind in kinds if "format" in getattr(kind, "__annotations__", {})}
    assert documents == {type(each.document) for each in examples()}


def test_the_example_bundle_is_what_the_example_manifest_says() -> None:
    manifest = next(e.document for e in examples() if isinstance(e.document, model.Manifest))
    entry = manifest.entries[0]
    table = example_bundle()
    assert entry.rows == (0, table.num_rows)
    chunks = bundle.chunks_of(table)
    assert entry.chunks == (0, chunks.num_rows)
    assert entry.samples == sum(chunks["rows"].to_pylist())
    numbers = chunks["sequence_number"].to_pylist()
    assert (entry.first, entry.last, entry.events) == (numbers[0], numbers[-1], len(numbers))
