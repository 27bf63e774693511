from pathlib import Path

from batching.limits.pressure import Bounds
from ingest.config import load
from ingest.line import packed, unpacked
from ingest.workers.brief import briefs

FILE = """
source: {iot_hub: {hub: plant}}
workers: 3
instance: pod
retention: {bundles: 90 d}
streams:
  motion:
    decode: {format: json, time: {unit: ms}, channels: [x]}
    seal: {max_age: 1500 ms}
"""
SECRET = "Endpoint=sb://example.net/;SharedAccessKeyName=a;SharedAccessKey=a2V5"  # noqa: S105


def test_a_worker_gets_the_settings_as_they_were_read_secrets_too(tmp_path: Path) -> None:
    path = tmp_path / "headrace.yaml"
    path.write_text(FILE)
    settings = load(path, {"HEADRACE_IOT_HUB_CONNECTION": SECRET})
    path.write_text("changed since")
    made = briefs(settings)
    assert [brief.settings.instance for brief in made] == ["pod.0", "pod.1", "pod.2"]
    for brief in made:
        found = unpacked(packed(brief))
        assert found == brief
        same = found.settings.model_copy(update={"instance": "pod"})
        assert same == settings
        secret = same.source.chosen.connection_string
        assert secret is not None
        assert secret.get_secret_value() == SECRET
        assert same.retention.plain() == settings.retention.plain()
        assert SECRET not in repr(found)


def test_each_worker_has_an_equal_part_of_every_limit() -> None:
    whole = Bounds(open_bytes=1_000, open_sensors=100, in_flight_events=10, sealed_bytes=50)
    assert whole.divided(1) == whole
    assert whole.divided(3) == Bounds(333, 33, 3, 16)
    assert Bounds(1, 1, 1, 1).divided(64) == Bounds(1, 1, 1, 1)
