"""`mbom bom validate` as a user runs it."""

import json
from pathlib import Path

import boms
from commands import mbom

from mbom.bom.format import reading


def test_a_bundle_and_its_bom_are_valid(home: Path, tmp_path: Path) -> None:
    (tmp_path / reading.MEMBER).write_bytes(boms.build())
    for path in (tmp_path, tmp_path / reading.MEMBER):
        done = mbom("bom", "validate", path, home=home)
        assert done.returncode == 0, done.stderr
        assert done.stderr == "valid CycloneDX 1.7\n"
        assert [line.split()[0] for line in done.stdout.splitlines()] == ["advice"]  # the base has no revision


def test_problems_are_printed_with_place_and_id(home: Path, tmp_path: Path) -> None:
    broken = boms.document(boms.build())
    broken["dependencies"] = [{"ref": "no\x1b[2Jbody\nproblem  /x: made up [schema]"}]
    (tmp_path / "bom.json").write_text(json.dumps(broken))
    done = mbom("bom", "validate", tmp_path / "bom.json", home=home)
    assert done.returncode == 1
    assert done.stderr == ""
    lines = [line for line in done.stdout.splitlines() if line.startswith("problem")]
    assert len(lines) == 1
    assert lines[0].startswith("problem  /dependencies/0/ref: ref no")
    assert lines[0].endswith("[reference-dangling]")
    assert "\x1b" not in done.stdout


def test_json_says_the_same(home: Path, tmp_path: Path) -> None:
    (tmp_path / "bom.json").write_bytes(b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": NaN}')
    done = mbom("bom", "validate", tmp_path / "bom.json", "--json", home=home)
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert not report["valid"]
    assert report["problems"] == [
        {
            "id": "json",
            "severity": "problem",
            "pointer": "",
            "detail": f"{tmp_path}/bom.json: NaN is not JSON",
        }
    ]


def test_nothing_there_could_not_be_checked(home: Path, tmp_path: Path) -> None:
    done = mbom("bom", "validate", tmp_path / "nothing", home=home)
    assert done.returncode == 3
    assert "no such bundle or BOM" in done.stderr
