"""What an answer of the API server means for a run: try again, wait, or call an operator."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx2

from batching.errors import LauncherBusy, LauncherRefused, LauncherUnavailable

WAIT_SECONDS = 1.0  # where the server asks to wait and does not say how long
EXISTS, NOT_FOUND = "AlreadyExists", "NotFound"
_SHOWN = 200
_NAMES: Mapping[int, str] = {
    HTTPStatus.CONFLICT: "exists",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "missing",
    HTTPStatus.GONE: "gone",
    HTTPStatus.UNPROCESSABLE_ENTITY: "invalid",
    HTTPStatus.TOO_MANY_REQUESTS: "throttled",
}
_WRONG_REQUEST = frozenset(
    (
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.NOT_ACCEPTABLE,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    )
)
Trouble = LauncherUnavailable | LauncherBusy | LauncherRefused


class Refused(Exception):
    """The API server answered no: with its code, its word for it, its sentence, its wait."""

    def __init__(
        self, code: int, reason: str, message: str, wait_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason
        self.message, self.wait_seconds = message, wait_seconds


def judge(what: str, namespace: str, refused: Refused) -> Trouble:
    """Say what the caller does after a refusal."""
    code, text = refused.code, f"{what}: {refused.message} ({refused.code})"
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        return LauncherBusy(text)
    if code == HTTPStatus.FORBIDDEN:
        if "exceeded quota" in refused.message:  # there is room again when Workflows are deleted
            return LauncherBusy(text)
        return LauncherRefused(
            f"{text}; our account needs a Role in namespace {namespace} with create, get, list and"
            " watch on workflows and get on workflowtemplates, of argoproj.io"
        )
    if code == HTTPStatus.NOT_FOUND:
        return LauncherRefused(f"{text}; is there a namespace {namespace}, and Argo Workflows?")
    if code in _WRONG_REQUEST:
        return LauncherRefused(text)
    return LauncherUnavailable(text)  # 401 too: a token that has run out is replaced in its file


def named(code: int) -> str:
    """Name an answer, for the metric."""
    return _NAMES.get(code, "ok" if code < HTTPStatus.MULTIPLE_CHOICES else "error")


def refused_by(response: httpx2.Response) -> Refused:
    """Read a refusal of the server, or of what stands before it, which may be no JSON."""
    try:
        status = response.json()
    except ValueError:
        status = None
    if not isinstance(status, dict):
        status = {"message": response.text[:_SHOWN].strip() or response.reason_phrase}
    return refusal(response.status_code, status, response.headers.get("Retry-After"))


def refusal(code: int, status: Mapping[str, Any], wait: str | None = None) -> Refused:
    """Read a Status object."""
    seconds = float(wait) if wait is not None and wait.isdigit() else None
    if code == HTTPStatus.TOO_MANY_REQUESTS and seconds is None:
        seconds = WAIT_SECONDS
    reason = str(status.get("reason") or "")
    message = str(status.get("message") or reason or "no reason given")
    return Refused(code, reason, message, seconds)
