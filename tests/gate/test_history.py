"""What commits hold is read as objects: nothing of it runs, nothing is followed, and limits hold."""

import os
import zipfile
from pathlib import Path

import pytest
from gitrepos import GitRepo, make

from mbom import bundle
from mbom.errors import FormatError, SourceError, UnavailableError, UsageError
from mbom.gate import history
from mbom.gate.history import LFS_POINTER, Repository

BUNDLE = Path(__file__).parents[2] / "fixtures" / "bundles" / "v1"


def old_bundle() -> Path:
    """Return a bundle that is kept for ever."""
    return next(path.parent for path in sorted(BUNDLE.rglob(bundle.ATTESTATION)))


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    return make(tmp_path / "repo")


def opened(repo: GitRepo) -> Repository:
    return Repository.open(repo.root)


def put(repo: GitRepo, name: str, data: bytes = b"text\n") -> None:
    path = repo.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def put_bundle(repo: GitRepo, name: str = "models/tiny.mbom") -> dict[str, bytes]:
    members = bundle.read(old_bundle())
    for member, data in members.items():
        put(repo, f"{name}/{member}", data)
    return members


def test_a_ref_is_a_commit_and_nothing_else(repo: GitRepo) -> None:
    put(repo, "a")
    first = repo.commit()
    assert opened(repo).resolve("main") == first
    assert opened(repo).resolve(first[:10]) == first
    for wrong in ("nothing", "--all", "-h", "main:a", "", "a\nb", "x" * 2000, "HEAD~7", "--output=/tmp/x"):
        with pytest.raises((SourceError, UsageError)):
            opened(repo).resolve(wrong)


def test_a_branch_that_is_called_like_an_option_is_resolved(repo: GitRepo) -> None:
    first = repo.commit()
    repo.git("update-ref", "refs/heads/--upload-pack=x", first)
    assert opened(repo).resolve("--upload-pack=x") == first


def test_a_file_is_that_of_the_commit_whatever_lies_in_the_working_tree(repo: GitRepo) -> None:
    put(repo, "mbom.lock", b"first\n")
    first = repo.commit()
    put(repo, "mbom.lock", b"second\n")
    second = repo.commit()
    put(repo, "mbom.lock", b"third\n")
    history = opened(repo)
    assert [history.read(commit, "mbom.lock", limit=100) for commit in (first, second)] == [b"first\n", b"second\n"]
    assert history.read(first, "other", limit=100) is None
    assert history.read(first, "mbom.lock/below", limit=100) is None


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../b", "", "a//b", "a\nb", ":(glob)*", ".git/config"])
def test_a_path_means_one_file_of_the_commit(repo: GitRepo, path: str) -> None:
    put(repo, "a")
    first = repo.commit()
    try:
        assert opened(repo).read(first, path, limit=100) is None
    except FormatError as error:
        assert "file name" in str(error)  # noqa: PT017  # either answer is one


def test_links_folders_and_large_files_are_refused(repo: GitRepo) -> None:
    (repo.root / "link").symlink_to("/etc/passwd")
    put(repo, "folder/file")
    put(repo, "large", b"x" * 101)
    first = repo.commit()
    for path, why in (("link", "a link"), ("folder", "a folder"), ("large", "the limit is 100")):
        with pytest.raises(FormatError, match=why):
            opened(repo).read(first, path, limit=100)


def test_filters_hooks_and_attributes_of_a_commit_are_not_obeyed(repo: GitRepo, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    put(repo, ".gitattributes", b"* filter=evil diff=evil text eol=crlf\n")
    put(repo, "mbom.lock", b"text\n")
    first = repo.commit()
    for key in ("filter.evil.smudge", "diff.evil.textconv", "diff.evil.command", "core.fsmonitor", "core.pager"):
        repo.git("config", key, f"touch {trace}")
    assert opened(repo).read(first, "mbom.lock", limit=100) == b"text\n"
    assert not trace.exists()


def test_the_callers_git_variables_point_nowhere_else(
    repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(repo, "a", b"mine\n")
    first = repo.commit()
    monkeypatch.setenv("GIT_DIR", str(make(tmp_path / "other").root / ".git"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path))
    assert Repository.open(repo.root).read(first, "a", limit=10) == b"mine\n"


def test_a_replaced_object_is_read_as_it_was(repo: GitRepo) -> None:
    put(repo, "a", b"honest\n")
    first = repo.commit()
    other = repo.git("hash-object", "-w", "--stdin", data=b"forged\n")
    repo.git("replace", repo.git("rev-parse", f"{first}:a"), other)
    assert opened(repo).read(first, "a", limit=10) == b"honest\n"


def test_a_repository_inside_a_commit_is_not_taken_for_the_one_that_is_meant(repo: GitRepo, tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    make(inner)
    bare = repo.root / "bare"
    bare.mkdir()
    for name in ("HEAD", "config"):
        (bare / name).write_bytes((inner / ".git" / name).read_bytes())
    (bare / "config").write_text("[core]\n\tbare = true\n\tfsmonitor = touch ran\n")
    for name in ("objects", "refs"):
        (bare / name).mkdir()
    repo.commit()
    with pytest.raises(UsageError):
        Repository.open(bare)


def test_a_bundle_is_copied_member_by_member(repo: GitRepo, tmp_path: Path) -> None:
    members = put_bundle(repo)
    first = repo.commit()
    repo.git("rm", "-r", "--quiet", "models")
    repo.commit()
    copy = opened(repo).bundle(first, "models/tiny.mbom", tmp_path)
    assert copy is not None
    assert copy.name == "tiny.mbom"
    assert bundle.read(copy) == members
    assert opened(repo).bundle(repo.git("rev-parse", "HEAD"), "models/tiny.mbom", tmp_path) is None


def test_a_zip_is_a_bundle_too(repo: GitRepo, tmp_path: Path) -> None:
    with zipfile.ZipFile(repo.root / "tiny.zip", "w") as archive:
        for member, data in bundle.read(old_bundle()).items():
            archive.writestr(member, data)
    first = repo.commit()
    copy = opened(repo).bundle(first, "tiny.zip", tmp_path)
    assert copy is not None
    assert bundle.read(copy) == bundle.read(old_bundle())


def link(folder: Path) -> None:
    (folder / "bom.cdx.json").symlink_to("/etc/passwd")


def stranger(folder: Path) -> None:
    (folder / "run.sh").write_bytes(b"#!/bin/sh\n")


def inner_folder(folder: Path) -> None:
    (folder / "more").mkdir()
    (folder / "more" / "x").write_bytes(b"x")


def large_signature(folder: Path) -> None:
    (folder / "shards").mkdir()
    (folder / "shards" / "model.safetensors.sigstore.json").write_bytes(b"x" * ((64 << 10) + 1))


HOSTILE = {
    "a link": link,
    "a stranger": stranger,
    "a folder of its own": inner_folder,
    "a shard signature that is too large": large_signature,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_bundle_is_refused_before_it_is_written(repo: GitRepo, tmp_path: Path, name: str) -> None:
    folder = repo.root / "tiny.mbom"
    folder.mkdir()
    HOSTILE[name](folder)
    first = repo.commit()
    (tmp_path / "out").mkdir()
    with pytest.raises(FormatError):
        opened(repo).bundle(first, "tiny.mbom", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_what_large_file_storage_keeps_is_not_at_hand(repo: GitRepo, tmp_path: Path) -> None:
    put_bundle(repo)
    put(repo, "models/tiny.mbom/inventory.json", LFS_POINTER + b"oid sha256:0\nsize 1\n")
    put(repo, "mbom.lock", LFS_POINTER)
    first = repo.commit()
    assert opened(repo).bundle(first, "models/tiny.mbom", tmp_path) is None
    with pytest.raises(FormatError, match="Git LFS"):
        opened(repo).read(first, "mbom.lock", limit=1000)


def test_ids_tell_what_changed(repo: GitRepo) -> None:
    put(repo, "one/a", b"1")
    put(repo, "two/a", b"2")
    first = repo.commit()
    put(repo, "two/a", b"3")
    second = repo.commit()
    before, after = (opened(repo).ids(commit, ["one", "two", "three"]) for commit in (first, second))
    assert before.keys() == {"one", "two"}
    assert [name for name in before if before[name] != after[name]] == ["two"]


def test_a_missing_object_is_no_empty_file(repo: GitRepo) -> None:
    put(repo, "a")
    first = repo.commit()
    found = repo.git("rev-parse", f"{first}:a")
    (repo.root / ".git" / "objects" / found[:2] / found[2:]).unlink()
    with pytest.raises((SourceError, FormatError)):
        opened(repo).read(first, "a", limit=100)


@pytest.mark.parametrize("is_old", [False, True], ids=["git", "git that knows no GIT_NO_LAZY_FETCH"])
def test_no_configuration_of_a_repository_starts_a_program_for_a_missing_object(
    repo: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_old: bool
) -> None:
    """A partial clone would fetch it, by whatever transport and program its configuration names."""
    if is_old:
        monkeypatch.delitem(history._ENVIRONMENT, "GIT_NO_LAZY_FETCH")
    put(repo, "a")
    first = repo.commit()
    found = repo.git("rev-parse", f"{first}:a")
    (repo.root / ".git" / "objects" / found[:2] / found[2:]).unlink()
    started = tmp_path / "started"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{started}'\n", encoding="utf-8")
    program.chmod(0o755)
    for name, value in (
        ("core.repositoryFormatVersion", "1"),
        ("extensions.partialClone", "origin"),
        ("protocol.file.allow", "always"),
        ("protocol.ext.allow", "always"),
        ("remote.origin.url", f"ext::{program}"),
        ("remote.origin.promisor", "true"),
    ):
        repo.git("config", name, value)
    with pytest.raises((SourceError, FormatError)):
        opened(repo).read(first, "a", limit=100)
    assert not started.exists()


def test_a_path_below_another_one_hides_neither(repo: GitRepo) -> None:
    put(repo, "one/a", b"1")
    first = repo.commit()
    put(repo, "one/b", b"2")
    second = repo.commit()
    before, after = (opened(repo).ids(commit, ["one", "one/a"]) for commit in (first, second))
    assert before.keys() == after.keys() == {"one", "one/a"}
    assert before["one"] != after["one"]
    assert before["one/a"] == after["one/a"]


def test_a_folder_outside_of_git_and_a_machine_without_git_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="no git repository"):
        Repository.open(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnavailableError, match="git is not on the PATH"):
        Repository.open(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_somebody_else_is_refused_with_what_to_do(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.commit()
    for path in (repo.root, repo.root / ".git"):
        os.chown(path, 12345, 12345)
    monkeypatch.setenv("HOME", str(repo.root.parent))
    with pytest.raises(UnavailableError, match=r"safe\.directory"):
        Repository.open(repo.root)
