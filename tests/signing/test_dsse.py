import base64

import pytest
import sigstore.dsse
from hypothesis import given
from hypothesis import strategies as st

from mbom.errors import FormatError, SignatureError
from mbom.signing import LocalSigner
from mbom.signing.dsse import Envelope, decode, encode, pae, seal
from mbom.strictjson import Fields


def test_the_encoding_is_that_of_the_specification_s_example() -> None:
    encoded = pae(b"hello world", "http://example.com/HelloWorld")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@given(st.binary(max_size=300))
def test_the_encoding_is_sigstore_s(payload: bytes) -> None:
    assert pae(payload) == sigstore.dsse._pae("application/vnd.in-toto+json", payload)


def test_lengths_count_bytes_and_not_characters() -> None:
    assert pae("é€😀".encode()).startswith(b"DSSEv1 28 application/vnd.in-toto+json 9 ")


def test_a_sealed_payload_comes_out_of_the_envelope_that_was_written() -> None:
    envelope = seal(b"payload", lambda data: b"signed:" + data)
    assert envelope.signature == b"signed:" + pae(b"payload")
    assert Envelope.from_fields(Fields(envelope.to_dict(), "e")) == envelope


def test_an_envelope_does_not_open_under_a_key_that_did_not_sign_it(signer: LocalSigner) -> None:
    envelope = seal(b"payload", lambda _: b"nonsense")
    with pytest.raises(SignatureError):
        envelope.open(signer.public_key, what="e")


@given(st.binary(max_size=100))
def test_every_byte_string_has_one_spelling(data: bytes) -> None:
    assert decode(encode(data), what="x") == data


@pytest.mark.parametrize(
    "text",
    ["QQ", "QQ=", "QR==", "QQ==\n", " QQ==", "Q Q==", "QQ==QQ==", "_-8=", "QUI", "=", "QQ===", "é", "QQ==\0", "QUJD="],
)
def test_another_spelling_of_base64_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match="base64"):
        decode(text, what="x")


def test_python_s_own_reader_would_take_stray_bits() -> None:
    # Why spellings are compared: two texts, one byte string.
    assert base64.b64decode("QR==", validate=True) == base64.b64decode("QQ==", validate=True)
