"""Signing with a key that stays on a token: a smart card, a hardware security module, or a key service's library.

Source: PKCS#11 v2.40 and v3.0 (OASIS). Through ``python-pkcs11``, the extra ``mbom[pkcs11]``: whoever imports this
module must do without it where the extra is not installed.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pkcs11
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from pkcs11 import Attribute, KeyType, Mechanism, ObjectClass, SignMixin

from mbom.errors import AccessError, KeyFileError, UsageError
from mbom.signing.keyfiles import read_secret
from mbom.signing.keys import CURVES, PublicKey
from mbom.signing.pkcs11uri import TokenKey
from mbom.signing.signer import KeySigner, Stamp

PIN_LIMIT = 256  # bytes; tokens take 4 to 64

# CKA_EC_PARAMS: the named curve's object identifier in DER. Explicit parameters are refused: curves are named.
_PARAMETERS = {
    bytes.fromhex("06082a8648ce3d030107"): "P-256",
    bytes.fromhex("06052b81040022"): "P-384",
    bytes.fromhex("06052b81040023"): "P-521",
}


class TokenSigner(KeySigner):
    """Signs with an ECDSA key on a token, to which it keeps a session until ``close``.

    A token may be broken or another one than it seems, so every signature is verified under its public key before
    anybody gets it.
    """

    def __init__(
        self, key: SignMixin, public: PublicKey, *, name: str, pin: str | None, stamp: Stamp | None = None
    ) -> None:
        super().__init__(public, stamp)
        self._key = key
        self._name = name
        self._pin = pin  # kept for keys that ask for it at each signature, None for others

    @classmethod
    def open(
        cls, named: TokenKey, *, pin: Callable[[], str], module: Path | None = None, stamp: Stamp | None = None
    ) -> Self:
        """Log in to the token and sign once, so that whatever is wrong shows before a long run and not after it.

        Args:
            named: the key.
            pin: asked once, unless ``named`` says which file holds it.
            module: the PKCS#11 library where ``named`` does not say.
            stamp: as in ``KeySigner``.

        Raises:
            UsageError: when no library is named.
            KeyFileError: when the library, the token or the key cannot be found or used.
            AccessError: when the PIN is wrong or locked.
        """
        library = named.module or module
        if library is None:
            raise UsageError(
                f"{named.text}: which PKCS#11 library? Add ?module-path=/PATH/OF/library.so, or set MBOM_PKCS11_MODULE"
            )
        with _translated(named.text):
            token = _token(named, library)
            secret = _pin(named.pin_source) if named.pin_source is not None else pin()
            session = token.open(user_pin=secret)
            try:
                key, public = _pair(session, named)
                each_time = _asks_each_time(key)
                signer = cls(key, public, name=named.text, pin=secret if each_time else None, stamp=stamp)
                signer._sign_sha256(secrets.token_bytes(32))
            except BaseException:
                session.close()
                raise
        return signer

    def close(self) -> None:
        """End the session; the signer is of no use after it."""
        with _translated(self._name):
            self._key.session.close()

    def _sign(self, data: bytes) -> bytes:
        signature = self._raw(self._public.digest(data))
        self._public.verify(data, signature, what=self._name)
        return signature

    def _sign_sha256(self, digest: bytes) -> bytes:
        signature = self._raw(digest)
        self._public.verify_sha256(digest, signature, what=self._name)
        return signature

    def _raw(self, digest: bytes) -> bytes:
        """Have the token sign a digest; it answers with r and s side by side, each as long as the curve's order."""
        with _translated(self._name):
            signature = self._key.sign(digest, mechanism=Mechanism.ECDSA, pin=self._pin)
        half = len(signature) // 2
        return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Translate the library's errors. They are not chained: what a driver quotes is not ours to vouch for."""
    try:
        yield
    except (pkcs11.PinIncorrect, pkcs11.PinInvalid, pkcs11.PinLenRange):
        raise AccessError(f"{name}: the PIN is wrong; after a few wrong ones a token locks itself") from None
    except (pkcs11.PinLocked, pkcs11.PinExpired, pkcs11.UserPinNotInitialized, pkcs11.UserNotLoggedIn) as error:
        raise AccessError(f"{name}: the token does not let the user in ({type(error).__name__})") from None
    except pkcs11.PKCS11Error as error:
        raise KeyFileError(f"{name}: the token failed ({type(error).__name__})") from None


def _token(named: TokenKey, library: Path) -> pkcs11.Token:
    """Return the one token that the URI describes."""
    if not library.is_file():
        raise KeyFileError(f"{library}: no such PKCS#11 library")
    try:
        loaded = pkcs11.lib(os.fspath(library))
    except pkcs11.PKCS11Error:
        raise KeyFileError(f"{library}: cannot be loaded as a PKCS#11 library, or it does not start") from None
    found = [token for token in loaded.get_tokens() if _described(token).items() >= named.token.items()]
    if len(found) != 1:
        tokens = "no token" if not found else f"{len(found)} tokens"
        raise KeyFileError(f"{named.text}: {tokens} of this description in {library}, exactly one is needed")
    return found[0]


def _described(token: pkcs11.Token) -> dict[str, str]:
    return {
        "token": token.label,
        "manufacturer": token.manufacturer_id,
        "serial": token.serial.decode(errors="replace"),
        "model": token.model,
    }


def _pair(session: pkcs11.Session, named: TokenKey) -> tuple[SignMixin, PublicKey]:
    """Return the private key that the URI names, and its public half, which the token must hold too."""
    wanted: dict[Attribute, object] = {Attribute.CLASS: ObjectClass.PRIVATE_KEY}
    if named.label is not None:
        wanted[Attribute.LABEL] = named.label
    if named.id is not None:
        wanted[Attribute.ID] = named.id
    key = _only(session, wanted, f"{named.text}: private keys of this description")
    if key[Attribute.KEY_TYPE] != KeyType.EC:
        raise KeyFileError(f"{named.text}: the key is no ECDSA key; mbom takes ECDSA on P-256, P-384 or P-521")
    if not isinstance(key, SignMixin):
        raise KeyFileError(f"{named.text}: the token does not let the key sign (CKA_SIGN)")
    # The identifier ties the halves together; where a token leaves it empty, the label does.
    tie = Attribute.ID if key[Attribute.ID] else Attribute.LABEL
    half: dict[Attribute, object] = {
        Attribute.CLASS: ObjectClass.PUBLIC_KEY,
        Attribute.KEY_TYPE: KeyType.EC,
        tie: key[tie],
    }
    public = _only(session, half, f"{named.text}: public keys that belong to it on the token")
    point = _point(bytes(public[Attribute.EC_PARAMS]), bytes(public[Attribute.EC_POINT]), named.text)
    return key, PublicKey(point)


def _asks_each_time(key: SignMixin) -> bool:
    """Tell whether the key wants the PIN for every signature, as the one for signing on a PIV card does."""
    try:
        return bool(key[Attribute.ALWAYS_AUTHENTICATE])
    except pkcs11.AttributeTypeInvalid:  # from tokens of before v2.20
        return False


def _only(session: pkcs11.Session, wanted: dict[Attribute, object], what: str) -> pkcs11.Object:
    found = list(session.get_objects(wanted))
    if len(found) != 1:
        raise KeyFileError(f"{what}: {len(found)}, exactly one is needed")
    return found[0]


def _point(parameters: bytes, encoded: bytes, name: str) -> ec.EllipticCurvePublicKey:
    curve = _PARAMETERS.get(parameters)
    if curve is None:
        raise KeyFileError(f"{name}: the key is on another curve; mbom takes P-256, P-384 and P-521")
    size = 1 + 2 * ((CURVES[curve].key_size + 7) // 8)
    # A DER octet string since v2.20, the bare point on some tokens before; the length tells them apart.
    header = b"" if len(encoded) == size else b"\x04" + (bytes([size]) if size < 128 else bytes([0x81, size]))
    if not encoded.startswith(header):
        raise KeyFileError(f"{name}: the public key on the token is malformed")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(CURVES[curve], encoded.removeprefix(header))
    except ValueError as error:
        raise KeyFileError(f"{name}: the public key on the token is no point of {curve}") from error


def _pin(path: Path) -> str:
    try:
        return read_secret(path, limit=PIN_LIMIT, holds="a PIN").decode().removesuffix("\n")
    except UnicodeDecodeError:
        raise KeyFileError(f"{path}: the PIN in it is not UTF-8") from None
