"""The flow in docs/tutorial/first-batch.md runs as the page says."""

import json
import re
from pathlib import Path

from tests.flows.conftest import Lake, sine
from tests.flows.test_sensor_processing_flow import ROOT, launch

PAGE = ROOT / "docs" / "tutorial" / "first-batch.md"


def test_the_tutorials_flow_counts_peaks_of_each_sensor(lake: Lake, tmp_path: Path) -> None:
    (code,) = (
        block
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
        if "class PeaksFlow" in block
    )
    flow = tmp_path / "peaks_flow.py"
    flow.write_text(code)
    batches = {}
    for name, hertz in (("slow", 1.0), ("fast", 3.0)):
        times, values = sine(hertz, seconds=20.0)
        batches[name] = [(times, 2 * values)]
    done = launch(tmp_path, "--run", lake.run(lake.bundle(batches)), flow=flow)
    assert done.returncode == 0, done.stdout + done.stderr
    made = lake.result()
    assert made is not None
    assert made.facts == {"sensors": 2, "peaks": 80}
    peaks = json.loads(bytes(lake.store.get(f"{made.outputs}peaks.json")))
    assert peaks == {"slow": 20, "fast": 60}
