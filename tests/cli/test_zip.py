"""A bundle in one file goes wherever a bundle in a folder goes, and nothing of it reaches the disk."""

import json
import shutil
from pathlib import Path

import pytest
from attesting import FIXTURE
from commands import mbom

from fixtures import bundling

FOLDER = bundling.BUNDLES / "v3" / "tiny-gpt-oss.mbom"
KEY = bundling.BUNDLES / "v3" / "release.pub"


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    return Path(shutil.make_archive(str(tmp_path / "tiny.mbom"), "zip", FOLDER.parent, FOLDER.name))


def test_a_packed_bundle_verifies_against_its_checkpoint(tmp_path: Path, home: Path, packed: Path) -> None:
    run = mbom("verify", packed, FIXTURE, "--key", KEY, "--json", home=home)
    assert run.returncode == 0, run.stderr
    found = {check["id"]: check["detail"] for check in json.loads(run.stdout)["checks"]}
    assert found["bundle"] == "10 members"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "tiny.mbom.zip"]


def test_a_packed_bundle_is_compared_and_its_bom_is_read(home: Path, packed: Path) -> None:
    run = mbom("compare", packed, FOLDER, home=home)
    assert run.returncode == 0, run.stderr
    assert mbom("bom", "validate", packed, home=home).returncode == 0
    form, other = (mbom("bom", "form", "--gpai", bundle, home=home) for bundle in (packed, FOLDER))
    assert form.returncode == 0, form.stderr
    assert form.stdout.splitlines()[5:] == other.stdout.splitlines()[5:]


def test_a_packed_bundle_serves_as_the_base_of_another_checkpoint(tmp_path: Path, home: Path, packed: Path) -> None:
    run = mbom(
        "attest", FIXTURE, "--unsigned", "--no-behaviour", "--base", packed, "--base-key", KEY,
        "-o", tmp_path / "a.mbom", home=home,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "compared" in run.stderr


def test_a_crooked_archive_is_refused_by_its_first_check(home: Path, packed: Path) -> None:
    packed.write_bytes(packed.read_bytes() + b"\0")
    run = mbom("verify", packed, FIXTURE, "--key", KEY, home=home)
    assert run.returncode == 1
    assert "does not end with the directory of a zip archive" in run.stdout
    assert "Traceback" not in run.stderr
