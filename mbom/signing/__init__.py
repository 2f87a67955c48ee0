"""Signatures: bytes in, bytes out. Statements, envelopes, bundles, and what makes and checks them.

``keyless`` and ``keylesssigner`` are imported where they are used, because they import sigstore.
"""

from mbom.signing.certificates import CertificateVerifier
from mbom.signing.identity import TrustedIdentity, Witness
from mbom.signing.keyfiles import default_key, generate, load_public, public_path, publish_public
from mbom.signing.keys import CURVES, PublicKey
from mbom.signing.manifest import Manifest
from mbom.signing.oms import OmsManifest
from mbom.signing.pkcs11uri import TokenKey
from mbom.signing.signatory import Signatory
from mbom.signing.signer import KeySigner, LocalSigner, Signer, Stamp
from mbom.signing.statement import Statement, Subject
from mbom.signing.timestamp import TimestampAuthority
from mbom.signing.timestamping import TimestampClient
from mbom.signing.unverified import Claimed, claimed
from mbom.signing.verifier import KeyVerifier, Seen, Verifier

__all__ = [
    "CURVES",
    "CertificateVerifier",
    "Claimed",
    "KeySigner",
    "KeyVerifier",
    "LocalSigner",
    "Manifest",
    "OmsManifest",
    "PublicKey",
    "Seen",
    "Signatory",
    "Signer",
    "Stamp",
    "Statement",
    "Subject",
    "TimestampAuthority",
    "TimestampClient",
    "TokenKey",
    "TrustedIdentity",
    "Verifier",
    "Witness",
    "claimed",
    "default_key",
    "generate",
    "load_public",
    "public_path",
    "publish_public",
]
