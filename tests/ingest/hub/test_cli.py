import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ingest.cli import main
from tests.ingest.hub.conftest import Serve

COMMAND = [sys.executable, "-c", "from ingest.cli import main; main()", "hub"]


Refused = Callable[..., str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Run the command with options that cannot be, and give what it says."""

    def run(*options: str) -> str:
        monkeypatch.setattr(sys, "argv", ["headrace", "hub", *options])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return " ".join(said.split())

    return run


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--hub", "telemetry:x"], "--hub telemetry:x: write NAME or NAME:PARTITIONS"),
        (["--hub", "tele metry"], "hub name 'tele metry': use letters"),
        (["--hub", "telemetry:0"], "partitions must be 1 to"),
        (["--retention", "soon"], "--retention: 'soon'"),
        (["--retention-bytes", "5 bananas"], "a size takes B, kB"),
        (["--cert", "only.pem"], "--cert and --cert-key belong together"),
        (["--cert", "no.pem", "--cert-key", "no.pem"], "cannot use no.pem"),
        (["--memory", "--tls"], "--tls keeps its certificate with the data"),
        (["--fault", "slow=1"], "write redeliver=SHARE, drop=SHARE or seed=NUMBER"),
        (["--fault", "drop=often"], "'often' is no number"),
        (["--fault", "drop=2"], "a share is a number from 0 to 1"),
        (["--data", "/dev/null/x"], "cannot keep data in /dev/null/x"),
    ],
)
def test_a_wrong_option_is_told_in_a_sentence(
    refused: Refused, options: list[str], said: str
) -> None:
    assert said in refused("--port", "0", *options)


def test_a_port_in_use_is_told_in_a_sentence(refused: Refused, serve: Serve) -> None:
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
