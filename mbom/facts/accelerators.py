"""Common accelerators by how much memory they have, as their makers state it."""

from dataclasses import dataclass

DATE = "2026-11-21"  # on which the sources were looked up
COUNTS = (1, 2, 4, 8)  # of equal accelerators, as they are built into one machine


@dataclass(frozen=True, kw_only=True)
class Accelerator:
    """A size of memory in gigabytes of 10^9 bytes, examples of accelerators that have it, and where that is stated."""

    gigabytes: int
    names: str
    source: str


# From small to large. A size between two of them counts as the smaller one.
ACCELERATORS = (
    Accelerator(
        gigabytes=24, names="NVIDIA L4, GeForce RTX 4090", source="https://www.nvidia.com/en-us/data-center/l4/"
    ),
    Accelerator(
        gigabytes=32,
        names="GeForce RTX 5090",
        source="https://www.nvidia.com/en-us/geforce/graphics-cards/50-series/rtx-5090/",
    ),
    Accelerator(gigabytes=48, names="NVIDIA L40S", source="https://www.nvidia.com/en-us/data-center/l40s/"),
    Accelerator(gigabytes=80, names="NVIDIA A100, H100", source="https://www.nvidia.com/en-us/data-center/h100/"),
    Accelerator(
        gigabytes=96,
        names="NVIDIA RTX PRO 6000 Blackwell",
        source="https://www.nvidia.com/en-us/products/workstations/professional-desktop-gpus/rtx-pro-6000/",
    ),
    Accelerator(gigabytes=141, names="NVIDIA H200", source="https://www.nvidia.com/en-us/data-center/h200/"),
    Accelerator(
        gigabytes=192,
        names="AMD Instinct MI300X",
        source="https://www.amd.com/en/products/accelerators/instinct/mi300/mi300x.html",
    ),
)
