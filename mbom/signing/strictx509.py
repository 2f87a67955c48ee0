"""Certificates that somebody hostile may have written, read without the leniency of ``cryptography``.

Its reader takes some certificates that RFC 5280 forbids, with a warning on standard error that no caller sees, and
some encodings that DER (X.690) forbids, in the part that no signature covers.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from cryptography import x509


def load_der(der: bytes) -> x509.Certificate:
    """Parse a certificate in DER, of which nothing is verified.

    Raises:
        ValueError: when it cannot be read, or is one that ``cryptography`` warns of.
    """
    with warnings_refused():
        certificate = x509.load_der_x509_certificate(der)
    # The signature comes last, as a bit string: a byte with the number of bits that do not count, then the bytes.
    # That byte is under no signature, and the library does not look at it.
    if der[-len(certificate.signature) - 1] != 0:
        raise ValueError("the signature is not a whole number of bytes")
    return certificate


@contextmanager
def warnings_refused() -> Iterator[None]:
    """Raise ``ValueError`` for what ``cryptography`` warns of in the block, on loading or on looking at a part.

    Filters of warnings belong to the process: for the length of the block, they hold for its other threads too.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        try:
            yield
        except UserWarning as warning:
            raise ValueError(str(warning)) from warning
