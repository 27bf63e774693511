"""When conda is asked for, and what the drop-in then hands to Metaflow."""

import sys
from pathlib import Path

import metaflow
import pytest

from flows.environment import conda_base, conda_is_asked


@pytest.mark.parametrize(
    ("arguments", "environ", "asked"),
    [
        ([], {}, False),
        (["run"], {"METAFLOW_ENVIRONMENT": "conda"}, True),
        (["--environment=conda", "run"], {}, True),
        (["--environment", "pypi", "run"], {}, True),
        (["--environment=local", "run"], {"METAFLOW_ENVIRONMENT": "conda"}, False),
        (["--environment"], {}, False),
        (["run", "--run", "conda"], {}, False),
    ],
)
def test_conda_is_used_where_the_command_line_or_the_environment_says_so(
    arguments, environ, asked
) -> None:
    assert conda_is_asked(["flow.py", *arguments], environ) is asked


def decorated() -> type:
    @conda_base(python="3.10.8", libraries={"numpy": "1.23.5"})
    class SomeFlow(metaflow.FlowSpec):  # type: ignore[misc]
        @metaflow.step  # type: ignore[untyped-decorator]
        def start(self) -> None:
            self.next(self.end)

        @metaflow.step  # type: ignore[untyped-decorator]
        def end(self) -> None:
            pass

    return SomeFlow


def test_without_conda_the_class_comes_back_as_it_was(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["flow.py", "run"])
    assert "conda_base" not in decorated()(use_cli=False)._flow_decorators


def test_with_conda_the_steps_get_pyarrow_and_our_sources(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["flow.py", "--environment=conda", "run"])
    flow = decorated()(use_cli=False)
    (conda,) = flow._flow_decorators["conda_base"]
    assert conda.attributes["python"] == "3.10.8"
    assert conda.attributes["packages"] == {"numpy": "1.23.5", "pyarrow": ">=14"}
    (sources,) = flow._flow_mutators
    sources.external_init()
    packed = {name: path for path, name, _ in sources.add_to_package()}
    assert {"flows/reader.py", "batching/names.py", "batching/bundle.py"} <= set(packed)
    assert Path(packed["flows/mixin.py"]).is_file()


def test_the_flows_own_pyarrow_wins(monkeypatch) -> None:
    monkeypatch.setattr(sys, "argv", ["flow.py", "--environment=conda", "run"])
    monkeypatch.setattr(metaflow, "conda_base", lambda **given: lambda _: given)
    monkeypatch.setattr(metaflow, "package_sources", lambda _: lambda flow: flow)
    given = conda_base(packages={"pyarrow": "18.1.0"})(object)
    assert given["packages"] == {"pyarrow": "18.1.0"}  # type: ignore[index]
