"""`mbom report`: one file, for those who decide."""

import shutil
from pathlib import Path

import pytest
import reports
from attesting import CREATED
from commands import mbom

from mbom.attest import attest
from mbom.cli import run
from mbom.source import FolderSource

BUNDLE = reports.BUNDLE
KEY = BUNDLE.parent / "release.pub"
CHECKPOINT = BUNDLE.parent.parent.parent / "tiny-gpt-oss"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, in the home of somebody without a key."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795000000")
    held = tmp_path / "work"
    held.mkdir()
    monkeypatch.chdir(held)
    return held


def test_the_page_is_named_after_the_bundle_and_says_that_nothing_was_verified(folder: Path) -> None:
    assert run(["report", str(BUNDLE)]) == 0
    assert [path.name for path in folder.iterdir()] == ["tiny-gpt-oss.html"]
    assert "Nothing was verified" in Path("tiny-gpt-oss.html").read_text()


def test_with_somebody_to_trust_the_verdict_is_that_of_verify(folder: Path, tmp_path: Path) -> None:
    arguments = ["report", str(BUNDLE), "--key", str(KEY), "--checkpoint"]
    assert run([*arguments, str(CHECKPOINT), "-o", "good.html"]) == 0
    good = (folder / "good.html").read_text()
    assert '<p class="banner-title">Verified</p>' in good
    assert "Checked at 2026-11-18T11:06:40Z." in good
    copy = shutil.copytree(CHECKPOINT, tmp_path / "copy")
    (copy / "config.json").write_text("{}")
    assert run([*arguments, str(copy), "-o", "bad.html"]) == 1
    bad = (folder / "bad.html").read_text()
    assert '<p class="banner-title">Refused</p>' in bad
    assert "config.json" in bad


def test_a_wrong_key_is_a_refusal_on_the_page_and_in_the_status(folder: Path) -> None:
    other = BUNDLE.parent.parent / "v1" / "release.pub"
    assert other.read_bytes() != KEY.read_bytes()
    assert run(["report", str(BUNDLE), "--key", str(other), "-o", "-"]) == 1
    assert list(folder.iterdir()) == []


def test_a_checkpoint_without_somebody_to_trust_is_wrong_usage(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", str(BUNDLE), "--checkpoint", str(CHECKPOINT)]) == 2
    assert "--checkpoint takes somebody to trust: give the signer's public key with --key" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_a_checkpoint_has_no_signature_to_trust(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(BUNDLE), str(CHECKPOINT), "--key", str(KEY)]) == 2
    assert "is no bundle, so nothing of it is signed" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_a_checkpoint_may_stand_beside_a_bundle(folder: Path) -> None:
    assert run(["report", str(BUNDLE), str(CHECKPOINT), "-q"]) == 0
    assert "The same files." in (folder / "tiny-gpt-oss-to-tiny-gpt-oss.html").read_text()


def test_a_file_that_is_there_stays(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = folder / "tiny-gpt-oss.html"
    there.write_text("mine")
    assert run(["report", str(BUNDLE)]) == 2
    assert "tiny-gpt-oss.html exists; give another path with -o, or --force to replace it" in capsys.readouterr().err
    assert there.read_text() == "mine"
    assert run(["report", str(BUNDLE), "--force"]) == 0
    assert there.read_text() != "mine"


def test_what_changed_between_two_bundles(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(CHECKPOINT, tmp_path / "newer")
    (copy / "LICENSE").unlink()
    attest(FolderSource(copy), tmp_path / "newer.mbom", created=CREATED, signer=None, measure=None)
    assert run(["report", str(BUNDLE), str(tmp_path / "newer.mbom"), "-q"]) == 0
    (written,) = folder.iterdir()
    assert written.name == "tiny-gpt-oss-to-newer.html"
    text = written.read_text()
    assert "Different: 1 file of 14" in text
    assert "detected in LICENSE" in text


def test_the_summary_goes_to_standard_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(BUNDLE), str(BUNDLE), "--markdown", "-o", "-"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("## What changed: tiny-gpt-oss\n")
    assert "The same files." in printed.out
    assert printed.err == ""
    assert list(folder.iterdir()) == []
    assert run(["report", str(BUNDLE), "--markdown"]) == 0
    assert [path.name for path in folder.iterdir()] == ["tiny-gpt-oss.md"]


def test_the_same_bundle_gives_the_same_bytes_in_every_process(home: Path, tmp_path: Path) -> None:
    pages = set()
    for seed in ("0", "1"):
        out = tmp_path / f"{seed}.html"
        ran = mbom("report", BUNDLE, "-o", out, home=home, env={"PYTHONHASHSEED": seed})
        assert ran.returncode == 0, ran.stderr
        pages.add(out.read_bytes())
    assert len(pages) == 1


def test_no_bundle_is_no_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "none.mbom"]) == 3
    assert "no such bundle" in capsys.readouterr().err
    assert list(folder.iterdir()) == []
