"""`mbom bom coverage` and `mbom bom form`, run as users run them."""

import json
from pathlib import Path

import pytest
from commands import mbom, schema
from coveredboms import foreign, full

from mbom.bom.coverage.form import gpai_form

SIGNATURE_IS_NOT_CHECKED = "signature is not checked here: `mbom verify` does that"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coverage") / "tiny.mbom"
    folder.mkdir()
    document = full()
    del document["metadata"]["authors"]
    (folder / "bom.cdx.json").write_text(json.dumps(document))
    return folder


def test_every_list_is_printed_with_its_total(bundle: Path, home: Path) -> None:
    run = mbom("bom", "coverage", bundle, home=home)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert sum(line.startswith(("  verified ", "  declared ", "  not ")) for line in lines) == 50 + 13 + 7 + 43
    assert " 16 verified, 30 declared, 1 not disclosed, 3 not applicable" in lines
    assert run.stderr.count(SIGNATURE_IS_NOT_CHECKED) == 1


def test_an_element_shows_its_value_or_what_lacks(bundle: Path, home: Path) -> None:
    lines = mbom("bom", "coverage", bundle, "--standard", "ntia", home=home).stdout.splitlines()
    assert lines[0] == "The Minimum Elements For a Software Bill of Materials (SBOM), 2021-07-12 (ntia)"
    assert "  declared        Supplier Name             Org Ltd; org" in lines
    assert "  not disclosed   Author of SBOM Data       the BOM names no author, only a tool" in lines
    assert lines[-1] == " 3 verified, 3 declared, 1 not disclosed, 0 not applicable"


def test_json_keeps_to_its_schema_and_a_file_answers_as_its_bundle(bundle: Path, home: Path) -> None:
    run = mbom("bom", "coverage", bundle, "--json", home=home)
    document = json.loads(run.stdout)
    schema("coverage").validate(document)
    assert [item["key"] for item in document["standards"]] == ["g7", "cisa", "ntia", "gpai"]
    assert mbom("bom", "coverage", bundle / "bom.cdx.json", "--json", "--quiet", home=home).stdout == run.stdout


def test_a_bom_of_another_generator_is_answered_too(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "sbom.json"
    document = foreign()
    document["components"][1]["name"] = "tiny\x1b[2J\nverified  all"
    path.write_text(json.dumps(document))
    run = mbom("bom", "coverage", path, home=home)
    assert run.returncode == 0, run.stderr
    assert "\x1b" not in run.stdout
    assert r"tiny\x1b[2J\nverified  all" in run.stdout


UNREADABLE: dict[str, tuple[str | None, int, str]] = {
    "nothing": (None, 3, "no such bundle or BOM"),
    "no JSON": ("{", 1, "not JSON"),
    "another format": ('{"bomFormat": "SPDX"}', 1, "not a CycloneDX document"),
}


@pytest.mark.parametrize("command", [("coverage",), ("form", "--gpai")])
@pytest.mark.parametrize("case", UNREADABLE)
def test_what_is_no_bom_is_a_sentence_and_a_status(
    tmp_path: Path, home: Path, command: tuple[str, ...], case: str
) -> None:
    text, status, words = UNREADABLE[case]
    path = tmp_path / "sbom.json"
    if text is not None:
        path.write_text(text)
    run = mbom("bom", *command, path, home=home)
    assert (run.returncode, run.stdout) == (status, "")
    assert words in run.stderr
    assert "Traceback" not in run.stderr


def test_the_form_is_written_once(bundle: Path, tmp_path: Path, home: Path) -> None:
    data = (bundle / "bom.cdx.json").read_bytes()
    wanted = gpai_form(data, json.loads(data))
    assert mbom("bom", "form", "--gpai", bundle, home=home).stdout == wanted
    path = tmp_path / "form.md"
    first = mbom("bom", "form", "--gpai", bundle, "-o", path, home=home)
    assert (first.returncode, path.read_text(encoding="utf-8")) == (0, wanted)
    path.write_text("completed by hand")
    again = mbom("bom", "form", "--gpai", bundle, "-o", path, home=home)
    assert (again.returncode, path.read_text()) == (2, "completed by hand")
    assert "exists; give another path with -o, or --force" in again.stderr
    assert mbom("bom", "form", "--gpai", bundle, "-o", path, "--force", "-q", home=home).returncode == 0
    assert path.read_text(encoding="utf-8") == wanted


def test_a_form_has_to_be_named_and_its_folder_to_be_there(bundle: Path, tmp_path: Path, home: Path) -> None:
    run = mbom("bom", "form", bundle, home=home)
    assert (run.returncode, "--gpai" in run.stderr) == (2, True)
    run = mbom("bom", "form", "--gpai", bundle, "-o", tmp_path / "gone" / "form.md", home=home)
    assert (run.returncode, "nothing written" in run.stderr) == (3, True)


@pytest.mark.parametrize("command", ["coverage", "form"])
def test_help_shows_an_example(command: str, home: Path) -> None:
    assert f"mbom bom {command} " in mbom("bom", command, "--help", home=home).stdout.partition("Example:")[2]
