"""Key files: a private key that only its owner can read, and the public half beside it."""

import os
import shlex
import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mbom.errors import AccessError, KeyFileError, StorageError, UsageError
from mbom.signing.keys import CURVES, KEY_FILE_LIMIT, PublicKey, supported
from mbom.storage import files

DEFAULT_NAME = "key.pem"
PASSWORD_LIMIT = 1023  # bytes; OpenSSL takes no more


def public_path(private: Path) -> Path:
    """Return where the public half of ``private`` lies: the same name with the suffix ``.pub``."""
    return private.with_suffix(".pub")


def generate(private: Path, *, password: bytes | None = None, curve: str = "P-256") -> PublicKey:
    """Make an ECDSA key: ``private`` (PKCS#8 PEM, mode 0600) and its public half beside it (SPKI PEM).

    Both files are complete on disk before either gets its name, and a name that is taken is never replaced. A password
    is stretched by ``cryptography``'s default (PBKDF2, 2,048 rounds), so that it should be long.

    Args:
        private: the private key's file, such as ``release.pem``; the folder must exist.
        password: encrypts the private key (AES-256) when given.
        curve: ``P-256``, ``P-384`` or ``P-521``.

    Raises:
        UsageError: when there is no name, or it ends in ``.pub``, or the password is empty or too long, or the curve is
            another one.
        KeyFileError: when one of the two files exists.
        StorageError: when a file cannot be written.
    """
    if not private.name:
        raise UsageError(f"{private}: a folder, where the name of a key file belongs")
    public = public_path(private)
    if public == private:
        raise UsageError(f"{private}: the suffix .pub is for the public half; name the private key with .pem")
    if password is not None and not 0 < len(password) <= PASSWORD_LIMIT:
        raise UsageError(f"a key password has 1 to {PASSWORD_LIMIT} bytes, this one has {len(password)}")
    if curve not in CURVES:
        raise UsageError(f"the curve is {curve[:40]!r}; mbom makes keys on {', '.join(CURVES)}")
    for path in (private, public):
        if os.path.lexists(path):
            raise _taken(path)
    key = ec.generate_private_key(CURVES[curve])
    encryption = serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    half = PublicKey(key.public_key())
    _publish(private, secret, public, half.pem)
    return half


def default_key(folder: Path) -> tuple[Path, bool]:
    """Return the key in ``folder``, which is made with the folder on first use.

    Of several processes that come first at the same moment, one makes the key and all return it.

    Returns:
        The private key's path, and whether this call made it.

    Raises:
        KeyFileError: when the public half lies there alone.
        StorageError: when the folder or a file cannot be written.
    """
    path = folder / DEFAULT_NAME
    if os.path.lexists(path):
        _complete(path)
        return path, False
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder}: cannot be made: {error.strerror}") from error
    try:
        generate(path)
    except KeyFileError:
        if not os.path.lexists(path):
            raise
        return path, False
    return path, True


def _complete(private: Path) -> None:
    """Write the public half that a killed process did not come to write, where that takes no password.

    Raises:
        KeyFileError: when the private key cannot be used.
        StorageError: when the file cannot be written.
    """
    public = public_path(private)
    if os.path.lexists(public):
        return
    try:
        half = PublicKey(load_private(private).public_key()).pem
    except AccessError:
        return
    try:
        files.write(public, half, replace=False, mode=0o644)
    except FileExistsError:
        return
    except OSError as error:
        raise StorageError(f"{public}: cannot be written: {error.strerror}") from error


def load_private(path: Path, password: Callable[[], bytes] | None = None) -> ec.EllipticCurvePrivateKey:
    """Read a private key in PEM: PKCS#8, or what ``openssl ecparam -genkey`` writes.

    Args:
        path: the key file; a link to it is followed.
        password: asked once, and only when the key is encrypted.

    Raises:
        KeyFileError: when the file is missing, readable by others, malformed, not ECDSA, or on another curve.
        AccessError: when the key is encrypted and the password is missing or wrong.
    """
    data = read_secret(path)
    # Foreign errors are not chained here: what they quote from a private key is not ours to vouch for.
    try:
        key = serialization.load_pem_private_key(data, None)
    except TypeError:  # what cryptography raises for an encrypted key
        return _checked(_decrypt(path, data, password), path)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFileError(f"{path}: not a private key in PEM, or damaged") from None
    return _checked(key, path)


def load_public(path: Path) -> PublicKey:
    """Read a public key file: one SubjectPublicKeyInfo in PEM.

    Raises:
        KeyFileError: when the file is missing, or holds anything else.
    """
    return PublicKey.from_pem(read_key_file(path), what=str(path))


def publish_public(path: Path, key: PublicKey) -> None:
    """Write a public key (SPKI PEM) to ``path``, whole or not at all; a name that is taken is never replaced.

    Raises:
        KeyFileError: when the file exists.
        StorageError: when it cannot be written.
    """
    try:
        files.write(path, key.pem, replace=False, mode=0o644)
    except FileExistsError as error:
        raise _taken(path) from error
    except OSError as error:
        raise StorageError(f"{path}: the key cannot be written: {error.strerror}") from error


def _decrypt(path: Path, data: bytes, password: Callable[[], bytes] | None) -> object:
    if password is None:
        raise AccessError(f"{path}: the key is encrypted, and no password was given")
    try:
        return serialization.load_pem_private_key(data, password())
    except (ValueError, TypeError, UnsupportedAlgorithm):  # a TypeError stands for an empty password
        # A wrong password and an unknown cipher look alike: either way the result is not a key.
        raise AccessError(f"{path}: the password does not open the key, or its cipher is not supported") from None


def _checked(key: object, path: Path) -> ec.EllipticCurvePrivateKey:
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        kind = type(key).__name__.removesuffix("PrivateKey")
        raise KeyFileError(f"{path}: the key is {kind}; mbom takes ECDSA on P-256, P-384 or P-521")
    supported(key.public_key(), what=str(path))
    return key


def read_key_file(path: Path, *, limit: int = KEY_FILE_LIMIT) -> bytes:
    """Return the content of a file of public keys or certificates.

    Raises:
        KeyFileError: when it is missing, no regular file, or larger than ``limit`` bytes.
    """
    return _read(path, limit)[0]


def read_secret(path: Path, *, limit: int = KEY_FILE_LIMIT, holds: str = "a private key") -> bytes:
    """Return the content of a file that only its owner may read.

    Raises:
        KeyFileError: as ``read_key_file``, and when its mode opens it to other users.
    """
    data, mode = _read(path, limit)
    if mode & 0o077:
        named = f"./{path}" if str(path).startswith("-") else str(path)
        raise KeyFileError(f"{path}: mode {mode:04o} opens {holds} to other users; run: chmod 600 {shlex.quote(named)}")
    return data


def _read(path: Path, limit: int) -> tuple[bytes, int]:
    """Return the content and the permission bits of a regular file, both from one open descriptor."""
    try:
        data, status = files.read(path, limit=limit)
    except FileNotFoundError as error:
        raise KeyFileError(f"{path}: no such key file") from error
    except files.UnfitError as error:
        raise KeyFileError(f"{path}: {error.strerror}, which no such file is") from error
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from error
    return data, stat.S_IMODE(status.st_mode)


def _taken(path: Path) -> KeyFileError:
    return KeyFileError(f"{path}: exists, and a key is never overwritten; choose another name or move it away")


def _publish(private: Path, secret: bytes, public: Path, half: bytes) -> None:
    """Write both halves under temporary names, then give them their names without replacing anything.

    The private key is named first: whoever holds that name is the one maker of the pair.
    """
    written: list[Path] = []
    try:
        for path, data, mode in ((private, secret, 0o600), (public, half, 0o644)):
            written.append(files.draft(path, data, mode=mode))
        _name(written[0], private)
        try:
            _name(written[1], public)
        except (KeyFileError, OSError):
            # Another process may have completed the pair meanwhile (``_complete``).
            if not (public.is_file() and public.read_bytes() == half):
                private.unlink()  # made a moment ago, by this call
                raise
        files.sync_folder(private.parent)
    except OSError as error:
        raise StorageError(f"{private}: the key cannot be written: {error.strerror}") from error
    finally:
        for temporary in written:
            temporary.unlink(missing_ok=True)


def _name(temporary: Path, path: Path) -> None:
    try:
        files.name(temporary, path)
    except FileExistsError as error:
        raise _taken(path) from error
