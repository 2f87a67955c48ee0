"""Keys that every test of this part shares; making one costs less than reading one."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mbom.signing import KeyVerifier, LocalSigner

CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


@pytest.fixture(scope="session")
def signer() -> LocalSigner:
    return LocalSigner(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture(scope="session")
def verifier(signer: LocalSigner) -> KeyVerifier:
    return KeyVerifier(signer.public_key)


@pytest.fixture(params=list(CURVES))
def any_signer(request: pytest.FixtureRequest) -> LocalSigner:
    """One signer for each supported curve."""
    return LocalSigner(ec.generate_private_key(CURVES[request.param]))
