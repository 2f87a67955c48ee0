"""Who signed, as data: a key, an identity with its issuer, or a name under certificates, and never two of them."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from attesting import new_signer
from pki import SIGNER, issue

from mbom.signing import CertificateVerifier, KeyVerifier, Signatory, Statement, Verifier, Witness

PLAIN = Statement(subjects=(), predicate_type="x", predicate={})
ISSUER = "https://accounts.example.org"
WITNESS = Witness(identity="me@example.org", issuer=ISSUER, time=datetime(2026, 11, 2, tzinfo=UTC), seen_by="logged")


@pytest.fixture
def by_key(tmp_path: Path) -> KeyVerifier:
    return KeyVerifier(new_signer(tmp_path).public_key)


def test_a_key_is_told_by_its_fingerprint(by_key: KeyVerifier) -> None:
    found = Signatory.of(PLAIN, by_key)
    assert found == Signatory(key=by_key.public_key.fingerprint)
    assert (str(found), found.to_dict()) == (found.key, {"key": found.key})


def test_an_identity_is_the_one_that_signed(by_key: KeyVerifier) -> None:
    signed = Statement(subjects=(), predicate_type="x", predicate={}, witness=WITNESS)
    found = Signatory.of(signed, by_key)
    assert found == Signatory(identity="me@example.org", issuer=ISSUER)
    assert str(found) == f"me@example.org ({ISSUER})"
    assert found.to_dict() == {"identity": "me@example.org", "issuer": ISSUER}


def test_a_name_under_certificates_is_that_name() -> None:
    found = Signatory.of(PLAIN, CertificateVerifier([issue("Example Root").certificate], identity=SIGNER))
    assert found == Signatory(certificate=SIGNER)
    assert str(found) == f"{SIGNER}, under a certificate"
    assert found.to_dict() == {"certificate": SIGNER}


def test_a_verifier_of_another_kind_names_nobody(by_key: KeyVerifier) -> None:
    class Other:
        def __getattr__(self, name: str) -> object:
            return getattr(by_key, name)

    other: Verifier = Other()  # type: ignore[assignment]  # it hands everything on
    assert Signatory.of(PLAIN, other) is None


@pytest.mark.parametrize("members", [{}, {"identity": "x"}, {"issuer": "x"}, {"key": "x", "certificate": "y"}])
def test_half_a_signer_or_two_cannot_be_made(members: dict[str, str]) -> None:
    with pytest.raises(AssertionError):
        Signatory(**members)
