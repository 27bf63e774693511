import base64
import hashlib
import hmac
import time
from urllib.parse import quote_plus

import pytest

from ingest.hub.tokens import KEY_NAME, Gate, Grants, TokenRefused

SOON = int(time.time()) + 600


def token(resource: str, expires: int, key: str, name: str = KEY_NAME) -> str:
    quoted = quote_plus(resource)
    digest = hmac.new(key.encode(), f"{quoted}\n{expires}".encode(), hashlib.sha256).digest()
    signature = quote_plus(base64.b64encode(digest))
    return f"SharedAccessSignature sr={quoted}&sig={signature}&se={expires}&skn={name}"


@pytest.mark.parametrize(
    ("resource", "path", "open_"),
    [
        ("sb://host/telemetry", "telemetry", True),
        ("sb://host/telemetry", "Telemetry/ConsumerGroups/g/Partitions/0", True),
        ("amqps://host:5671/TELEMETRY/", "telemetry", True),
        ("sb://host/", "anything/below", True),
        ("sb://host/telemetry", "telemetry2", False),
        ("sb://host/telemetry/Publishers/a", "telemetry/publishers/a", True),
        ("sb://host/telemetry/Publishers/a", "telemetry/publishers/ab", False),
        ("sb://host/telemetry/Publishers/a", "telemetry", False),
    ],
)
def test_a_token_covers_its_path_and_all_below(resource: str, path: str, *, open_: bool) -> None:
    grants = Grants(Gate("key"))
    grants.add(token(resource, SOON, "key"))
    assert grants.allow(path) is open_


def test_nothing_is_open_without_a_token() -> None:
    assert not Grants(Gate("key")).allow("telemetry")


def test_everything_is_open_without_a_key() -> None:
    grants = Grants(Gate())
    grants.add("whatever")
    assert grants.allow("telemetry")


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (token("sb://h/t", SOON, "other key"), 401),
        (token("sb://h/t", SOON, "key", name="other"), 401),
        (token("sb://h/t", 1, "key"), 401),
        ("eyJhbGciOi.a.jwt", 401),
        ("SharedAccessSignature sr=x", 400),
        (token("sb://h/t", SOON, "key").replace("se=", "se=x"), 400),
        (None, 401),
        (b"\xff\xfe", 401),
    ],
)
def test_a_token_that_opens_nothing_says_why(text: object, status: int) -> None:
    with pytest.raises(TokenRefused) as refused:
        Gate("key").check(text)
    assert refused.value.status == status
    assert "key" not in str(refused.value).replace("another key", "").replace("access key", "")
