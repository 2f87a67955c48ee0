import hashlib

import numpy as np
import pytest

from mbom.behaviour.projection import FIXED, challenge_key, signs

KEY = challenge_key("5a" * 32, "a nonce")


def slow_signs(label: str, count: int, key: bytes = b"") -> list[int]:
    domain = b"mbom/v1/challenge-signs\x00" + key if key else b"mbom/v1/signs\x00"
    stream = hashlib.shake_256(domain + label.encode("utf-8")).digest(count // 8 + 1)
    number = int.from_bytes(stream, "little")
    return [1 if number >> index & 1 else -1 for index in range(count)]


@pytest.mark.parametrize("key", [FIXED, KEY], ids=["fixed", "challenge"])
@pytest.mark.parametrize("shape", [(1,), (7,), (64,), (13, 5), (3, 4, 5), (0, 4)])
def test_signs_are_the_bits_of_the_stream_in_c_order(shape: tuple[int, ...], key: bytes) -> None:
    found = signs("residual/11", shape, key)
    assert found.dtype == np.int8
    assert found.shape == shape
    assert found.ravel().tolist() == slow_signs("residual/11", int(np.prod(shape)), key)


def test_signs_of_published_records_never_change() -> None:
    assert "".join("+" if sign > 0 else "-" for sign in signs("logits", (32,))) == "-+-+-++++--++-+++--++-+++++-+-+-"
    assert hashlib.sha256(signs("logits", (1000, 64)).tobytes()).hexdigest() == (
        "6bae90d51458998862a6ffe47f1fb0784bc9e45b8d76774c13e38b50697ef0fe"
    )


def test_more_rows_continue_the_same_stream() -> None:
    assert np.array_equal(signs("logits", (50, 64)), signs("logits", (200, 64))[:50])


def test_labels_give_unrelated_signs() -> None:
    vectors = np.array([signs(f"residual/{layer}", (4096,)) for layer in range(12)], np.float64)
    correlation = vectors @ vectors.T / 4096 - np.eye(12)
    assert np.abs(correlation).max() < 5 / np.sqrt(4096)
    assert np.abs(vectors.mean(axis=1)).max() < 5 / np.sqrt(4096)


def test_signs_of_a_published_challenge_never_change() -> None:
    assert KEY.hex() == "d523318f67ae0cda4c1a2b45ec937eb5e8f44c47f4200e592f03d5fd791e3c09"
    assert (
        "".join("+" if sign > 0 else "-" for sign in signs("logits", (32,), KEY)) == "-+--++++-+-+++++----+++-+++-+-+-"
    )


def test_the_key_of_a_challenge_is_the_digest_of_domain_model_and_nonce() -> None:
    assert (
        challenge_key("0f" * 32, "Ünïque")
        == hashlib.sha256(b"mbom/v1/challenge\x00" + b"\x0f" * 32 + "Ünïque".encode()).digest()
    )


def test_keys_of_other_models_and_nonces_give_unrelated_signs() -> None:
    keys = [FIXED, KEY, challenge_key("5b" * 32, "a nonce"), challenge_key("5a" * 32, "a nonce ")]
    vectors = np.array([signs("logits", (4096,), key) for key in keys], np.float64)
    correlation = vectors @ vectors.T / 4096 - np.eye(4)
    assert np.abs(correlation).max() < 5 / np.sqrt(4096)
