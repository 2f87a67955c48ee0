"""What the whole run shares: an attested copy of the trained fixture, measured records, tokens, a Sigstore."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from attesting import Scene, copy_scene, read_scene, set_scene
from hypothesis import settings
from measuring import Records, measure_all, records_at
from sharing import made_once
from sigstoreloop import Faults, Instance
from tokens import Tokens, set_up

# The same examples in every run, so that a change fails for what it changes, and none for a slow machine.
settings.register_profile("mbom", derandomize=True, deadline=None)
settings.load_profile("mbom")


@pytest.fixture(scope="session")
def attested(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The fixture with its bundle; look at it, and change only copies."""
    return read_scene(made_once(tmp_path_factory, "attested", set_scene))


@pytest.fixture
def scene(attested: Scene, tmp_path: Path) -> Scene:
    """A copy of the attested fixture that a test may ruin."""
    return copy_scene(attested, tmp_path)


@pytest.fixture(scope="session")
def records(attested: Scene, tmp_path_factory: pytest.TempPathFactory) -> Records:
    """Records of the fixture and of a bent copy; look at them, and change only copies."""
    return records_at(made_once(tmp_path_factory, "records", partial(measure_all, attested)), attested)


@pytest.fixture(scope="session")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    """Tokens of SoftHSM, for tests that are marked with ``needs_softhsm``; add keys of other labels only."""
    return set_up(tmp_path_factory.mktemp("softhsm"))


@pytest.fixture(scope="session")
def running_instance() -> Iterator[Instance]:
    """A Sigstore on loopback; a test that makes it misbehave asks for ``instance``."""
    with Instance() as running:
        yield running


@pytest.fixture
def instance(running_instance: Instance) -> Iterator[Instance]:
    """The Sigstore, which behaves until a test tells it not to."""
    yield running_instance
    running_instance.faults = Faults()
