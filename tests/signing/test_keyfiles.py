import contextlib
import os
import stat
import subprocess
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from mbom.errors import AccessError, KeyFileError, MbomError, StorageError, UsageError
from mbom.signing import LocalSigner, default_key, generate, load_public, public_path
from mbom.signing.keyfiles import _publish, load_private

CANARY = b"canary-3f9c-do-not-print"


def never_asked() -> bytes:
    raise AssertionError("asked for a password that nobody needs")


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


@contextlib.contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def test_a_new_key_is_p256_and_both_halves_belong_together(tmp_path: Path) -> None:
    made = generate(tmp_path / "release.pem")
    assert made.algorithm == "ECDSA P-256"
    assert load_public(tmp_path / "release.pub").pem == made.pem
    assert LocalSigner.load(tmp_path / "release.pem", never_asked).public_key.pem == made.pem


def test_openssl_takes_both_halves(tmp_path: Path) -> None:
    generate(tmp_path / "release.pem")
    derived = subprocess.run(
        ["openssl", "pkey", "-in", tmp_path / "release.pem", "-pubout"], capture_output=True, check=True
    ).stdout
    assert derived == (tmp_path / "release.pub").read_bytes()
    assert (tmp_path / "release.pem").read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----\n")


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_only_the_owner_can_read_a_new_private_key_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        generate(tmp_path / "release.pem")
    assert stat.S_IMODE((tmp_path / "release.pem").stat().st_mode) == 0o600


def test_nothing_but_the_two_files_is_left_behind(tmp_path: Path) -> None:
    generate(tmp_path / "release.pem")
    with pytest.raises(KeyFileError):
        generate(tmp_path / "release.pem")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["release.pem", "release.pub"]


@pytest.mark.parametrize("taken", ["release.pem", "release.pub"])
def test_an_existing_half_is_never_overwritten(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).write_bytes(b"precious")
    with pytest.raises(KeyFileError, match=f"{taken}: exists, and a key is never overwritten"):
        generate(tmp_path / "release.pem")
    assert [path.name for path in tmp_path.iterdir()] == [taken]
    assert (tmp_path / taken).read_bytes() == b"precious"


def test_a_public_half_that_appears_in_between_takes_the_private_key_back(tmp_path: Path) -> None:
    private, public = tmp_path / "release.pem", tmp_path / "release.pub"
    public.write_bytes(b"precious")
    with pytest.raises(KeyFileError, match=r"release\.pub: exists"):
        _publish(private, b"secret", public, b"half")
    assert [path.name for path in tmp_path.iterdir()] == ["release.pub"]
    assert public.read_bytes() == b"precious"


def test_a_dangling_link_in_the_key_s_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "release.pem").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError, match="exists"):
        generate(tmp_path / "release.pem")
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_missing_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file or directory"):
        generate(tmp_path / "nowhere" / "release.pem")


@pytest.mark.parametrize("name", ["release.pub", ""])
def test_a_name_that_is_no_private_key_s_is_a_usage_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        generate(tmp_path / name if name else Path())


@pytest.mark.parametrize("length", [0, 1024])
def test_a_password_that_cannot_encrypt_is_a_usage_error(tmp_path: Path, length: int) -> None:
    with pytest.raises(UsageError, match=f"1 to 1023 bytes, this one has {length}"):
        generate(tmp_path / "release.pem", password=b"x" * length)
    assert not list(tmp_path.iterdir())


def test_an_encrypted_key_opens_with_its_password_alone(tmp_path: Path) -> None:
    made = generate(tmp_path / "release.pem", password=CANARY)
    assert b"ENCRYPTED" in (tmp_path / "release.pem").read_bytes()
    assert LocalSigner.load(tmp_path / "release.pem", lambda: CANARY).public_key.pem == made.pem


@pytest.mark.parametrize("given", [None, b"", b"wrong", CANARY[:-1]], ids=["none", "empty", "wrong", "near"])
def test_an_encrypted_key_without_its_password_is_an_access_error(tmp_path: Path, given: bytes | None) -> None:
    generate(tmp_path / "release.pem", password=CANARY)
    with pytest.raises(AccessError, match=r"release\.pem: ") as caught:
        LocalSigner.load(tmp_path / "release.pem", None if given is None else lambda: given)
    assert caught.value.exit_code == 4


def test_the_password_is_asked_once(tmp_path: Path) -> None:
    generate(tmp_path / "release.pem", password=CANARY)
    asked: list[bytes] = []

    def ask() -> bytes:
        asked.append(b"wrong")
        return asked[-1]

    with pytest.raises(AccessError):
        LocalSigner.load(tmp_path / "release.pem", ask)
    assert len(asked) == 1


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644, 0o601, 0o620])
def test_a_private_key_open_to_others_is_refused_with_the_command_that_mends_it(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "my key.pem"
    generate(path)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=f"mode {mode:04o} ") as caught:
        LocalSigner.load(path)
    command = str(caught.value).rpartition("run: ")[2]
    subprocess.run(["sh", "-c", command], check=True)
    assert LocalSigner.load(path).identity.startswith("ECDSA P-256, SHA256:")


@pytest.mark.parametrize(
    ("curve", "name"), [("prime256v1", "P-256"), ("secp384r1", "P-384"), ("secp521r1", "P-521")], ids=str
)
def test_a_key_that_openssl_made_is_taken(tmp_path: Path, curve: str, name: str) -> None:
    made = subprocess.run(["openssl", "ecparam", "-name", curve, "-genkey"], capture_output=True, check=True).stdout
    assert made.startswith(b"-----BEGIN EC PARAMETERS-----")
    signer = LocalSigner.load(write(tmp_path / "key.pem", made))
    assert signer.identity == f"ECDSA {name}, {signer.public_key.fingerprint}"


def test_a_key_that_openssl_encrypted_is_taken(tmp_path: Path) -> None:
    plain = generate(tmp_path / "plain.pem")
    arguments = ["-in", str(tmp_path / "plain.pem"), "-aes128", "-passout", f"pass:{CANARY.decode()}"]
    made = subprocess.run(["openssl", "ec", *arguments], capture_output=True, check=True).stdout
    assert LocalSigner.load(write(tmp_path / "key.pem", made), lambda: CANARY).public_key.pem == plain.pem


def test_a_key_under_a_cipher_that_is_not_supported_is_an_access_error(tmp_path: Path) -> None:
    generate(tmp_path / "plain.pem")
    arguments = ["-in", str(tmp_path / "plain.pem"), "-v2", "camellia256", "-passout", f"pass:{CANARY.decode()}"]
    made = subprocess.run(["openssl", "pkcs8", "-topk8", *arguments], capture_output=True, check=True).stdout
    with pytest.raises(AccessError, match="its cipher is not supported"):
        LocalSigner.load(write(tmp_path / "key.pem", made), lambda: CANARY)


def pkcs8(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


GOOD = pkcs8(ec.generate_private_key(ec.SECP256R1()))
BAD_PRIVATE: dict[str, tuple[Callable[[Path], object], str]] = {
    "a missing file": (lambda _: None, "no such key file"),
    "a folder": (lambda path: path.mkdir(), "not a regular file"),
    "a named pipe": (os.mkfifo, "not a regular file"),
    "an empty file": (lambda path: write(path, b""), "not a private key"),
    "text": (lambda path: write(path, CANARY), "not a private key"),
    "a truncated key": (lambda path: write(path, GOOD[:90] + b"\n-----END PRIVATE KEY-----\n"), "not a private key"),
    "a public key": (
        lambda path: write(path, LocalSigner(ec.generate_private_key(ec.SECP256R1())).public_key.pem),
        "not a private key",
    ),
    "a key of Ed25519": (lambda path: write(path, pkcs8(ed25519.Ed25519PrivateKey.generate())), "the key is Ed25519"),
    "the curve secp256k1": (lambda path: write(path, pkcs8(ec.generate_private_key(ec.SECP256K1()))), "secp256k1"),
    "an encrypted key of Ed25519": (
        lambda path: write(path, pkcs8(ed25519.Ed25519PrivateKey.generate(), CANARY)),
        "the key is Ed25519",
    ),
    "a huge file": (lambda path: write(path, GOOD + b"\n" * (16 << 10)), "larger than 16384 bytes"),
}


@pytest.mark.parametrize("case", BAD_PRIVATE)
def test_a_file_that_is_no_private_key_of_ours_is_a_key_file_error(tmp_path: Path, case: str) -> None:
    make, said = BAD_PRIVATE[case]
    path = tmp_path / "key.pem"
    make(path)
    with pytest.raises(KeyFileError, match=said) as caught:
        LocalSigner.load(path, lambda: CANARY)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_link_to_a_key_is_followed(tmp_path: Path) -> None:
    made = generate(tmp_path / "real.pem")
    (tmp_path / "link.pem").symlink_to("real.pem")
    assert LocalSigner.load(tmp_path / "link.pem").public_key.pem == made.pem


def test_a_missing_public_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match=r"trust\.pub: no such key file"):
        load_public(tmp_path / "trust.pub")


def test_a_public_key_may_be_open_to_all(tmp_path: Path) -> None:
    made = generate(tmp_path / "release.pem")
    (tmp_path / "release.pub").chmod(0o644)
    assert load_public(tmp_path / "release.pub").pem == made.pem


def leaks(path: Path) -> Iterator[Callable[[], object]]:
    yield lambda: load_private(path, lambda: CANARY + b"?")
    yield lambda: load_private(path)
    yield lambda: load_public(path)
    yield lambda: generate(path, password=CANARY)
    yield lambda: generate(path.with_name("other.pem"), password=CANARY * 60)


def test_neither_password_nor_key_is_in_any_message_or_traceback(tmp_path: Path) -> None:
    path = tmp_path / "release.pem"
    generate(path, password=CANARY)
    secrets = [CANARY.decode(), *path.read_text().split("\n")[1:-2]]
    for attempt in leaks(path):
        with pytest.raises(MbomError) as caught:
            attempt()
        said = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert not [secret for secret in secrets if secret in said]


def test_a_damaged_private_key_is_not_quoted(tmp_path: Path) -> None:
    lines = GOOD.split(b"\n")
    path = write(tmp_path / "release.pem", b"\n".join([lines[0], b"MIGH" + lines[1], *lines[2:]]))
    with pytest.raises(KeyFileError) as caught:
        load_private(path)
    said = "".join(traceback.format_exception(caught.value))
    assert lines[1].decode() not in said


def test_the_default_key_is_made_once_in_a_private_folder(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "mbom"
    path, created = default_key(folder)
    assert created
    assert path == folder / "key.pem"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    before = path.read_bytes()
    assert default_key(folder) == (path, False)
    assert path.read_bytes() == before
    assert load_public(public_path(path)).pem == LocalSigner.load(path).public_key.pem


def test_a_public_half_that_a_killed_process_did_not_write_is_written_by_the_next(tmp_path: Path) -> None:
    private, _ = default_key(tmp_path / "mbom")
    half = public_path(private).read_bytes()
    public_path(private).unlink()
    assert default_key(tmp_path / "mbom") == (private, False)
    assert public_path(private).read_bytes() == half
    assert sorted(path.name for path in private.parent.iterdir()) == ["key.pem", "key.pub"]


def test_the_public_half_of_an_encrypted_key_waits_for_its_owner(tmp_path: Path) -> None:
    (tmp_path / "mbom").mkdir()
    generate(tmp_path / "mbom" / "key.pem", password=b"correct horse")
    (tmp_path / "mbom" / "key.pub").unlink()
    assert default_key(tmp_path / "mbom") == (tmp_path / "mbom" / "key.pem", False)
    assert not (tmp_path / "mbom" / "key.pub").exists()


def test_a_pair_that_another_process_completed_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def completing(source: Path, target: Path) -> None:
        link(source, target)
        if target.name == "key.pem":  # the other process comes between the two names
            default_key(tmp_path)

    monkeypatch.setattr(os, "link", completing)
    public = generate(tmp_path / "key.pem")
    assert (tmp_path / "key.pub").read_bytes() == public.pem
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key.pem", "key.pub"]


def test_many_first_uses_at_once_make_one_key(tmp_path: Path) -> None:
    for attempt in range(5):
        folder = tmp_path / str(attempt)
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(default_key, [folder] * 16))
        assert sum(created for _, created in results) == 1
        assert sorted(path.name for path in folder.iterdir()) == ["key.pem", "key.pub"]
        assert load_public(folder / "key.pub").pem == LocalSigner.load(folder / "key.pem").public_key.pem


def test_a_default_public_half_without_its_private_key_is_reported(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_bytes(b"left over")
    with pytest.raises(KeyFileError, match=r"key\.pub: exists"):
        default_key(tmp_path)


def test_a_file_in_place_of_the_default_folder_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "mbom").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be made"):
        default_key(tmp_path / "mbom")
