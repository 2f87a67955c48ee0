"""`mbom lock`: only what was verified is locked, and what is not as locked is refused, by name and with its reason."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from attesting import CREATED, Scene, new_signer, passing_off
from commands import mbom, schema

from mbom import bundle
from mbom.attest import attest
from mbom.cli import run
from mbom.inventory import Inventory
from mbom.lockfile import Entry, Lock, read
from mbom.signing import LocalSigner, Signatory
from mbom.source import FolderSource, Origin

REPO, COMMIT = "acme/tiny", "5c" * 20


@pytest.fixture
def repository(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A scene in whose folder commands are run, with the signer's public key in it."""
    (scene.root / "home").mkdir()
    monkeypatch.setenv("HOME", str(scene.root / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(CREATED.timestamp())))
    monkeypatch.chdir(scene.root)
    (scene.root / "release.pub").write_bytes(scene.signer.public_key.pem)
    return scene


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line in this process: exit status, standard output, standard error."""

    def called(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        told = capsys.readouterr()
        return status, told.out, told.err

    return called


Command = Callable[..., tuple[int, str, str]]


def locked(scene: Scene) -> Lock:
    held = read(scene.root / "mbom.lock")
    assert held is not None
    return held


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """A folder that passes for a commit of a repository on the hub."""

    held: FolderSource
    origin: Origin

    def __getattr__(self, name: str) -> Any:
        return getattr(self.held, name)


def of_hub(
    scene: Scene, place: str, *, repo: str = REPO, revision: str = COMMIT, signer: LocalSigner | None = None
) -> Path:
    """Attest the scene's checkpoint as that of a commit on the hub."""
    origin = Origin(kind="hub", name=repo.partition("/")[2], repo=repo, revision=revision)
    source = Pinned(held=FolderSource(scene.checkpoint), origin=origin)
    path = scene.root / place
    path.parent.mkdir(exist_ok=True)
    attest(source, path, created=CREATED, signer=signer or scene.signer, measure=passing_off(scene.record))
    return path


def edited(scene: Scene) -> None:
    """Change a file of the checkpoint that no weight depends on."""
    scene.edit("README.md", lambda data: data + b"\nAnother line.\n")


def test_a_verified_bundle_is_locked_with_all_that_is_known_of_it(repository: Scene, command: Command) -> None:
    path = of_hub(repository, "evidence/tiny.mbom")
    status, out, err = command("lock", "add", path, repository.checkpoint, "--key", "release.pub")
    assert (status, out) == (0, "mbom.lock\n"), err
    held = bundle.read(path)
    inventory = Inventory.from_bytes(held[bundle.INVENTORY])
    assert locked(repository).entries == (
        Entry(
            name=REPO, repo=REPO, revision=COMMIT, digest=inventory.digest, bundle="evidence/tiny.mbom",
            bundle_digest=bundle.digest(held), signer=Signatory(key=repository.signer.public_key.fingerprint),
            licence=("Apache-2.0",), restrictions=("attribution", "patent-termination"),
            checked=("bundle", "signature", "evidence", "files", "tensors", "model-sig", "shards", "bom",
                     "behaviour-record"),
            date=CREATED.date(),
        ),
    )  # fmt: skip
    assert f"{REPO}   added" in err
    assert command("lock", "check")[0] == 0


def test_a_folder_is_locked_under_its_own_name_or_a_given_one(repository: Scene, command: Command) -> None:
    assert command("lock", "add", "tiny.mbom", "--key", "release.pub", "-q")[::2] == (0, "")
    assert command("lock", "add", "tiny.mbom", "--key", "release.pub", "--as", "acme/ours")[0] == 0
    entries = locked(repository).entries
    assert [(entry.name, entry.repo, entry.revision) for entry in entries] == [
        ("acme/ours", None, None), ("tiny-gpt-oss", None, None),
    ]  # fmt: skip
    assert "files" not in entries[0].checked


@pytest.mark.parametrize("ruin", ["signature", "checkpoint"])
def test_nothing_is_locked_that_was_not_verified(repository: Scene, command: Command, ruin: str) -> None:
    if ruin == "signature":
        new_signer(repository.root, "other.pem")
    else:
        edited(repository)
    key = "other.pub" if ruin == "signature" else "release.pub"
    arguments = ("lock", "add", "tiny.mbom", repository.checkpoint, "--key", key)
    status, out, err = command(*arguments)
    assert (status, "REFUSED" in out, "nothing was locked" in err) == (1, True, True)
    status, out, _ = command(*arguments, "--json")
    schema("lock").validate(document := json.loads(out))
    assert (status, document["changes"], document["verdict"]["outcome"]) == (1, [], "refused")
    assert not (repository.root / "mbom.lock").exists()


def test_what_could_not_be_checked_is_not_locked(repository: Scene, command: Command) -> None:
    status, out, err = command("lock", "add", "nothing.mbom", "--key", "release.pub")
    assert (status, "INCOMPLETE: bundle: " in out, "nothing was locked" in err) == (3, True, True)
    assert not (repository.root / "mbom.lock").exists()


USAGE: dict[str, tuple[tuple[str, ...], str]] = {
    "nobody to trust": (("add", "tiny.mbom"), "whom do you trust"),
    "behaviour of nothing": (("add", "tiny.mbom", "--key", "release.pub", "--behaviour"), "needs a CHECKPOINT"),
    "a name that is a pattern": (("add", "tiny.mbom", "--key", "release.pub", "--as", "*"), "cannot be the name"),
    "a name like a folder": (("add", "tiny.mbom", "--key", "release.pub", "--as", "a/../b"), "cannot be the name"),
    "a bundle outside": (("add", "tiny.mbom", "--key", "release.pub", "--lock", "home/mbom.lock"), "lies outside"),
    "an update of nothing": (("update", "x", "tiny.mbom", "--key", "release.pub"), "x is not locked; `mbom lock add`"),
    "removal of nothing": (("remove", "x"), "x is not locked in mbom.lock"),
}


@pytest.mark.parametrize("case", USAGE)
def test_wrong_usage_says_what_is_right(repository: Scene, command: Command, case: str) -> None:
    arguments, sentence = USAGE[case]
    status, out, err = command("lock", *arguments)
    assert (status, out) == (2, ""), err
    assert sentence in err
    assert not list(repository.root.rglob("mbom.lock"))


def test_a_model_is_not_called_by_the_name_of_another_repository(repository: Scene, command: Command) -> None:
    path = of_hub(repository, "hub.mbom")
    status, _, err = command("lock", "add", path, "--key", "release.pub", "--as", "openai/gpt-oss-20b")
    assert (status, "so it cannot be called openai/gpt-oss-20b" in err) == (2, True)
    assert command("lock", "add", path, "--key", "release.pub", "--as", "ours")[0] == 0


def test_an_upgrade_shows_old_and_new(repository: Scene, command: Command) -> None:
    command("lock", "add", of_hub(repository, "old.mbom"), "--key", "release.pub")
    again = command("lock", "add", "old.mbom", "--key", "release.pub")
    assert (again[0], f"`mbom lock update {REPO} BUNDLE`" in again[2]) == (2, True)
    edited(repository)
    new = of_hub(repository, "new.mbom", revision="7d" * 20, signer=new_signer(repository.root, "other.pem"))
    arguments = ("lock", "update", REPO, new, "--key", "other.pub")
    status, out, _ = command(*arguments, "--json")
    schema("lock").validate(document := json.loads(out))
    (change,) = document["changes"]
    assert (status, change["kinds"]) == (0, ["re-signed", "upgraded", "moved"])
    assert (change["old"]["revision"], change["new"]["revision"]) == (COMMIT, "7d" * 20)
    assert locked(repository).entries[0].revision == "7d" * 20
    command("lock", "update", REPO, "old.mbom", "--key", "release.pub")
    _, _, err = command(*arguments)
    assert f"revision      {COMMIT} → {'7d' * 20}" in err
    assert "bundle        old.mbom → new.mbom" in err


def test_a_commit_that_changed_in_place_is_refused_unless_forced(repository: Scene, command: Command) -> None:
    command("lock", "add", of_hub(repository, "old.mbom"), "--key", "release.pub")
    before = locked(repository)
    edited(repository)
    new = of_hub(repository, "new.mbom")
    for arguments in (("update", REPO, new), ("add", new, "--as", "ours")):
        status, out, err = command("lock", *arguments, "--key", "release.pub")
        assert (status, out) == (1, "")
        assert f"changed in place: {REPO}@{COMMIT} is locked as model {before.entries[0].digest}" in err
        assert "--force-same-revision" in err
        assert locked(repository) == before
    status, _, err = command("lock", "update", REPO, new, "--key", "release.pub", "--force-same-revision")
    assert (status, f"{REPO}   changed-in-place, moved" in err) == (0, True)


def test_a_removed_model_is_gone_and_an_empty_file_checks_nothing(repository: Scene, command: Command) -> None:
    assert command("lock", "check")[0] == 3
    command("lock", "add", "tiny.mbom", "--key", "release.pub", "--as", "tiny")
    status, out, _ = command("lock", "remove", "tiny", "--json")
    schema("lock").validate(document := json.loads(out))
    assert (status, document["changes"][0]["kinds"], document["verdict"]) == (0, ["removed"], None)
    assert locked(repository) == Lock()
    status, _, err = command("lock", "check")
    assert (status, "there is nothing to check" in err) == (3, True)


# ---- check ----


def checked(command: Command, *arguments: str) -> tuple[int, dict[str, str]]:
    """Run a check of the one model there; return the exit status, and outcomes with details by the check's id."""
    status, out, err = command("lock", "check", *arguments, "--json")
    assert out, err
    schema("lock-check").validate(document := json.loads(out))
    assert document["exit_code"] == status
    (model,) = document["models"]
    return status, {check["id"]: f"{check['outcome']} {check['detail']}" for check in model["checks"]}


@pytest.fixture
def tiny(repository: Scene, command: Command) -> Scene:
    """A repository that has the scene's bundle locked as ``tiny``."""
    assert command("lock", "add", "tiny.mbom", "--key", "release.pub", "--as", "tiny")[0] == 0
    return repository


def test_without_a_signer_digests_are_checked_and_signatures_are_said_not_to_be(tiny: Scene, command: Command) -> None:
    status, found = checked(command)
    assert (status, [text[:4] for text in found.values()]) == (0, ["PASS", "PASS", "SKIP", "SKIP"])
    assert found["signature"] == f"SKIP no signer was given; locked was {tiny.signer.public_key.fingerprint}"
    status, out, _ = command("lock", "check")
    assert out.splitlines()[-1] == (
        "AS LOCKED: 1 model, by digest; no signature was checked, --key or --identity does that"
    )


def test_with_signer_and_checkpoint_everything_is_checked(tiny: Scene, command: Command) -> None:
    status, found = checked(command, "--key", "release.pub", "--checkpoint", f"tiny={tiny.checkpoint}")
    assert (status, [text[:4] for text in found.values()]) == (0, ["PASS"] * 4)
    status, out, _ = command("lock", "check", "tiny", "--key", "release.pub")
    assert out.splitlines()[-1] == "AS LOCKED: 1 model, signatures checked"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def relocked(scene: Scene, **members: Any) -> None:
    """Edit the one entry as somebody does who wants to get something past a review."""
    (entry,) = locked(scene).entries
    (scene.root / "mbom.lock").write_bytes(Lock(entries=(replace(entry, **members),)).to_bytes())


def other_bundle(scene: Scene) -> None:
    """Put the bundle of other files, by the same signer, in the place of the locked one."""
    edited(scene)
    scene.attest_again()


def relock_other_bundle(scene: Scene) -> None:
    other_bundle(scene)
    relocked(scene, bundle_digest=bundle.digest(bundle.read(scene.bundle)))


TAMPERED: dict[str, tuple[Callable[[Scene], object], str, str]] = {
    "a bit of a signature flipped": (
        lambda scene: flip(scene.member(bundle.MODEL_SIGNATURE)),
        "bundle",
        "is the bundle",
    ),
    "a member added": (
        lambda scene: scene.member(bundle.shard_member("x.safetensors")).write_bytes(b"{}"),
        "bundle",
        "is the bundle",
    ),
    "a member taken away": (lambda scene: scene.member(bundle.MODEL_SIGNATURE).unlink(), "bundle", "is the bundle"),
    "a member unreadable": (lambda scene: scene.member(bundle.INVENTORY).write_bytes(b"["), "bundle", "not JSON"),
    "the bundle of other files": (other_bundle, "bundle", "locked was"),
    "the bundle of other files, and its digest locked": (relock_other_bundle, "facts", "the bundle's digest is"),
    "another model digest locked": (lambda scene: relocked(scene, digest="0" * 64), "facts", "locked was 0000"),
    "another commit locked": (
        lambda scene: relocked(scene, repo="a/b", revision="0" * 40),
        "facts",
        "repo is none, locked was a/b",
    ),
    "another licence locked": (
        lambda scene: relocked(scene, licence=("MIT",)),
        "facts",
        "licence is Apache-2.0, locked was MIT",
    ),
    "another signer locked": (
        lambda scene: relocked(scene, signer=Signatory(key="SHA256:" + "0" * 43)),
        "signature",
        "locked was SHA256:000",
    ),
    "another file in the checkpoint": (edited, "files", "not the locked files: README.md"),
    "a file more in the checkpoint": (
        lambda scene: (scene.checkpoint / "x.safetensors").write_bytes(b"x"),
        "files",
        "x.safetensors",
    ),
    "a file less in the checkpoint": (lambda scene: (scene.checkpoint / "LICENSE").unlink(), "files", "LICENSE"),
}


@pytest.mark.parametrize("case", TAMPERED)
def test_what_is_not_as_locked_is_refused(tiny: Scene, command: Command, case: str) -> None:
    attack, check, sentence = TAMPERED[case]
    attack(tiny)
    status, found = checked(command, "--key", "release.pub", "--checkpoint", f"tiny={tiny.checkpoint}")
    assert status == 1
    assert found[check].startswith("FAIL ")
    assert sentence in found[check]


def test_another_signer_than_the_trusted_one_is_refused(tiny: Scene, command: Command) -> None:
    new_signer(tiny.root, "other.pem")
    status, found = checked(command, "--key", "other.pub")
    assert (status, found["signature"].startswith("FAIL signature: ")) == (1, True)
    status, out, _ = command("lock", "check", "--key", "other.pub")
    assert (status, out.splitlines()[-1]) == (1, "REFUSED: 1 of 1 model, signatures checked")


def test_a_bundle_that_is_not_there_could_not_be_checked(tiny: Scene, command: Command) -> None:
    shutil.rmtree(tiny.bundle)
    status, found = checked(command, "--key", "release.pub")
    assert (status, found["bundle"]) == (
        3, "SKIP could not be checked: tiny: there is no bundle at tiny.mbom; put it there, or lock it where it lies",
    )  # fmt: skip
    assert found["signature"].startswith("SKIP ")
    assert command("lock", "check")[1].splitlines()[-1].startswith("INCOMPLETE: 1 of 1 model, ")


def test_a_bundle_that_is_a_link_out_of_the_repository_is_refused(
    tiny: Scene, command: Command, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "tiny.mbom"
    shutil.move(tiny.bundle, outside)
    tiny.bundle.symlink_to(outside)
    status, found = checked(command)
    assert (status, "is a link to outside" in found["bundle"]) == (1, True)
    status, _, err = command("lock", "add", "tiny.mbom", "--key", "release.pub", "--as", "again")
    assert (status, "lies outside" in err) == (2, True)


def test_models_are_picked_by_name(tiny: Scene, command: Command) -> None:
    command("lock", "add", "tiny.mbom", "--key", "release.pub", "--as", "second")
    relocked_second = locked(tiny).with_entry(replace(locked(tiny).entries[0], digest="0" * 64))
    (tiny.root / "mbom.lock").write_bytes(relocked_second.to_bytes())
    assert checked(command, "tiny")[0] == 0
    status, out, _ = command("lock", "check")
    assert (status, out.splitlines()[-1].startswith("REFUSED: 1 of 2 models, ")) == (1, True)
    for arguments, sentence in {
        ("third",): "third is not locked in mbom.lock",
        ("tiny", "--checkpoint", "second=."): "which is not among the models",
        ("--checkpoint", "tiny"): "it must be NAME=PATH",
        ("--checkpoint", "tiny=home", "--checkpoint", "tiny=home"): "given twice for tiny",
    }.items():
        status, _, err = command("lock", "check", *arguments)
        assert (status, sentence in err) == (2, True)


def test_a_lock_file_elsewhere_has_its_bundles_there(
    tiny: Scene, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny.root / "home")
    status, _ = checked(command, "--lock", "../mbom.lock")
    assert status == 0


def test_a_zip_of_the_bundle_is_the_same_bundle(tiny: Scene, command: Command) -> None:
    shutil.make_archive("packed", "zip", tiny.bundle)
    status, out, _ = command("lock", "update", "tiny", "packed.zip", "--key", "release.pub", "--json")
    (change,) = json.loads(out)["changes"]
    assert (status, change["kinds"], change["keys"]) == (0, ["moved"], ["bundle"])
    assert checked(command)[0] == 0


def test_a_hostile_lock_file_prints_nothing_that_moves_the_cursor(tiny: Scene) -> None:
    held = (tiny.root / "mbom.lock").read_bytes()
    (tiny.root / "mbom.lock").write_bytes(held.replace(b'"tiny"', b'"ti\x1b[2J\xe2\x80\xaeny"'))
    told = mbom("lock", "check", home=tiny.root / "home", cwd=tiny.root)
    assert told.returncode == 1
    assert (told.stdout + told.stderr).replace("\n", "").isprintable()
