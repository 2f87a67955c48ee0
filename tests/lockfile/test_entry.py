"""From a verified bundle to an entry: the bytes that were verified, and what they say, however odd."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from attesting import Scene
from lockfiles import PINNED, but, lock

from mbom import bundle
from mbom.dossier import read_bundle
from mbom.errors import ChangedError, FormatError, RefusedError, UsageError
from mbom.lockfile import Entry, Lock
from mbom.lockfile.entry import LIST_LIMIT
from mbom.lockfile.locking import entry_of, facts_of, put
from mbom.signing import Signatory
from mbom.source import Origin
from mbom.strictjson import Json
from mbom.verdict import Verdict

TODAY = date(2026, 11, 21)


def entry(scene: Scene, verdict: Verdict, name: str | None = "tiny", folder: Path | None = None) -> Entry:
    return entry_of(scene.bundle, verdict, name=name, folder=folder or scene.root, today=TODAY)


def test_a_verdict_says_which_bytes_it_is_of_and_who_signed_them(scene: Scene) -> None:
    verdict = scene.verify()
    assert verdict.bundle_digest == bundle.digest(bundle.read(scene.bundle)) == read_bundle(scene.bundle).bundle_digest
    assert verdict.signer == Signatory(key=scene.signer.public_key.fingerprint)
    assert verdict.passed == tuple(check.id for check in verdict.checks if check.outcome == "PASS")
    held = entry(scene, verdict)
    assert (held.bundle_digest, held.signer, held.checked, held.date) == (
        verdict.bundle_digest, verdict.signer, verdict.passed, TODAY,
    )  # fmt: skip


def test_of_a_bundle_that_is_not_signed_by_the_trusted_one_nobody_is_the_signer(scene: Scene) -> None:
    scene.edit_member(bundle.ATTESTATION, lambda data: data.replace(b'"sig": "', b'"sig": "A', 1) + b" ")
    verdict = scene.verify()
    assert verdict.outcome == "refused"
    with pytest.raises(RefusedError, match="only a verified bundle is locked"):
        entry(scene, verdict)


def test_a_bundle_that_was_swapped_after_its_verification_is_not_locked(scene: Scene) -> None:
    verdict = scene.verify()
    scene.attest_again()  # by the same signer, of the same files: only the signatures are others
    with pytest.raises(ChangedError, match="not the bundle any more that was verified"):
        entry(scene, verdict)


def test_a_bundle_of_a_swapped_folder_is_where_it_really_lies(scene: Scene, tmp_path: Path) -> None:
    verdict = scene.verify()
    (scene.root / "link.mbom").symlink_to(scene.bundle)
    held = entry_of(scene.root / "link.mbom", verdict, name="tiny", folder=scene.root, today=TODAY)
    assert held.bundle == "tiny.mbom"
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(UsageError, match="lies outside"):
        entry(scene, verdict, folder=tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="lies outside"):
        entry_of(scene.bundle, verdict, name="tiny", folder=scene.bundle, today=TODAY)


def test_a_path_that_no_lock_file_can_hold_is_refused(scene: Scene) -> None:
    verdict = scene.verify()
    moved = scene.bundle.rename(scene.root / "tiny\n.mbom")
    with pytest.raises(UsageError, match="control"):
        entry_of(moved, verdict, name="tiny", folder=scene.root, today=TODAY)


def test_a_name_that_is_none_is_refused(scene: Scene) -> None:
    verdict = scene.verify()
    for name in ("with space", "naïve", ".hidden", "a/b/c", "a/b--c", "x" * 201):
        with pytest.raises(UsageError, match="cannot be the name of a model"):
            entry(scene, verdict, name)
    assert entry(scene, verdict, "a/b").name == "a/b"  # a folder may be called as its makers will publish it


def document(*licences: str, restrictions: tuple[str, ...] = ()) -> Json:
    told: list[Json] = [{"license": {"name": item, "acknowledgement": "declared"}} for item in licences]
    properties: list[Json] = [{"name": "mbom:licence:restriction", "value": item} for item in restrictions]
    return {"metadata": {"component": {"type": "machine-learning-model", "licenses": told, "properties": properties}}}


def test_whatever_a_card_calls_its_licence_can_be_locked_and_read(scene: Scene) -> None:
    dossier = replace(
        read_bundle(scene.bundle),
        document=document("b\x1b[2J", "a \u202e", 'c"\\\n[[model]]', "x" * 9000, restrictions=("\u202eevil", "odd")),
    )
    found = facts_of(dossier)
    assert found.licence[:3] == ("a \\u202e", "b\\x1b[2J", 'c"\\\\n[[model]]')
    assert len(found.licence[3]) == 2048
    assert found.restrictions == ("unknown",)
    held = lock(but(licence=found.licence, restrictions=found.restrictions))
    assert Lock.from_bytes(held.to_bytes()) == held


def test_endless_licences_are_refused(scene: Scene) -> None:
    dossier = replace(read_bundle(scene.bundle), document=document(*(f"l{n}" for n in range(LIST_LIMIT + 1))))
    with pytest.raises(FormatError, match="101 licences"):
        facts_of(dossier)


def test_the_same_commit_with_other_files_takes_force() -> None:
    other = but(digest="9e" * 32, bundle_digest="9f" * 32)
    with pytest.raises(RefusedError, match=r"changed in place: openai/gpt-oss-20b@6c6c.*--force-same-revision"):
        put(lock(PINNED), other, force_same_revision=False)
    assert put(lock(PINNED), other, force_same_revision=True) == lock(other)
    assert put(lock(PINNED), but(date=TODAY), force_same_revision=False) == lock(but(date=TODAY))


def test_an_inventory_of_a_repository_that_is_none_is_never_written(scene: Scene) -> None:
    held = read_bundle(scene.bundle)
    odd = replace(held.inventory, origin=Origin(kind="hub", name="x", repo="../x\n", revision="a" * 40))
    facts = facts_of(replace(held, inventory=odd))
    with pytest.raises(FormatError):
        Lock.from_bytes(lock(but(name="x", repo=facts.repo, revision=facts.revision)).to_bytes())
