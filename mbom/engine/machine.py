"""Where and with what a measurement runs: libraries, system, processor, the accelerator and its driver.

The machine is asked through files of the kernel and not with the tools that print the same, because the child that
measures may start no other program. Whatever cannot be told is ``UNKNOWN``, or None where there need be none.
"""

import importlib.metadata
import platform
import re
from pathlib import Path

import torch

from mbom.behaviour.runtime import STRING_LIMIT, Runtime
from mbom.engine import stock

UNKNOWN = "unknown"
CPUINFO = Path("/proc/cpuinfo")
NVIDIA = Path("/proc/driver/nvidia/version")
READ_LIMIT = 1 << 16  # bytes; the first processor of hundreds is described in two thousand

_MODEL = re.compile(r"^model name[ \t]*:[ \t]*(?P<name>.+)$", re.MULTILINE)
# "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 …", or "… Open Kernel Module for x86_64  …"
_DRIVER = re.compile(r"^NVRM version:.*?\s(?P<version>\d{2,4}(?:\.\d{1,4}){1,3})\s", re.MULTILINE)


def runtime(
    device: torch.device, isolation: tuple[str, ...], *, cpuinfo: Path = CPUINFO, nvidia: Path = NVIDIA
) -> Runtime:
    """Return where and with what this process computes.

    Args:
        device: that computes; only of CUDA a driver is told.
        isolation: the protections that hold.
        cpuinfo: the kernel's description of its processors.
        nvidia: the driver's description of itself.
    """
    on_cuda = device.type == "cuda"
    return Runtime(
        device=f"cuda ({torch.cuda.get_device_name(device)})" if on_cuda else device.type,
        python=platform.python_version(),
        torch=torch.__version__,
        transformers=stock.VERSION,
        tokenizers=importlib.metadata.version("tokenizers"),
        system=_line(platform.system()) or UNKNOWN,
        system_version=_line(platform.release()) or UNKNOWN,
        machine=_line(platform.machine()) or UNKNOWN,
        processor=_found(_MODEL, cpuinfo) or UNKNOWN,
        driver=driver_version(nvidia) if on_cuda else None,
        cuda=torch.version.cuda if on_cuda else None,
        threads=torch.get_num_threads(),
        isolation=isolation,
    )


def driver_version(path: Path = NVIDIA) -> str | None:
    """Return the version that NVIDIA's driver gives of itself; None where there is none."""
    return _found(_DRIVER, path)


def _found(pattern: re.Pattern[str], path: Path) -> str | None:
    """Return what the pattern's one group matches first in the beginning of a file; None where nothing does."""
    try:
        with path.open("rb") as file:
            text = file.read(READ_LIMIT).decode(errors="replace")
    except OSError:  # another system has no such file
        return None
    match = pattern.search(text)
    return _line(match[1]) if match is not None else None


def _line(text: str) -> str | None:
    """Return a text as a record may hold it: in one line without needless blanks, printable, of bounded length."""
    line = " ".join(text.split())
    return "".join(character for character in line if character.isprintable())[:STRING_LIMIT].strip() or None
