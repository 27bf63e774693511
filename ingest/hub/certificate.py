"""TLS for the embedded hub: files given, or a certificate made here for this machine."""

import datetime as dt
import ipaddress
import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from batching.errors import SettingError

_LIFE_DAYS = 825  # longer ones are refused by some clients
_RENEW_DAYS = 30


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Build the server's side of TLS.

    Raises:
        SettingError: the files cannot be used.

    """
    built = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        built.load_cert_chain(certificate, key)
    except OSError as failed:  # SSLError is one
        raise SettingError(
            f"cannot use {certificate} with {key}: two PEM files are needed, a certificate and "
            f"its unencrypted key ({failed.strerror or failed})"
        ) from failed
    return built


def self_made(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for this machine, or take the one made earlier; give it and its key.

    Clients trust it by `connection_verify=<the certificate>`.
    """
    certificate, key = folder / "tls-certificate.pem", folder / "tls-key.pem"
    if not (certificate.exists() and key.exists() and _fresh(certificate)):
        folder.mkdir(parents=True, exist_ok=True)
        _make(certificate, key)
    return certificate, key


def _fresh(certificate: Path) -> bool:
    end = x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    return end - dt.datetime.now(dt.UTC) > dt.timedelta(days=_RENEW_DAYS)


def _make(certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Headrace embedded hub")])
    hosts = [
        x509.DNSName("localhost"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
        x509.IPAddress(ipaddress.ip_address("::1")),
    ]
    public = private.public_key()
    made = (
        x509.CertificateBuilder(name, name, public, x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=_LIFE_DAYS))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret = private.private_bytes(pem, pkcs8, serialization.NoEncryption())
    key.unlink(missing_ok=True)
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
    certificate.write_bytes(made.public_bytes(pem))
