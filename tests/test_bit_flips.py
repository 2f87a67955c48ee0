"""Whatever single bit is flipped in a checkpoint or its bundle, the verification refuses and names the file."""

import shutil
from pathlib import Path

import pytest
from attesting import FIXTURE
from flippedbits import Flip, flipped, flips, unseen, verdict_on

from fixtures import bundling
from mbom import bundle
from mbom.signing import KeyVerifier
from mbom.source import FolderSource
from mbom.verify import verify

KEPT = bundling.BUNDLES / "v3"
VERIFIER = KeyVerifier.load(KEPT / "release.pub")


@pytest.fixture
def copies(tmp_path: Path) -> tuple[Path, Path]:
    """The trained checkpoint and the bundle that is kept of it."""
    checkpoint, folder = tmp_path / FIXTURE.name, tmp_path / "tiny.mbom"
    shutil.copytree(FIXTURE, checkpoint)
    shutil.copytree(KEPT / "tiny-gpt-oss.mbom", folder)
    return checkpoint, folder


@pytest.mark.parametrize(
    ("count", "seed"), [(100, 1), pytest.param(1000, 2, marks=pytest.mark.slow)], ids=["a hundred", "a thousand"]
)
def test_no_flipped_bit_goes_unseen(copies: tuple[Path, Path], count: int, seed: int) -> None:
    checkpoint, folder = copies
    missed = {}
    hit = set()
    for flip in flips(checkpoint, folder, count=count, seed=seed):
        hit.add(flip.name)
        missed[str(flip)] = unseen(flip, verdict_on(flip, checkpoint, folder, VERIFIER))
    assert not {flip: reason for flip, reason in missed.items() if reason is not None}
    members = {path.name for root in copies for path in root.rglob("*") if path.is_file()}
    assert len(hit) == len(members) or count < 1000
    assert verify(folder, verifier=VERIFIER, checkpoint=FolderSource(checkpoint)).exit_code == 0  # all are mended


def test_a_bit_flipped_while_nobody_has_the_checkpoint_is_seen_in_the_bundle(copies: tuple[Path, Path]) -> None:
    checkpoint, folder = copies
    for flip in flips(checkpoint, folder, count=40, seed=3):
        if flip.in_bundle:
            with flipped(flip):
                verdict = verify(folder, verifier=VERIFIER)
            assert unseen(flip, verdict) is None, flip


def test_flips_are_told_apart_and_an_honest_verdict_counts_as_none(copies: tuple[Path, Path]) -> None:
    """What judges the flips must itself be able to say no."""
    checkpoint, folder = copies
    honest = verify(folder, verifier=VERIFIER, checkpoint=FolderSource(checkpoint))
    found = list(flips(checkpoint, folder, count=30, seed=1))
    assert len({str(flip) for flip in found}) == 30
    assert {flip.in_bundle for flip in found} == {True, False}
    assert any(flip.tensor for flip in found)
    for flip in found:
        assert unseen(flip, honest) == "not refused"
    shard = next(flip for flip in found if flip.tensor is not None)
    member = Flip(name=bundle.BOM, path=folder / bundle.BOM, at=0, bit=0, tensor=None, in_bundle=True)
    assert unseen(member, verdict_on(shard, checkpoint, folder, VERIFIER)) == "evidence does not name the file"
