"""The flow in docs/how-to/write-a-flow.md runs as the page says."""

import json
import re
from pathlib import Path

import pytest

from tests.flows.conftest import Lake, sine
from tests.flows.test_sensor_processing_flow import ROOT, launch

PAGE = ROOT / "docs" / "how-to" / "write-a-flow.md"


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    (code,) = re.findall(r"```python\n(import json.*?)```", PAGE.read_text(), re.DOTALL)
    path = tmp_path / "peak_flow.py"
    path.write_text(code)
    return path


@pytest.mark.parametrize("sensors", [6, 0])
def test_the_pages_flow_divides_a_run_among_branches(lake: Lake, flow, tmp_path, sensors) -> None:
    batches = {f"s{i}": [sine(2.0)] for i in range(sensors)}
    uri = lake.run(lake.bundle(batches) if sensors else [])
    done = launch(tmp_path, "--run", uri, flow=flow)
    assert done.returncode == 0, done.stdout + done.stderr
    made = lake.result()
    assert made is not None
    assert made.facts == {"sensors": sensors}
    peaks = json.loads(bytes(lake.store.get(f"{made.outputs}peaks.json")))
    assert peaks == {f"s{i}": 7.0 for i in range(sensors)}
    assert done.stdout.count("/measure/") >= 2 * min(max(sensors, 1), 4)
