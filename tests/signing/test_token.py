"""Keys on a token, with SoftHSM as the token and openssl as the second opinion."""

import subprocess
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pkcs11
import pytest
from tokens import PIN, Tokens, needs_softhsm

from mbom.errors import AccessError, KeyFileError, MbomError, SignatureError, UsageError
from mbom.signing import KeyVerifier, TokenKey, statement
from mbom.signing.dsse import pae
from mbom.signing.sigstorebundle import read
from mbom.signing.token import TokenSigner

pytestmark = needs_softhsm

CURVES = {"P-256": "sha256", "P-384": "sha384", "P-521": "sha512"}
KIND = "urn:example:v1"
STATEMENT = statement.build([("a", "0" * 64)], KIND, {})


def open_(text: str, pin: Callable[[], str] = lambda: PIN, module: Path | None = None) -> closing[TokenSigner]:
    """Open a signer and close it after use: a token takes one login of a process at a time."""
    return closing(TokenSigner.open(TokenKey.parse(text), pin=pin, module=module))


@pytest.fixture(params=list(CURVES))
def on_token(request: pytest.FixtureRequest, hsm: Tokens) -> Iterator[TokenSigner]:
    with open_(hsm.uri(request.param)) as signer:
        yield signer


def test_what_a_token_signs_holds_under_its_public_key(on_token: TokenSigner) -> None:
    verifier = KeyVerifier(on_token.public_key)
    assert verifier.verify_statement(on_token.sign_statement(STATEMENT), predicate_type=KIND).predicate == {}
    verifier.verify_digest(on_token.sign_digest("0" * 64), "0" * 64)
    assert on_token.identity == verifier.identity


def test_openssl_confirms_the_signature_under_the_key_that_was_imported(on_token: TokenSigner, hsm: Tokens) -> None:
    curve = on_token.public_key.curve
    (hsm.folder / "sig").write_bytes(read(on_token.sign_statement(STATEMENT), what="b").content.signature)
    (hsm.folder / "data").write_bytes(pae(STATEMENT))
    arguments = [f"-{CURVES[curve]}", "-prverify", f"release-{curve}.pem", "-signature", "sig", "data"]
    checked = subprocess.run(["openssl", "dgst", *arguments], cwd=hsm.folder, capture_output=True, check=False)
    assert checked.stdout == b"Verified OK\n"


def test_a_key_is_named_by_its_identifier_too(hsm: Tokens) -> None:
    with open_(f"pkcs11:token=release;id=%02?module-path={hsm.module}") as signer:
        assert signer.public_key.curve == "P-384"


def test_the_library_may_be_named_apart(hsm: Tokens) -> None:
    with open_("pkcs11:token=release;object=P-256", module=hsm.module) as signer:
        assert signer.public_key.curve == "P-256"
    with pytest.raises(UsageError, match="which PKCS#11 library"):
        open_("pkcs11:token=release;object=P-256")


def test_the_pin_is_asked_once_and_a_file_comes_before_it(hsm: Tokens, tmp_path: Path) -> None:
    asked: list[str] = []

    def ask() -> str:
        asked.append(PIN)
        return PIN

    with open_(hsm.uri("P-256"), ask) as signer:
        signer.sign_statement(STATEMENT)
    assert asked == [PIN]
    source = tmp_path / "pin file"
    source.write_text(f"{PIN}\n")
    source.chmod(0o600)
    uri = hsm.uri("P-256", query=f"&pin-source=file:{tmp_path}/pin%20file")
    with open_(uri, ask) as signer:
        signer.sign_statement(STATEMENT)
    assert asked == [PIN]
    source.chmod(0o640)
    with pytest.raises(KeyFileError, match="mode 0640 opens a PIN to other users; run: chmod 600 '") as caught:
        open_(uri, ask)
    subprocess.run(["sh", "-c", str(caught.value).rpartition("run: ")[2]], check=True)
    with open_(uri, ask) as signer:
        signer.sign_statement(STATEMENT)


FAULTS: dict[str, tuple[Callable[[Tokens], str], type[MbomError], str]] = {
    "no such token": (lambda hsm: hsm.uri("P-256", "nowhere"), KeyFileError, "no token of this description"),
    "a serial number of another": (
        lambda hsm: f"pkcs11:token=release;serial=0;object=P-256?module-path={hsm.module}",
        KeyFileError,
        "no token of this description",
    ),
    "two tokens": (
        lambda hsm: f"pkcs11:object=P-256;manufacturer=SoftHSM%20project?module-path={hsm.module}",
        KeyFileError,
        "tokens of this description",
    ),
    "no such key": (lambda hsm: hsm.uri("nothing"), KeyFileError, "private keys of this description: 0"),
    "a label in other letters": (lambda hsm: hsm.uri("p-256"), KeyFileError, "private keys of this description: 0"),
    "two keys": (lambda hsm: hsm.uri("twin"), KeyFileError, "private keys of this description: 2"),
    "a key of RSA": (lambda hsm: hsm.uri("rsa"), KeyFileError, "no ECDSA key"),
    "a key on secp256k1": (lambda hsm: hsm.uri("k1"), KeyFileError, "on another curve"),
    "no such library": (
        lambda _: "pkcs11:object=a?module-path=/nowhere/lib.so",
        KeyFileError,
        "/nowhere/lib.so: no such PKCS#11 library",
    ),
    "a file that is no library": (
        lambda hsm: f"pkcs11:object=a?module-path={hsm.folder}/softhsm2.conf",
        KeyFileError,
        "cannot be loaded as a PKCS#11 library",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_whatever_is_not_exactly_one_usable_key_is_an_error(case: str, hsm: Tokens) -> None:
    uri, kind, said = FAULTS[case]
    with pytest.raises(kind, match=said):
        open_(uri(hsm))


def test_a_wrong_pin_is_an_access_error_that_does_not_repeat_it(hsm: Tokens) -> None:
    wrong = PIN[::-1]
    with pytest.raises(AccessError, match="the PIN is wrong") as caught:
        open_(hsm.uri("P-256"), lambda: wrong)
    assert caught.value.exit_code == 4
    assert wrong not in "".join(traceback.format_exception(caught.value))


def raw(hsm: Tokens, **template: object) -> None:
    """Make a key pair as no tool does, with the private half's attributes replaced."""
    names = {getattr(pkcs11.Attribute, name.upper()): value for name, value in template.items()}
    token = pkcs11.lib(str(hsm.module)).get_token(token_label="release")
    with token.open(rw=True, user_pin=PIN) as session:
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC,
            {pkcs11.Attribute.EC_PARAMS: pkcs11.util.ec.encode_named_curve_parameters("secp256r1")},
            local=True,
        )
        public, _ = parameters.generate_keypair(
            store=True,
            mechanism=pkcs11.Mechanism.EC_KEY_PAIR_GEN,
            private_template={pkcs11.Attribute.SIGN: True} | names,
            public_template={pkcs11.Attribute.LABEL: names[pkcs11.Attribute.LABEL], pkcs11.Attribute.ID: b"\x20"}
            if pkcs11.Attribute.ID in names
            else {pkcs11.Attribute.LABEL: names[pkcs11.Attribute.LABEL]},
        )
        if names[pkcs11.Attribute.LABEL] == "half":
            public.destroy()


def test_a_key_that_asks_for_the_pin_each_time_gets_it(hsm: Tokens) -> None:
    raw(hsm, label="careful", always_authenticate=True)
    with open_(hsm.uri("careful")) as signer:
        for _ in range(2):
            KeyVerifier(signer.public_key).verify_digest(signer.sign_digest("0" * 64), "0" * 64)


def test_a_key_without_its_public_half_is_refused(hsm: Tokens) -> None:
    raw(hsm, label="half")
    with pytest.raises(KeyFileError, match="public keys that belong to it on the token: 0"):
        open_(hsm.uri("half"))


def test_a_key_that_may_not_sign_is_refused(hsm: Tokens) -> None:
    raw(hsm, label="exchange", sign=False)
    with pytest.raises(KeyFileError, match=r"exchange.*(CKA_SIGN|the token failed)"):
        open_(hsm.uri("exchange"))


def test_a_public_half_of_another_key_is_found_out_before_anything_is_signed(hsm: Tokens) -> None:
    # The identifier of one pair's public half on another pair's private half.
    raw(hsm, label="stranger", id=b"\x21")
    token = pkcs11.lib(str(hsm.module)).get_token(token_label="release")
    with token.open(rw=True, user_pin=PIN) as session:
        (public,) = session.get_objects(
            {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY, pkcs11.Attribute.LABEL: "P-256"}
        )
        public.copy({pkcs11.Attribute.ID: b"\x21", pkcs11.Attribute.TOKEN: True})
    with pytest.raises(SignatureError, match="does not hold"):
        open_(hsm.uri("stranger"))


def test_a_signer_that_was_closed_signs_nothing(hsm: Tokens) -> None:
    with open_(hsm.uri("P-256")) as signer:
        pass
    with pytest.raises(KeyFileError, match="the token failed"):
        signer.sign_digest("0" * 64)
