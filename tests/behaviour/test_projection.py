import hashlib

import numpy as np
import pytest

from mbom.behaviour.projection import signs


def slow_signs(label: str, count: int) -> list[int]:
    stream = hashlib.shake_256(b"mbom/v1/signs\x00" + label.encode("utf-8")).digest(count // 8 + 1)
    number = int.from_bytes(stream, "little")
    return [1 if number >> index & 1 else -1 for index in range(count)]


@pytest.mark.parametrize("shape", [(1,), (7,), (64,), (13, 5), (3, 4, 5), (0, 4)])
def test_signs_are_the_bits_of_the_stream_in_c_order(shape: tuple[int, ...]) -> None:
    found = signs("residual/11", shape)
    assert found.dtype == np.int8
    assert found.shape == shape
    assert found.ravel().tolist() == slow_signs("residual/11", int(np.prod(shape)))


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
