"""What the documents name exists: links, commands with their options, settings, metrics, tasks."""

import ast
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from ingest.config import load_all
from ingest.reference.cli import commands

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "ingest").rglob("*.md"),
        *(ROOT / "helm").rglob("*.md"),
    ]
)
GUIDES = [
    path
    for path in PAGES
    if path == ROOT / "README.md" or path.parent.name in ("tutorial", "how-to")
]
ROOMS = ("ingest", "batching", "flows", "tests")
REFERENCE = ROOT / "docs" / "reference"
SECRETS = {
    "HEADRACE_IOT_HUB_CONNECTION": "Endpoint=sb://example.net/;SharedAccessKey=a2V5",
    "HEADRACE_EVENT_HUBS_CONNECTION": "Endpoint=sb://example.net/;SharedAccessKey=a2V5",
}
SMALL = """
streams:
  motion:
    decode: {format: json, time: {unit: ms}, channels: [x]}
"""


def named(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", paths, ids=lambda path: str(path.relative_to(ROOT)))


def blocks(page: Path, *languages: str) -> Iterator[str]:
    for language, text in re.findall(
        r"^```(\w*)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
    ):
        if language in languages:
            yield text


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@named(PAGES)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"\w+://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in set(anchors(found)), f"{page.name} links to {target}"


def anchors(page: Path) -> Iterator[str]:
    """Name headings as the forges do."""
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@named(GUIDES)
def test_every_file_of_settings_is_accepted(page: Path, tmp_path: Path) -> None:
    """A block without streams adds to the page's last whole file."""
    whole = YAML(typ="safe").load(SMALL)
    for text in blocks(page, "yaml"):
        if "scrape_configs" in text or "apiGroups" in text:
            continue
        block = YAML(typ="safe").load(text)
        whole = block if "streams" in block else {**whole, **block}
        path = tmp_path / "headrace.yaml"
        written = io.StringIO()
        YAML().dump(whole, written)
        path.write_text(text if "streams" in block else written.getvalue())
        source = whole.get("source", {})
        secrets = {k: v for k, v in SECRETS.items() if k.split("_")[1].lower() in str(source)}
        assert load_all(path, secrets).settings.streams


@named(PAGES)
def test_every_command_is_there_with_its_options(page: Path) -> None:
    for line in spoken(page):
        words = shlex.split(line.replace("$(", "'$(").replace(")", ")'") if "$(" in line else line)
        if len(words) < 2 or words[1].startswith("-") or not re.fullmatch("[a-z-]+", words[1]):
            continue
        if words[2:] == [] and any(name.startswith(f"{words[1]} ") for name in commands()):
            continue  # a group, on its own
        command = commands().get(called(line))
        assert command is not None, f"{page.name}: {line}"
        known = {name for each in command.params for name in each.opts} | {"--help", "-h"}
        for word in words[2:]:
            if word.startswith("-") and word != "-":
                assert word.partition("=")[0] in known, f"{page.name}: {line}"


def called(line: str) -> str:
    """Name the command of a call, with its group."""
    words = [*line.split(), ""]
    pair = f"{words[1]} {words[2].partition('|')[0]}"
    return pair if pair in commands() else words[1]


def spoken(page: Path) -> Iterator[str]:
    """Give each call of `headrace` in blocks of commands and between backquotes."""
    lines = [line for text in blocks(page, "sh", "console") for line in text.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", prose(page))
    for line in lines:
        call = re.match(r"(?:\$ )?(?:\w+=\S+ )*(headrace .*)", line)
        if call:
            yield re.split(r" [|#>&]| {3}", call[1])[0]


def test_the_search_for_commands_finds_them() -> None:
    found = [called(line) for page in GUIDES for line in spoken(page)]
    assert set(commands()) <= set(found)
    assert len(found) > 30


@named(PAGES)
def test_every_metric_and_variable_is_there(page: Path) -> None:
    known = "".join(path.read_text() for path in REFERENCE.glob("*.md"))
    for name in set(re.findall(r"\bheadrace_[a-z_]*[a-z]\b", page.read_text())):
        plain = re.sub(r"_(bucket|sum|count)$", "", name)
        assert f"`{plain}`" in known, f"{page.name} names the metric {name}"
    for name in set(re.findall(r"\bHEADRACE_[A-Z_]*[A-Z]\b", page.read_text())):
        assert f"`{name}`" in known, f"{page.name} names the variable {name}"


@named(PAGES)
def test_every_file_of_the_house_is_where_it_is_said_to_be(page: Path) -> None:
    files = {path.name for room in ROOMS for path in (ROOT / room).rglob("*.*")}
    for name in re.findall(r"`([\w./]+)`", prose(page)):
        if name.startswith(tuple(f"{room}/" for room in ROOMS)):
            assert (ROOT / name).exists(), f"{page.name} names {name}"
        elif re.fullmatch(r"\w+\.(py|lua)", name) and not name.endswith("_flow.py"):
            assert name in files, f"{page.name} names {name}"


@named(GUIDES)
def test_every_task_of_make_is_there(page: Path) -> None:
    tasks = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", page.read_text(), re.MULTILINE)) <= {
        pair for task in tasks for pair in ((task, ""), ("", task))
    }


@named(GUIDES)
def test_code_in_python_is_code(page: Path) -> None:
    for text in blocks(page, "python"):
        ast.parse(text)


def test_every_document_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    listed = (ROOT / "docs" / "decisions" / "README.md").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        if page.name == "README.md":
            continue
        name = page.relative_to(ROOT / "docs")
        inside = (
            f"({page.name})" in listed if name.parts[0] == "decisions" else f"({name})" in index
        )
        assert inside, f"{name} is in no index"
