import re

import pytest

from ingest.cli import COMMANDS
from tests.ingest.cli.conftest import Headrace
from tests.processes import modules


def test_headrace_alone_lists_every_command(headrace: Headrace) -> None:
    said = headrace()
    for command in COMMANDS:
        assert re.search(rf"\b{command} +\w", said.out + said.err)


def test_the_list_of_commands_needs_no_library_of_any_command() -> None:
    code = "import sys; from ingest.cli import app; app(standalone_mode=False); print(*sys.modules)"
    assert not {"numpy", "pydantic", "redis", "asyncio"} & modules(code, "--help")


@pytest.mark.parametrize("flag", ["--help", "-h"])
@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_an_example_of_it(
    headrace: Headrace, command: str, flag: str
) -> None:
    said = headrace(command, flag)
    assert said.code == 0
    _, _, example = said.out.partition("Example")
    assert f"headrace {command}" in example


def test_an_unknown_command_is_named(headrace: Headrace) -> None:
    said = headrace("sned")
    assert said.code == 2
    assert "sned" in said.err


@pytest.mark.parametrize("command", ["run", "status", "verify", "check"])
def test_a_settings_file_that_is_missing_is_named(headrace: Headrace, command: str) -> None:
    words = ["none.yaml"] if command == "check" else ["--config", "none.yaml"]
    said = headrace(command, *words)
    assert said.code == 2
    assert "none.yaml: there is no such file" in said.err


@pytest.mark.parametrize("command", ["run", "status", "verify"])
def test_every_fault_of_a_settings_file_is_told_before_anything_starts(
    headrace: Headrace, command: str, tmp_path
) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text("drain_second: 5 s\nhttp: {port: -1}\n")
    said = headrace(command, "--config", path)
    assert said.code == 2
    assert "drain_seconds" in said.err
    assert "http.port" in said.err
    assert list(tmp_path.iterdir()) == [path]
