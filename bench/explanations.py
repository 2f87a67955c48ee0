"""How often a change of weights is named by its true reason, and by a wrong one.

    PYTHONPATH=.:tests python bench/explanations.py [--seeds 3]

Every synthetic case of ``tests/diffcases/`` is built, compared and explained; a table shows what each kind of change
was called. Then the figures: ranks of adapters on 1024-wide layers in bfloat16, and the weights of merges, each beside
what a simpler method makes of the same change: the number of singular values above what rounding leaves (the effective
rank of ``mbom.diff.values.weights``), and plain least squares.
"""

import argparse
import platform
import time
from collections import Counter, defaultdict

import numpy as np
from arrayvalues import Arrays
from diffcases import cases
from diffcases.models import checkpoint, low_rank, model, noise

from mbom.diff.explanations.explain import explain
from mbom.diff.values.weights import compare

RANKS = (4, 8, 16, 32, 64)
RELATIVE = (3e-3, 1e-2, 3e-2)
SHARES = (0.1, 0.25, 0.5, 0.75)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="how many models of each case to draw")
    seeds = parser.parse_args().seeds
    print(f"{platform.platform()}, Python {platform.python_version()}, numpy {np.__version__}")
    began = time.monotonic()
    confusion(seeds)
    adapters()
    merges()
    print(f"{time.monotonic() - began:.0f} s")


def confusion(seeds: int) -> None:
    """Print what each kind of change was called, and every fault."""
    called: defaultdict[str, Counter[str]] = defaultdict(Counter)
    faults = wrong = 0
    for seed in range(seeds):
        for case in cases():
            old, new, others = case.sides(seed)
            found = explain(old, new, compare(old, new), others=others)
            explained = [one.id for one in found if one.outcome == "explained"]
            fitting = [f"{one.id}?" for one in found if one.outcome == "consistent"]
            called[case.kind][" + ".join(explained) or " + ".join(fitting) or "nothing"] += 1
            wrong += not set(explained) <= case.explained
            for fault in case.faults(found):
                faults += 1
                print(f"fault: {case.name}, seed {seed}: {fault}")
    print(f"{'what it is':24} {'cases':>5}  what it was called; ? is consistent, others are explained")
    for kind, names in called.items():
        shown = ", ".join(f"{name} {count}" for name, count in names.most_common())
        print(f"{kind:24} {names.total():5}  {shown}")
    total = sum(names.total() for names in called.values())
    print(f"{total} cases, {faults} faults, {wrong} explained wrongly")


def adapters() -> None:
    """Print the ranks found of adapters on 1024-wide layers in bfloat16."""
    print(
        f"\nadapters on 1024-wide matrices in bfloat16: {'rank':>6} {'change':>8} {'found':>8} {'by its spectrum':>16}"
    )
    for rank in RANKS:
        for relative in RELATIVE:
            rng = np.random.default_rng(rank)
            old = checkpoint({"model.layers.0.self_attn.q_proj.weight": matrix(rng)}, "bfloat16")
            new = checkpoint({n: v + low_rank(rng, v, rank, relative) for n, v in old.arrays.items()}, "bfloat16")
            weights = compare(old, new)
            told = explain(old, new, weights)
            ranks = ", ".join(str(one.details["rank"]) for one in told if one.outcome == "explained")
            print(f"{rank:6} {relative:8.3f} {ranks or '-':>8} {weights.changed[0].rank or '-':>16}")


def matrix(rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return model(rng, hidden=1024, layers=1, vocabulary=1, attention=("q_proj",))[
        "model.layers.0.self_attn.q_proj.weight"
    ]


def merges() -> None:
    """Print how far the weights of merges are from the truth, at worst."""
    print("\nmerges: largest error of the other model's weight")
    print(f"{'type':>10} {'apart':>6} {'found':>10} {'least squares':>14}")
    for dtype in ("bfloat16", "float16", "float32"):
        for apart in (0.02, 0.1):
            errors, plain = [], []
            for share in SHARES:
                rng = np.random.default_rng(int(100 * share))
                old = checkpoint(model(rng, hidden=128), dtype)
                other = checkpoint({n: v + noise(rng, v, apart) for n, v in old.arrays.items()}, dtype)
                mixed = {n: (1 - share) * v + share * other.arrays[n] for n, v in old.arrays.items()}
                new = checkpoint(mixed, dtype)
                [told] = explain(old, new, compare(old, new), others=(other,))
                assert told.outcome == "explained", told
                b = told.details["b"]
                assert isinstance(b, float)
                errors.append(abs(b - share))
                plain += [abs(least_squares(old, new, other, name) - share) for name in old.arrays]
            print(f"{dtype:>10} {apart:6.2f} {max(errors):10.1e} {max(plain):14.1e}")


def least_squares(old: Arrays, new: Arrays, other: Arrays, name: str) -> float:
    """Estimate how much of the other model there is in a weight, without regard to rounding."""
    towards, change = (side.arrays[name].ravel() - old.arrays[name].ravel() for side in (other, new))
    return float(towards @ change) / float(towards @ towards)


if __name__ == "__main__":
    main()
