"""No bent bundle is accepted: each is refused by the check that it belongs to, through the public ``verify``."""

import json
import re
import shutil
from pathlib import Path

import pytest
from attesting import Scene, copy_scene, failed, passing_off, set_scene
from commands import mbom
from hostilebundles import EVERY, FORGED, MISMATCHED, SIGNED, of_revision, zipped

from fixtures import bundling
from mbom import bundle
from mbom.behaviour.record import Record
from mbom.verify import Expectation


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """The trained fixture, attested with the record that a kept bundle has of it."""
    kept = bundle.read(bundling.BUNDLES / "v3" / "tiny-gpt-oss.mbom")
    record = Record.from_bytes(kept[bundle.BEHAVIOUR], kept[bundle.BEHAVIOUR_NUMBERS])
    return set_scene(tmp_path_factory.mktemp("honest"), measure=passing_off(record))


@pytest.fixture
def own(honest: Scene, tmp_path: Path) -> Scene:
    return copy_scene(honest, tmp_path)


def test_the_honest_bundle_verifies_in_a_folder_and_in_one_file(own: Scene) -> None:
    assert own.verify().exit_code == 0
    zipped()(own)
    assert own.verify().exit_code == 0


def test_the_honest_bundle_is_what_may_be_demanded(own: Scene) -> None:
    of_revision(own, "b")
    created = Expectation(repo="acme/tiny", revision="b" * 40, min_time=bundling.CREATED)
    verdict = own.verify(expected=created)
    assert verdict.exit_code == 0, [check for check in verdict.checks if check.outcome != "PASS"]


@pytest.mark.parametrize("name", EVERY)
def test_a_bent_bundle_is_refused_by_the_check_that_it_belongs_to(own: Scene, name: str) -> None:
    case = EVERY[name]
    case.deed(own)
    verdict = own.verify(expected=case.expected)
    assert verdict.exit_code == 1
    found = {check.id: check.detail for check in verdict.checks if check.outcome == "FAIL"}
    assert case.check in found, found
    assert re.search(case.says, found[case.check]), found[case.check]
    json.dumps(verdict.to_dict()).encode()
    if name in SIGNED and case.check not in ("signature", "evidence"):
        assert not failed(verdict) & {"bundle", "signature", "evidence"}


def test_what_is_not_there_is_not_refused_but_not_verified_either(own: Scene) -> None:
    shutil.rmtree(own.bundle)
    verdict = own.verify()
    assert verdict.exit_code == 3
    assert not failed(verdict)
    assert "no such bundle" in verdict.checks[0].detail


def test_there_are_at_least_sixty_and_every_kind_of_attacker_is_among_them() -> None:
    assert len(EVERY) == len(FORGED) + len(MISMATCHED) + len(SIGNED) >= 60
    checks = {case.check for case in EVERY.values()}
    assert checks == {"bundle", "signature", "evidence", "files", "model-sig", "shards", "bom", "behaviour-record",
                      "expectation"}  # fmt: skip


ON_A_TERMINAL = (
    "a name that is not Unicode", "a member that is a FIFO", "evidence with traversal", "an archive with traversal",
    "brackets without end",
)  # fmt: skip


@pytest.mark.parametrize("name", ON_A_TERMINAL)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["table", "json"])
def test_the_command_line_says_so_in_one_line(own: Scene, home: Path, name: str, form: tuple[str, ...]) -> None:
    EVERY[name].deed(own)
    key = own.root / "signer.pub"
    key.write_bytes(own.signer.public_key.pem)
    run = mbom("verify", own.bundle, own.checkpoint, "--key", key, *form, home=home)
    assert run.returncode == 1, run.stderr
    assert "Traceback" not in run.stderr
    assert "a fault in mbom" not in run.stderr
    assert "\x1b" not in run.stdout
    if form:
        assert json.loads(run.stdout)["outcome"] == "refused"
