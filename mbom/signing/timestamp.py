"""RFC 3161 timestamps over signatures: whom a caller trusts for the time, and what such a timestamp proves.

A timestamp says that a signature existed at a time, and so that it was not made later. It says nothing of how much
earlier it was made, and it does not vouch for the signer. The message imprint is over the signature in DER, which is
what Sigstore's bundles put there.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import rfc3161_client
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from mbom.errors import FormatError, KeyFileError, SignatureError
from mbom.signing import strictx509
from mbom.signing.keyfiles import read_key_file

CHAIN_LIMIT = 16  # certificates; an authority has two to four
CHAIN_FILE_LIMIT = 64 << 10  # bytes; a certificate in PEM has about 2,000

_OPENSSL = re.compile(r'data: "Verify error: ([^"]{1,200})"|reason: "((?:digest|signature) failure)"')
_LABEL = re.compile(rb"-----BEGIN ([^\r\n]{0,40})-----")


@dataclass(frozen=True, kw_only=True)
class Timestamp:
    """What a verified timestamp says: the time in UTC, and under which of its policies the authority says it."""

    time: datetime
    policy: str

    def __str__(self) -> str:
        """Return the time as the verdict shows it."""
        return f"timestamp {self.time:%Y-%m-%dT%H:%M:%SZ} under policy {self.policy}"


class TimestampAuthority:
    """Trusts one authority: its root certificates, and when its own certificate is given too, that one alone.

    What RFC 3161 asks of whoever relies on a timestamp is checked: the status, one signer, the signature, the chain at
    the time stated, a critical extended key usage for time stamping and nothing less, and the imprint. The nonce is
    checked by whoever asked for the timestamp, who alone knows it. The identifier of the certificate among the signed
    attributes is not compared: issuer and serial number pick the certificate already, and below a trusted root no two
    share both. Whether the time lies in the future is not asked either, because that takes a clock to trust.
    """

    def __init__(self, certificates: Sequence[x509.Certificate], *, what: str) -> None:
        """Sort the certificates into roots, intermediates and the authority's own.

        Raises:
            KeyFileError: when there is no root, or more than one certificate that is no issuer's.
        """
        roots = [item for item in certificates if _is_self_signed(item)]
        leaves = [item for item in certificates if not _is_issuer(item)]
        if not roots:
            raise KeyFileError(f"{what}: holds no self-signed root certificate, which a chain of trust ends in")
        if len(leaves) > 1:
            raise KeyFileError(f"{what}: holds {len(leaves)} certificates that are no issuer's; one authority has one")
        self._verifier = rfc3161_client.VerifierBuilder(
            roots=roots,
            intermediates=[item for item in certificates if _is_issuer(item) and item not in roots],
            tsa_certificate=leaves[0] if leaves else None,
        ).build()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the chain at ``path``: certificates in PEM, with text around them or none.

        Raises:
            KeyFileError: when the file is missing, holds anything but certificates, or no root.
        """
        data = read_key_file(path, limit=CHAIN_FILE_LIMIT)
        others = {label for label in _LABEL.findall(data) if label != b"CERTIFICATE"}
        if others:
            raise KeyFileError(f"{path}: holds a PEM block {min(others).decode(errors='replace')!r}, not certificates")
        try:
            with strictx509.warnings_refused():
                certificates = x509.load_pem_x509_certificates(data)
        except ValueError as error:
            raise KeyFileError(f"{path}: holds no certificate in PEM, or a damaged one") from error
        if len(certificates) > CHAIN_LIMIT:
            raise KeyFileError(f"{path}: {len(certificates)} certificates, the limit is {CHAIN_LIMIT}")
        return cls(certificates, what=str(path))

    def check(self, response: bytes, signature: bytes, *, what: str) -> Timestamp:
        """Return what the timestamp ``response`` says, once it holds for ``signature``.

        Raises:
            FormatError: when it is no response of RFC 3161.
            SignatureError: when it does not hold under this authority, or is over something else.
        """
        decoded = decode(response, what=what)
        try:
            signers = len(decoded.signed_data.signer_infos)
            if signers != 1:
                raise SignatureError(f"{what}: the timestamp has {signers} signers, exactly one is allowed")
            with strictx509.warnings_refused():
                self._verifier.verify_message(decoded, signature)
            info = decoded.tst_info
            return Timestamp(time=info.gen_time, policy=info.policy.dotted_string)
        except (rfc3161_client.VerificationError, ValueError, x509.DuplicateExtension, UnsupportedAlgorithm) as error:
            raise SignatureError(
                f"{what}: the timestamp does not hold under the trusted authority: {_reason(error)}"
            ) from error


def decode(response: bytes, *, what: str) -> rfc3161_client.TimeStampResponse:
    """Read a response in DER, of which nothing is verified.

    Raises:
        FormatError: when it is none.
    """
    try:
        return rfc3161_client.decode_timestamp_response(response)
    except ValueError as error:
        raise FormatError(f"{what}: the timestamp is no response of RFC 3161 in DER") from error


def _reason(error: Exception) -> str:
    """Return the reason in words, which the library buries in a list of OpenSSL's errors."""
    found = _OPENSSL.search(str(error))
    return (found[1] or found[2]) if found else " ".join(str(error).split())[:200]


def _is_self_signed(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _is_issuer(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, x509.DuplicateExtension, x509.ExtensionNotFound):
        return False
