"""What each file of a checkpoint is for, by its name: the convention that loaders and people follow on the hub."""

import re
from pathlib import PurePosixPath

WEIGHTS = "weights"
INDEX = "index"
CONFIG = "config"
TOKENIZER = "tokenizer"
CHAT_TEMPLATE = "chat-template"
CODE = "code"
LICENCE = "licence"
POLICY = "policy"
CARD = "card"
OTHER = "other"

ROLES = (WEIGHTS, INDEX, CONFIG, TOKENIZER, CHAT_TEMPLATE, CODE, LICENCE, POLICY, CARD, OTHER)

# Containers of parameters, each with the program that wrote it: safetensors; PyTorch; llama.cpp; ONNX and its external
# data; Keras; Flax; TensorFlow; Core ML; TensorFlow Lite; NeMo; rust-bert; NumPy; Paddle. ``.bin`` is PyTorch's, and
# also OpenVINO's, Metal's and ggml's.
_WEIGHTS = (
    ".safetensors .bin .pt .pth .pkl .pickle .ckpt .gguf .ggml .onnx .onnx_data .h5 .hdf5 .keras .msgpack .pb .mlmodel"
    " .tflite .nemo .ot .npy .npz .pdparams"
)
_CODE = (
    ".py .pyc .pyx .ipynb .sh .bash .js .mjs .ts .rb .pl .ps1 .bat .cmd .c .cc .cpp .cu .cuh .h .hpp .rs .go .java .jar"
    " .wasm .so .dylib .dll .exe .whl .metal"
)
_BY_SUFFIX = {
    **dict.fromkeys(_WEIGHTS.split(), WEIGHTS),
    **dict.fromkeys(_CODE.split(), CODE),
    **dict.fromkeys((".jinja", ".jinja2"), CHAT_TEMPLATE),
    **dict.fromkeys((".model", ".tiktoken"), TOKENIZER),  # SentencePiece, tiktoken
}
_BY_NAME = {
    **dict.fromkeys(("added_tokens.json", "special_tokens_map.json", "tokenizer_config.json"), TOKENIZER),
    **dict.fromkeys(("tokenizer.json", "tekken.json", "vocab.json", "vocab.txt", "merges.txt"), TOKENIZER),
    "params.json": CONFIG,
}
_BY_PATTERN = (
    (re.compile(r".*\.index\.json"), INDEX),
    (re.compile(r"tokenizer\.model\..*"), TOKENIZER),
    (re.compile(r"chat_template\..*"), CHAT_TEMPLATE),
    (re.compile(r".*\.(ckpt|data-\d{5}-of-\d{5}|onnx\.data)(-\d+)?(\.data-\d{5}-of-\d{5}|\.index)?"), WEIGHTS),
)
_LICENCE = re.compile(r"((.*[-_.])?(licen[cs]e|copying)s?|notice|patents|copyright)([-_. ].*)?")
_POLICY = re.compile(
    r"(.*[-_. ])?(policy|policies|acceptable[-_ ]use|prohibited[-_ ]uses?|terms[-_ ]of[-_ ]use)([-_. ].*)?"
)
_DOCUMENT_SUFFIXES = frozenset({"", ".md", ".txt", ".rst", ".pdf", ".html"})


def role(name: str) -> str:
    """Return the role of the file ``name``, a path with forward slashes: one of ``ROLES``.

    The name alone decides, so that a file that was only listed has a role too; what a file really holds is a matter
    for findings. Letter case does not count.
    """
    path = PurePosixPath(name.lower())
    base, suffix = path.name, path.suffix
    patterned = (kind for pattern, kind in _BY_PATTERN if pattern.fullmatch(base))
    known = _BY_NAME.get(base) or next(patterned, None) or _BY_SUFFIX.get(suffix)
    if known is not None:
        return known
    if suffix == ".json":
        return CONFIG if "config" in base else OTHER
    return _document(base, suffix, at_root=len(path.parts) == 1)


def _document(base: str, suffix: str, *, at_root: bool) -> str:
    """Tell the texts apart: ``LICENSE.txt``, ``LICENSE-MODEL``, ``USE_POLICY.md``, ``README.md``, or something else."""
    if suffix in _DOCUMENT_SUFFIXES or base.startswith(("license", "licence")):
        if _POLICY.fullmatch(base):
            return POLICY
        if _LICENCE.fullmatch(base):
            return LICENCE
    if at_root and base in ("readme.md", "readme"):
        return CARD
    return OTHER


def is_safetensors(name: str) -> bool:
    """Tell whether loaders take the file for safetensors; unlike ``role``, they heed letter case."""
    return name.endswith(".safetensors")
