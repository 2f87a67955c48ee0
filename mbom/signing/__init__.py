"""Signatures: bytes in, bytes out. Statements, envelopes, bundles, and what makes and checks them.

``keyless`` and ``keylesssigner`` are imported where they are used, because they import sigstore.
"""

from mbom.signing.identity import TrustedIdentity, Witness
from mbom.signing.keyfiles import default_key, generate, load_public, public_path
from mbom.signing.keys import PublicKey
from mbom.signing.oms import OmsManifest
from mbom.signing.signer import LocalSigner, Signer
from mbom.signing.statement import Statement, Subject
from mbom.signing.verifier import KeyVerifier, Verifier

__all__ = [
    "KeyVerifier",
    "LocalSigner",
    "OmsManifest",
    "PublicKey",
    "Signer",
    "Statement",
    "Subject",
    "TrustedIdentity",
    "Verifier",
    "Witness",
    "default_key",
    "generate",
    "load_public",
    "public_path",
]
