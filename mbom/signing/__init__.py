"""Signatures: bytes in, bytes out. Statements, envelopes, bundles, and the keys that make and check them."""

from mbom.signing.certificates import CertificateVerifier
from mbom.signing.keyfiles import default_key, generate, load_public, public_path
from mbom.signing.keys import PublicKey
from mbom.signing.manifest import Manifest
from mbom.signing.oms import OmsManifest
from mbom.signing.signer import LocalSigner, Signer
from mbom.signing.statement import Statement, Subject
from mbom.signing.unverified import Claimed, claimed
from mbom.signing.verifier import KeyVerifier, Verifier

__all__ = [
    "CertificateVerifier",
    "Claimed",
    "KeyVerifier",
    "LocalSigner",
    "Manifest",
    "OmsManifest",
    "PublicKey",
    "Signer",
    "Statement",
    "Subject",
    "Verifier",
    "claimed",
    "default_key",
    "generate",
    "load_public",
    "public_path",
]
