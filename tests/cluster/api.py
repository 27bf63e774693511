"""The API server as a client with nothing but a service account's token meets it."""

import json
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.cluster.place import API

WORKFLOWS = "/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows"


class Api:
    """Asks in the cluster's network; the answer is given as it came, with its status."""

    def __init__(self, token: str, authority: Path) -> None:
        context = ssl.create_default_context(cafile=str(authority))
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def first_event(self, path: str) -> Any:
        """Watch what is there until something is seen."""
        url = f"{API}{path}?watch=1&resourceVersion=0&timeoutSeconds=30"
        request = urllib.request.Request(url, headers=self._headers)  # noqa: S310 - https, of ours
        with self._opener.open(request, timeout=60) as events:
            return json.loads(events.readline())

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Give the status and the object of the answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - https, of ours
            f"{API}{path}", data=data, headers=self._headers, method=method
        )
        try:
            with self._opener.open(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
