"""On a terminal: questions are asked without an echo, progress is drawn, and NO_COLOR is obeyed."""

import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from attesting import FIXTURE
from commands import environment

PASSWORD = "swordfish-4711"


def on_terminal(
    *arguments: str | Path, home: Path, answers: Sequence[tuple[str, str]] = (), **env: str
) -> tuple[int, str]:
    """Run ``mbom`` on a terminal of its own; each answer is typed when its question has appeared."""
    terminal, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "mbom", *map(str, arguments)],
        env=environment(home) | {"TERM": "xterm", "COLUMNS": "120"} | env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    pending, seen = list(answers), b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # how Linux reports that the other side is closed
            break
        if not data:
            break
        seen += data
        if pending and pending[0][0].encode() in seen:
            os.write(terminal, pending.pop(0)[1].encode() + b"\n")
    os.close(terminal)
    return child.wait(timeout=60), seen.decode()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    answers = [("New password", PASSWORD), ("Repeat", PASSWORD)]
    status, seen = on_terminal("keygen", tmp_path / "release.pem", "--encrypt", home=tmp_path, answers=answers)
    assert status == 0, seen
    assert PASSWORD not in seen
    return tmp_path / "release.pem"


def test_the_password_of_a_key_is_asked_for_and_not_shown(tmp_path: Path, key: Path) -> None:
    attest = ("attest", FIXTURE, "--no-behaviour", "--key", key, "-o", tmp_path / "a.mbom")
    status, seen = on_terminal(*attest, home=tmp_path, answers=[("Password of the key", "wrong")])
    assert status == 4
    assert not (tmp_path / "a.mbom").exists()
    status, seen = on_terminal(*attest, home=tmp_path, answers=[("Password of the key", PASSWORD)])
    assert status == 0, seen
    assert PASSWORD not in seen
    assert "hashing" in seen
    assert "next: mbom verify" in seen
    assert "release.pub" in seen.partition("next:")[2]


def test_no_color_is_obeyed(tmp_path: Path) -> None:
    coloured = re.compile(r"\x1b\[[0-9;]*3[0-9]m")
    missing = ("attest", tmp_path / "none", "--unsigned", "--no-behaviour")
    assert coloured.search(on_terminal(*missing, home=tmp_path)[1])
    assert not coloured.search(on_terminal(*missing, home=tmp_path, NO_COLOR="1")[1])
