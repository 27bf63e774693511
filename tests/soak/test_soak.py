"""The soak itself: its picture is drawn, its options are checked, and half a minute of it holds."""

import json
from pathlib import Path

import pytest

from tests.soak.__main__ import main
from tests.soak.faults import FAULTS
from tests.soak.picture import draw

PNG = b"\x89PNG\r\n\x1a\n"


def test_the_picture_shows_what_was_seen_and_gaps_where_nothing_answered(tmp_path: Path) -> None:
    samples = [
        {"at": float(at), "sent": 10 * at, "received": 9 * at, "valkey_pss_bytes": 2**20}
        for at in range(20)
    ]
    samples[7].pop("valkey_pss_bytes")
    faults = [{"at": 3.0 * n, "fault": name} for n, name in enumerate(FAULTS)]
    draw(samples, faults, tmp_path / "soak.png", "twenty seconds")
    assert (tmp_path / "soak.png").read_bytes().startswith(PNG)


def test_what_cannot_be_meant_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--minutes", "0"])
    assert "--minutes is 0.5 or more" in capsys.readouterr().err


@pytest.mark.slow
def test_half_a_minute_of_faults_leaves_nothing_out_and_nothing_twice(tmp_path: Path) -> None:
    assert main(["--minutes", "0.5", "--rate", "40", "--out", str(tmp_path)]) == 0
    lines = [json.loads(line) for line in (tmp_path / "soak.jsonl").read_text().splitlines()]
    assert any("fault" in line for line in lines)
    assert lines[-1]["sent"] > 0
    assert "0 missing, 0 twice" in lines[-1]["verdict"]
