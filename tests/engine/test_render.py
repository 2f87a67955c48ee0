"""The fixed prompts of a checkpoint: the ids that transformers gives, and hostile templates and tokenizers."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine.chat_templates import ADDED_TOKENS, CHATML, FAMILIES, SPECIAL_TOKENS

from mbom.behaviour.prompts import POSITIONS, Prompt, fixed, seeded
from mbom.digest import sha256
from mbom.engine import process
from mbom.engine import render as module
from mbom.engine.render import render
from mbom.errors import ChangedError, EngineError, FormatError, MbomError, RefusedError, SourceError
from mbom.strictjson import Json

VOCABULARY = 1024


@pytest.fixture(scope="session")
def tokenizer_json() -> bytes:
    """A byte-level BPE, trained on the prompts, that puts ``<s>`` before plain text."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([source.text for source in fixed()], trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in ADDED_TOKENS])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return str(tokenizer.to_str()).encode()


@pytest.fixture
def checkpoint(tmp_path: Path, tokenizer_json: bytes) -> Callable[..., dict[str, Path]]:
    """Return a function that writes a checkpoint's side files and returns them by name."""

    def write(*, config: Mapping[str, Any] | None = None, **files: str | bytes) -> dict[str, Path]:
        contents: dict[str, str | bytes] = {
            "tokenizer.json": tokenizer_json,
            "tokenizer_config.json": json.dumps(
                {
                    "tokenizer_class": "PreTrainedTokenizerFast",
                    "model_max_length": int(1e30),
                    **SPECIAL_TOKENS,
                    **(config or {}),
                }
            ),
            **{name.replace("__", "/").replace("_dot_", "."): content for name, content in files.items()},
        }
        paths = {}
        for name, content in contents.items():
            paths[name] = tmp_path / name
            paths[name].parent.mkdir(exist_ok=True)
            paths[name].write_bytes(content.encode() if isinstance(content, str) else content)
        return paths

    return write


def transformers_ids(folder: Path) -> list[tuple[str | None, tuple[int, ...]]]:
    """Render the fixed set with transformers itself: per prompt the variant taken and its ids."""
    from jinja2 import TemplateError
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    found: list[tuple[str | None, tuple[int, ...]]] = []
    for source in fixed():
        taken: str | None = "plain" if source.kind == "chat" else None
        ids = None
        for variant in source.variants if tokenizer.chat_template else ():
            try:
                messages: list[Any] = list(variant.messages)
                ids = tokenizer.apply_chat_template(
                    messages,
                    tools=list(variant.tools) or None,
                    add_generation_prompt=True,
                    return_dict=False,
                )
            except (TemplateError, TypeError):
                continue
            taken = variant.name
            break
        found.append((taken, tuple(tokenizer(source.text)["input_ids"] if ids is None else ids)[:POSITIONS]))
    return found


def compared(prompts: tuple[Prompt, ...]) -> list[tuple[str | None, tuple[int, ...]]]:
    assert [(prompt.id, prompt.kind) for prompt in prompts] == [(source.id, source.kind) for source in fixed()]
    return [(prompt.variant, prompt.token_ids) for prompt in prompts]


@pytest.mark.parametrize("family", FAMILIES)
def test_ids_are_those_of_transformers(family: str, checkpoint: Callable[..., dict[str, Path]], tmp_path: Path) -> None:
    files = checkpoint(chat_template_dot_jinja=FAMILIES[family])
    prompts = render(files, VOCABULARY)
    assert compared(prompts) == transformers_ids(tmp_path)
    assert {prompt.variant for prompt in prompts} & {"full", "no-system", "string-arguments"}


CONFIGURED = {
    "no template": {},
    "a template in the configuration": {"chat_template": CHATML},
    "named templates": {
        "chat_template": [
            {"name": "default", "template": "default {{ messages | length }} {{ bos_token }}"},
            {"name": "tool_use", "template": "tools {{ tools | tojson }} {{ eos_token }}"},
            {"name": "rag", "template": "{% include 'never read' %}"},
        ]
    },
    "tokens as objects": {
        "bos_token": {"__type": "AddedToken", "content": "<|eot_id|>", "lstrip": False, "special": True},
        "chat_template": FAMILIES["llama-3"],
    },
    "a tokenizer that cuts": {"model_max_length": 5, "chat_template": CHATML},
}


@pytest.mark.parametrize("config", CONFIGURED.values(), ids=CONFIGURED)
def test_configurations_mean_what_they_mean_to_transformers(
    config: dict[str, Any], checkpoint: Callable[..., dict[str, Path]], tmp_path: Path
) -> None:
    files = checkpoint(config=config)
    assert compared(render(files, VOCABULARY)) == transformers_ids(tmp_path)


def test_template_files_hide_the_configuration_and_tools_have_their_own(
    checkpoint: Callable[..., dict[str, Path]], tmp_path: Path
) -> None:
    files = checkpoint(
        config={"chat_template": "hidden"},
        chat_template_dot_jinja="the default {{ messages[0].content }}",
        additional_chat_templates__tool_use_dot_jinja="the tools {{ tools | tojson }}",
    )
    prompts = render(files, VOCABULARY)
    assert compared(prompts) == transformers_ids(tmp_path)
    without = render({name: path for name, path in files.items() if "/" not in name}, VOCABULARY)
    assert without[0] != prompts[0]
    assert without[1] == prompts[1]


def test_the_older_map_of_special_tokens_counts_where_the_configuration_lists_none(
    checkpoint: Callable[..., dict[str, Path]], tmp_path: Path
) -> None:
    mapped = json.dumps(
        {"bos_token": {"content": "[INST]", "lstrip": False, "normalized": False}, "pad_token": "<pad>"}
    )
    files = checkpoint(chat_template_dot_jinja=FAMILIES["llama-3"], special_tokens_map_dot_json=mapped)
    assert compared(render(files, VOCABULARY)) == transformers_ids(tmp_path)


def test_what_a_tokenizer_says_of_truncation_and_padding_is_for_training(
    checkpoint: Callable[..., dict[str, Path]], tokenizer_json: bytes, tmp_path: Path
) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_buffer(tokenizer_json)
    tokenizer.enable_truncation(7)
    tokenizer.enable_padding(length=5000)
    files = checkpoint(tokenizer_dot_json=tokenizer.to_str(), chat_template_dot_jinja=CHATML)
    prompts = render(files, VOCABULARY)
    assert compared(prompts) == transformers_ids(tmp_path)
    assert [len(prompt.token_ids) for prompt in prompts] == [POSITIONS] * len(prompts)


def test_a_template_that_refuses_everything_leaves_plain_text(checkpoint: Callable[..., dict[str, Path]]) -> None:
    plain = render(checkpoint(), VOCABULARY)
    refused = render(checkpoint(chat_template_dot_jinja="{{ raise_exception('never') }}"), VOCABULARY)
    empty = render(checkpoint(chat_template_dot_jinja="{# nothing #}"), VOCABULARY)
    assert plain == refused == empty
    assert {prompt.variant for prompt in plain} == {"plain", None}


def test_no_tokenizer_means_seeded_ids(checkpoint: Callable[..., dict[str, Path]]) -> None:
    files = checkpoint(chat_template_dot_jinja=CHATML)
    del files["tokenizer.json"]
    assert render(files, VOCABULARY) == seeded(VOCABULARY)


def test_a_template_that_asks_for_the_date_and_for_chance_renders_the_same_twice(
    checkpoint: Callable[..., dict[str, Path]],
) -> None:
    source = "{{ strftime_now('%d %B %Y') }} {{ range(100000) | random }} {{ messages[-1].content }}"
    files = checkpoint(chat_template_dot_jinja=source)
    assert render(files, VOCABULARY) == render(files, VOCABULARY)


def test_the_bytes_used_are_those_of_the_inventory(checkpoint: Callable[..., dict[str, Path]]) -> None:
    files = checkpoint(chat_template_dot_jinja=CHATML)
    digests = {name: sha256(path.read_bytes()) for name, path in files.items()} | {"config.json": "0" * 64}
    assert render(files, VOCABULARY, digests=digests) == render(files, VOCABULARY)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        with pytest.raises(ChangedError, match=f"{name}: has SHA-256 .*, the inventory says {'0' * 64}"):
            render(files, VOCABULARY, digests={**digests, name: "0" * 64})


def test_ids_beyond_the_vocabulary_are_refused(checkpoint: Callable[..., dict[str, Path]]) -> None:
    with pytest.raises(
        RefusedError, match=r"makes token \d+ of the prompt 'chat-tools', the model's vocabulary has 99"
    ):
        render(checkpoint(), 99)


def test_files_that_are_no_files_are_not_opened(checkpoint: Callable[..., dict[str, Path]], tmp_path: Path) -> None:
    files = checkpoint()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SourceError, match=r"tokenizer_config\.json: not a regular file"):
        render({**files, "tokenizer_config.json": tmp_path / "fifo"}, VOCABULARY)
    (tmp_path / "link").symlink_to(files["tokenizer.json"])
    with pytest.raises(SourceError, match=r"tokenizer\.json: cannot be read"):
        render({**files, "tokenizer.json": tmp_path / "link"}, VOCABULARY)
    with pytest.raises(SourceError, match=r"tokenizer\.json: cannot be read: No such file"):
        render({**files, "tokenizer.json": tmp_path / "absent"}, VOCABULARY)


def test_a_file_that_is_too_large_is_refused(checkpoint: Callable[..., dict[str, Path]]) -> None:
    files = checkpoint()
    with files["tokenizer.json"].open("ab") as file:
        file.truncate(module.SIZE_LIMIT + 1)
    with pytest.raises(FormatError, match=r"tokenizer\.json: larger than 67108864 bytes"):
        render(files, VOCABULARY)


def edited(tokenizer_json: bytes, **members: Any) -> bytes:
    return json.dumps({**json.loads(tokenizer_json), **members}).encode()


BROKEN: dict[str, tuple[dict[str, str | bytes], type[MbomError], str]] = {
    "tokenizer is not JSON": ({"tokenizer_dot_json": "{"}, FormatError, "tokenizer.json: not JSON"),
    "tokenizer is too deep": ({"tokenizer_dot_json": "[" * 100_000}, FormatError, "tokenizer.json: nested deeper"),
    "tokenizer is another thing": ({"tokenizer_dot_json": "[1, 2]"}, FormatError, "tokenizer.json: not a JSON object"),
    "tokenizer of another library": ({"tokenizer_dot_json": "{}"}, FormatError, "tokenizer.json: not what"),
    "tokenizer says it twice": ({"tokenizer_dot_json": '{"model": 1, "model": 2}'}, FormatError, "occurs twice"),
    "tokenizer is binary": ({"tokenizer_dot_json": b"\x80\x00\xff"}, FormatError, "tokenizer.json: not UTF-8"),
    "configuration is not JSON": ({"tokenizer_config_dot_json": "{"}, FormatError, "tokenizer_config.json: not JSON"),
    "configuration is a list": ({"tokenizer_config_dot_json": "[]"}, FormatError, "not a JSON object"),
    "configuration says it twice": ({"tokenizer_config_dot_json": '{"a": 1, "a": 2}'}, FormatError, "occurs twice"),
    "template is a number": ({"tokenizer_config_dot_json": '{"chat_template": 1}'}, FormatError, "neither a string"),
    "template without a name": (
        {"tokenizer_config_dot_json": '{"chat_template": [{"template": ""}]}'},
        FormatError,
        r"chat_template\[0\]: the member 'name' is missing",
    ),
    "token is a number": ({"tokenizer_config_dot_json": '{"bos_token": 1}'}, FormatError, "'bos_token' is not a token"),
    "template is not UTF-8": ({"chat_template_dot_jinja": b"\xff"}, FormatError, "jinja: not UTF-8 at byte 0"),
    "template is not a template": ({"chat_template_dot_jinja": "{% if"}, FormatError, "not a Jinja template"),
    "template is hostile": (
        {"chat_template_dot_jinja": "{{ messages.__class__ }}"},
        RefusedError,
        "^chat_template.jinja: line 1 reads the attribute '__class__'",
    ),
    "tool template is hostile": (
        {"additional_chat_templates__tool_use_dot_jinja": "{{ 9**9 }}"},
        RefusedError,
        "^additional_chat_templates/tool_use.jinja: line 1 raises numbers",
    ),
    "template writes for ever": (
        {"chat_template_dot_jinja": "{% for x in range(99999) %}{{ messages[-1].content }}{% endfor %}"},
        RefusedError,
        "writes more than",
    ),
    "template writes 100 GB": (
        {"chat_template_dot_jinja": "{{ 'a' * 1000000000 * 100 }}"},
        EngineError,
        "chat template: out of memory",
    ),
    "template pads to 4 GB": (
        {"chat_template_dot_jinja": "{{ '%4000000000d' | format(1) }}"},
        EngineError,
        "chat template: out of memory",
    ),
}


@pytest.mark.parametrize(("files", "kind", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_and_hostile_files_end_in_an_error_that_names_them(
    files: dict[str, str | bytes],
    kind: type[MbomError],
    message: str,
    checkpoint: Callable[..., dict[str, Path]],
) -> None:
    with pytest.raises(kind, match=message) as caught:
        render(checkpoint(**files), VOCABULARY)
    assert type(caught.value) is kind


def test_a_template_in_one_endless_operation_is_ended(
    checkpoint: Callable[..., dict[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Squares until one multiplication alone takes hours, which only the kernel can end."""
    monkeypatch.setattr(module, "LIMITS", replace(module.LIMITS, cpu_seconds=2))
    source = "{% set n = namespace(x=10) %}{% for a in range(40) %}{% set n.x = n.x * n.x %}{% endfor %}{{ n.x % 7 }}"
    with pytest.raises(EngineError, match=r"^chat template: the render process used up its processor time"):
        render(checkpoint(chat_template_dot_jinja=source), VOCABULARY)


def test_templates_alone_have_little_of_the_time_that_everything_has(
    checkpoint: Callable[..., dict[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "TEMPLATE_CPU_SECONDS", 1)
    source = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    before = os.times()
    with pytest.raises(EngineError, match="used up its processor time"):
        render(checkpoint(chat_template_dot_jinja=source), VOCABULARY)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert 1 <= spent < 10  # of 60 for everything


def test_limits_for_templates_end_with_them(checkpoint: Callable[..., dict[str, Path]]) -> None:
    files = checkpoint(chat_template_dot_jinja=CHATML)
    request: dict[str, Json] = {
        "files": {name: str(path) for name, path in files.items()},
        "digests": {},
        "vocabulary": VOCABULARY,
        "template_cpu_seconds": 5,
    }
    kinds = (resource.RLIMIT_AS, resource.RLIMIT_CPU)
    before = [resource.getrlimit(kind) for kind in kinds]
    stages: list[Json] = []
    answer = module.in_child(request, stages.append)
    assert [resource.getrlimit(kind) for kind in kinds] == before
    assert stages == ["chat template", "tokenizer.json"]
    assert answer == {
        "prompts": [
            {"variant": prompt.variant, "token_ids": list(prompt.token_ids)} for prompt in render(files, VOCABULARY)
        ]
    }


def normalising(tokenizer_json: bytes, *steps: dict[str, Any]) -> bytes:
    return edited(tokenizer_json, normalizer={"type": "Sequence", "normalizers": steps})


def replacing(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def test_a_tokenizer_that_fills_the_memory_is_ended(
    checkpoint: Callable[..., dict[str, Path]], tokenizer_json: bytes
) -> None:
    hostile = normalising(tokenizer_json, replacing({"String": "e"}, "e" * 20_000_000))
    with pytest.raises(EngineError, match=r"^tokenizer\.json: the render process was ended by SIGABRT"):
        render(checkpoint(tokenizer_dot_json=hostile), VOCABULARY)


def test_a_tokenizer_that_takes_too_long_is_ended(
    checkpoint: Callable[..., dict[str, Path]], tokenizer_json: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIMITS", replace(module.LIMITS, cpu_seconds=2))
    there_and_back = [replacing({"String": "e"}, "f"), replacing({"String": "f"}, "e")]
    hostile = normalising(tokenizer_json, replacing({"String": "e"}, "e" * 1000), *there_and_back * 1000)
    with pytest.raises(EngineError, match=r"^tokenizer\.json: the render process used up its processor time"):
        render(checkpoint(tokenizer_dot_json=hostile), VOCABULARY)


def test_a_tokenizer_that_crashes_the_library_is_an_error_with_its_last_words(
    checkpoint: Callable[..., dict[str, Path]], tokenizer_json: bytes
) -> None:
    """The library panics where a pattern backtracks too often."""
    hostile = normalising(tokenizer_json, replacing({"Regex": r"((\w|\s)+)+[^\w\s]{40}"}, ""))
    with pytest.raises(EngineError, match=r"^tokenizer\.json: the render process ended .* retry-limit-in-match over"):
        render(checkpoint(tokenizer_dot_json=hostile), VOCABULARY)


def test_a_tokenizer_that_makes_nothing_of_a_prompt_is_refused(
    checkpoint: Callable[..., dict[str, Path]], tokenizer_json: bytes
) -> None:
    nothing = {"type": "Replace", "pattern": {"Regex": r"(.|\n)+"}, "content": ""}
    hostile = edited(tokenizer_json, normalizer=nothing, post_processor=None)
    with pytest.raises(RefusedError, match=r"tokenizer\.json: makes no token of the prompt 'chat-tools'"):
        render(checkpoint(tokenizer_dot_json=hostile), VOCABULARY)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        {"prompts": []},
        {"prompts": [{"variant": None, "token_ids": [1]}] * len(fixed())},
        {"prompts": [{"variant": "full", "token_ids": [VOCABULARY]}] * len(fixed())},
        {"prompts": [{"variant": "full", "token_ids": [True]}] * len(fixed())},
    ],
)
def test_an_answer_that_a_child_cannot_have_computed_is_refused(
    answer: Any,
    checkpoint: Callable[..., dict[str, Path]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "run", lambda *_args, **_options: answer)
    with pytest.raises(EngineError, match="broken protocol: the render process"):
        render(checkpoint(), VOCABULARY)


def test_the_rendering_child_loads_neither_torch_nor_transformers() -> None:
    program = "import mbom.engine.render, sys; print([n for n in ('torch', 'transformers') if n in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.strip() == "[]"
