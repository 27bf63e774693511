"""Each peer runs at its smallest size, and leaves the batches that the workload asks for."""

from pathlib import Path

import pytest

from benchmarks.contenders import Field, python
from benchmarks.peers import environment
from benchmarks.peers.environment import NotInstalled, python_of
from benchmarks.workloads import WORKLOADS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("peer", ["bytewax"])
@pytest.mark.parametrize("workload", WORKLOADS)
def test_a_peer_gives_the_same_batches(peer: str, workload: str, tmp_path: Path) -> None:
    try:
        python(peer)
    except NotInstalled as error:
        pytest.skip(f"{peer} cannot be installed: {error}")
    field = Field(tmp_path, WORKLOADS[workload], 2_000)
    cost = field.round(0, [peer])[peer]
    assert cost["batches"] > 20
    assert cost["cpu_seconds"] > 0
    assert cost["startup_seconds"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["events"], "nothing is left behind"


def test_what_cannot_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "HERE", tmp_path)
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "nothing.txt").write_text("headrace-has-no-such-peer==1\n")
    with pytest.raises(NotInstalled, match="No matching distribution found for headrace-has-no"):
        python_of("nothing")
