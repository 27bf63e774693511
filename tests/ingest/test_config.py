import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching.errors import SettingError
from batching.policy import SealPolicy
from ingest.classify import Classifier
from ingest.config import Settings, WrongSettings, load, load_all, merge
from ingest.event import Event
from ingest.settings.show import resolved

CONTRACTS = """
source:
  event_hubs: {namespace: plant7.servicebus.windows.net, hub: telemetry, consumer_group: headrace}
redis:  {url: rediss://plant7.redis.azure.net:10000}
blobs:  {azure: {account: plant7data, container: headrace}}
streams:
  vibration:
    match:   {property: {kind: vibration}}
    sensor:  {annotation: iothub-connection-device-id}
    decode:  {format: json, time: {field: t, unit: ms}, channels: [x, y, z]}
    seal:    {max_samples: 100_000, max_bytes: 8 MiB, max_age: 5 min}
    run:     {flow: SensorProcessingFlow, launcher: local, after: 2 s, at_most: {batches: 200}}
  rest:
    decode:  {format: cbor, time: {field: t, unit: s}, channels: [v]}
jobs:
  report: {flow: NightlyFlow, over: [vibration, rest], attempts: 1}
flows: {NightlyFlow: nightly.py}
"""


def loaded(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> Settings:
    path = tmp_path / "plant.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ or {})


def faults(tmp_path: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(WrongSettings) as caught:
        loaded(tmp_path, text, environ)
    assert str(caught.value).splitlines() == list(caught.value.lines)
    return list(caught.value.lines)


def stream(more: str = "", name: str = "motion") -> str:
    decode = "decode: {format: json, time: {field: t, unit: ms}, channels: [x]}"
    return f"streams:\n  {name}:\n    {decode}\n    {more}\n"


def test_the_file_of_the_contracts_gives_plain_values_to_the_other_rooms(tmp_path: Path) -> None:
    settings = loaded(tmp_path, CONTRACTS)
    assert settings.policies()["vibration"] == SealPolicy(100_000, 8 * 2**20, None, 300 * 10**9)
    rules = settings.rules()
    assert [each.name for each in rules] == ["vibration", "rest"]
    assert rules[0].match.properties == {"kind": "vibration"}
    assert rules[0].sensor.name == "iothub-connection-device-id"
    jobs = settings.every_job()
    assert [(job.name, job.flow, job.over) for job in jobs] == [
        ("vibration", "SensorProcessingFlow", ("vibration",)),
        ("report", "NightlyFlow", ("vibration", "rest")),
    ]
    assert jobs[0].after_ns == 2 * 10**9
    assert jobs[1].attempts == 1
    assert settings.blobs_folder is None


def test_without_a_file_the_embedded_default_takes_what_headrace_send_sends() -> None:
    settings, warnings = load_all(None, {})
    assert warnings == ()
    assert settings.blobs_folder == Path("headrace-data/blobs")
    assert settings.flow_file("SensorProcessingFlow").is_file()
    body = {name: [0.5, 0.25] for name in ("ax", "ay", "az", "wx", "wy", "wz")}
    event = Event(
        partition="0",
        sequence_number=1,
        enqueued_ns=10**18,
        body=json.dumps({"t": [1_700_000_000_000, 1_700_000_000_020], **body}).encode(),
        partition_key="s1",
    )
    classifier = Classifier(settings.rules(), unmatched="dead_letter", iot_hub=False)
    assert classifier.classify(event).samples == 2


def test_variables_win_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    text = stream("seal: {max_samples: 7, max_age: 1 h}")
    environ = {
        "HEADRACE_STREAMS__MOTION__SEAL__MAX_SAMPLES": "5_000",
        "HEADRACE_STREAMS__MOTION__SEAL__MAX_CHUNKS": "9",
        "HEADRACE_LOGS": '{"level": "debug"}',
        "HEADRACE_REDIS__EMBEDDED": "true",
        "HEADRACE_INSTANCE": "007",
    }
    settings = loaded(tmp_path, text, environ)
    policy = settings.policies()["motion"]
    assert (policy.max_samples, policy.max_chunks, policy.max_age_ns) == (5_000, 9, 3600 * 10**9)
    assert policy.max_bytes == SealPolicy().max_bytes
    assert (settings.logs.level, settings.instance) == ("debug", "007")


def test_null_switches_a_trigger_off_in_the_file_and_in_a_variable(tmp_path: Path) -> None:
    environ = {"HEADRACE_STREAMS__MOTION__SEAL__MAX_SAMPLES": "null"}
    settings = loaded(tmp_path, stream("seal: {max_age: null}"), environ)
    assert settings.policies()["motion"] == SealPolicy(None, 8 * 2**20, None, None)
    assert resolved(settings)["streams"]["motion"]["seal"]["max_age"] is None


def test_a_misspelled_setting_is_named_with_its_line_and_the_one_that_was_meant(
    tmp_path: Path,
) -> None:
    lines = faults(tmp_path, stream("seal: {max_sample: 5}"))
    assert lines == [
        "streams.motion.seal.max_sample: no such setting; did you mean max_samples? (plant.yaml:4)"
    ]


def test_every_fault_is_told_at_once_also_what_settings_say_together(tmp_path: Path) -> None:
    text = (
        stream("seal: {max_age: 5 mins, max_bytes: 1 GiB}")
        + "jobs: {report: {flow: SensorProcesingFlow, over: [moton]}}\n"
        + "bundle: {linger: -1, format: parquet}\ndrain_seconds: yes\nunmatched: drop\n"
    )
    lines = faults(tmp_path, text, {"HEADRACE_HTTP_PORT": "1", "HEADRACE_HTTP__PORT": "x"})
    wanted = [
        "HEADRACE_HTTP_PORT: no such setting; did you mean HEADRACE_HTTP__PORT?",
        "streams.motion.seal.max_age: '5 mins' has the unit 'mins'",
        "streams.motion.seal.max_bytes: must be at most 256 MiB, got 1 GiB",
        "jobs.report.over: there is no stream 'moton'; did you mean motion?",
        "jobs.report.flow: no file is known for SensorProcesingFlow",
        "bundle.linger: -1 is not a duration",
        "bundle.format: parquet comes with a later version",
        "drain_seconds: 'yes' is not a duration",
        "unmatched: must be one of dead_letter, count, got 'drop'",
        "http.port: must be a whole number from 0 to 65535, got 'x' (HEADRACE_HTTP__PORT)",
    ]
    for start in wanted:
        assert any(line.startswith(start) for line in lines), (start, lines)
    assert len(lines) == len(wanted)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "streams: is required"),
        ("streams: {}", "streams: name at least one stream"),
        ("streams: 5", "streams: must be a mapping of names to groups, got 5"),
        ("- a", "plant.yaml must be a mapping of settings"),
        ("streams: [", "plant.yaml:1: "),
        ("a: 1\na: 2", "plant.yaml:2: a stands there twice"),
        (stream(name="Motion"), "streams.Motion: 'Motion' is no name"),
        (stream("run: {}"), "streams.motion.run.flow: is required: text"),
        (stream("run: 5"), "streams.motion.run: must be a mapping with flow, launcher,"),
        (stream("run: {flow: X, launcher: slurm}"), "must be one of local, argo, got 'slurm'"),
        (stream("run: {flow: X, launcher: argo, template: A_b}"), "'A_b' is no WorkflowTemplate"),
        (
            stream("run: {flow: SensorProcessingFlow, template: a}"),
            "streams.motion.run.template: goes with launcher: argo",
        ),
        (stream() + "argo: {namespace: A}", "argo.namespace: 'A' is no namespace"),
        (stream() + "argo: {argo_ui: argo.example.org}", "argo.argo_ui: must be an address such"),
        (stream() + "argo: {metaflow_ui: 'https://a?b=c'}", "argo.metaflow_ui: must be an address"),
        (stream() + "argo: {token: x}", "argo.token: "),
        (stream("seal: {max_bytes: null}"), "this cannot be switched off"),
        (stream("seal: {max_age: 0}"), "must be above zero"),
        (stream("seal: {max_samples: true}"), "must be a whole number from 1 on, got True"),
        (stream("seal: {max_samples: 1.5}"), "must be a whole number from 1 on, got 1.5"),
        (stream("sensor: device"), "must be partition_key, senml, or a mapping"),
        (stream("sensor: {field: a, property: b}"), "name one of annotation, property, field"),
        (stream("sensor: senml"), "streams.motion.sensor: senml names sensors only with"),
        (stream("match: {property: kind}"), "match.property: must be a mapping of names"),
        (stream() + "redis: {embedded: yes}", "redis.embedded: must be true or false, got 'yes'"),
        (stream() + "redis: {embedded: false}", "redis: url is required when embedded is false"),
        (stream() + "redis: {url: http://x}", "redis.url: must begin with redis://"),
        (stream() + "source: {event_hubs: {hub: a}}", "HEADRACE_EVENT_HUBS_CONNECTION"),
        (stream() + "source: {iot_hub: {hub: a}}", "HEADRACE_IOT_HUB_CONNECTION"),
        (
            stream() + "source: {embedded: {}, event_hubs: {hub: a, namespace: b}}",
            "source: name one of event_hubs, iot_hub, embedded; got event_hubs and embedded",
        ),
        (stream() + "blobs: {azure: {container: a}}", "blobs.azure: account is required"),
        (stream() + "blobs: {azure: {account: a}}", "blobs.azure.container: is required"),
        (stream() + "ownership: {expiry: 5, interval: 4}", "must be at most half of expiry"),
        (stream() + "1: 2", "no such setting; known here: data"),
        (stream() + "? [a]\n: b", "plant.yaml:5: a key must be a word"),
        (
            stream() + "flows: {1: [a]}",
            "flows.1: must be a path, relative to where headrace is started, got ['a']",
        ),
        (
            stream() + "http:",
            "http: must be a mapping with host, port, token, token_file, got null",
        ),
        ("a: &a [*a]", "a: no such setting"),
        ("streams: &a {b: *a}", "streams.b"),
        ("a: [" * 2000, "cannot be read as YAML"),
        (
            stream() + "jobs: {a: {flow: X, over: motion, schedule: '0 25 * * *'}}",
            "jobs.a.schedule: '0 25 * * *' is no cron expression: its hour cannot be read",
        ),
        (
            stream() + "jobs: {a: {flow: X, over: motion, schedule: hourly}}",
            "it has five fields, minute, hour, day of the month, month and day of the week",
        ),
        (
            stream() + "jobs: {a: {flow: X, over: motion, schedule: '0 * * * *', zone: Bonn}}",
            "jobs.a.zone: 'Bonn' is no time zone; write a name such as Europe/Helsinki or UTC",
        ),
        (
            stream() + "jobs: {a: {flow: X, over: motion, schedule: '0 * * * *', after: 5 s}}",
            "jobs.a.after: does not go with schedule, whose moments say when runs start",
        ),
        (
            stream() + "jobs: {a: {flow: X, over: motion, zone: Asia/Tokyo}}",
            "jobs.a.zone: goes with schedule; leave it out",
        ),
        (
            stream() + "jobs: {a: {flow: X, over: motion, priority: -1}}",
            "jobs.a.priority: must be a whole number from 0 to 1000, got -1",
        ),
        (
            stream("run: {flow: SensorProcessingFlow}")
            + "jobs: {motion: {flow: SensorProcessingFlow, over: motion}}",
            "jobs.motion: streams.motion.run is a job of this name already",
        ),
    ],
)
def test_a_wrong_setting_says_what_is_wrong_and_what_it_accepts(
    tmp_path: Path, text: str, said: str
) -> None:
    lines = faults(tmp_path, text)
    assert any(said in line for line in lines), lines


@pytest.mark.parametrize(
    ("decode", "said"),
    [
        ("format: jsn, time: {unit: ms}, channels: [x]", "must be one of json, senml"),
        ("format: json, time: {unit: m}, channels: [x]", "time.unit: must be one of ns, us"),
        ("format: json, channels: [x]", "decode.time: is required"),
        ("format: json, time: {unit: ms, zone: UTC}, channels: [x]", "zone goes with unit iso8601"),
        ("format: json, time: {unit: iso8601, zone: Mars}, channels: [x]", "is no time zone"),
        ("format: json, time: {unit: ms}, channels: [x, x]", "decode.channels: a name is"),
        ("format: raw, time: {unit: ms}, channels: [x]", "decode.columns: must declare t, x"),
        ("format: json, time: {unit: ms}, channels: [x], dtype: f8", "must be one of float64"),
    ],
)
def test_a_stream_that_cannot_be_decoded_is_refused(tmp_path: Path, decode: str, said: str) -> None:
    lines = faults(tmp_path, f"streams: {{a: {{decode: {{{decode}}}}}}}")
    assert any(line.startswith("streams.a.decode") and said in line for line in lines), lines


def test_columns_of_raw_rows_keep_their_order(tmp_path: Path) -> None:
    decode = "format: raw, time: {unit: ms}, channels: [b], columns: {z: u1, t: u8, b: f4}"
    settings = loaded(tmp_path, f"streams: {{a: {{decode: {{{decode}}}}}}}")
    assert settings.rules()[0].decode.columns == (("z", "u1"), ("t", "u8"), ("b", "f4"))


IOT = "source: {iot_hub: {hub: a}}\n"
IOT_ENVIRON = {"HEADRACE_IOT_HUB_CONNECTION": "Endpoint=sb://h/;SharedAccessKey=k"}


def test_behind_an_iot_hub_only_what_no_device_can_forge_names_a_sensor(tmp_path: Path) -> None:
    lines = faults(tmp_path, IOT + stream("sensor: {property: device}"), IOT_ENVIRON)
    assert lines[0].startswith("streams.motion.sensor: behind an IoT Hub a device can forge")
    settings = loaded(tmp_path, IOT + stream(), IOT_ENVIRON)
    assert settings.rules()[0].sensor.name == "iothub-connection-device-id"


SECRET = "hunter2hunter2"  # noqa: S105
CONNECTION = f"Endpoint=sb://h.x/;SharedAccessKeyName=a;SharedAccessKey={SECRET};EntityPath=tel"


def test_secrets_come_from_variables_and_files_and_never_show(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{SECRET}\n")
    text = stream() + f"http: {{token_file: {tmp_path / 'token'}}}\n"
    environ = {
        "HEADRACE_EVENT_HUBS_CONNECTION": CONNECTION,
        "HEADRACE_REDIS__URL": f"redis://me:{SECRET}@h:1/0",
    }
    settings = loaded(tmp_path, text, environ)
    hub = settings.source.event_hubs
    assert hub is not None
    assert (hub.hub, hub.namespace) == ("tel", "h.x")
    assert hub.connection_string is not None
    assert hub.connection_string.get_secret_value() == CONNECTION
    assert settings.redis.url == "redis://me@h:1/0"
    assert settings.redis.password is not None
    assert settings.redis.password.get_secret_value() == SECRET
    assert settings.http.token is not None
    assert settings.http.token.get_secret_value() == SECRET
    for shown in (repr(settings), str(settings), json.dumps(resolved(settings))):
        assert SECRET not in shown


@pytest.mark.parametrize(
    "text",
    [
        f"http: {{token: {SECRET}}}",
        f"source: {{event_hubs: {{namespace: n, hub: h, connection_string: '{CONNECTION}'}}}}",
        f"redis: {{url: 'redis://h:1', password: {SECRET}}}",
        f"redis: {{url: 'http://:{SECRET}@h:1'}}",
        f"redis: {{url: 'redis://:{SECRET}@h:1', embedded: true}}",
        f"blobs: {{azure: {{container: c, connection_string: 'AccountKey={SECRET}'}}}}",
        f"http: {{token: [{SECRET}]}}",
        f"http: [{SECRET}]",
        f"redis: 'redis://:{SECRET}@h:1'",
        f"source: 'Endpoint=sb://h/;SharedAccessKey={SECRET}'",
        f"unmatched: 'AccountKey={SECRET}'",
    ],
)
def test_a_secret_in_the_file_or_in_a_wrong_value_is_refused_and_not_repeated(
    tmp_path: Path, text: str
) -> None:
    lines = faults(tmp_path, stream() + text)
    assert lines
    assert SECRET not in "\n".join(lines)


def test_a_secret_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    lines = faults(tmp_path, stream() + f"http: {{token_file: {tmp_path / 'none'}}}")
    assert lines[0].startswith("http.token_file: ")
    assert "No such file" in lines[0]


def test_a_connection_string_that_is_none_is_not_repeated(tmp_path: Path) -> None:
    lines = faults(tmp_path, stream(), {"HEADRACE_EVENT_HUBS_CONNECTION": SECRET})
    assert "has no Endpoint=" in lines[0]
    assert SECRET not in "\n".join(lines)


def test_a_secret_that_nobody_asks_for_is_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(stream("run: {flow: SensorProcessingFlow}") + "source: {embedded: {}}\n")
    _, warnings = load_all(path, {"HEADRACE_EVENT_HUBS_CONNECTION": CONNECTION})
    assert warnings == (
        "HEADRACE_EVENT_HUBS_CONNECTION is set, but source.event_hubs is not in use",
    )


def test_azures_own_variable_counts_only_where_nothing_else_is_said(tmp_path: Path) -> None:
    environ = {"AZURE_STORAGE_CONNECTION_STRING": f"AccountName=a;AccountKey={SECRET}"}
    asked = loaded(tmp_path, stream() + "blobs: {azure: {container: c}}", environ)
    told = loaded(tmp_path, stream() + "blobs: {azure: {container: c, account: b}}", environ)
    assert asked.blobs.azure is not None
    assert told.blobs.azure is not None
    assert asked.blobs.azure.connection_string is not None
    assert told.blobs.azure.connection_string is None


@pytest.mark.parametrize(
    ("file", "name", "value", "group"),
    [
        ("source: {embedded: {}}", "HEADRACE_SOURCE__EVENT_HUBS__HUB", "h", "source"),
        ("redis: {embedded: true}", "HEADRACE_REDIS__URL", "redis://h:1", "redis"),
        ("blobs: {folder: a}", "HEADRACE_BLOBS__AZURE", "{account: a, container: c}", "blobs"),
    ],
)
def test_a_variable_replaces_what_it_excludes_in_the_file(
    tmp_path: Path, file: str, name: str, value: str, group: str
) -> None:
    environ = {"HEADRACE_EVENT_HUBS_CONNECTION": CONNECTION.replace("tel", "h"), name: value}
    settings = loaded(tmp_path, stream() + file, environ)
    assert "embedded" not in (settings.source.model_fields_set | settings.blobs.model_fields_set)
    below = {"source": {"embedded": {}}, "redis": {"embedded": True}, "blobs": {"folder": "a"}}
    before = json.dumps(below)
    merge(below, {group: {"event_hubs": {}}})
    assert json.dumps(below) == before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEADRACE_STORE", "file:///x"),
        ("HEADRACE_HUB_KEY", "k"),
        ("HEADRACE_SERVICE_HOST", "10.0.0.1"),
        ("HEADRACE_SERVICE_PORT_METRICS", "9464"),
        ("HEADRACE_PORT", "tcp://10.0.0.1:9464"),
        ("HEADRACE_PORT_9464_TCP", "tcp://10.0.0.1:9464"),
        ("HEADRACE_PORT_9464_TCP_ADDR", "10.0.0.1"),
        ("HEADRACE_REDIS_PORT", "tcp://10.0.0.1:6379"),
        ("OTHER_SETTING", "x"),
    ],
)
def test_variables_of_others_are_left_alone(name: str, value: str) -> None:
    assert load(None, {name: value}) == load(None, {})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HEADRACE_STREAMS__MOTION__SEAL__MAX_SAMPL", "5", "MOTION__SEAL__MAX_SAMPLES?"),
        ("HEADRACE_HTTP_PORT", "9464", "did you mean HEADRACE_HTTP__PORT?"),
        ("HEADRACE_EVENTHUBS_CONNECTION", "x", "did you mean HEADRACE_EVENT_HUBS_CONNECTION?"),
        ("HEADRACE_QQQQQQQQQ", "x", "no such setting"),
        ("HEADRACE_STREAMS", "{a: ", "HEADRACE_STREAMS: cannot be read as YAML or JSON"),
        (
            "HEADRACE_STREAMS",
            "5",
            "streams: must be a mapping of names to groups (HEADRACE_STREAMS)",
        ),
    ],
)
def test_a_variable_that_sets_nothing_is_an_error(name: str, value: str, said: str) -> None:
    with pytest.raises(SettingError) as caught:
        load(None, {name: value})
    assert said in str(caught.value)


def test_a_stream_behind_one_that_takes_everything_is_a_warning(tmp_path: Path) -> None:
    def warned(first: str, second: str) -> bool:
        path = tmp_path / "plant.yaml"
        run = "run: {flow: SensorProcessingFlow}"
        more = stream(f"{second}\n    {run}", name="b").removeprefix("streams:\n")
        path.write_text(stream(f"{first}\n    {run}", name="a") + more)
        return any("streams.b: never gets an event" in line for line in load_all(path, {}).warnings)

    assert warned("match: {}", "match: {property: {kind: b}}")
    assert warned("match: {property: {kind: '*'}}", "match: {property: {kind: b, place: c}}")
    assert warned("match: {sensors: 'press-*'}", "match: {sensors: [press-1, press-2]}")
    assert not warned("match: {property: {kind: a}}", "match: {}")
    assert not warned("match: {property: {kind: a}}", "match: {property: {kind: 'a*'}}")
    assert not warned("match: {sensors: 'press-*'}", "match: {sensors: [press-1, saw-2]}")
    assert not warned("match: {content_type: a/b}", "match: {}")


def test_a_file_that_is_missing_a_folder_or_no_text_is_told_clearly(tmp_path: Path) -> None:
    (tmp_path / "noise.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "big.yaml").write_bytes(b"#" * (2**20 + 1))
    for path, said in [
        (tmp_path / "none.yaml", "there is no such file"),
        (tmp_path, "is a folder"),
        (tmp_path / "noise.yaml", "is no UTF-8 text"),
        (tmp_path / "big.yaml", "at most 1 MiB"),
    ]:
        with pytest.raises(WrongSettings, match=said):
            load(path, {})


def test_what_show_prints_loads_as_the_same_settings(tmp_path: Path) -> None:
    settings = loaded(tmp_path, CONTRACTS, {"HEADRACE_STREAMS__REST__SEAL__MAX_AGE": "null"})
    again = loaded(tmp_path, json.dumps(resolved(settings)))
    assert again == settings


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
GROUPS = ["source", "redis", "blobs", "streams", "jobs", "flows", "http", "seal", "instance", "x"]


@given(st.dictionaries(st.sampled_from(GROUPS), values))
def test_whatever_stands_in_the_file_gives_settings_or_lines_and_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, plain: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(json.dumps(plain), encoding="utf-8")
    with contextlib.suppress(WrongSettings):
        load(path, {})


@pytest.mark.parametrize("workers", ["0", "65", "2.5", "two", "null", "true"])
def test_workers_are_a_whole_number_from_1_to_64(tmp_path: Path, workers: str) -> None:
    (said,) = faults(tmp_path, f"workers: {workers}\n{stream()}")
    assert "workers" in said
    assert "must be a whole number from 1 to 64, got" in said


def test_more_workers_than_partitions_are_hardly_meant(tmp_path: Path) -> None:
    assert loaded(tmp_path, stream()).workers == 1
    path = tmp_path / "plant.yaml"
    path.write_text(f"source: {{embedded: {{partitions: 2}}}}\nworkers: 3\n{stream()}")
    assert [each for each in load_all(path, {}).warnings if each.startswith("workers: 3, but")]
    assert not [
        each
        for each in load_all(path, {"HEADRACE_WORKERS": "2"}).warnings
        if each.startswith("workers")
    ]
