"""`mbom bom export` as a user runs it."""

import json
from pathlib import Path

import boms
import pytest
from commands import mbom

from mbom.bom.format import reading
from mbom.bom.spdx import export_spdx


def test_a_bundle_becomes_1_6_which_is_valid(home: Path, tmp_path: Path) -> None:
    document = boms.document(boms.build())
    document["metadata"]["distributionConstraints"] = {"tlp": "CLEAR"}  # type: ignore[index,call-overload]
    (tmp_path / reading.MEMBER).write_text(json.dumps(document))
    output = tmp_path / "old.cdx.json"
    done = mbom("bom", "export", "--spec", "1.6", tmp_path, "-o", output, home=home)
    assert (done.returncode, done.stdout) == (0, f"{output}\n"), done.stderr
    assert done.stderr == "  dropped    /citations (1)\n  dropped    /metadata/distributionConstraints (1)\n"
    assert json.loads(output.read_bytes())["specVersion"] == "1.6"
    again = mbom("bom", "validate", output, home=home)
    assert again.returncode == 0, again.stdout


def test_a_bundle_becomes_spdx(home: Path, tmp_path: Path) -> None:
    data = boms.build()
    (tmp_path / reading.MEMBER).write_bytes(data)
    output = tmp_path / "model.spdx.json"
    done = mbom("bom", "export", "--spdx", tmp_path, "-o", output, home=home)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{output}\n", "")
    assert output.read_bytes() == export_spdx(boms.document(data), data)


def test_a_file_that_is_there_stays_unless_it_is_to_be_replaced(home: Path, tmp_path: Path) -> None:
    member = tmp_path / reading.MEMBER
    member.write_bytes(boms.build())
    done = mbom("bom", "export", "--spec", "1.6", tmp_path, "-o", member, home=home)
    assert (done.returncode, done.stdout) == (2, "")
    assert "exists; give another path with -o, or --force to replace it" in done.stderr
    assert member.read_bytes() == boms.build()
    done = mbom("bom", "export", "--spec", "1.6", tmp_path, "-o", member, "--force", home=home)
    assert done.returncode == 0, done.stderr
    assert json.loads(member.read_bytes())["specVersion"] == "1.6"


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["bom.json"], 2, "Missing option '-o'"),
        (["bom.json", "-o", "out.json"], 2, "give --spec 1.6 or --spdx"),
        (["bom.json", "-o", "out.json", "--spec", "1.6", "--spdx"], 2, "give --spec 1.6 or --spdx"),
        (["plain.json", "-o", "out.json", "--spdx"], 1, "the BOM has no metadata.timestamp"),
        (["bom.json", "-o", "out.json", "--spec", "1.5"], 2, "'1.5' is not '1.6'"),
        (["nothing", "-o", "out.json", "--spec", "1.6"], 3, "no such bundle or BOM"),
        (["old.json", "-o", "out.json", "--spec", "1.6"], 1, "only 1.7 becomes 1.6"),
        (["bom.json", "-o", "no/such/out.json", "--spec", "1.6"], 3, "No such file or directory"),
    ],
)
def test_what_cannot_be_done_is_said(
    home: Path, tmp_path: Path, arguments: list[str], status: int, sentence: str
) -> None:
    (tmp_path / "bom.json").write_bytes(boms.build())
    (tmp_path / "old.json").write_bytes(boms.build(spec="1.6"))
    (tmp_path / "plain.json").write_text('{"bomFormat": "CycloneDX", "specVersion": "1.5"}')
    paths = [f"{tmp_path}/{name}" if name.endswith(("json", "nothing")) else name for name in arguments]
    done = mbom("bom", "export", *paths, home=home)
    assert done.returncode == status
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
