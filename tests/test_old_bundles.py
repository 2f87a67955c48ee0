"""Evidence that was written once stays good: bundles of every format version verify with the code as it is."""

import json
from dataclasses import dataclass

import pytest
from attesting import FIXTURE

from fixtures import bundling
from mbom import __version__
from mbom.engine import Measure, Measurement
from mbom.signing import KeyVerifier
from mbom.source import FolderSource
from mbom.verdict import STEPS, Verdict
from mbom.verify import verify

BUNDLES = bundling.BUNDLES


@dataclass(frozen=True, kw_only=True)
class Version:
    """What becomes of a bundle of one version: the format of its record, and what is said of one that nobody reads."""

    record: str
    made_by: str
    refused: str | None = None


VERSIONS = {
    "v1": Version(
        record="urn:mbom:behaviour:v1",
        made_by="0.1.0",
        refused="behaviour.json: 'schema' is 'urn:mbom:behaviour:v1', only 'urn:mbom:behaviour:v3' is known",
    ),
    "v2": Version(
        record="urn:mbom:behaviour:v2",
        made_by="0.1.0",
        refused="behaviour.json: 'schema' is 'urn:mbom:behaviour:v2', only 'urn:mbom:behaviour:v3' is known",
    ),
    "v3": Version(record="urn:mbom:behaviour:v3", made_by="0.2.0.dev0"),
}
EVIDENCE = STEPS[: STEPS.index("behaviour")]  # the steps that depend on what is in a bundle and on nothing else
READ = [name for name, version in VERSIONS.items() if version.refused is None]
REFUSED = [name for name, version in VERSIONS.items() if version.refused is not None]


def verdict_on(name: str, measure: Measure | None = None) -> Verdict:
    return verify(
        BUNDLES / name / "tiny-gpt-oss.mbom",
        verifier=KeyVerifier.load(BUNDLES / name / "release.pub"),
        checkpoint=FolderSource(FIXTURE),
        measure=measure,
    )


def test_there_is_a_bundle_of_every_version() -> None:
    assert sorted(path.name for path in BUNDLES.iterdir() if path.is_dir()) == sorted(VERSIONS)


@pytest.mark.parametrize("name", VERSIONS)
def test_a_bundle_has_the_formats_of_its_version(name: str) -> None:
    document = json.loads((BUNDLES / name / "tiny-gpt-oss.mbom" / "behaviour.json").read_bytes())
    assert document["schema"] == VERSIONS[name].record


@pytest.mark.parametrize("name", READ)
def test_an_old_bundle_verifies_and_its_checkpoint_still_behaves_as_recorded(name: str) -> None:
    verdict = verdict_on(name, Measurement(device="cpu"))
    assert verdict.outcome == "verified", [check.to_dict() for check in verdict.checks if check.outcome != "PASS"]
    assert [check.id for check in verdict.checks if check.outcome == "PASS"] == [*EVIDENCE, "behaviour"]


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("behaviour", [False, True], ids=["without", "with --behaviour"])
def test_a_record_of_a_format_that_nobody_reads_is_refused_by_name_and_nothing_else_is(
    name: str, behaviour: bool
) -> None:
    verdict = verdict_on(name, Measurement(device="cpu") if behaviour else None)
    assert verdict.exit_code == 1
    outcomes = {check.id: check.outcome for check in verdict.checks}
    details = {check.id: check.detail for check in verdict.checks}
    assert outcomes == dict.fromkeys(STEPS, "SKIP") | dict.fromkeys(EVIDENCE, "PASS") | {"behaviour-record": "FAIL"}
    assert details["behaviour-record"] == VERSIONS[name].refused
    reason = "there is no record to compare with" if behaviour else "not asked for (--behaviour)"
    assert details["behaviour"] == reason


@pytest.mark.parametrize("name", VERSIONS)
def test_a_bom_is_built_again_by_the_version_that_made_it_and_by_no_other(name: str) -> None:
    made_by = VERSIONS[name].made_by
    detail = next(check.detail for check in verdict_on(name).checks if check.id == "bom")
    said = (
        "with the checkpoint in every field" if made_by == __version__ else f"made by mbom {made_by}, so this version"
    )
    assert said in detail


def test_a_bundle_is_never_made_anew(capsys: pytest.CaptureFixture[str]) -> None:
    before = (BUNDLES / "v2" / "release.pub").read_bytes()
    assert bundling.main(["v2"]) == 1
    assert "a bundle is made once" in capsys.readouterr().err
    assert (BUNDLES / "v2" / "release.pub").read_bytes() == before
