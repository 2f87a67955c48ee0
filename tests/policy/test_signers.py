"""Whom a policy trusts, and for which models."""

from pathlib import Path

import pytest
from policies import BUNDLE, FOLDER, policy

from mbom.errors import KeyFileError
from mbom.policy.entries import unbounded
from mbom.verify import verify

TEXT = """
signers:
- {model: "openai/*", identity: release@openai.example, issuer: "https://accounts.openai.example"}
- {model: "*", key: release.pub}
- {model: acme/x, key: elsewhere.pub}
"""


def test_every_signer_whose_pattern_means_the_model_is_trusted() -> None:
    held = policy(TEXT)
    assert [signer.pattern for signer in held.trusted("openai/gpt-oss-20b")] == ["openai/*", "*"]
    assert [str(signer) for signer in held.trusted("acme/x")] == ["the key release.pub", "the key elsewhere.pub"]
    assert [signer.place.line for signer in held.trusted("acme/y")] == [5]
    assert policy().trusted("acme/y") == ()


def test_a_signer_becomes_the_verifier_of_its_key() -> None:
    (signer,) = policy(TEXT).trusted("acme/y")
    assert verify(BUNDLE, verifier=signer.verifier(FOLDER)).outcome == "verified"
    assert not signer.is_logged
    assert not signer.is_timed


def test_an_identity_is_taken_with_everything_that_narrows_it() -> None:
    entry = (
        "signers: [{model: a, identity_regexp: 'x@.+', issuer: https://i, repository: o/r, workflow: w.yml, "
        "ref: refs/tags/v1, trust_config: root.json}]"
    )
    (signer,) = policy(entry).trusted("a")
    identity = signer.identity
    assert identity is not None
    assert (identity.regexp, identity.issuer, identity.repository) == ("x@.+", "https://i", "o/r")
    assert (identity.workflow, identity.ref, signer.trust_config) == ("w.yml", "refs/tags/v1", "root.json")
    assert signer.is_logged
    assert signer.is_timed


def test_a_key_that_leads_out_of_the_folder_by_a_link_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "policy"
    inside.mkdir()
    (tmp_path / "outside.pub").write_bytes((FOLDER / "release.pub").read_bytes())
    (inside / "release.pub").symlink_to(tmp_path / "outside.pub")
    (signer,) = policy(TEXT).trusted("acme/y")
    with pytest.raises(KeyFileError, match=r"mbom\.yaml:5: release\.pub leads out of the folder of the policy"):
        signer.verifier(inside)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    (signer,) = policy(TEXT).trusted("acme/y")
    with pytest.raises(KeyFileError, match=r"release\.pub"):
        signer.check_files(tmp_path)
    (keyless,) = policy("signers: [{model: a, identity: x, issuer: 'https://i', trust_config: r.json}]").trusted("a")
    with pytest.raises(KeyFileError, match=r"r\.json: there is no such file"):
        keyless.check_files(tmp_path)


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        (r"https://github\.com/acme/.+/\.github/workflows/[a-z]+\.yml@refs/tags/v.*", None),
        (r"(?:a|b)@example\.org", None),
        (r"[*+?|(){}]{3}\*\+\?\(", None),
        ("(a+)+", "it repeats a group"),
        ("(a|a)*", "it repeats a group"),
        ("(a){9}", "it repeats a group"),
        ("a*a*a*a*", "it has 4 repetitions, at most 3 are allowed"),
        ("a?a?a?a?aaaa", "it has 4 repetitions, at most 3 are allowed"),
        ("a{1,}b{2}c{,3}d+", "it has 4 repetitions, at most 3 are allowed"),
        ("(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)(a|b)", "it has 9 alternatives, at most 8 are allowed"),
    ],
)
def test_an_expression_that_could_take_very_long_is_seen(expression: str, why: str | None) -> None:
    assert unbounded(expression) == why
