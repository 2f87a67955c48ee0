"""The fixed prompts as one checkpoint sees them: through its chat template and its tokenizer, in a child process.

Template and tokenizer are read from the checkpoint's own files, by jinja2 and the ``tokenizers`` library alone. The
bytes that are used are the bytes of the inventory when its digests are passed.
"""

import contextlib
import resource
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import cast

from tokenizers import Tokenizer

from mbom import strictjson
from mbom.behaviour.projection import FIXED
from mbom.behaviour.prompts import POSITIONS, Prompt, PromptSource, VariantName, check, fixed, seeded
from mbom.digest import sha256
from mbom.engine import process
from mbom.engine.process import Limits
from mbom.engine.sidefiles import content
from mbom.engine.template import ChatTemplate, load
from mbom.errors import ChangedError, EngineError, FormatError, RefusedError, SourceError
from mbom.strictjson import Fields, Json

TOKENIZER = "tokenizer.json"
CONFIG = "tokenizer_config.json"
SPECIAL_TOKENS = "special_tokens_map.json"
TEMPLATE = "chat_template.jinja"
FURTHER_TEMPLATES = "additional_chat_templates/"  # NAME.jinja in there; transformers takes tool_use where tools are

SIZE_LIMIT = 64 << 20  # bytes of one file; the largest honest tokenizer.json seen is 33 MB

# The whole child: a tokenizer.json of 25 MB, with 262,000 tokens, takes 1 s and 200 MB to load.
LIMITS = Limits(wall_seconds=180.0, cpu_seconds=60, address_space_bytes=1 << 30, result_bytes=1 << 20, file_bytes=0)
# The templates alone, 8 prompts in up to 6 variants each: honest ones take some milliseconds.
TEMPLATE_CPU_SECONDS = 5
TEMPLATE_BYTES = 512 << 20

# PreTrainedTokenizerBase.SPECIAL_TOKENS_ATTRIBUTES: the variables that a template gets besides the messages.
_TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def render(
    files: Mapping[str, Path], vocabulary: int, *, digests: Mapping[str, str] | None = None
) -> tuple[Prompt, ...]:
    """Return the prompts of the fixed set as token ids of this checkpoint, each of at most ``POSITIONS``.

    A chat prompt takes the first of its variants that the template accepts, and is plain text where there is no
    template or none is accepted. Without a ``tokenizer.json`` the prompts are the seeded ones.

    Args:
        files: the checkpoint's files by name.
        vocabulary: rows of the embedding.
        digests: SHA-256 in hex of the files by name; what is used must have them.

    Raises:
        RefusedError: when the template does what no honest one does, or token ids are outside the vocabulary.
        FormatError: when a file is not what its format says.
        ChangedError: when a file does not have its digest.
        EngineError: when template or tokenizer crash, take too long, or take too much memory.
    """
    if TOKENIZER not in files:
        return seeded(vocabulary)
    wanted = {name: str(path) for name, path in files.items() if _is_read(name)}
    request: dict[str, Json] = {
        "files": dict(wanted),
        "digests": {name: digest for name, digest in (digests or {}).items() if name in wanted},
        "vocabulary": vocabulary,
        "template_cpu_seconds": TEMPLATE_CPU_SECONDS,
    }
    stage = "the checkpoint's prompts"

    def note(report: Json) -> None:
        nonlocal stage
        stage = str(report)

    try:
        answer = process.run("render", request, limits=LIMITS, progress=note)
    except EngineError as error:
        raise EngineError(f"{process.one_line(stage)[:120]}: {error}") from error
    try:
        return _prompts(answer, vocabulary)
    except FormatError as error:
        raise EngineError(f"broken protocol: {error}") from error


def _is_read(name: str) -> bool:
    return name in (TOKENIZER, CONFIG, SPECIAL_TOKENS, TEMPLATE) or _further(name) is not None


def _further(name: str) -> str | None:
    """Return NAME of ``additional_chat_templates/NAME.jinja``, None for any other file."""
    inner = name.removeprefix(FURTHER_TEMPLATES)
    return inner.removesuffix(".jinja") if inner != name and "/" not in inner and inner.endswith(".jinja") else None


def _prompts(answer: Json, vocabulary: int) -> tuple[Prompt, ...]:
    """Read what the child made of the prompts, as strictly as a record from anywhere else."""
    what = "the render process"
    document = Fields(answer, what)
    found = document.objects("prompts")
    document.end()
    if len(found) != len(fixed()):
        raise FormatError(f"{what}: {len(found)} prompts, {len(fixed())} were asked for")
    prompts = tuple(_prompt(source, fields) for source, fields in zip(fixed(), found, strict=True))
    check(prompts, vocabulary, FIXED, what=what)
    return prompts


def _prompt(source: PromptSource, fields: Fields) -> Prompt:
    variant = cast("VariantName | None", fields.optional_text("variant"))  # ``check`` knows which are allowed
    prompt = Prompt(id=source.id, kind=source.kind, variant=variant, token_ids=fields.integers("token_ids"))
    fields.end()
    return prompt


def in_child(request: dict[str, Json], emit: Callable[[Json], None]) -> Json:
    """Render and tokenise, as the child process; the request is that of ``render``."""
    fields = Fields(request, "request")
    digests = fields.object("digests")
    files = {
        name: _read(name, Path(str(path)), digests.optional_text(name))
        for name, path in cast("dict[str, Json]", fields.raw("files")).items()
    }
    vocabulary, cpu_seconds = fields.integer("vocabulary", minimum=1), fields.integer("template_cpu_seconds")
    config = _object(files, CONFIG)
    special_tokens = _special_tokens(config, _object(files, SPECIAL_TOKENS))
    sources = _template_sources(files, config)
    emit("chat template")
    with _template_limits(cpu_seconds):
        templates = {use: load(name, source) for use, (name, source) in sources.items()}
        texts = [_text(source, templates, special_tokens) for source in fixed()]
    emit(TOKENIZER)
    _object(files, TOKENIZER)  # the library takes one of two equal keys, and does not say which
    try:
        tokenizer = Tokenizer.from_buffer(files[TOKENIZER])
    except ValueError as error:
        raise FormatError(f"{TOKENIZER}: not what the tokenizers library reads: {error}") from error
    # As transformers does unless asked otherwise: what the file says of lengths is for training.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    prompts: list[Json] = []
    for source, (variant, text) in zip(fixed(), texts, strict=True):
        ids = tokenizer.encode(text, add_special_tokens=variant in (None, "plain")).ids[:POSITIONS]
        _check_ids(ids, vocabulary, source.id)
        prompts.append({"variant": variant, "token_ids": list[Json](ids)})
    return {"prompts": prompts}


def _check_ids(ids: list[int], vocabulary: int, prompt: str) -> None:
    if not ids:
        raise RefusedError(f"{TOKENIZER}: makes no token of the prompt {prompt!r}")
    if max(ids) >= vocabulary:
        raise RefusedError(
            f"{TOKENIZER}: makes token {max(ids)} of the prompt {prompt!r}, the model's vocabulary has {vocabulary}"
        )


def _text(
    source: PromptSource, templates: Mapping[str, ChatTemplate], special_tokens: Mapping[str, str]
) -> tuple[VariantName | None, str]:
    """Return the text of one prompt for the tokenizer, and the name of its variant (None unless it is a chat)."""
    if source.kind == "text":
        return None, source.text
    for variant in source.variants:
        # PreTrainedTokenizerBase.get_chat_template
        template = templates.get("tool_use" if variant.tools and "tool_use" in templates else "default")
        if template is None:
            continue
        text = template.render(variant.messages, tools=variant.tools or None, special_tokens=special_tokens)
        if text:
            return variant.name, text
    return "plain", source.text


def _template_sources(files: Mapping[str, bytes], config: Mapping[str, Json]) -> dict[str, tuple[str, str]]:
    """Return the templates by use (``default``, ``tool_use``), each with its name for messages.

    Files of their own hide whatever the configuration says, as in transformers.
    """
    found: dict[str, tuple[str, str]] = {}
    for name, data in files.items():
        use = "default" if name == TEMPLATE else _further(name)
        if use is not None:
            found[use] = (name, _decoded(name, data))
    if not found:
        value = config.get("chat_template")
        if isinstance(value, str):
            found["default"] = (f"{CONFIG}: chat_template", value)
        elif isinstance(value, list):
            for number, entry in enumerate(value):
                fields = Fields(entry, f"{CONFIG}: chat_template[{number}]")
                use = fields.text("name")
                found[use] = (f"{CONFIG}: chat_template {use[:40]!r}", fields.text("template"))
        elif value is not None:
            raise FormatError(f"{CONFIG}: 'chat_template' is neither a string nor an array of named ones")
    return {use: named for use, named in found.items() if use in ("default", "tool_use")}


def _special_tokens(config: Mapping[str, Json], mapped: Mapping[str, Json]) -> dict[str, str]:
    """Return the variables that hold special tokens, from ``tokenizer_config.json`` and ``special_tokens_map.json``.

    The second is of an older format, and counts where the first does not list its tokens by id.
    """
    merged = dict(config) if "added_tokens_decoder" in config else {**config, **mapped}
    found = {}
    for name in _TOKEN_NAMES:
        value = merged.get(name)
        if isinstance(value, dict):
            value = value.get("content")
        if isinstance(value, str):
            found[name] = value
        elif value is not None:
            raise FormatError(f"{CONFIG}: {name!r} is not a token")
    return found


def _object(files: Mapping[str, bytes], name: str) -> dict[str, Json]:
    if name not in files:
        return {}
    value = strictjson.loads(files[name], what=name, limit=SIZE_LIMIT)
    if not isinstance(value, dict):
        raise FormatError(f"{name}: not a JSON object")
    return value


def _decoded(name: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{name}: not UTF-8 at byte {error.start}") from error


def _read(name: str, path: Path, digest: str | None) -> bytes:
    """Return the bytes of one regular file, which must have ``digest`` unless it is None."""
    data = content(path, SIZE_LIMIT, name=name, unreadable=SourceError)
    if digest is not None and sha256(data) != digest:
        raise ChangedError(f"{name}: has SHA-256 {sha256(data)}, the inventory says {digest}")
    return data


@contextlib.contextmanager
def _template_limits(cpu_seconds: int) -> Iterator[None]:
    """Lower the soft limits of this process while strangers' programs run; the hard ones stay what they are."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + 1 + cpu_seconds
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    space = pages * resource.getpagesize() + TEMPLATE_BYTES
    before = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_CPU, resource.RLIMIT_AS)}
    for kind, value in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, space)):
        soft, hard = before[kind]
        resource.setrlimit(kind, (value if soft == resource.RLIM_INFINITY else min(soft, value), hard))
    try:
        yield
    finally:
        for kind, values in before.items():
            resource.setrlimit(kind, values)
