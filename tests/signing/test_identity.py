"""Whom a caller can trust: what would match nobody, or everybody by mistake, is wrong usage."""

import pytest

from mbom.errors import SignatureError, UsageError
from mbom.signing import TrustedIdentity
from mbom.signing.identity import Claims

ISSUER = "https://issuer.example"


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"identity": "a", "regexp": "a"},
        {"identity": ""},
        {"regexp": " "},
        {"identity": "a", "issuer": ""},
        {"identity": "a", "ref": ""},
        {"regexp": "("},
    ],
)
def test_trust_in_nobody_or_in_anybody_is_wrong_usage(given: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"whom you trust|match nobody|no regular expression"):
        TrustedIdentity(**{"issuer": ISSUER, **given})


def claims(**claimed: str) -> Claims:
    return Claims(identity="me@example.org", claimed={"issuer": ISSUER, **claimed})


@pytest.mark.parametrize("regexp", ["me@example\\.org", ".*", "(me|you)@.*", "me@example\\.org$"])
def test_an_expression_matches_from_the_first_to_the_last_character(regexp: str) -> None:
    TrustedIdentity(issuer=ISSUER, regexp=regexp).check(claims(), what="bundle")


@pytest.mark.parametrize("regexp", ["me", "example", "e@example\\.org", "me@example\\.or", "me@.*\\n", "m|e"])
def test_an_expression_that_matches_in_part_does_not_match(regexp: str) -> None:
    with pytest.raises(SignatureError, match="does not match in full"):
        TrustedIdentity(issuer=ISSUER, regexp=regexp).check(claims(), what="bundle")


def test_a_certificate_without_an_issuer_is_refused() -> None:
    nobody = Claims(identity="me@example.org", claimed={})
    assert nobody.issuer is None
    with pytest.raises(SignatureError, match="does not say its issuer"):
        TrustedIdentity(issuer=ISSUER, identity="me@example.org").check(nobody, what="bundle")


WORKFLOW = ".github/workflows/release.yml"
URI = f"https://github.com/acme/models/{WORKFLOW}"


@pytest.mark.parametrize(
    ("found", "holds"),
    [
        (f"{URI}@refs/heads/main", True),
        (f"{URI}@refs/heads/a@b", True),
        (f"{URI}@main", False),
        (f"{URI}", False),
        (f"{URI}.yml@refs/heads/main", False),
        (f"{URI}@refs.yml@refs/heads/main", False),
        (f"https://github.com/acme/models/evil/{WORKFLOW}@refs/heads/main", False),
        (f"https://github.com/acme/other/{WORKFLOW}@refs/heads/main", False),
        (f"https://github.com.evil/acme/models/{WORKFLOW}@refs/heads/main", False),
    ],
)
def test_a_workflow_s_file_is_that_of_the_source_repository(found: str, *, holds: bool) -> None:
    trusted = TrustedIdentity(issuer=ISSUER, identity="me@example.org", workflow=WORKFLOW)
    told = Claims(
        identity="me@example.org",
        claimed={
            "issuer": ISSUER,
            "source repository": "https://github.com/acme/models",
            "build configuration": found,
        },
    )
    if holds:
        trusted.check(told, what="bundle")
    else:
        with pytest.raises(SignatureError, match="the certificate's workflow is"):
            trusted.check(told, what="bundle")


@pytest.mark.parametrize(
    "claimed",
    [
        {"repository": "acme/models", "source repository": "https://github.com/evil/models"},
        {"repository": "evil/models", "source repository": "https://github.com/acme/models"},
        {"source repository": "https://evil.example/acme/models"},
    ],
)
def test_a_claim_that_stands_twice_must_be_the_same_twice(claimed: dict[str, str]) -> None:
    trusted = TrustedIdentity(issuer=ISSUER, identity="me@example.org", repository="acme/models")
    with pytest.raises(SignatureError, match="trusted is"):
        trusted.check(claims(**claimed), what="bundle")
