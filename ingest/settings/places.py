"""Where events wait and where batches are kept: a Redis, and a folder or Azure Blob Storage."""

from typing import Annotated, Any, Self
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from ingest.settings.kinds import Accepts, Flag, Part, Place, Text

_SCHEMES = ("redis", "rediss", "unix")


def _redis_url(value: str) -> str:
    if urlsplit(value).scheme not in _SCHEMES:
        raise ValueError("must begin with redis://, rediss:// (TLS) or unix://")
    return value


RedisUrl = Annotated[
    str,
    AfterValidator(_redis_url),
    Accepts("an address: redis://host:port, rediss:// for TLS, unix:///socket"),
]


class Redis(Part):
    """The buffer of open batches: rebuildable, so it needs no backup."""

    embedded: Flag = Field(
        default=True, description="Start a server of our own; off as soon as `url` is set."
    )
    url: RedisUrl | None = Field(
        default=None, description="A Redis from 7.0 on, or a Valkey; one node of a cluster will do."
    )
    password: SecretStr | None = Field(
        default=None, description="Never in the file: from a variable, or from `password_file`."
    )
    password_file: Place | None = Field(default=None, description="File that holds the password.")

    @model_validator(mode="before")
    @classmethod
    def _choose(cls, plain: Any) -> Any:
        """Switch the embedded server off for a URL, and keep the URL's password out of sight."""
        if not isinstance(plain, dict) or plain.get("url") is None:
            return plain
        plain = {"embedded": False, **plain}
        if isinstance(plain["url"], str):
            plain["url"], password = split_password(plain["url"])
            if password and not plain.get("password"):
                plain["password"] = password
        return plain

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.embedded and self.url is not None:
            raise ValueError("url and embedded: true exclude each other; leave one out")
        if not self.embedded and self.url is None:
            raise ValueError("url is required when embedded is false, such as redis://host:6379")
        return self


class AzureBlobs(Part):
    """A container in Azure Blob Storage."""

    account: Text | None = Field(
        default=None, description="Storage account; sign-in by Entra (role Blob Data Contributor)."
    )
    container: Text = Field(description="Container; made if it is missing and we may.")
    prefix: str = Field(default="", description="Folder of all our names in the container.")
    endpoint: Text | None = Field(
        default=None, description="Address of the blob service if it is not the account's usual."
    )
    connection_string: SecretStr | None = Field(
        default=None,
        description="In place of an account. Never in the file: from a variable, or from "
        "`connection_string_file`; without an account AZURE_STORAGE_CONNECTION_STRING counts.",
    )
    connection_string_file: Place | None = Field(
        default=None, description="File that holds the connection string."
    )

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.account is None and self.connection_string is None:
            raise ValueError(
                "account is required (sign-in by Entra), or a connection string in "
                "HEADRACE_BLOBS_CONNECTION or AZURE_STORAGE_CONNECTION_STRING"
            )
        return self


class Blobs(Part):
    """The store: all that is durable. At most one of its settings."""

    folder: Place | None = Field(default=None, description="A folder; `<data>/blobs` if not set.")
    azure: AzureBlobs | None = Field(default=None, description="A container in Azure.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.folder is not None and self.azure is not None:
            raise ValueError("name one of folder, azure; got both")
        return self


def split_password(url: str) -> tuple[str, str | None]:
    """Take the password out of a Redis URL: give the URL without it, and the password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("cannot be read as a URL") from None
    user, _, host = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    query = parse_qsl(parts.query, keep_blank_values=True)
    found = unquote(password) or next((v for k, v in query if k == "password"), "")
    if not found:
        return url, None
    kept = urlencode([(key, value) for key, value in query if key != "password"])
    place = f"{parts.scheme}://{f'{name}@' if name else ''}{host}{parts.path}"
    return f"{place}?{kept}" if kept else place, found
