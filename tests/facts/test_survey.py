"""Scan and facts together: one list of findings, and nothing lost between the two."""

import json
from pathlib import Path

from checkpoints import CONFIG, write_checkpoint

from mbom import strictjson
from mbom.facts import survey
from mbom.inventory import Inventory
from mbom.source import FolderSource


def test_findings_of_files_and_of_facts_stand_in_one_order(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    (folder / "helper.py").write_text("print()\n")
    (folder / "README.md").write_bytes(b"---\nlicense: [\n---\n")
    surveyed = survey(FolderSource(folder))
    found = [(finding.path, finding.id) for finding in surveyed.inventory.findings]
    assert {("README.md", "card-malformed"), ("helper.py", "code-present")} <= set(found)
    assert found == sorted(found)
    assert Inventory.from_bytes(surveyed.inventory.to_bytes()) == surveyed.inventory


def test_a_configuration_too_large_to_read_is_an_error_not_a_missing_one(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    with (folder / "config.json").open("wb") as file:
        file.truncate(strictjson.SIZE_LIMIT + 1)
    findings = {finding.id: finding.severity for finding in survey(FolderSource(folder)).inventory.findings}
    assert findings.get("config-malformed") == "error"


def test_infinity_in_a_configuration_is_read_as_its_publishers_mean_it(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    text = json.dumps(CONFIG | {"time_step_limit": [0.0, float("inf")]})
    assert "Infinity" in text
    (folder / "config.json").write_text(text)
    surveyed = survey(FolderSource(folder))
    assert "config-malformed" not in {finding.id for finding in surveyed.inventory.findings}
    assert surveyed.facts.model_type == CONFIG["model_type"]
