"""Times: what an attester states, what a verifier demands, and clocks that are wrong."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attesting import FIXTURE

from mbom import cli
from mbom.cli import clock
from mbom.errors import UnavailableError, UsageError
from mbom.signing import generate

DAY = 24 * 3600


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    generate(tmp_path / "release.pem")
    return tmp_path / "release.pem"


def attested(key: Path, *, days: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Attest on a machine whose clock is so many days ahead."""
    output = key.with_name(f"in-{days}-days.mbom")
    with monkeypatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", str(int(time.time()) + days * DAY))
        arguments = ["attest", str(FIXTURE), "--no-behaviour", "--key", str(key), "-q", "-o", str(output)]
        assert cli.run(arguments) == 0
    return output


def verified(bundle: Path, key: Path, *options: str) -> int:
    return cli.run(["verify", str(bundle), "--key", str(key.with_suffix(".pub")), *options])


def day(offset: int) -> str:
    return f"{datetime.fromtimestamp(time.time() + offset * DAY, UTC):%Y-%m-%d}"


def test_an_attestation_older_than_demanded_is_refused(
    key: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = attested(key, days=-10, monkeypatch=monkeypatch)
    assert verified(bundle, key, "--min-time", day(-11)) == 0
    assert verified(bundle, key, "--min-time", day(-8)) == 1
    assert re.search(r"expectation: the statement was made .*, demanded was .* or later", capsys.readouterr().out)


def test_an_attestation_from_the_future_has_no_age(
    key: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = attested(key, days=10, monkeypatch=monkeypatch)
    assert verified(bundle, key, "--min-time", day(-1)) == 1
    assert "the clock there or here is wrong" in capsys.readouterr().out
    assert verified(bundle, key) == 0, "whoever demands no age needs no clock"


def test_a_clock_that_was_never_set_is_not_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert abs(clock.created().timestamp() - time.time()) < 60
    monkeypatch.setattr(clock, "UNSET", datetime(9000, 1, 1, tzinfo=UTC))
    with pytest.raises(UnavailableError, match=r"never set.*SOURCE_DATE_EPOCH"):
        clock.created()


@pytest.mark.parametrize(
    "text", ["", "-1", "+5", " 5", "5\n", "1_000", "1e9", "0x10", "١٢٣", "253402300800", "9" * 30, "today"]
)
def test_a_date_that_is_no_plain_number_of_seconds_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
        clock.created()


@pytest.mark.parametrize("seconds", [0, 1, 1_790_000_000, 253_402_300_799])
def test_any_second_of_four_digit_years_can_be_stated(seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(seconds))
    assert clock.created().timestamp() == seconds
