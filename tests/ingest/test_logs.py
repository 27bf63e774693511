import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from ingest import logs

SECRET = "c2VjcmV0K2tleQ/x"  # noqa: S105


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    kept = root.handlers, root.level, {n: logging.getLogger(n).level for n in logs.QUIET}
    yield
    root.handlers, root.level = kept[0], kept[1]
    for name, level in kept[2].items():
        logging.getLogger(name).setLevel(level)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "text",
    [
        f"Endpoint=sb://h/;SharedAccessKeyName=root;SharedAccessKey={SECRET}==;EntityPath=t",
        f"AccountName=a;AccountKey={SECRET}==;EndpointSuffix=core.windows.net",
        f"GET https://a.blob.core.windows.net/c?sv=2024&sig={SECRET}%3D&se=2026",
        f"SharedAccessSignature sr=h&sig={SECRET}&se=1&skn=root",
        f"no answer from redis://:{SECRET}@h:6379/0",
        f"no answer from rediss://me:p@{SECRET}@h:6379",
        f"Authorization: Bearer {SECRET}",
        f"client_secret={SECRET}&grant_type=x",
    ],
)
def test_what_opens_a_door_is_masked_and_the_rest_stays(text: str) -> None:
    masked = logs.mask(text)
    assert SECRET not in masked
    assert logs.MASK in masked
    assert masked.split("=")[0].split(" ")[0] in text


@pytest.mark.parametrize(
    "text",
    [
        "SharedAccessKeyName=root",
        "redis://me@h:6379/0",
        "https://plant7.blob.core.windows.net/c/log/000000000041.json",
        "design=3 signal=4",
        "batch sealed at 12:30:05, mail me@example.org",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert logs.mask(text) == text


def test_lines_are_json_where_no_person_reads() -> None:
    out = io.StringIO()
    logs.configure("auto", "info", out)
    with structlog.contextvars.bound_contextvars(partition="3"):
        structlog.get_logger().info("batch sealed", samples=5, sensor="press 1\n")
    structlog.get_logger().debug("not said")
    (line,) = out.getvalue().splitlines()
    facts = json.loads(line)
    assert facts.pop("timestamp").endswith("Z")
    wanted = {"partition": "3", "samples": 5, "sensor": "press 1\n"}
    assert facts == {"event": "batch sealed", "level": "info", **wanted}


def test_lines_are_for_people_on_a_terminal() -> None:
    out = Terminal()
    logs.configure("auto", "info", out)
    structlog.get_logger().info("batch sealed", samples=5)
    assert "batch sealed" in out.getvalue()
    assert "\x1b[" in out.getvalue()
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(out.getvalue())


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_secret_passes_in_a_fact_a_traceback_or_a_librarys_line(form: str) -> None:
    out = io.StringIO()
    logs.configure("json" if form == "json" else "console", "info", out)
    log = structlog.get_logger()
    try:
        password = SECRET
        raise ValueError(f"redis://:{password}@h refused AccountKey={SECRET}")
    except ValueError:
        log.exception("failed", url=f"redis://:{SECRET}@h", more={"sig": f"?sig={SECRET}"})
        logging.getLogger("azure.core").warning("SharedAccessKey=%s", SECRET)
    assert SECRET not in out.getvalue()
    assert "ValueError" in out.getvalue()
    assert "SharedAccessKey=***" in out.getvalue()


def test_libraries_speak_through_the_same_lines_from_warning_on() -> None:
    out = io.StringIO()
    logs.configure("json", "info", out)
    logging.getLogger("azure.eventhub._pyamqp").info("chatter")
    logging.getLogger("aiohttp.access").info("GET /metrics")
    logging.getLogger("azure.eventhub").warning("link %s lost", "a")
    (line,) = out.getvalue().splitlines()
    facts = json.loads(line)
    assert (facts["event"], facts["level"]) == ("link a lost", "warning")
    assert facts["logger"] == "azure.eventhub"
