import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from mbom.errors import ChangedError, MbomError, RefusedError, SourceError
from mbom.source import FolderSource, open_source

COMMIT = "6cee5e81ee83917806bbde320786a8fb61efebee"
SHA256 = "ab" * 32
GIT_BLOB = "cd" * 20
XET_HASH = "ef" * 32


def write(path: Path, data: bytes = b"data") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def link(path: Path, target: str | Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "tiny" / "config.json", b"{}")
    write(tmp_path / "tiny" / "original" / "params.json", b"[]\n")
    return tmp_path / "tiny"


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """A snapshot as the client lays it out: a small file, a large one, and one that came over Xet."""
    repo = tmp_path / "hub" / "models--org--tiny"
    write(repo / "blobs" / GIT_BLOB, b"{}")
    write(repo / "blobs" / SHA256, b"weights")
    write(tmp_path / "hub" / "blobs" / XET_HASH[:2] / XET_HASH, b"shared weights")
    link(repo / "blobs" / ("12" * 32), f"../../blobs/{XET_HASH[:2]}/{XET_HASH}")
    path = repo / "snapshots" / COMMIT
    link(path / "config.json", f"../../blobs/{GIT_BLOB}")
    link(path / "model.safetensors", f"../../blobs/{SHA256}")
    link(path / "original" / "model.safetensors", "../../../blobs/" + "12" * 32)
    return path


def test_a_folder_lists_every_file_by_name_and_size(folder: Path) -> None:
    source = FolderSource(folder)
    assert [(file.name, file.size) for file in source.listing()] == [("config.json", 2), ("original/params.json", 3)]
    assert all(file.sha256 is None and file.git_blob is None for file in source.listing())
    assert (source.origin.kind, source.origin.name, source.origin.repo) == ("folder", "tiny", None)


def test_a_listing_is_sorted_by_code_point(folder: Path) -> None:
    for name in ("b", "C", "original.txt", "ä", "original-2/x"):
        write(folder / name)
    assert [file.name for file in FolderSource(folder).listing()] == [
        "C", "b", "config.json", "original-2/x", "original.txt", "original/params.json", "ä",
    ]  # fmt: skip


def test_fetch_yields_the_named_files_and_no_others(folder: Path) -> None:
    (file,) = FolderSource(folder).fetch(["original/params.json"])
    assert file.path.read_bytes() == b"[]\n"
    assert (file.name, file.advertised.size) == ("original/params.json", 3)


def test_fetch_refuses_a_name_that_the_folder_does_not_hold(folder: Path) -> None:
    with pytest.raises(SourceError, match="holds no file 'nope'"):
        list(FolderSource(folder).fetch(["nope"]))


def test_a_file_that_grew_since_the_listing_is_an_error(folder: Path) -> None:
    source = FolderSource(folder)
    source.listing()
    write(folder / "config.json", b"{...}")
    with pytest.raises(ChangedError, match="2 bytes when it was listed, 5"):
        list(source.fetch(["config.json"]))


def test_a_file_that_became_a_link_since_the_listing_is_an_error(folder: Path) -> None:
    source = FolderSource(folder)
    source.listing()
    (folder / "config.json").unlink()
    link(folder / "config.json", "/etc/hostname")
    with pytest.raises(ChangedError):
        list(source.fetch(["config.json"]))


def test_a_file_that_went_away_since_the_listing_is_an_error(folder: Path) -> None:
    source = FolderSource(folder)
    source.listing()
    (folder / "config.json").unlink()
    with pytest.raises(SourceError, match=r"'config\.json' cannot be read"):
        list(source.fetch(["config.json"]))


def test_the_number_of_entries_of_one_folder_is_limited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mbom.source.folder.COUNT_LIMIT", 1)
    with pytest.raises(RefusedError, match="more than 1 entries in one folder"):
        FolderSource(folder).listing()


def test_a_folder_has_no_second_copy(folder: Path) -> None:
    with pytest.raises(SourceError, match="no second copy; download it again"):
        FolderSource(folder).refetch("config.json")


def test_what_git_and_the_hub_client_keep_beside_a_checkpoint_is_left_out(folder: Path) -> None:
    write(folder / ".git" / "config")
    write(folder / ".cache" / "huggingface" / "download" / "config.json.metadata")
    write(folder / ".gitattributes")
    assert [file.name for file in FolderSource(folder).listing()] == [
        ".gitattributes", "config.json", "original/params.json",
    ]  # fmt: skip


def test_a_hidden_folder_elsewhere_is_part_of_the_checkpoint(folder: Path) -> None:
    write(folder / "original" / ".git" / "config")
    write(folder / ".cache" / "x")
    names = [file.name for file in FolderSource(folder).listing()]
    assert names == [".cache/x", "config.json", "original/.git/config", "original/params.json"]


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


IRREGULAR: dict[str, tuple[Callable[[Path], None], str]] = {
    "a link to a file outside": (lambda path: link(path, "/etc/passwd"), "a symbolic link"),
    "a link to a file inside": (lambda path: link(path, "config.json"), "a symbolic link"),
    "a link to a folder": (lambda path: link(path, "/etc"), "a symbolic link"),
    "a link to nothing": (lambda path: link(path, "gone"), "a symbolic link"),
    "a link to itself": (lambda path: link(path, path.name), "a symbolic link"),
    "a pipe, which would block": (os.mkfifo, "a named pipe"),
    "a socket": (bind, "a socket"),
}


@pytest.mark.parametrize(("make", "kind"), IRREGULAR.values(), ids=IRREGULAR)
def test_anything_but_a_regular_file_ends_the_walk(folder: Path, make: Callable[[Path], None], kind: str) -> None:
    make(folder / "odd")
    with pytest.raises(SourceError, match=f"'odd' is {kind}; only regular files"):
        FolderSource(folder).listing()


@pytest.mark.parametrize("name", [b"a\nb", b"a\xff", "e\u0301".encode(), b"a\\b", "a\u202eb".encode(), b"con"])
def test_a_file_name_that_breaks_a_rule_is_refused(folder: Path, name: bytes) -> None:
    (Path(os.fsdecode(os.fsencode(folder) + b"/" + name))).write_bytes(b"")
    with pytest.raises(RefusedError, match="the file name"):
        FolderSource(folder).listing()


def test_a_folder_name_that_breaks_a_rule_is_refused(folder: Path) -> None:
    write(folder / "a\u200db" / "config.json")
    with pytest.raises(RefusedError, match="the file name"):
        FolderSource(folder).listing()


def test_files_that_differ_in_case_alone_are_refused(folder: Path) -> None:
    write(folder / "CONFIG.json")
    with pytest.raises(RefusedError, match=r"'CONFIG.json' and 'config.json' are one file"):
        FolderSource(folder).listing()


def test_nesting_without_end_is_refused(folder: Path) -> None:
    (folder / "/".join("d" * 200)).mkdir(parents=True)
    with pytest.raises(RefusedError, match="levels deep"):
        FolderSource(folder).listing()


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty" / "below").mkdir(parents=True)
    with pytest.raises(SourceError, match="an empty folder"):
        FolderSource(tmp_path / "empty").listing()


def test_a_folder_of_bookkeeping_alone_is_empty(tmp_path: Path) -> None:
    write(tmp_path / "clone" / ".git" / "HEAD")
    with pytest.raises(SourceError, match="an empty folder"):
        FolderSource(tmp_path / "clone").listing()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_folder_that_may_not_be_read_is_an_error(folder: Path) -> None:
    (folder / "original").chmod(0)
    with pytest.raises(SourceError, match="cannot be read"):
        FolderSource(folder).listing()


@pytest.mark.parametrize(("name", "message"), [("gone", "no such folder"), ("tiny/config.json", "not a folder")])
def test_what_is_no_folder_is_an_error(folder: Path, name: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        FolderSource(folder.parent / name)


def test_the_folder_itself_may_be_reached_through_a_link(folder: Path, tmp_path: Path) -> None:
    link(tmp_path / "latest", folder)
    source = FolderSource(tmp_path / "latest")
    assert len(source.listing()) == 2
    assert all(not file.path.is_symlink() for file in source.fetch(["config.json"]))


def test_a_snapshot_of_the_hub_cache_is_read_through_its_links(snapshot: Path) -> None:
    source = FolderSource(snapshot)
    files = list(source.fetch([file.name for file in source.listing()]))
    assert [(file.name, file.path.read_bytes()) for file in files] == [
        ("config.json", b"{}"),
        ("model.safetensors", b"weights"),
        ("original/model.safetensors", b"shared weights"),
    ]
    for file in files:
        os.close(os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW))


def test_a_snapshot_promises_the_digests_that_its_blobs_are_named_by(snapshot: Path) -> None:
    promised = {file.name: (file.sha256, file.git_blob) for file in FolderSource(snapshot).listing()}
    assert promised == {
        "config.json": (None, GIT_BLOB),
        "model.safetensors": (SHA256, None),
        "original/model.safetensors": ("12" * 32, None),
    }


def test_a_snapshot_is_called_by_its_repository_and_claims_no_revision(snapshot: Path) -> None:
    origin = FolderSource(snapshot).origin
    assert (origin.name, origin.repo, origin.revision) == ("tiny", None, None)


def test_a_snapshot_without_links_is_an_ordinary_folder(snapshot: Path) -> None:
    (snapshot / "config.json").unlink()
    write(snapshot / "config.json", b"{ }")
    listed = {file.name: file for file in FolderSource(snapshot).listing()}
    assert (listed["config.json"].size, listed["config.json"].git_blob) == (3, None)


def replace_entry(target: str) -> Callable[[Path], None]:
    def attack(snapshot: Path) -> None:
        (snapshot / "config.json").unlink()
        link(snapshot / "config.json", target)

    return attack


def replace_blob(target: str) -> Callable[[Path], None]:
    def attack(snapshot: Path) -> None:
        blob = snapshot.parent.parent / "blobs" / GIT_BLOB
        blob.unlink()
        link(blob, target)

    return attack


def blobs_elsewhere(snapshot: Path) -> None:
    blobs = snapshot.parent.parent / "blobs"
    blobs.rename(snapshot.parents[3] / "elsewhere")
    link(blobs, snapshot.parents[3] / "elsewhere")


def store_elsewhere(snapshot: Path) -> None:
    store = snapshot.parents[2] / "blobs"
    store.rename(snapshot.parents[3] / "elsewhere")
    link(store, snapshot.parents[3] / "elsewhere")


def three_links_deep(snapshot: Path) -> None:
    shared = snapshot.parents[2] / "blobs" / XET_HASH[:2] / XET_HASH
    shared.unlink()
    link(shared, "/etc/passwd")


def blob_is_a_pipe(snapshot: Path) -> None:
    blob = snapshot.parent.parent / "blobs" / GIT_BLOB
    blob.unlink()
    os.mkfifo(blob)


def blobs_are_a_file(snapshot: Path) -> None:
    blobs = snapshot.parent.parent / "blobs"
    blobs.rename(blobs.with_name("elsewhere"))
    blobs.write_bytes(b"")


ATTACKS: dict[str, tuple[Callable[[Path], None], type[MbomError]]] = {
    "entry leads out of the cache": (replace_entry("/etc/passwd"), RefusedError),
    "entry climbs out of the cache": (replace_entry("../../../../../../../etc/passwd"), RefusedError),
    "entry passes through the blobs and out": (replace_entry("../../blobs/../../../secret"), RefusedError),
    "entry leads to another repository": (replace_entry(f"../../../models--o--x/blobs/{GIT_BLOB}"), RefusedError),
    "entry skips the repository's blobs": (
        replace_entry(f"../../../blobs/{XET_HASH[:2]}/{XET_HASH}"),
        RefusedError,
    ),
    "entry leads to a neighbour": (replace_entry("model.safetensors"), RefusedError),
    "entry leads to nothing": (replace_entry("../../blobs/" + "00" * 20), SourceError),
    "entry leads to the folder of blobs": (replace_entry("../../blobs"), RefusedError),
    "blob leads out of the cache": (replace_blob("/etc/passwd"), RefusedError),
    "blob leads to the next blob": (replace_blob(SHA256), RefusedError),
    "blob leads to an unlikely place in the store": (replace_blob("../../blobs/x/y"), RefusedError),
    "blob is a pipe": (blob_is_a_pipe, SourceError),
    "the folder of blobs is a file": (blobs_are_a_file, SourceError),
    "shared blob is a link": (three_links_deep, RefusedError),
    "the folder of blobs is a link": (blobs_elsewhere, RefusedError),
    "the shared store is a link": (store_elsewhere, RefusedError),
}


@pytest.mark.parametrize(("attack", "error"), ATTACKS.values(), ids=ATTACKS)
def test_a_link_that_leaves_the_layout_of_the_cache_is_refused(
    snapshot: Path, attack: Callable[[Path], None], error: type[MbomError]
) -> None:
    attack(snapshot)
    with pytest.raises(error):
        FolderSource(snapshot).listing()


@pytest.mark.parametrize("name", ["main", COMMIT[:39], COMMIT.upper()])
def test_a_folder_that_only_looks_like_a_snapshot_may_not_hold_links(snapshot: Path, name: str) -> None:
    with pytest.raises(SourceError, match="a symbolic link"):
        FolderSource(snapshot.rename(snapshot.with_name(name))).listing()


def test_open_source_takes_a_folder_that_exists(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent.parent)
    write(Path("org/tiny/config.json"), b"{}")
    assert open_source(str(folder)).origin.kind == "folder"
    assert open_source("org/tiny").origin.kind == "folder"


@pytest.mark.parametrize(
    "model", ["./nope", "/nope", "nope", "~/nope", "a/b/c", "org/name@", "../org/name", "", "@main"]
)
def test_open_source_says_what_it_expected(model: str) -> None:
    with pytest.raises(SourceError, match="not org/name or org/name@revision of the hub either"):
        open_source(model)


def test_open_source_says_so_when_given_a_file(folder: Path) -> None:
    with pytest.raises(SourceError, match="is a file here"):
        open_source(str(folder / "config.json"))


def test_a_file_that_is_called_like_a_repository_is_no_repository(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    with pytest.raises(SourceError, match="is a file here"):
        open_source(f"{folder.name}/config.json")
