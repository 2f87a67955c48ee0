"""What is published: the wheel holds the package and nothing else, and one commit gives the same bytes twice."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

import mbom

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="no git, or no checkout to build from"
)


def sources() -> list[str]:
    """Return the files that git has or would take, as a checkout holds them."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [name for name in listed if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, bytes]]:
    """Build sdist and wheel twice, of two copies whose files have other times and permissions."""
    found = []
    for mode, time in ((0o644, 1_000_000_000), (0o600, 1_700_000_000)):
        folder = tmp_path_factory.mktemp("checkout")
        for name in sources():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
            target.chmod(mode)
            os.utime(target, (time, time))
        command = [sys.executable, "-m", "hatchling", "build"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True,
                       env=os.environ | {"SOURCE_DATE_EPOCH": "1600000000"})  # fmt: skip
        found.append({path.name: path.read_bytes() for path in (folder / "dist").iterdir()})
    return found


def test_one_commit_gives_the_same_bytes_twice(built: list[dict[str, bytes]]) -> None:
    first, second = ({name: sha256(data).hexdigest() for name, data in files.items()} for files in built)
    assert first == second
    stem = f"mbom-{mbom.__version__}"
    assert set(first) == {f"{stem}-py3-none-any.whl", f"{stem}.tar.gz"}


def test_the_wheel_holds_the_package_and_nothing_else(built: list[dict[str, bytes]], tmp_path: Path) -> None:
    name, data = next((name, data) for name, data in built[0].items() if name.endswith(".whl"))
    (tmp_path / name).write_bytes(data)
    members = set(zipfile.ZipFile(tmp_path / name).namelist())
    info = f"mbom-{mbom.__version__}.dist-info"
    metadata = {f"{info}/{part}" for part in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    package = {path for path in sources() if path.startswith("mbom/")}
    assert members == package | metadata
    assert "mbom/py.typed" in members
    assert any(not path.endswith((".py", "py.typed")) for path in package), "package data belongs in the wheel"


def test_the_sdist_holds_what_a_checkout_holds(built: list[dict[str, bytes]], tmp_path: Path) -> None:
    name, data = next((name, data) for name, data in built[0].items() if name.endswith(".tar.gz"))
    (tmp_path / name).write_bytes(data)
    with tarfile.open(tmp_path / name) as archive:
        members = {member.name.partition("/")[2] for member in archive.getmembers()}
    assert members == {*sources(), "PKG-INFO"}
