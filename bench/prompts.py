"""What an added prompt costs: one pass of 1, 2, 4 and 8 prompts of 256 tokens over the same checkpoint.

    python bench/prompts.py                    # gpt-oss-20b shape, two layers, 3.3 GB
    python bench/prompts.py --layers 4 --prompts 1,8

Whatever the number of prompts, every tensor is read once: the bytes counted as they are read must equal the bytes of
the tensors, or this fails. Seconds are those of the pass alone, without starting Python and hashing the files first;
the last column is what the prompts beyond the first cost each, in processor
seconds.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from passes import run
from randomweights import write_gpt_oss


def main() -> int:
    """Measure and print; exit 1 when a byte was read more or less than once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=2, help="decoder layers, 0.44 GB each (default 2)")
    parser.add_argument("--prompts", default="1,2,4,8", help="how many, in ascending order from 1 (default 1,2,4,8)")
    parser.add_argument("--folder", type=Path, help="where the checkpoint is written (default a temporary folder)")
    options = parser.parse_args()
    counts = [int(count) for count in options.prompts.split(",")]
    with tempfile.TemporaryDirectory(prefix="mbom-bench-", dir=options.folder) as scratch:
        folder = Path(scratch) / "gpt-oss-shape"
        size = write_gpt_oss(folder, layers=options.layers)
        print(f"checkpoint: gpt-oss-20b shape, {options.layers} layers, {size:,} bytes of tensors")
        print(f"{'prompts':>8}{'positions':>11}{'bytes read':>16}", end="")
        print(f"{'wall s':>9}{'cpu s':>9}{'peak GB':>9}{'cpu s each':>13}")
        once, first = True, 0.0
        for count in counts:
            found = run("passes.py", str(folder), "--prompts", str(count))
            once = once and found["bytes_read"] == found["tensor_bytes"]
            first = first or found["cpu"]
            each = f"{(found['cpu'] - first) / (count - counts[0]):13.2f}" if count > counts[0] else ""
            print(
                f"{count:8}{found['positions']:11}{found['bytes_read']:16,}{found['pass']:9.1f}{found['cpu']:9.1f}"
                f"{found['peak_bytes'] / 1e9:9.2f}{each}"
            )
    print("every byte was read once in every pass" if once else "FAILED: bytes were read more or less than once")
    return 0 if once else 1


if __name__ == "__main__":
    sys.exit(main())
