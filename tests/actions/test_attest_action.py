"""The action that attests: with a key, and keyless by the job's own identity, through a whole Sigstore on loopback."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from actions.conftest import ACTIONS
from attesting import FIXTURE, new_signer
from composite import Job, Ran, run_action
from sigstoreloop import Instance

from mbom.signing import KeyVerifier, TrustedIdentity
from mbom.signing.keyless import KeylessVerifier
from mbom.verify import verify


@pytest.fixture
def job(tmp_path: Path) -> Job:
    for name in ("temp", "workspace"):
        (tmp_path / name).mkdir()
    (tmp_path / "workspace" / "models").mkdir()
    (tmp_path / "workspace" / "models" / "tiny").symlink_to(FIXTURE)
    return Job(temp=tmp_path / "temp", workspace=tmp_path / "workspace", environment={})


def attest(job: Job, installed: Path, inputs: Mapping[str, str]) -> Ran:
    seam = {"python": {"python-path": str(installed)}, "install": {"python": str(installed)}}
    return run_action(ACTIONS / "attest", job, inputs=inputs, replaced=seam)


def test_a_key_signs_and_the_outputs_name_bundle_and_digest(job: Job, installed: Path, tmp_path: Path) -> None:
    signer = new_signer(tmp_path)
    ran = attest(
        job,
        installed,
        {
            "model": "models/tiny",
            "no-behaviour": "true",
            "key": str(tmp_path / "release.pem"),
            "author": "A <a@example.org>",
        },
    )
    assert not ran.failed, ran.log
    bundle = Path(ran.outputs["bundle"])
    assert bundle == job.workspace / "tiny.mbom"
    verdict = verify(bundle, verifier=KeyVerifier(signer.public_key))
    assert verdict.outcome == "verified"
    assert verdict.model is not None
    assert ran.outputs["digest"] == verdict.model["digest"]


def test_without_a_key_the_job_signs_by_its_identity(
    job: Job, installed: Path, tmp_path: Path, instance: Instance
) -> None:
    job.environment |= {
        "GITHUB_ACTIONS": "true",
        "ACTIONS_ID_TOKEN_REQUEST_URL": f"{instance.url}/github?api-version=2.0",
        "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "request-token",
    }
    trust = instance.write_trust_config(tmp_path / "trust.json")
    inputs = {"model": "models/tiny", "no-behaviour": "true", "trust-config": str(trust), "output": "out.mbom"}
    ran = attest(job, installed, inputs)
    assert not ran.failed, ran.log
    trusted = TrustedIdentity(issuer=instance.issuer, regexp=".+")
    assert verify(job.workspace / "out.mbom", verifier=KeylessVerifier.load(trusted, trust)).outcome == "verified"


def test_a_failure_is_red_and_names_no_bundle(job: Job, installed: Path) -> None:
    # A model that is called like an option is a model, which is not there.
    ran = attest(job, installed, {"model": "--force", "no-behaviour": "true", "key": "/nowhere.pem"})
    assert ran.failed
    assert "no such option" not in ran.log.lower()
    assert ran.outputs == {"bundle": "", "digest": ""}
