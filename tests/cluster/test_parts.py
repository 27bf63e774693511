"""Parts are kept by what went into them, and what is missing is said; no cluster is needed."""

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from tests.cluster import needs, parts
from tests.cluster.certificates import Authority, kubeconfig
from tests.cluster.parts import Part, command
from tests.cluster.place import ClusterError


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(parts, "HERE", tmp_path)
    folder = tmp_path / "go"
    folder.mkdir()
    (folder / "go.mod").write_text("module one\n")
    return folder


def part(sources: Path) -> Part:
    return Part("one", lambda _: None, (sources,))


def test_a_changed_file_or_a_changed_need_makes_another_part(sources: Path) -> None:
    def keys() -> tuple[str, str]:
        one = part(sources)
        return one.key, Part("two", lambda _: None, (), (one,)).key

    before = keys()
    assert keys() == before
    (sources / "go.mod").write_text("module two\n")
    assert not set(keys()) & set(before)


def test_a_file_that_moved_makes_another_part(sources: Path) -> None:
    before = part(sources).key
    (sources / "go.mod").rename(sources / "go.sum")
    assert part(sources).key != before


def test_a_part_is_built_once_and_not_by_half(sources: Path) -> None:
    made = []

    def fail(to: Path) -> None:
        made.append(to)
        (to / "half").touch()
        if len(made) == 1:
            raise ClusterError("no disk")

    one = Part("one", fail, (sources,))
    with pytest.raises(ClusterError, match="no disk"):
        one.build()
    assert not one.built
    one.build()
    one.build()
    assert one.built
    assert len(made) == 2


def test_a_command_that_fails_says_how_and_where_more_is(sources: Path) -> None:
    assert sources.exists()
    with pytest.raises(ClusterError, match=r"one: sh gave 3; .*build-one\.log ends with\n.*\nwhy"):
        command(["sh", "-c", "echo why >&2; exit 3"], log="one", environment={"PATH": "/bin"})
    with pytest.raises(ClusterError, match="there is no program no-such"):
        command(["no-such"], log="one", environment={"PATH": "/bin"})


def test_the_packages_named_are_those_that_are_missed() -> None:
    named = set(needs.PACKAGES.read_text().split())
    assert named == {*needs.TO_RUN.values(), *needs.TO_BUILD.values()}


def test_a_missing_program_is_named_by_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "TO_BUILD", {"no-such": "a-package", "sh": "dash"})
    (line,) = [line for line in needs.to_build() if "packages" in line]
    assert line.startswith("Debian packages are missing: a-package; apt-get install")


def test_certificates_say_who_signed_what_for(tmp_path: Path) -> None:
    pki = tmp_path / "pki"
    Authority(pki).issue("kubelet", "system:node:n", group="system:nodes", addresses=["10.0.0.1"])
    authority = x509.load_pem_x509_certificate((pki / "ca.crt").read_bytes())
    signed = x509.load_pem_x509_certificate((pki / "kubelet.crt").read_bytes())
    signed.verify_directly_issued_by(authority)
    assert signed.subject.rfc4514_string() == "CN=system:node:n,O=system:nodes"
    own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer = signed.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert issuer.key_identifier == own.digest
    assert authority.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    assert signed.not_valid_after_utc > dt.datetime.now(dt.UTC) + dt.timedelta(days=7)
    whole = json.loads(kubeconfig(pki, "kubelet", server="https://10.0.0.1"))
    assert whole["clusters"][0]["cluster"]["server"] == "https://10.0.0.1"


def test_a_cluster_that_is_down_says_how_to_bring_it_up(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster", "inside", "true"],
        cwd=Path(__file__).parents[2],
        env={"HEADRACE_CACHE": str(tmp_path), "PATH": "/bin"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "cluster: the cluster is down: python -m tests.cluster up\n"
