import errno
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hubserver import Fault, HubServer, Stage, git_blob, sha256

from mbom.errors import AccessError, FormatError, MbomError, RefusedError, SourceError, StorageError, UsageError
from mbom.source import FolderSource, LocalFile
from mbom.source.hub import HubSource
from mbom.source.huberrors import Retry

REPO = "org/tiny"
WEIGHTS = bytes(range(256)) * 40
FILES = {
    "config.json": b'{"model_type": "llama"}',
    "model-00001-of-00002.safetensors": WEIGHTS,
    "model-00002-of-00002.safetensors": WEIGHTS[::-1],
    "original/consolidated.pth": b"other weights" * 100,
}
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"

Open = Callable[..., HubSource]


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.push(REPO, FILES)
        yield server


@pytest.fixture
def pauses() -> list[float]:
    """The pauses that were made between attempts, instead of making them."""
    return []


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "hub"


@pytest.fixture
def source(hub: HubServer, cache: Path, pauses: list[float]) -> Open:
    def open_hub(repo: str = REPO, revision: str | None = None, **options: Any) -> HubSource:
        given: dict[str, Any] = {
            "endpoint": hub.url, "token": False, "cache_dir": cache, "offline": False,
            "retry": Retry(attempts=3, sleep=pauses.append),
        }  # fmt: skip
        return HubSource(repo, revision, **(given | options))

    return open_hub


def content(files: Iterator[LocalFile]) -> dict[str, bytes]:
    return {file.name: file.path.read_bytes() for file in files}


def test_a_revision_is_resolved_to_its_commit(hub: HubServer, source: Open) -> None:
    origin = source().origin
    assert (origin.kind, origin.name, origin.repo) == ("hub", "tiny", REPO)
    assert origin.revision == hub.repositories[REPO].branches["main"]


def test_the_listing_gives_sizes_and_the_digest_that_the_hub_has_of_each_file(source: Open) -> None:
    listed = {file.name: (file.size, file.sha256, file.git_blob) for file in source().listing()}
    assert listed == {
        name: (len(data), None, git_blob(data)) if name == "config.json" else (len(data), sha256(data), None)
        for name, data in FILES.items()
    }


def test_a_listing_of_several_pages_is_whole_and_sorted(cache: Path) -> None:
    with HubServer(page=2) as hub:
        hub.push(REPO, {f"{n}/{n}.json": b"{}" for n in range(9)})
        files = HubSource(REPO, endpoint=hub.url, token=False, cache_dir=cache).listing()
    assert [file.name for file in files] == [f"{n}/{n}.json" for n in range(9)]


def test_fetch_brings_small_and_large_files_as_regular_files(source: Open) -> None:
    files = list(source().fetch(FILES))
    assert {file.name: file.path.read_bytes() for file in files} == FILES
    for file in files:
        os.close(os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW))
        assert file.advertised.size == len(FILES[file.name])


def test_only_the_named_files_are_asked_for(hub: HubServer, source: Open) -> None:
    list(source().fetch(["config.json", SECOND, SECOND]))
    assert hub.fetched() == ["config.json", SECOND]
    assert {request.name for request in hub.requests} == {"", "config.json", SECOND}


def test_a_file_is_handed_over_while_another_still_downloads(hub: HubServer, source: Open) -> None:
    hub.fail("file", FIRST, Fault(stall=0.7))
    arrivals = source().fetch([FIRST, SECOND])
    assert next(arrivals).name == SECOND
    assert next(arrivals).name == FIRST


def test_what_the_cache_holds_is_not_fetched_again(hub: HubServer, source: Open) -> None:
    list(source().fetch(FILES))
    hub.requests.clear()
    assert content(source().fetch(FILES)) == FILES
    assert hub.fetched() == []


def test_other_tools_find_the_files_in_the_cache(hub: HubServer, source: Open, cache: Path) -> None:
    from huggingface_hub import snapshot_download

    list(source().fetch(FILES))
    hub.requests.clear()
    found = snapshot_download(REPO, cache_dir=cache, local_files_only=True)
    assert Path(found, "config.json").read_bytes() == FILES["config.json"]
    assert content(FolderSource(found).fetch(FILES)) == FILES
    assert hub.requests == []


def test_a_branch_that_moves_after_the_listing_changes_nothing(hub: HubServer, source: Open) -> None:
    before = source()
    before.listing()
    hub.push(REPO, {"config.json": b"something else entirely"})
    assert content(before.fetch(["config.json"])) == {"config.json": FILES["config.json"]}
    assert source().origin != before.origin


def test_a_branch_with_a_slash_and_a_commit_are_revisions_too(hub: HubServer, source: Open) -> None:
    commit = hub.push(REPO, {"config.json": b"[]"}, branch="refs/pr/1")
    for revision in ("refs/pr/1", commit):
        pinned = source(revision=revision)
        assert pinned.origin.revision == commit
        assert content(pinned.fetch(["config.json"])) == {"config.json": b"[]"}


def test_bytes_are_counted_as_they_arrive(source: Open) -> None:
    counted: dict[str, int] = {}

    def count(name: str, amount: int) -> None:
        counted[name] = counted.get(name, 0) + amount

    list(source(on_bytes=count, workers=1).fetch(FILES))
    assert counted == {name: len(data) for name, data in FILES.items()}
    list(source(on_bytes=count, workers=1).fetch(FILES))
    assert counted == {name: len(data) for name, data in FILES.items()}


def test_bytes_of_a_failed_attempt_are_taken_back(hub: HubServer, source: Open) -> None:
    hub.fail("file", FIRST, Fault(short=5000))
    counted: list[int] = []
    list(source(on_bytes=lambda _name, amount: counted.append(amount)).fetch([FIRST]))
    assert counted == [5000, -5000, len(WEIGHTS)]


def test_the_client_draws_and_logs_nothing(hub: HubServer, source: Open, capfd: pytest.CaptureFixture[str]) -> None:
    hub.fail("head", FIRST, Fault(status=503))
    list(source().fetch(FILES))
    assert capfd.readouterr() == ("", "")


# Content: the client checks none; the reader compares, and asks for another copy.


@pytest.mark.parametrize("name", ["config.json", FIRST])
def test_a_flipped_byte_is_handed_over_and_healed_by_refetch(hub: HubServer, source: Open, name: str) -> None:
    hub.fail("file", name, Fault(flip=7))
    opened = source()
    (file,) = opened.fetch([name])
    assert file.path.read_bytes() != FILES[name]
    healed = opened.refetch(name)
    assert healed.path.read_bytes() == FILES[name]
    assert healed.advertised == file.advertised
    assert hub.fetched() == [name, name]


def test_a_mirror_that_flips_a_byte_every_time_is_no_better_the_second_time(hub: HubServer, source: Open) -> None:
    hub.fail("file", FIRST, Fault(flip=0, sticky=True))
    opened = source()
    list(opened.fetch([FIRST]))
    assert sha256(opened.refetch(FIRST).path.read_bytes()) != opened.refetch(FIRST).advertised.sha256


def test_refetch_leaves_no_bad_copy_behind_when_the_hub_is_gone(hub: HubServer, source: Open, cache: Path) -> None:
    hub.fail("file", FIRST, Fault(flip=7), Fault(status=503, sticky=True))
    opened = source()
    list(opened.fetch([FIRST]))
    with pytest.raises(SourceError, match="HTTP 503"):
        opened.refetch(FIRST)
    assert [path for path in cache.rglob("*") if path.is_file() and path.stat().st_size == len(WEIGHTS)] == []


def test_a_cached_copy_that_lost_its_tail_is_fetched_again(hub: HubServer, source: Open) -> None:
    (file,) = source().fetch([FIRST])
    file.path.write_bytes(WEIGHTS[:-1])
    assert content(source().fetch([FIRST])) == {FIRST: WEIGHTS}
    assert hub.fetched() == [FIRST, FIRST]


def test_a_size_that_is_never_the_advertised_one_is_refused(hub: HubServer, source: Open, cache: Path) -> None:
    commit = hub.repositories[REPO].branches["main"]
    lying = source()
    lying.listing()
    hub.repositories[REPO].commits[commit][FIRST] = WEIGHTS[:-1]
    with pytest.raises(RefusedError, match="10239 bytes, the hub advertised 10240; fetched twice"):
        list(lying.fetch([FIRST]))
    assert hub.fetched() == [FIRST, FIRST]
    assert not list(cache.rglob(sha256(WEIGHTS[:-1])))


def test_a_cached_copy_that_is_a_folder_is_told(source: Open, cache: Path) -> None:
    opened = source()
    (cache / "models--org--tiny" / "snapshots" / str(opened.origin.revision) / "config.json").mkdir(parents=True)
    with pytest.raises(SourceError, match="neither a file nor a link of the cache; delete it"):
        list(opened.fetch(["config.json"]))
    with pytest.raises(StorageError, match="cannot be deleted"):
        opened.refetch("config.json")


def test_a_copy_that_is_gone_is_fetched_again(source: Open) -> None:
    opened = source()
    (file,) = opened.fetch(["config.json"])
    file.path.unlink()
    assert opened.refetch("config.json").path.read_bytes() == FILES["config.json"]


# Passing trouble.


def test_a_connection_that_drops_is_taken_up_again(hub: HubServer, source: Open) -> None:
    hub.fail("file", FIRST, Fault(cut=3000))
    assert content(source().fetch([FIRST])) == {FIRST: WEIGHTS}


def test_a_body_that_is_too_short_is_fetched_again(hub: HubServer, source: Open, pauses: list[float]) -> None:
    hub.fail("file", FIRST, Fault(short=3000))
    assert content(source().fetch([FIRST])) == {FIRST: WEIGHTS}
    assert len(pauses) == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=403),
        Fault(status=500),
        Fault(status=502),
        Fault(status=503),
        Fault(status=504),
        Fault(status=416),
    ],
    ids=lambda fault: str(fault.status),
)
def test_trouble_of_the_cdn_passes(hub: HubServer, source: Open, pauses: list[float], fault: Fault) -> None:
    hub.fail("file", FIRST, fault, fault)
    assert content(source().fetch([FIRST])) == {FIRST: WEIGHTS}
    assert len(pauses) == 2
    assert 1.0 <= pauses[0] <= 2.0 <= pauses[1] <= 4.0


def test_an_expired_link_is_asked_for_anew(hub: HubServer, source: Open) -> None:
    hub.fail("file", FIRST, Fault(status=403))
    list(source().fetch([FIRST]))
    assert [request.stage for request in hub.requests if request.name] == ["head", "file", "head", "file"]


@pytest.mark.parametrize(
    ("headers", "least"),
    [
        ({"Retry-After": "17"}, 17.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "soon"}, 0.0),
        ({"Retry-After": "Mon, 99 Foo 9999999999999 07:28:00 GMT"}, 0.0),
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({"RateLimit": '"api";r=3;t=55'}, 0.0),
    ],
)
def test_a_pause_that_the_hub_asks_for_is_kept(
    hub: HubServer, source: Open, pauses: list[float], headers: dict[str, str], least: float
) -> None:
    hub.fail("info", "", Fault(status=429, headers=headers))
    assert source().listing()
    (pause,) = pauses
    assert pause == least if least else 1.0 <= pause <= 2.0


def test_a_date_to_return_at_is_kept(hub: HubServer, source: Open, pauses: list[float]) -> None:
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 100))
    hub.fail("info", "", Fault(status=503, headers={"Retry-After": date}))
    assert source().listing()
    assert 90 < pauses[0] <= 100


def test_a_pause_beyond_patience_is_told_instead(hub: HubServer, source: Open, pauses: list[float]) -> None:
    hub.fail("info", "", Fault(status=429, headers={"Retry-After": "86400"}))
    with pytest.raises(SourceError, match=r"HTTP 429.*the hub asks for a pause of 86400 s"):
        source().listing()
    assert pauses == []


def test_a_rate_limit_of_the_cdn_is_kept_to(hub: HubServer, source: Open) -> None:
    hub.fail("file", FIRST, Fault(status=429, headers={"Retry-After": "0"}))
    assert content(source().fetch([FIRST])) == {FIRST: WEIGHTS}


@pytest.mark.parametrize(("stage", "name"), [("info", ""), ("file", FIRST)])
def test_an_outage_ends_with_a_sentence_after_bounded_attempts(
    hub: HubServer,
    source: Open,
    pauses: list[float],
    stage: Stage,
    name: str,
) -> None:
    hub.fail(stage, name, Fault(status=503, sticky=True))
    with pytest.raises(SourceError, match=r"HTTP 503 \(injected\) \(tried 3 times\); run again later") as caught:
        list(source().fetch([FIRST]))
    assert caught.value.exit_code == 3
    assert len(pauses) == 2
    assert sum(request.stage == stage for request in hub.requests) == 3


def test_a_hub_that_nobody_answers_for_is_an_error(source: Open, pauses: list[float]) -> None:
    with pytest.raises(SourceError, match=r"the connection to the hub failed .*\(tried 3 times\)"):
        source(endpoint="http://127.0.0.1:9").listing()
    assert len(pauses) == 2


def test_an_endpoint_that_is_no_address_is_an_error_at_once(source: Open, pauses: list[float]) -> None:
    with pytest.raises(SourceError, match="check HF_ENDPOINT"):
        source(endpoint="hub.example").listing()
    assert pauses == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_cache_that_cannot_be_written_is_a_matter_of_storage(
    source: Open, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("huggingface_hub.file_download.http_get", fail)  # a full disk, without filling one
    with pytest.raises(StorageError, match="the cache cannot be written"):
        list(source().fetch([FIRST]))


# What does not pass.


def test_a_gated_repository_says_what_to_do(hub: HubServer, source: Open) -> None:
    hub.push("meta-llama/X", FILES, gated=True)
    with pytest.raises(AccessError) as caught:
        source("meta-llama/X").listing()
    assert str(caught.value) == "meta-llama/X is gated: accept its terms on the hub, then set HF_TOKEN"
    assert caught.value.exit_code == 4


def test_a_repository_that_becomes_gated_while_it_is_read_says_so(hub: HubServer, source: Open) -> None:
    opened = source()
    list(opened.fetch([FIRST]))
    hub.repositories[REPO].gated = True
    with pytest.raises(AccessError, match="is gated"):
        list(opened.fetch([SECOND]))
    with pytest.raises(AccessError, match="is gated"):
        opened.refetch(FIRST)


def test_a_hub_that_goes_away_while_it_is_read_is_an_error(source: Open, pauses: list[float]) -> None:
    with HubServer() as brief:
        brief.push(REPO, FILES)
        opened = source(endpoint=brief.url)
        list(opened.fetch([FIRST]))
    with pytest.raises(SourceError, match=r"the connection to the hub failed .*\(tried 3 times\)"):
        opened.refetch(FIRST)
    assert len(pauses) == 2


def test_a_token_without_the_grant_is_gated_too(hub: HubServer, source: Open) -> None:
    hub.push("meta-llama/X", FILES, gated=True)
    hub.tokens.add("hf_other")
    with pytest.raises(AccessError, match="is gated"):
        source("meta-llama/X", token="hf_other").listing()


def test_a_token_with_the_grant_opens_a_gated_repository(hub: HubServer, source: Open) -> None:
    hub.push("meta-llama/X", FILES, gated=True)
    hub.tokens.add("hf_reader")
    hub.repositories["meta-llama/X"].readers.add("hf_reader")
    assert content(source("meta-llama/X", token="hf_reader").fetch(FILES)) == FILES


def test_the_token_is_not_sent_to_the_cdn(hub: HubServer, source: Open) -> None:
    hub.tokens.add("hf_reader")
    list(source(token="hf_reader").fetch([FIRST]))
    assert {request.stage: request.token for request in hub.requests} == {
        "info": "hf_reader", "tree": "hf_reader", "head": "hf_reader", "file": None,
    }  # fmt: skip


def test_a_token_that_the_hub_does_not_know_is_told_and_not_shown(source: Open) -> None:
    with pytest.raises(AccessError, match=r"does not accept the token.*HF_TOKEN") as caught:
        source(token="hf_wrong").listing()
    assert "hf_wrong" not in str(caught.value)


def test_a_link_of_the_cdn_is_not_shown(hub: HubServer, source: Open) -> None:
    hub.fail("file", FIRST, Fault(status=403, sticky=True))
    with pytest.raises(SourceError, match="expired") as caught:
        list(source().fetch([FIRST]))
    assert "signature" not in str(caught.value)


@pytest.mark.parametrize("token", [False, "hf_reader"])
def test_a_missing_repository_says_what_to_do(hub: HubServer, source: Open, *, token: bool | str) -> None:
    hub.tokens.add("hf_reader")
    with pytest.raises(SourceError, match=r"org/gone is not on http.*check the spelling, or set HF_TOKEN") as caught:
        source("org/gone", token=token).listing()
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("revision", ["gone", "0" * 40])
def test_a_missing_revision_says_what_to_do(source: Open, revision: str) -> None:
    with pytest.raises(SourceError, match=f"org/tiny has no revision '{revision}': name a branch"):
        source(revision=revision).listing()


def test_a_file_that_is_listed_and_not_served_is_an_error(hub: HubServer, source: Open) -> None:
    hub.repositories[REPO].listed.append(hub.entry("ghost.json", b"{}"))
    with pytest.raises(SourceError, match=r"'ghost.json' is listed by the hub and not served"):
        list(source().fetch(["ghost.json"]))


def test_a_repository_without_files_is_an_error(hub: HubServer, source: Open) -> None:
    hub.push("org/empty", {})
    with pytest.raises(SourceError, match="holds no files"):
        source("org/empty").listing()


def test_a_name_that_is_not_listed_is_an_error(source: Open) -> None:
    with pytest.raises(SourceError, match="holds no file 'nope'"):
        list(source().fetch(["nope"]))


@pytest.mark.parametrize("repo", ["tiny", "a/b/c", "../b", "a/..", ""])
def test_a_repository_that_is_not_spelled_like_one_is_misuse(source: Open, repo: str) -> None:
    with pytest.raises(UsageError, match="the form is org/name"):
        source(repo)


@pytest.mark.parametrize("revision", ["../../x", "/etc", "a\nb", "a//b"])
def test_a_revision_that_is_no_plain_name_is_misuse(source: Open, revision: str) -> None:
    with pytest.raises(UsageError, match="not the name of a revision"):
        source(revision=revision)


# A hostile hub.

ENTRY = {"type": "file", "path": "x", "size": 1, "oid": "0" * 40}
LFS = {"oid": "0" * 64, "size": 1, "pointerSize": 134}
LISTINGS: dict[str, tuple[list[Any], type[MbomError]]] = {
    "a name that climbs": ([ENTRY | {"path": "../../.bashrc"}], RefusedError),
    "an absolute name": ([ENTRY | {"path": "/etc/cron.d/x"}], RefusedError),
    "a name that reads backwards": ([ENTRY | {"path": "\u202ejson.fig"}], RefusedError),
    "a lone surrogate": ([ENTRY | {"path": "\ud800"}], RefusedError),
    "a name twice": ([ENTRY, ENTRY], RefusedError),
    "a name that folds onto another": ([ENTRY | {"path": "CONFIG.JSON"}], RefusedError),
    "a file that is a folder": ([ENTRY | {"path": "original"}], RefusedError),
    "a negative size": ([ENTRY | {"size": -1}], FormatError),
    "a size that is text": ([ENTRY | {"size": "1"}], FormatError),
    "a size that is true": ([ENTRY | {"size": True}], FormatError),
    "a name that is a number": ([ENTRY | {"path": 1}], FormatError),
    "a digest that is a path": ([ENTRY | {"oid": "../../../../x"}], FormatError),
    "a digest in capitals": ([ENTRY | {"oid": "A" * 40}], FormatError),
    "no digest": ([ENTRY | {"oid": None}], FormatError),
    "a large file's digest that is none": ([ENTRY | {"lfs": LFS | {"oid": "x"}}], FormatError),
    "a large file of two sizes": ([ENTRY | {"lfs": LFS | {"size": 2}}], FormatError),
    "an entry without a size": ([{"type": "file", "path": "x", "oid": "0" * 40}], SourceError),
    "an entry that is a list": ([[]], SourceError),
    "an entry that is null": ([None], SourceError),
}


@pytest.mark.parametrize(("entries", "error"), LISTINGS.values(), ids=LISTINGS)
def test_a_hostile_listing_is_refused(hub: HubServer, source: Open, entries: list[Any], error: type[MbomError]) -> None:
    hub.repositories[REPO].listed.extend(entries)
    with pytest.raises(error):
        source().listing()


def test_an_endless_listing_is_refused(hub: HubServer, source: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mbom.source.hub.ENTRY_LIMIT", 50)
    hub.repositories[REPO].listed.extend(ENTRY | {"path": str(n)} for n in range(60))
    with pytest.raises(RefusedError, match="more than 50 entries"):
        source().listing()


def test_bookkeeping_in_a_repository_is_left_out_as_it_is_in_a_folder(hub: HubServer, source: Open) -> None:
    hub.push(REPO, {"config.json": b"{}", ".cache/huggingface/x.lock": b"", ".gitattributes": b""})
    assert [file.name for file in source().listing()] == [".gitattributes", "config.json"]


@pytest.mark.parametrize("sha", ["main", "A" * 40, "../../x"])
def test_a_revision_that_resolves_to_no_commit_is_refused(hub: HubServer, source: Open, sha: str) -> None:
    hub.fail("info", "", Fault(commit=sha))
    with pytest.raises(FormatError, match="which is no commit"):
        source().listing()


def test_a_commit_that_resolves_to_another_is_refused(hub: HubServer, source: Open) -> None:
    hub.fail("info", "", Fault(commit="b" * 40))
    with pytest.raises(RefusedError, match="the hub answers for b"):
        source(revision=hub.repositories[REPO].branches["main"]).listing()


def test_a_file_of_another_commit_than_the_one_asked_for_is_refused(hub: HubServer, source: Open) -> None:
    hub.fail("head", "config.json", Fault(commit="b" * 40))
    with pytest.raises(RefusedError, match="the hub answers for another commit"):
        list(source().fetch(["config.json"]))


@pytest.mark.parametrize("name", ["config.json", FIRST])
@pytest.mark.parametrize("tag", ["../../../../pwned", "{root}/pwned", "..", "WW..", "W/..", "aaaa/bbbb", "x" * 300])
def test_a_blob_name_that_is_a_path_is_refused_before_anything_is_written(
    hub: HubServer, source: Open, tmp_path: Path, name: str, tag: str
) -> None:
    opened = source()
    opened.listing()
    before = sorted(tmp_path.rglob("*"))
    hub.fail("head", name, Fault(etag=tag.format(root=tmp_path), sticky=True))
    with pytest.raises(RefusedError, match="an attack on the cache"):
        list(opened.fetch([name]))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_redirect_within_the_hub_is_followed_whatever_its_tag(hub: HubServer, source: Open) -> None:
    opened = source()
    path = f"/{REPO}/resolve/{opened.origin.revision}/config.json"
    headers = {"Location": path, "ETag": 'W/"1a-b/c+d"', "X-Repo-Commit": str(opened.origin.revision)}
    hub.fail("head", "config.json", Fault(status=307, headers=headers))
    assert content(opened.fetch(["config.json"])) == {"config.json": FILES["config.json"]}


@pytest.mark.parametrize("location", ["https:x", "//127.0.0.1:9/x", "http://127.0.0.1:9/x"])
def test_a_redirect_that_is_not_followed_may_not_name_a_path(hub: HubServer, source: Open, location: str) -> None:
    opened = source()
    headers = {"Location": location, "ETag": '"../../../../pwned"', "X-Repo-Commit": str(opened.origin.revision)}
    hub.fail("head", "config.json", Fault(status=307, headers=headers, sticky=True))
    with pytest.raises(RefusedError, match="an attack on the cache"):
        list(opened.fetch(["config.json"]))


def test_a_cached_entry_that_leads_out_of_the_cache_is_refused_and_not_deleted(
    source: Open, tmp_path: Path, cache: Path
) -> None:
    (tmp_path / "secret").write_bytes(FILES["config.json"])
    opened = source()
    entry = cache / "models--org--tiny" / "snapshots" / str(opened.origin.revision) / "config.json"
    entry.parent.mkdir(parents=True)
    entry.symlink_to(tmp_path / "secret")
    with pytest.raises(RefusedError, match="leaves the layout of the cache"):
        list(opened.fetch(["config.json"]))
    with pytest.raises(RefusedError, match="leaves the layout of the cache"):
        opened.refetch("config.json")
    assert (tmp_path / "secret").read_bytes() == FILES["config.json"]


def test_a_page_that_is_no_hub_is_told_apart(source: Open) -> None:
    with HubServer() as other:
        other.push(REPO, FILES)
        other.repositories[REPO].listed.append({"type": "file", "path": "x", "size": 1, "oid": "0" * 40, "lfs": 3})
        with pytest.raises(SourceError, match="does not answer like a hub"):
            source(endpoint=other.url).listing()


# Offline.


def test_offline_the_cache_alone_answers(hub: HubServer, source: Open) -> None:
    online = source()
    list(online.fetch(["config.json", FIRST]))
    hub.requests.clear()
    offline = source(offline=True)
    assert offline.origin == online.origin
    promised = {file.name: file for file in online.listing()}
    assert list(offline.listing()) == [promised["config.json"], promised[FIRST]]
    assert content(offline.fetch([FIRST])) == {FIRST: WEIGHTS}
    assert hub.requests == []


def test_offline_a_commit_needs_no_branch(hub: HubServer, source: Open) -> None:
    commit = hub.repositories[REPO].branches["main"]
    list(source(revision=commit).fetch(["config.json"]))
    assert source(revision=commit, offline=True).origin.revision == commit
    with pytest.raises(SourceError, match="'main' is not in the cache, and HF_HUB_OFFLINE forbids"):
        assert source(offline=True).origin


def test_offline_a_repository_that_is_not_cached_is_an_error(source: Open) -> None:
    with pytest.raises(SourceError, match="HF_HUB_OFFLINE forbids") as caught:
        source(offline=True).listing()
    assert caught.value.exit_code == 3
    with pytest.raises(SourceError, match="is not in the cache, and HF_HUB_OFFLINE forbids fetching"):
        source(revision="0" * 40, offline=True).listing()


def test_offline_a_file_that_is_not_cached_is_an_error(source: Open) -> None:
    list(source().fetch(["config.json"]))
    with pytest.raises(SourceError, match=f"holds no file '{FIRST}'"):
        list(source(offline=True).fetch([FIRST]))


def test_offline_a_wrong_copy_is_kept_and_told(hub: HubServer, source: Open) -> None:
    hub.fail("file", FIRST, Fault(flip=0))
    list(source().fetch([FIRST]))
    offline = source(offline=True)
    with pytest.raises(SourceError, match="HF_HUB_OFFLINE forbids fetching it again"):
        offline.refetch(FIRST)
    assert content(offline.fetch([FIRST]))[FIRST][1:] == WEIGHTS[1:]


@pytest.mark.parametrize("ref", [b"", b"../../x", b"A" * 40, b"\xff" * 40, b"0" * 41])
def test_offline_a_reference_that_is_no_commit_is_not_followed(source: Open, cache: Path, ref: bytes) -> None:
    path = cache / "models--org--tiny" / "refs" / "main"
    path.parent.mkdir(parents=True)
    path.write_bytes(ref)
    with pytest.raises(SourceError, match="HF_HUB_OFFLINE forbids"):
        source(offline=True).listing()


# Interruption.


def test_closing_the_iterator_stops_the_downloads(hub: HubServer, source: Open) -> None:
    hub.push(REPO, FILES | {f"{n}.bin": hashlib.sha256(b"%d" % n).digest() * 100 for n in range(40)})
    for n in range(40):
        hub.fail("file", f"{n}.bin", Fault(stall=0.2))
    arrivals = source(workers=2).fetch([f"{n}.bin" for n in range(40)])
    next(arrivals)
    begun = time.monotonic()
    arrivals.close()  # type: ignore[attr-defined]
    assert time.monotonic() - begun < 3.0
    time.sleep(0.3)
    assert len(hub.fetched()) < 10
    assert [thread for thread in threading.enumerate() if thread.name.startswith("mbom-fetch")] == []


def test_the_first_error_stops_the_other_downloads(hub: HubServer, source: Open) -> None:
    hub.push(REPO, FILES | {f"{n}.bin": hashlib.sha256(b"%d" % n).digest() * 100 for n in range(40)})
    hub.fail("file", "0.bin", Fault(status=404))
    for n in range(1, 40):
        hub.fail("file", f"{n}.bin", Fault(stall=0.2))
    with pytest.raises(SourceError, match=r"'0\.bin'"):
        list(source(workers=2).fetch([f"{n}.bin" for n in range(40)]))
    assert len(hub.fetched()) < 10


def test_an_interrupt_ends_the_process_while_a_download_hangs(hub: HubServer, tmp_path: Path) -> None:
    hub.fail("file", FIRST, Fault(stall=8))
    script = f"""
import os, signal, threading
from mbom.source import open_source
source = open_source({REPO!r})
source.listing()
threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    list(source.fetch([{FIRST!r}]))
except KeyboardInterrupt:
    print("interrupted")
"""
    begun = time.monotonic()
    done = run_python(script, HF_ENDPOINT=hub.url, HF_HOME=str(tmp_path))
    assert (done.stdout, done.returncode) == ("interrupted\n", 0), done.stderr
    assert time.monotonic() - begun < 6.0


# The environment, which the client reads when it is imported: each in a process of its own.

FETCH = f"""
from mbom.source import open_source
source = open_source({REPO!r})
names = [file.name for file in source.listing()]
for file in sorted(source.fetch(names), key=lambda file: file.name):
    print(file.name, len(file.path.read_bytes()))
"""


def run_python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGINGFACE"))}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env=kept | environment,
        text=True,
        capture_output=True,
        check=False,
    )


def test_the_environment_is_honoured(hub: HubServer, tmp_path: Path) -> None:
    hub.tokens.add("hf_reader")
    hub.repositories[REPO].gated = True
    hub.repositories[REPO].readers.add("hf_reader")
    home = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path)}
    expected = "".join(f"{name} {len(data)}\n" for name, data in sorted(FILES.items()))

    refused = run_python(FETCH, **home)
    assert "is gated: accept its terms on the hub, then set HF_TOKEN" in refused.stderr

    online = run_python(FETCH, **home, HF_TOKEN="hf_reader")
    assert (online.stdout, online.stderr) == (expected, "")
    assert (tmp_path / "hub" / "models--org--tiny").is_dir()

    hub.requests.clear()
    offline = run_python(FETCH, **home, HF_HUB_OFFLINE="1")
    assert (offline.stdout, offline.stderr) == (expected, "")
    assert hub.requests == []


def test_a_cache_without_links_works_too(hub: HubServer, tmp_path: Path) -> None:
    expected = "".join(f"{name} {len(data)}\n" for name, data in sorted(FILES.items()))
    done = run_python(FETCH, HF_ENDPOINT=hub.url, HF_HUB_CACHE=str(tmp_path), HF_HUB_DISABLE_SYMLINKS="1")
    assert (done.stdout, done.stderr) == (expected, "")
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_a_folder_costs_no_import_of_the_client(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"{}")
    script = f"""
import sys
from mbom.source import open_source
assert len(open_source({str(tmp_path)!r}).listing()) == 1
print("huggingface_hub" in sys.modules, "httpx2" in sys.modules)
"""
    done = run_python(script)
    assert (done.stdout, done.stderr) == ("False False\n", "")
