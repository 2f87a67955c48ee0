"""Signing keyless in tests: as mbom does, and as a hostile attester does who uses the library directly."""

import json
from collections.abc import Callable
from typing import Any

from sigstore.dsse import Statement as SigstoreStatement
from sigstore.hashes import Hashed
from sigstore.models import ClientTrustConfig, TrustedRoot
from sigstore.oidc import IdentityToken
from sigstore.sign import SigningContext
from sigstoreloop import Instance

from mbom.digest import sha256
from mbom.signing import TrustedIdentity, statement
from mbom.signing.keyless import KeylessVerifier
from mbom.signing.keylesssigner import KeylessSigner

KIND = "urn:example:v1"
SHARD = sha256(b"shard")
STATEMENT = statement.build([("a", SHARD)], KIND, {"x": 1})
ALICE = "alice@example.com"

Edit = Callable[[dict[str, Any]], object]


def config(instance: Instance, **options: Any) -> ClientTrustConfig:
    return ClientTrustConfig.from_json(json.dumps(instance.trust_config(**options)))


def root(instance: Instance) -> TrustedRoot:
    return config(instance).trusted_root


def signer(instance: Instance, *, who: str = ALICE, rekor: int = 2, **options: Any) -> KeylessSigner:
    """Return a signer as Alice, or as somebody else who has a new token whenever one is needed."""
    return KeylessSigner(
        config(instance, rekor=rekor, **options), lambda: IdentityToken(instance.token(email=who), "sigstore")
    )


def verifier(instance: Instance, identity: str = ALICE, **trusted: Any) -> KeylessVerifier:
    told = {"issuer": instance.issuer, "identity": identity, **trusted}
    return KeylessVerifier(TrustedIdentity(**told), root(instance))


def by_library(
    instance: Instance, content: bytes | str = STATEMENT, *, rekor: int = 2, token: str | None = None, **options: Any
) -> bytes:
    """Sign a statement, or a SHA-256 in hex, with the library alone, which does not look at what services answer."""
    context = SigningContext.from_trust_config(config(instance, rekor=rekor, **options))
    with context.signer(IdentityToken(token or instance.token(email=ALICE), "sigstore")) as library:
        if isinstance(content, bytes):
            return library.sign_dsse(SigstoreStatement(content)).to_json().encode()
        digest = Hashed.model_validate({"algorithm": "SHA2_256", "digest": bytes.fromhex(content)})
        return library.sign_artifact(digest).to_json().encode()


def edited(bundle: bytes, *edits: Edit) -> bytes:
    """Change the JSON of a bundle."""
    value = json.loads(bundle)
    for edit in edits:
        edit(value)
    return json.dumps(value).encode()


def material(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = value["verificationMaterial"]
    return found


def entry(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = material(value)["tlogEntries"][0]
    return found


def proof(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = entry(value)["inclusionProof"]
    return found


def stamps(value: dict[str, Any]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = material(value)["timestampVerificationData"]["rfc3161Timestamps"]
    return found
