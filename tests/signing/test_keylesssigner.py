"""What goes wrong while signing keyless ends in the right error, with what to do and without the token."""

import json
import os
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from signingkeyless import ALICE, KIND, SHARD, STATEMENT, config, signer, verifier
from sigstore.oidc import IdentityToken
from sigstoreloop import Instance

from mbom.errors import AccessError, FormatError, KeyFileError, MbomError, UnavailableError
from mbom.signing import TrustedIdentity
from mbom.signing.credentials import Credentials
from mbom.signing.keyless import KeylessVerifier
from mbom.signing.keylesssigner import SPARE, KeylessSigner
from mbom.signing.sigstoretrust import TRUST_CONFIG_LIMIT, load, public_instance

WORKFLOW = "https://github.com/acme/models/.github/workflows/release.yml@refs/tags/v1"


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No CI around the tests, even where a CI runs them."""
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "CIRCLECI", "GOOGLE_SERVICE_ACCOUNT_NAME"):
        monkeypatch.delenv(name, raising=False)


def token_file(folder: Path, text: str) -> Path:
    path = folder / "token"
    path.write_text(text)
    return path


def test_a_token_comes_from_a_file_each_time_it_is_needed(instance: Instance, tmp_path: Path) -> None:
    path = token_file(tmp_path, instance.token(email=ALICE) + "\n")
    trust = instance.write_trust_config(tmp_path / "trust.json")
    own = KeylessSigner.load(Credentials(file=path), trust)
    assert (own.identity, own.witness) == ("keyless", None)
    token_file(tmp_path, instance.token(email="bob@example.com"))  # refreshed while something was measured
    own.sign_digest(SHARD)
    assert own.identity == f"bob@example.com ({instance.issuer})"
    trusted = KeylessVerifier.load(TrustedIdentity(issuer=instance.issuer, identity="bob@example.com"), trust)
    trusted.verify_digest(own.sign_digest(SHARD), SHARD)


def test_a_workflow_on_github_needs_no_file(
    instance: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{instance.url}/github?api-version=2.0")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "request-token")
    own = KeylessSigner.load(Credentials(), instance.write_trust_config(tmp_path / "trust.json"))
    verifier(instance, WORKFLOW).verify_digest(own.sign_digest(SHARD), SHARD)


def test_a_workflow_without_permission_is_told_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", raising=False)
    with pytest.raises(AccessError, match="id-token: write"):
        Credentials().look()


def test_without_a_person_or_a_token_there_is_nobody_to_sign_as(instance: Instance) -> None:
    with pytest.raises(AccessError, match="--identity-token-file, or run this on a terminal"):
        Credentials().look()
    with pytest.raises(AccessError, match="no identity to sign with"):
        Credentials().token(config(instance))
    Credentials(interactive=True).look()


BROWSER = """
import sys
from pathlib import Path
from typing import Any
from mbom.signing.credentials import Credentials
from mbom.signing.keylesssigner import KeylessSigner
own = KeylessSigner.load(Credentials(interactive=True), Path(sys.argv[1]))
own.sign_digest("11" * 32)
print(own.identity)
"""


def test_a_person_signs_in_with_the_browser(instance: Instance, tmp_path: Path) -> None:
    # A browser as the library finds it, which follows the redirects of the issuer and of the client's own server.
    browser = tmp_path / "browser"
    program = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1]).read()"
    browser.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{program}" "$1"\n')
    browser.chmod(0o755)
    trust = instance.write_trust_config(tmp_path / "trust.json")
    done = subprocess.run(
        [sys.executable, "-c", BROWSER, trust],
        env={**os.environ, "BROWSER": str(browser)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == f"{instance.subject} ({instance.issuer})\n", done.stderr


TOKENS: dict[str, tuple[dict[str, Any], str]] = {
    "expired": ({"lifetime": -10}, "expired at 20"),
    "for another service": ({"aud": "https://api.example"}, "its audience must be 'sigstore' alone"),
    "for several services": ({"aud": ["sigstore", "other"]}, "its audience must be 'sigstore' alone"),
    "without an end": ({"exp": "tomorrow"}, "does not say when it expires"),
    "of another issuer": ({"iss": "https://evil.example"}, r"refused the identity token \(HTTP 401\)"),
    "without a subject": ({"sub": None}, "cannot be used"),
    "not valid yet": ({"nbf": 1 << 33}, "cannot be used"),
}


@pytest.mark.parametrize("name", TOKENS)
def test_a_token_that_will_not_do_is_refused_with_the_reason_and_never_shown(
    instance: Instance, tmp_path: Path, name: str
) -> None:
    claims, message = TOKENS[name]
    raw = instance.token(email=ALICE, **claims)
    trust = instance.write_trust_config(tmp_path / "trust.json")
    with pytest.raises(AccessError, match=message) as caught:
        KeylessSigner.load(Credentials(file=token_file(tmp_path, raw)), trust).sign_digest(SHARD)
    assert caught.value.exit_code == 4
    assert not_shown(raw, caught.value)


def not_shown(raw: str, error: BaseException) -> bool:
    """Tell whether no part of the token stands in an error, or in those that a traceback would show with it."""
    told = ""
    link: BaseException | None = error
    while link is not None:
        told += str(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return not any(part and part in told for part in raw.split("."))


@pytest.mark.parametrize("text", ["", "secret", "a.b", "a.b.c", "a.e30.c", "a.W10.c", "ä.b.c", "x" * (65 << 10)])
def test_a_file_that_holds_no_token_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(AccessError, match=r"no identity token|no JSON web token|meant for another service") as caught:
        Credentials(file=token_file(tmp_path, text)).look()
    assert text == "" or text not in str(caught.value)


def test_a_token_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="nowhere: the identity token cannot be read: No such file"):
        Credentials(file=tmp_path / "nowhere").look()


def test_a_token_signed_by_nobody_is_refused_by_the_authority(instance: Instance) -> None:
    with Instance() as other:
        raw = other.token(email=ALICE)
    with pytest.raises(AccessError, match=r"refused the identity token \(HTTP 401\)") as caught:
        KeylessSigner(config(instance), lambda: IdentityToken(raw, "sigstore")).sign_digest(SHARD)
    assert not_shown(raw, caught.value)


@pytest.mark.parametrize("rekor", [1, 2])
@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("fulcio", "certificate authority issued no certificate: HTTP 503"),
        ("rekor", "transparency log took no entry"),
        ("tsa", "log or timestamp authority failed"),
    ],
)
def test_a_service_that_is_out_of_order_is_named(instance: Instance, rekor: int, service: str, message: str) -> None:
    instance.faults.down = {service}
    if (rekor, service) == (1, "tsa"):
        verifier(instance).verify_digest(signer(instance, rekor=1).sign_digest(SHARD), SHARD)
        return
    with pytest.raises(UnavailableError, match=message) as caught:
        signer(instance, rekor=rekor).sign_statement(STATEMENT)
    assert caught.value.exit_code == 3


def test_services_that_are_not_there_are_named(instance: Instance) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UnavailableError, match="certificate authority cannot be reached"):
            signer(instance, url=nowhere).sign_statement(STATEMENT)
        half = instance.trust_config()
        half["signingConfig"]["rekorTlogUrls"][0]["url"] = nowhere
        configured = type(config(instance)).from_json(json.dumps(half))
        with pytest.raises(UnavailableError, match="transparency log cannot be reached"):
            KeylessSigner(configured, lambda: IdentityToken(instance.token(email=ALICE), "sigstore")).sign_digest(SHARD)


@pytest.mark.parametrize("rekor", [1, 2])
@pytest.mark.parametrize("fault", ["substitute", "clock"])
def test_what_nobody_would_verify_is_not_returned(instance: Instance, rekor: int, fault: str) -> None:
    if fault == "clock":
        instance.faults.clock = timedelta(hours=1)
    else:
        instance.faults.substitute = True
    with pytest.raises(UnavailableError, match=r"what nobody will verify|timestamp authority failed"):
        signer(instance, rekor=rekor).sign_statement(STATEMENT)


@pytest.mark.parametrize("fault", ["unlogged", "stranger"])
def test_a_certificate_that_the_certificate_log_does_not_vouch_for_is_not_used(instance: Instance, fault: str) -> None:
    setattr(instance.faults, fault, True)
    with pytest.raises(UnavailableError, match="in no log that the trust root names"):
        signer(instance).sign_statement(STATEMENT)


def test_a_certificate_near_its_end_is_replaced(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    own, before = signer(instance), instance.certificates
    own.sign_digest(SHARD)
    own.sign_digest(SHARD)
    assert instance.certificates == before + 1
    # As if ten minutes had passed: the certificate is as far from its end as the margin.
    monkeypatch.setattr("mbom.signing.keylesssigner.SPARE", SPARE + timedelta(minutes=10))
    verifier(instance).verify_digest(own.sign_digest(SHARD), SHARD)
    assert instance.certificates == before + 2


def test_only_statements_and_digests_are_signed(instance: Instance) -> None:
    with pytest.raises(FormatError, match="not an in-toto statement"):
        signer(instance).sign_statement(b"{}")
    with pytest.raises(FormatError, match="not 64 lower-case hex digits"):
        signer(instance).sign_digest(SHARD.upper())


def test_a_statement_is_signed_byte_for_byte(instance: Instance) -> None:
    indented = json.dumps(json.loads(STATEMENT), indent=3).encode()
    payload, _ = verifier(instance).verify_payload(signer(instance).sign_statement(indented))
    assert payload == indented
    assert verifier(instance).verify_statement(signer(instance).sign_statement(indented), predicate_type=KIND).predicate


# ---- trust configurations ----


def test_a_trust_configuration_of_one_reading_is_demanded(instance: Instance, tmp_path: Path) -> None:
    good = instance.write_trust_config(tmp_path / "trust.json")
    text = good.read_text()
    assert load(good).trusted_root
    hostile = {
        "another type": text.replace("clienttrustconfig", "clienttrust"),
        "doubled": text.replace('"trustedRoot":', '"trustedRoot": {}, "trustedRoot":', 1),
        "the root alone": json.dumps(json.loads(text)["trustedRoot"]),
        "no authority": json.dumps({**json.loads(text), "trustedRoot": trimmed(text, "certificateAuthorities")}),
        "empty": "",
        "huge": " " * (TRUST_CONFIG_LIMIT + 1),
        "not UTF-8": "\udcff",
    }
    for name, changed in hostile.items():
        path = tmp_path / f"{name}.json"
        path.write_bytes(changed.encode("utf-8", errors="surrogateescape"))
        with pytest.raises(KeyFileError, match=r"not a trust configuration of Sigstore|trusted root"):
            KeylessVerifier.load(TrustedIdentity(issuer="https://i", identity="x"), path)
    with pytest.raises(KeyFileError, match="cannot be read: No such file"):
        load(tmp_path / "nowhere.json")


def trimmed(text: str, member: str) -> dict[str, object]:
    root: dict[str, object] = json.loads(text)["trustedRoot"]
    return {**root, member: []}


def test_a_configuration_without_services_signs_nothing(instance: Instance) -> None:
    told = instance.trust_config()
    told["signingConfig"]["rekorTlogUrls"] = []
    configured = type(config(instance)).from_json(json.dumps(told))
    with pytest.raises(KeyFileError, match="signing configuration of Sigstore cannot be used"):
        KeylessSigner(configured, lambda: IdentityToken(instance.token(), "sigstore"))


def test_the_public_instance_s_trust_root_is_at_hand_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert public_instance(offline=True).trusted_root.get_fulcio_certs()
    KeylessVerifier.load(TrustedIdentity(issuer="https://accounts.google.com", identity=ALICE))


def test_a_home_that_cannot_be_written_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(MbomError, match="the trust root of Sigstore's public instance"):
        public_instance(offline=True)
