"""What a machine says of itself, from the files of kernels and drivers as they are on machines."""

import platform
from pathlib import Path

import pytest
import torch

from mbom.behaviour.runtime import STRING_LIMIT, check
from mbom.engine.machine import CPUINFO, READ_LIMIT, driver_version, runtime

KERNEL_MODULE = "NVRM version: NVIDIA UNIX x86_64 Kernel Module"
OPEN_MODULE = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64"
CPU = torch.device("cpu")


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "file"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def processor(path: Path) -> str:
    found = runtime(CPU, (), cpuinfo=path)
    check(found, what="a runtime")
    return found.processor


def test_this_machine_can_be_told() -> None:
    found = runtime(CPU, ("none",))
    check(found, what="a runtime")
    assert (found.device, found.driver, found.cuda) == ("cpu", None, None)
    assert (found.system, found.machine) == (platform.system(), platform.machine())
    assert found.python == platform.python_version()
    assert found.torch == torch.__version__


@pytest.mark.skipif(not CPUINFO.exists(), reason="only Linux describes its processors in a file")
def test_the_processor_of_this_machine_is_one_that_its_kernel_lists() -> None:
    assert processor(CPUINFO) == "unknown" or processor(CPUINFO) in " ".join(CPUINFO.read_text().split())


def test_the_first_processor_counts_and_its_name_is_one_line(tmp_path: Path) -> None:
    one = "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel\t\t: 17\nmodel name\t: AMD EPYC   9654\tProcessor \n\n"
    assert processor(written(tmp_path, one + one.replace("9654", "7763"))) == "AMD EPYC 9654 Processor"


@pytest.mark.parametrize(
    "text",
    ["", "processor: 0\nCPU implementer: 0x41\n", "model name\t: \n", "model name\t: \x07\x1b\n", " model name: x\n"],
    ids=["empty", "arm", "no name", "controls", "indented"],
)
def test_a_processor_that_is_not_told_is_unknown(tmp_path: Path, text: str) -> None:
    assert processor(written(tmp_path, text)) == "unknown"


def test_a_file_that_is_not_there_tells_nothing(tmp_path: Path) -> None:
    assert processor(tmp_path / "nothing") == "unknown"
    assert driver_version(tmp_path / "nothing") is None
    assert driver_version(tmp_path) is None


def test_whatever_stands_there_becomes_text_that_a_record_may_hold(tmp_path: Path) -> None:
    assert processor(written(tmp_path, b"model name : a\xff\x1b[2Jb\xe2\x80\xae" + b"x" * 999)).startswith(
        "a\ufffd[2Jb"
    )
    assert len(processor(written(tmp_path, "model name : " + "x" * 999))) == STRING_LIMIT
    assert processor(written(tmp_path, "x" * READ_LIMIT + "\nmodel name : late\n")) == "unknown"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (f"{KERNEL_MODULE}  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version:  gcc version 12.3.0\n", "550.54.15"),
        (f"{OPEN_MODULE}  570.86.15  Release Build  (dvs-builder@U22)  Thu Jan 23 22:50:36 UTC 2025\n", "570.86.15"),
        (f"{KERNEL_MODULE}  460.39  Thu Jan 21 21:54:06 UTC 2021\n", "460.39"),
        ("GCC version:  gcc version 12.3.0 (Ubuntu)\n", None),
        (f"{KERNEL_MODULE}\n", None),
    ],
)
def test_the_driver_gives_its_own_version(tmp_path: Path, text: str, version: str | None) -> None:
    assert driver_version(written(tmp_path, text)) == version
