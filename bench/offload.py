"""The streamed pass beside transformers with its weights offloaded to disk (accelerate's `device_map`).

    python bench/offload.py                    # qwen3_moe, 3.6 B parameters in bfloat16
    python bench/offload.py --dtype float64 --layers 2       # the same arithmetic on both sides

Both run the same seeded prompts through the same random checkpoint of bfloat16 weights. transformers may keep
``--budget`` GB of weights in memory. By default it computes in bfloat16, as the weights are stored, while mbom computes
in float64 and sketches and hashes every weight; with ``--dtype float64`` transformers converts its weights too, and
writes four times the checkpoint. Each side is a process of its own. Bytes written are what lies in the offload folder.
Bytes read are those that a process asked the system for (`rchar` in /proc/self/io, beginning after the imports);
transformers reads through memory maps, which that does not count, and whose pages are part of its peak.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from passes import cpu_seconds, peak_bytes, run
from randomweights import write_shard

CONFIG: dict[str, Any] = {
    "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 2048,
    "moe_intermediate_size": 768, "intermediate_size": 6144, "num_attention_heads": 32, "num_key_value_heads": 4,
    "head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8, "norm_topk_prob": True, "decoder_sparse_step": 1,
    "mlp_only_layers": [], "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "vocab_size": 32000,
    "max_position_embeddings": 40960, "attention_bias": False, "tie_word_embeddings": False, "sliding_window": None,
    "use_sliding_window": False,
}  # fmt: skip


def write(folder: Path, layers: int) -> int:
    """Write a checkpoint in the shape of Qwen3-30B-A3B with fewer layers and tokens; return its bytes."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": layers, "dtype": "bfloat16"}))
    hidden, inner, head = CONFIG["hidden_size"], CONFIG["moe_intermediate_size"], CONFIG["head_dim"]
    queries, keys = CONFIG["num_attention_heads"] * head, CONFIG["num_key_value_heads"] * head
    vocabulary, random, total = CONFIG["vocab_size"], np.random.default_rng(0), 0
    index: dict[str, str] = {}
    outer = {"model.embed_tokens": (vocabulary, hidden), "model.norm": (hidden,), "lm_head": (vocabulary, hidden)}
    for number in range(-1, layers):
        base = f"model.layers.{number}"
        shapes: dict[str, tuple[int, ...]] = dict(outer) if number < 0 else {
            f"{base}.input_layernorm": (hidden,), f"{base}.post_attention_layernorm": (hidden,),
            f"{base}.self_attn.q_proj": (queries, hidden), f"{base}.self_attn.k_proj": (keys, hidden),
            f"{base}.self_attn.v_proj": (keys, hidden), f"{base}.self_attn.o_proj": (hidden, queries),
            f"{base}.self_attn.q_norm": (head,), f"{base}.self_attn.k_norm": (head,),
            f"{base}.mlp.gate": (CONFIG["num_experts"], hidden),
        }  # fmt: skip
        for expert in range(CONFIG["num_experts"] if number >= 0 else 0):
            path = f"{base}.mlp.experts.{expert}"
            shapes |= {f"{path}.{name}_proj": (inner, hidden) for name in ("gate", "up")}
            shapes[f"{path}.down_proj"] = (hidden, inner)
        name = f"model-{number + 1:05d}-of-{layers + 1:05d}.safetensors"
        tensors = [(f"{tensor}.weight", "BF16", shape) for tensor, shape in shapes.items()]
        total += write_shard(folder / name, tensors, random)
        index |= {tensor: name for tensor, _, _ in tensors}
    text = json.dumps({"metadata": {"total_size": total}, "weight_map": index})
    (folder / "model.safetensors.index.json").write_text(text)
    return total


def bytes_asked_for() -> int:
    """Return the bytes that this process has read through system calls."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("rchar"))


def offloaded(folder: Path, budget: float, dtype: str) -> dict[str, Any]:
    """Load with offload to disk and run every prompt in one batch; figures for JSON."""
    import torch
    from transformers import AutoModelForCausalLM

    from mbom.behaviour.prompts import seeded

    ids = torch.tensor([prompt.token_ids for prompt in seeded(CONFIG["vocab_size"])])
    with tempfile.TemporaryDirectory(prefix="offload-", dir=folder.parent) as scratch:
        start, cpu, before = time.monotonic(), cpu_seconds(), bytes_asked_for()
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            device_map="auto",
            max_memory={"cpu": int(budget * 1e9)},
            offload_folder=scratch,
            offload_buffers=True,
            # Its fused kernel takes no float64.
            experts_implementation="eager" if dtype == "float64" else None,
        )
        loaded = time.monotonic() - start
        places = {str(place) for place in model.hf_device_map.values()}
        with torch.no_grad():
            logits = model(ids, use_cache=False).logits
        assert bool(logits.isfinite().all())
        return {
            "pass": time.monotonic() - start,
            "load": loaded,
            "cpu": cpu_seconds() - cpu,
            "peak_bytes": peak_bytes(),
            "bytes_read": bytes_asked_for() - before,
            "bytes_written": sum(path.stat().st_size for path in Path(scratch).rglob("*") if path.is_file()),
            "places": sorted(places),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=5, help="decoder layers, 1.2 GB each (default 5)")
    parser.add_argument("--budget", type=float, default=1.5, help="GB of weights that transformers may keep in memory")
    parser.add_argument("--dtype", choices=("bfloat16", "float64"), default="bfloat16", help="of transformers")
    parser.add_argument("--folder", type=Path, help="where everything is written (default a temporary folder)")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(offloaded(options.one, options.budget, options.dtype)))
        return
    with tempfile.TemporaryDirectory(prefix="mbom-bench-", dir=options.folder) as scratch:
        folder = Path(scratch) / "qwen3-moe-shape"
        size = write(folder, options.layers)
        print(
            f"checkpoint: Qwen3-30B-A3B shape, {options.layers} layers, {size / 1e9:.2f} GB of bfloat16; 2,048 tokens"
        )
        ours = run("passes.py", str(folder)) | {"bytes_written": 0}
        theirs = run("offload.py", "--one", str(folder), "--budget", str(options.budget), "--dtype", options.dtype)
    print(f"{'':22}{'pass s':>9}{'cpu s':>9}{'peak GB':>9}{'read GB':>9}{'written GB':>12}")
    for label, each in (("mbom, float64", ours), (f"offload, {options.dtype}", theirs)):
        gigabytes = [each[key] / 1e9 for key in ("peak_bytes", "bytes_read", "bytes_written")]
        print(
            f"{label:22}{each['pass']:9.1f}{each['cpu']:9.1f}{gigabytes[0]:9.2f}{gigabytes[1]:9.2f}{gigabytes[2]:12.2f}"
        )
    print(f"transformers: {theirs['load']:.1f} s of that for loading; weights on {', '.join(theirs['places'])}")


if __name__ == "__main__":
    main()
