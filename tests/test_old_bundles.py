"""Evidence that was written once stays good: bundles of every format version verify with the code as it is."""

from pathlib import Path

import pytest
from attesting import FIXTURE

from mbom.engine import Measurement
from mbom.signing import KeyVerifier
from mbom.source import FolderSource
from mbom.verify import verify

BUNDLES = FIXTURE.parent / "bundles"


@pytest.mark.parametrize("folder", sorted(BUNDLES.glob("v*")), ids=lambda path: path.name)
def test_an_old_bundle_verifies_and_its_checkpoint_still_behaves_as_recorded(folder: Path) -> None:
    verdict = verify(
        folder / "tiny-gpt-oss.mbom",
        verifier=KeyVerifier.load(folder / "release.pub"),
        checkpoint=FolderSource(FIXTURE),
        measure=Measurement(device="cpu"),
    )
    assert verdict.outcome == "verified", [check.to_dict() for check in verdict.checks if check.outcome != "PASS"]


def test_there_is_a_bundle_of_the_first_format() -> None:
    assert (BUNDLES / "v1" / "tiny-gpt-oss.mbom" / "attestation.sigstore.json").is_file()
