"""Values a second that the dequantisers make on one core, beside transformers' own and copying memory.

    python bench/dequantise.py                 # one expert of gpt-oss (5,760 x 2,880), one projection of DeepSeek V3
    python bench/dequantise.py --runs 21

All contestants take turns in the same run and the median counts. MXFP4: `convert_moe_packed_tensors` of transformers
makes bfloat16; ours makes float64, which is four times as many bytes. FP8 in blocks of 128 x 128: transformers makes
float32 in several passes; "memory speed" is copying a matrix of float64 of the same shape, which writes what we write
and reads eight times as much. The kernels write into memory that is there already, as the copy does.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping

import torch
from transformers.integrations.finegrained_fp8 import Fp8Dequantize
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from mbom.engine.dequantise import E4M3_NAN, fp8_blocks, mxfp4

STOCK_TARGET = 5.0  # times transformers' rate for MXFP4
COPY_TARGET = 0.5  # of the rate at which a matrix of float64 is copied, for FP8
EXPERT = (5760, 90)  # rows, groups of 32
PROJECTION = (7168, 2048)

Contest = Mapping[str, Callable[[], object]]


def experts() -> Contest:
    """MXFP4: the gate and up projections of one expert."""
    random = torch.Generator().manual_seed(0)
    blocks = torch.randint(0, 256, (1, *EXPERT, 16), dtype=torch.uint8, generator=random)
    scales = torch.randint(110, 126, (1, *EXPERT), dtype=torch.uint8, generator=random)
    out = torch.empty(1, EXPERT[0], EXPERT[1] * 32, dtype=torch.float64)
    other = torch.ones_like(out)
    assert torch.equal(mxfp4(blocks, scales).transpose(1, 2).bfloat16(), convert_moe_packed_tensors(blocks, scales))
    return {
        "transformers": lambda: convert_moe_packed_tensors(blocks, scales),
        "mbom": lambda: mxfp4(blocks, scales, out=out),
        "copy": lambda: out.copy_(other),
        "fill": lambda: out.fill_(1.0),
    }


def projections() -> Contest:
    """FP8: one matrix in blocks of 128 x 128."""
    random = torch.Generator().manual_seed(1)
    codes = torch.randint(0, 256, PROJECTION, dtype=torch.uint8, generator=random)
    weight = torch.where(codes & 0x7F == E4M3_NAN, codes & 0x80, codes).view(torch.float8_e4m3fn)
    scales = torch.rand(PROJECTION[0] // 128, PROJECTION[1] // 128, generator=random)
    out = torch.empty(PROJECTION, dtype=torch.float64)
    other = torch.ones_like(out)
    stock = Fp8Dequantize(None)  # type: ignore[no-untyped-call]
    return {
        "transformers": lambda: stock._dequantize_one(weight, scales, torch.float32),  # noqa: SLF001 - the peer
        "mbom": lambda: fp8_blocks(weight, scales, out=out),
        "copy": lambda: out.copy_(other),
        "fill": lambda: out.fill_(1.0),
    }


def rates(contest: Contest, values: int, runs: int) -> dict[str, float]:
    """Return the median of values a second for each contestant, after one turn that only warms."""
    seconds: dict[str, list[float]] = {name: [] for name in contest}
    for number in range(runs + 1):
        for name, work in contest.items():
            start = time.process_time()
            work()
            if number:
                seconds[name].append(time.process_time() - start)
    return {name: values / statistics.median(each) for name, each in seconds.items()}


def main() -> int:
    """Measure and print; exit 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    torch.set_num_threads(1)
    expert, projection = EXPERT[0] * EXPERT[1] * 32, PROJECTION[0] * PROJECTION[1]
    print(f"million values a second of processor time, one thread, median of {runs} turns; torch {torch.__version__}")
    found = {
        "MXFP4": rates(experts(), expert, runs),
        "FP8 128x128": rates(projections(), projection, runs),
    }
    print(f"{'':12}" + "".join(f"{name:>14}" for name in found["MXFP4"]))
    for label, each in found.items():
        print(f"{label:12}" + "".join(f"{rate / 1e6:14.0f}" for rate in each.values()))
    faster = found["MXFP4"]["mbom"] / found["MXFP4"]["transformers"]
    share = found["FP8 128x128"]["mbom"] / found["FP8 128x128"]["copy"]
    print(f"MXFP4: {faster:.1f} times transformers (target {STOCK_TARGET:g})")
    print(f"FP8: {share:.2f} of copying float64 (target {COPY_TARGET:g})")
    return 0 if faster >= STOCK_TARGET and share >= COPY_TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
