"""Azure's managed identity, for tests: an endpoint that hands out tokens for Azurite.

Metaflow signs in to its datastore with Azure's credential chain alone, with no key. The chain asks
the address in IDENTITY_ENDPOINT and proves itself with IDENTITY_HEADER. Azurite, run with
`--oauth basic`, checks a token's form, times and issuer, and no signature.
"""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HEADER = "headrace"
RESOURCE = "https://storage.azure.com"
TENANT = "00000000-0000-0000-0000-000000000000"
LIFE_SECONDS = 3600


@contextmanager
def running_identity(
    host: str = "127.0.0.1", authority: Path | None = None
) -> Iterator[dict[str, str]]:
    """Serve tokens; give the variables with which a process signs in.

    Args:
        host: where to listen; pods of the test cluster need its gateway's address.
        authority: certificate that the store's was signed with, for `requests`.

    """
    server = ThreadingHTTPServer((host, 0), _Endpoint)
    thread = threading.Thread(target=server.serve_forever, name="identity")
    thread.start()
    trust = {} if authority is None else {"REQUESTS_CA_BUNDLE": str(authority)}
    try:
        yield {
            "IDENTITY_ENDPOINT": f"http://{host}:{server.server_port}/",
            "IDENTITY_HEADER": HEADER,
            "AZURE_TOKEN_CREDENTIALS": "ManagedIdentityCredential",
            **trust,
        }
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Endpoint(BaseHTTPRequestHandler):
    """Answer `GET /?resource=...` with a token, and 403 to a caller without the header."""

    def do_GET(self) -> None:
        allowed = self.headers.get("X-IDENTITY-HEADER") == HEADER
        now = int(time.time())
        answer = {
            "access_token": _token(now),
            "expires_on": str(now + LIFE_SECONDS),
            "resource": RESOURCE,
            "token_type": "Bearer",
        }
        body = json.dumps(answer if allowed else {"message": "wrong header"}).encode()
        self.send_response(200 if allowed else 403)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing in the midst of a test's output."""


def _token(now: int) -> str:
    head = {"typ": "JWT", "alg": "RS256"}
    body = {
        "aud": RESOURCE,
        "iss": f"https://sts.windows.net/{TENANT}/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + LIFE_SECONDS,
        "oid": TENANT,
        "sub": TENANT,
        "tid": TENANT,
        "ver": "1.0",
    }
    parts = [json.dumps(head).encode(), json.dumps(body).encode(), b"unsigned"]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
