"""What comes after each refusal: another try, a wait, or an operator."""

import httpx2
import pytest

from batching.adapters.argo.answers import Refused, judge, named, refusal, refused_by
from batching.errors import BatchError, LauncherBusy, LauncherRefused, LauncherUnavailable


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (401, "Unauthorized", LauncherUnavailable),
        (403, 'User "u" cannot create resource "workflows"', LauncherRefused),
        (403, "exceeded quota: few, requested: count/workflows.argoproj.io=1", LauncherBusy),
        (404, 'namespaces "flows" not found', LauncherRefused),
        (409, "Operation cannot be fulfilled on resourcequotas", LauncherUnavailable),
        (400, "admission webhook denied the request", LauncherRefused),
        (413, "limit is 3145728", LauncherRefused),
        (422, "Workflow is invalid", LauncherRefused),
        (429, "Too many requests", LauncherBusy),
        (500, "etcdserver: request timed out", LauncherUnavailable),
        (503, "apiserver is shutting down", LauncherUnavailable),
        (302, "go and sign in", LauncherUnavailable),
    ],
)
def test_each_refusal_has_one_consequence(code: int, message: str, kind: type[BatchError]) -> None:
    judged = judge("start of a", "flows", Refused(code, "", message))
    assert type(judged) is kind
    assert str(judged).startswith(f"start of a: {message} ({code})")


def answer(code: int, text: str, **headers: str) -> httpx2.Response:
    return httpx2.Response(code, text=text, headers=headers)


def test_a_refusal_need_not_be_json_and_may_say_how_long_to_wait() -> None:
    busy = refused_by(answer(429, "Too many requests, please try again later.\n"))
    assert (busy.message, busy.wait_seconds) == ("Too many requests, please try again later.", 1.0)
    assert refused_by(answer(429, "", **{"Retry-After": "7"})).wait_seconds == 7.0
    assert refused_by(answer(503, "", **{"Retry-After": "60"})).wait_seconds == 60.0
    assert refused_by(answer(503, "", **{"Retry-After": "Wed, 21 Oct"})).wait_seconds is None
    assert refused_by(answer(502, "")).message == "Bad Gateway"
    assert refused_by(answer(500, '"text"')).message == '"text"'
    assert len(refused_by(answer(502, "<html>" * 1000)).message) <= 200


def test_a_refusal_in_a_stream_is_a_status_object() -> None:
    gone = refusal(410, {"reason": "Expired", "message": "too old resource version: 1 (2)"})
    assert (gone.code, gone.reason, gone.wait_seconds) == (410, "Expired", None)
    assert refusal(500, {}).message == "no reason given"


def test_answers_are_named_for_the_metric() -> None:
    assert [named(code) for code in (200, 201, 302, 401, 403, 404, 409, 410, 422, 429, 503)] == [
        "ok",
        "ok",
        "error",
        "error",
        "forbidden",
        "missing",
        "exists",
        "gone",
        "invalid",
        "throttled",
        "error",
    ]
