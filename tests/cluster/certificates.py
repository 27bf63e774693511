"""Keys and certificates of one life of the cluster, signed by an authority of its own.

A client's certificate is who it is: its common name the user, its organization the group. Every
pod has the authority's certificate beside its token, so that it can trust whatever we sign.
Python 3.13 is strict: an authority must say what its key is for, a certificate who signed it.
"""

import base64
import datetime as dt
import json
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = dt.timedelta(days=30)


class Authority:
    """Signs certificates and keeps them in a folder, as NAME.crt and NAME.key."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _subject("headrace test cluster")
        key_usage = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        certificate = (
            self._draft(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(key_usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self._write("ca", certificate, self._key)

    def issue(
        self, name: str, user: str, *, group: str | None = None, addresses: Sequence[str] = ()
    ) -> None:
        """Sign a certificate for a user, who may serve at `addresses`: names or IP addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        draft = self._draft(_subject(user, group), key.public_key()).add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        )
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if addresses:
            purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
            names = x509.SubjectAlternativeName([_general(each) for each in addresses])
            draft = draft.add_extension(names, critical=False)
        draft = draft.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        self._write(name, draft.sign(self._key, hashes.SHA256()), key)

    def key_pair(self, name: str) -> None:
        """Write a pair without a certificate: NAME.key signs tokens, NAME.pub checks them."""
        key = ec.generate_private_key(ec.SECP256R1())
        (self._folder / f"{name}.key").write_bytes(_private(key))
        (self._folder / f"{name}.pub").write_bytes(
            key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )

    def _draft(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now, own = dt.datetime.now(dt.UTC), self._key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + LIFETIME)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own), critical=False)
        )

    def _write(
        self, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> None:
        (self._folder / f"{name}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        (self._folder / f"{name}.key").write_bytes(_private(key))


def kubeconfig(folder: Path, name: str, *, server: str, namespace: str = "default") -> str:
    """Give the kubeconfig of a certificate, with everything inside, in JSON, which YAML holds."""

    def data(file: str) -> str:
        return base64.b64encode((folder / file).read_bytes()).decode()

    authority = {"server": server, "certificate-authority-data": data("ca.crt")}
    user = {
        "client-certificate-data": data(f"{name}.crt"),
        "client-key-data": data(f"{name}.key"),
    }
    context = {"cluster": "headrace", "user": name, "namespace": namespace}
    whole = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "headrace", "cluster": authority}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }
    return json.dumps(whole, indent=1)


def _subject(user: str, group: str | None = None) -> x509.Name:
    group_of = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group)] if group else []
    return x509.Name([*group_of, x509.NameAttribute(NameOID.COMMON_NAME, user)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
