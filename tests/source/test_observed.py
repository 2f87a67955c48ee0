"""What the hub says besides the files: asked of the real client, never needed, and never in another form."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hubserver import Fault, HubServer

from mbom.source import FolderSource, Observed, Source
from mbom.source.hub import HubSource
from mbom.source.huberrors import Retry
from mbom.source.observed import ASKED_LIMIT, moment

REPO = "org/tiny"
SAID = {"gated": "manual", "createdAt": "2025-08-04T22:33:06.000Z", "lastModified": "2025-08-26T17:25:47.000Z"}
HEARD: dict[str, Any] = {"gated": "manual", "created": "2025-08-04T22:33:06Z", "last_modified": "2025-08-26T17:25:47Z"}

Open = Callable[..., HubSource]


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.push(REPO, {"config.json": b"{}"})
        server.repositories[REPO].described.update(SAID)
        yield server


@pytest.fixture
def source(hub: HubServer, tmp_path: Path) -> Open:
    def open_hub(**options: Any) -> HubSource:
        def refuse(pause: float) -> None:
            raise AssertionError(f"waited {pause} s")

        given: dict[str, Any] = {"endpoint": hub.url, "token": False, "cache_dir": tmp_path, "offline": False}
        return HubSource(REPO, retry=Retry(sleep=refuse), **(given | options))

    return open_hub


def test_the_hub_says_when_a_repository_was_made_and_how_it_is_gated(source: Open) -> None:
    assert source().observe([]) == Observed(**HEARD)


def test_base_models_are_resolved_to_the_commit_of_their_main_branch(hub: HubServer, source: Open) -> None:
    first = hub.push("org/base", {"config.json": b"1"})
    other = hub.push("acme/base", {"config.json": b"2"})
    found = source().observe(["org/base", "acme/base", "org/base", "org/missing"])
    assert found.bases == (("acme/base", other), ("org/base", first))


def test_names_that_are_no_repositories_are_not_asked_for(hub: HubServer, source: Open) -> None:
    opened = source()
    assert opened.observe([]) is not None
    hub.requests.clear()
    assert opened.observe(["../x", "/models/base", "base", "a/b/c", "https://example.org", "", "o/n?x=1"]).bases == ()
    assert len(hub.requests) == 1


def test_no_more_base_models_are_asked_for_than_the_limit(hub: HubServer, source: Open) -> None:
    source().observe([f"org/base-{number}" for number in range(100)])
    assert len(hub.requests) == ASKED_LIMIT + 2  # the revision, the repository itself


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_an_answer_that_fails_is_unknown_and_not_waited_for(hub: HubServer, source: Open, status: int) -> None:
    opened = source()
    assert opened.origin.repo == REPO
    hub.push("org/base", {"config.json": b"1"})
    hub.fail("info", "", Fault(status=status))
    assert opened.observe(["org/base"]) == Observed()
    hub.fail("info", "", Fault(), Fault(status=status))
    assert opened.observe(["org/base"]) == Observed(**HEARD)


def test_a_base_that_is_gated_is_unknown(hub: HubServer, source: Open) -> None:
    hub.push("meta-llama/closed", {"config.json": b"1"}, gated=True)
    assert source().observe(["meta-llama/closed"]).bases == ()


def test_nobody_is_asked_offline(hub: HubServer, source: Open) -> None:
    assert source().origin.repo == REPO
    hub.requests.clear()
    assert source(offline=True).observe(["org/base"]) == Observed()
    assert hub.requests == []


def test_a_folder_observes_nothing(tmp_path: Path) -> None:
    source: Source = FolderSource(tmp_path)
    assert source.observe(["org/base"]) is None


@pytest.mark.parametrize(
    ("described", "heard"),
    [
        ({"gated": False}, {**HEARD, "gated": "false"}),
        ({"gated": True}, {**HEARD, "gated": None}),
        ({"gated": ["manual"]}, {**HEARD, "gated": None}),
        ({"gated": "sometimes"}, {**HEARD, "gated": None}),
        ({"createdAt": None}, {**HEARD, "created": None}),
        ({"createdAt": "2025-08-04T22:33:06"}, {}),
        ({"createdAt": "yesterday"}, {}),
        ({"createdAt": ["x"]}, {}),
        ({"lastModified": {"a": 1}}, {}),
        ({"siblings": 3}, {}),
        ({"cardData": {"license": 3}}, HEARD),
    ],
)  # fmt: skip
def test_whatever_the_hub_answers_is_a_fact_of_the_right_form_or_unknown(
    hub: HubServer, source: Open, described: dict[str, Any], heard: dict[str, Any]
) -> None:
    opened = source()
    assert opened.origin.repo == REPO
    hub.repositories[REPO].described.update(described)
    assert opened.observe([]) == Observed(**heard)


def test_a_base_that_resolves_to_no_commit_is_unknown(hub: HubServer, source: Open) -> None:
    hub.push("org/base", {"config.json": b"1"})
    hub.repositories["org/base"].described["sha"] = "main"
    assert source().observe(["org/base"]).bases == ()


def test_times_are_told_in_utc_and_only_with_a_zone() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert moment(datetime(2025, 8, 5, 7, 33, 6, 999, tzinfo=tokyo)) == "2025-08-04T22:33:06Z"
    assert moment(datetime(2025, 8, 5, 7, 33, 6)) is None  # noqa: DTZ001
    assert moment(datetime(1, 1, 1, tzinfo=tokyo)) is None
    assert moment(datetime(999, 1, 1, tzinfo=UTC)) in (None, "0999-01-01T00:00:00Z")
    assert moment("2025-08-04T22:33:06Z") is None
