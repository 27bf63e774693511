import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.ingest.hub.conftest import Serve

COMMAND = [sys.executable, "-c", "from ingest.cli import main; main()", "hub"]


def refused(*options: str) -> str:
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--hub", "telemetry:x"], "--hub telemetry:x: write NAME or NAME:PARTITIONS"),
        (["--hub", "tele metry"], "hub name 'tele metry': use letters"),
        (["--hub", "telemetry:0"], "partitions must be 1 to"),
        (["--retention", "soon"], "--retention must be a duration"),
        (["--retention-bytes", "5 bananas"], "--retention-bytes must be a size"),
        (["--cert", "only.pem"], "--cert and --cert-key belong together"),
        (["--cert", "no.pem", "--cert-key", "no.pem"], "cannot use no.pem"),
        (["--memory", "--tls"], "--tls keeps its certificate with the data"),
        (["--data", "/dev/null/x"], "cannot keep data in /dev/null/x"),
    ],
)
def test_a_wrong_option_is_told_in_a_sentence(options: list[str], said: str) -> None:
    assert said in refused("--port", "0", *options)


def test_a_port_in_use_is_told_in_a_sentence(serve: Serve) -> None:
    port = serve().port
    assert f"cannot listen on 127.0.0.1:{port}" in refused("--memory", "--port", str(port))


def test_the_ready_line_hides_the_key_and_ctrl_c_ends_it_cleanly(tmp_path: Path) -> None:
    ready = tmp_path / "ready" / "hub.json"
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--tls", "--data", str(tmp_path), "--ready-file", str(ready)],
        env=os.environ | {"HEADRACE_HUB_KEY": "s3cret"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 20
    while not ready.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    told = json.loads(ready.read_text())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert f"on port {told['port']}" in out
    assert "SharedAccessKey=***" in out
    assert "s3cret" not in out + err
    assert "SharedAccessKey=s3cret;EntityPath=telemetry" in told["connection_string"]
    assert told["certificate"] == str(tmp_path / "tls-certificate.pem")
    assert ready.stat().st_mode & 0o077 == 0
    assert (tmp_path / "tls-key.pem").stat().st_mode & 0o077 == 0
