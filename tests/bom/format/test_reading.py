import json
import os
from collections.abc import Callable
from pathlib import Path

import boms
import pytest

from mbom import bundle
from mbom.bom.check import BOM_LIMIT
from mbom.bom.format import reading
from mbom.bom.format.reading import read_document
from mbom.errors import FormatError, StorageError

SMALL = b'{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1}'


def test_the_member_is_the_bundles() -> None:
    assert reading.MEMBER == bundle.BOM
    assert bundle.MEMBERS[bundle.BOM][1] == BOM_LIMIT


def test_a_file_and_the_folder_that_holds_it_read_alike(tmp_path: Path) -> None:
    data = boms.build()
    (tmp_path / reading.MEMBER).write_bytes(data)
    assert read_document(tmp_path) == read_document(tmp_path / reading.MEMBER) == (data, json.loads(data))


def test_a_link_that_the_caller_names_is_followed(tmp_path: Path) -> None:
    (tmp_path / "any.json").write_bytes(SMALL)
    (tmp_path / "link").symlink_to("any.json")
    assert read_document(tmp_path / "link")[0] == SMALL


def test_a_bundles_member_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "any.json").write_bytes(SMALL)
    (tmp_path / reading.MEMBER).symlink_to("any.json")
    with pytest.raises(FormatError, match=r"bom\.cdx\.json is a link"):
        read_document(tmp_path)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(BOM_LIMIT + 1)


def holding(data: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(data)

    return write


SPECIAL: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pipe, which would block": (fifo, "a special file"),
    "one byte too many": (sparse, f"larger than {BOM_LIMIT} bytes"),
    "a key twice": (holding(SMALL[:-1] + b', "version": 2}'), "occurs twice"),
    "not JSON": (holding(b"[1,"), "not JSON"),
    "XML": (holding(b'\xef\xbb\xbf<?xml version="1.0"?>\n<bom/>'), "XML or HTML, and CycloneDX is read in JSON only"),
    "a list": (holding(b"[]"), "not a CycloneDX document"),
    "SPDX": (holding(b'{"spdxVersion": "SPDX-2.3"}'), "not a CycloneDX document"),
    "a version that is a number": (
        holding(b'{"bomFormat": "CycloneDX", "specVersion": 1.6}'),
        "specVersion is no text",
    ),
}


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("case", SPECIAL)
def test_each_bad_file_is_refused_with_its_reason(tmp_path: Path, case: str, inside: bool) -> None:
    make, reason = SPECIAL[case]
    make(tmp_path / reading.MEMBER)
    with pytest.raises(FormatError, match=reason):
        read_document(tmp_path if inside else tmp_path / reading.MEMBER)


def test_nothing_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"no such bundle or BOM; `mbom attest` writes"):
        read_document(tmp_path / "nothing")
    with pytest.raises(StorageError, match=r"a folder without bom\.cdx\.json"):
        read_document(tmp_path)


def test_a_path_that_could_move_the_cursor_is_escaped(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        read_document(tmp_path / "\x1b[2J")
    assert "\x1b" not in str(caught.value)
