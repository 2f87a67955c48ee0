"""Keys that every test of this part shares; making one costs less than reading one. And a whole Sigstore."""

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sigstoreloop import Faults, Instance

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


@pytest.fixture(scope="session")
def _running() -> Iterator[Instance]:
    with Instance() as running:
        yield running


@pytest.fixture
def instance(_running: Instance) -> Iterator[Instance]:
    """A Sigstore that behaves, until a test tells it not to."""
    yield _running
    _running.faults = Faults()
