"""Shared access signatures: who may use which address, and until when."""

import base64
import hashlib
import hmac
import time
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

KEY_NAME = "RootManageSharedAccessKey"
_SCHEME = "SharedAccessSignature "


class TokenRefused(Exception):
    """A token that opens nothing; `status` is the HTTP status that `$cbs` answers with."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Grant(NamedTuple):
    """An address and all below it ("" is the namespace), open until `expires` (seconds)."""

    path: str
    expires: float


@dataclass(frozen=True)
class Gate:
    """Checks tokens against the hub's only key; without a key everything is open."""

    key: str | None = None
    key_name: str = KEY_NAME

    def check(self, token: object) -> Grant:
        """Read a token.

        Raises:
            TokenRefused: it is malformed, of another key, or expired.

        """
        if self.key is None:
            return Grant("", float("inf"))
        text = token.decode(errors="replace") if isinstance(token, bytes) else str(token)
        if not text.startswith(_SCHEME):
            raise TokenRefused(401, "only tokens of a shared access key are understood here")
        parts = dict(part.partition("=")[::2] for part in text[len(_SCHEME) :].split("&"))
        try:
            resource, expires, signature = parts["sr"], int(parts["se"]), parts["sig"]
        except (KeyError, ValueError) as error:
            raise TokenRefused(400, "malformed token") from error
        if not self._signed(f"{resource}\n{parts['se']}", signature, parts.get("skn", "")):
            raise TokenRefused(401, "InvalidSignature: the token was made with another key")
        if expires <= time.time():
            raise TokenRefused(401, "ExpiredToken: the token is expired")
        return Grant(path_of(unquote(resource)), expires)

    def _signed(self, text: str, signature: str, key_name: str) -> bool:
        digest = hmac.new((self.key or "").encode(), text.encode(), hashlib.sha256).digest()
        same = hmac.compare_digest(base64.b64encode(digest), unquote(signature).encode())
        return same and unquote(key_name) == self.key_name


class Grants:
    """What the tokens of one connection opened."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._until: dict[str, float] = {}

    def add(self, token: object) -> None:
        """Take a token.

        Raises:
            TokenRefused: it opens nothing.

        """
        path, expires = self._gate.check(token)
        self._until[path] = max(expires, self._until.get(path, 0.0))

    def allow(self, path: str) -> bool:
        """Tell whether a token, not expired, covers an address."""
        if self._gate.key is None:
            return True
        now, wanted = time.time(), f"{path.lower()}/"
        return any(
            until > now and (not open_path or wanted.startswith(f"{open_path}/"))
            for open_path, until in self._until.items()
        )


def path_of(address: str) -> str:
    """Give the path of an address, with or without scheme and host, in lower case."""
    path = urlsplit(address).path if "://" in address else address
    return path.strip("/").lower()
