"""What a dashboard and the alert rules ask, and a real Prometheus to ask it."""

import json
import math
import re
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.helm.chart import CHART

BOARDS = sorted((CHART / "dashboards").glob("*.json"))
RULES = CHART / "rules" / "headrace.yaml"
SCRAPE_SECONDS = 1
# what Grafana puts in the place of its variables
VARIABLES = {"$namespace": ".*", "$__rate_interval": "20s", "$__range": "5m"}
START_SECONDS = 60.0


def queries(board: Path) -> list[tuple[str, str]]:
    """Give every query of a dashboard, with the title of its panel."""
    panels = json.loads(board.read_text())["panels"]
    return [(panel["title"], each["expr"]) for panel in panels for each in panel.get("targets", ())]


def filled_in(query: str) -> str:
    """Give a query as Grafana sends it."""
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    assert "$" not in query, query
    return query


def alerts() -> list[dict[str, Any]]:
    """Give the alert rules."""
    groups = YAML(typ="safe").load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def metrics_in(expression: str) -> set[str]:
    """Give the names of our metrics in an expression, as the reference lists them."""
    found = re.findall(r"\bheadrace_[a-z_]+", expression)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found}


class Prometheus:
    """A running one, which scrapes one address."""

    def __init__(self, port: int) -> None:
        self._at = f"http://127.0.0.1:{port}"

    def ask(self, query: str, seconds: float = 300.0) -> list[float]:
        """Give all numbers of a query over the last time, of all series."""
        now = time.time()
        asked = {"query": query, "start": now - seconds, "end": now, "step": 1}
        url = f"{self._at}/api/v1/query_range?{urllib.parse.urlencode(asked)}"
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
            series = json.loads(answer.read())["data"]["result"]
        numbers = [float(value) for each in series for _, value in each["values"]]
        return [number for number in numbers if math.isfinite(number)]

    def named(self, metric: str, label: str) -> set[str]:
        """Give the values of a label."""
        asked = urllib.parse.urlencode({"match[]": metric})
        url = f"{self._at}/api/v1/label/{label}/values?{asked}"
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
            return set(json.loads(answer.read())["data"])

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._at}/-/ready", timeout=5):  # noqa: S310
                return True
        except OSError:
            return False


@contextmanager
def scraping(program: str, port: int, folder: Path) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes a port of this machine."""
    folder.mkdir()
    target = {"targets": [f"127.0.0.1:{port}"], "labels": {"namespace": "plant"}}
    config = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "plant", "honor_labels": True, "static_configs": [target]}],
    }
    with (folder / "prometheus.yml").open("w") as file:
        YAML().dump(config, file)
    own = _free_port()
    command = [program, f"--config.file={folder / 'prometheus.yml'}"]
    command += [f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{own}"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        prometheus, deadline = Prometheus(own), time.monotonic() + START_SECONDS
        while not prometheus.ready():
            assert time.monotonic() < deadline, (folder / "log").read_text()
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.2)
        yield prometheus
    finally:
        process.terminate()
        process.wait(60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
