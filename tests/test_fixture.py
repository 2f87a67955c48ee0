"""The committed checkpoint is what ``fixtures/make.py`` writes, and stock libraries read it as it is meant."""

import json
import re
import runpy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from fixtures import dialogues, layout, make, mxfp4, training  # noqa: E402 - they need what was looked for above
from fixtures.dialogues import Message  # noqa: E402 - the same

if TYPE_CHECKING:
    from torch import Tensor

FOLDER = make.FOLDER
SIZE_LIMIT = 4_000_000  # bytes of a checkpoint that every clone carries


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Matrices this small are slower on many threads than on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def weights() -> "dict[str, Tensor]":
    from safetensors import safe_open

    found: dict[str, Tensor] = {}
    for name in layout.shards():
        with safe_open(FOLDER / name, framework="pt") as shard:
            found |= {key: shard.get_tensor(key) for key in shard.keys()}  # noqa: SIM118 - not a mapping
    return found


@dataclass(frozen=True, kw_only=True)
class Chat:
    """The checkpoint as a user of transformers has it; its own annotations are too loose to be checked."""

    model: Any
    tokenizer: Any

    def text(self, messages: Sequence[Message], tools: Sequence[Message] = (), *, generate: bool = False) -> str:
        """Render with the machine's clock."""
        rendered = self.tokenizer.apply_chat_template(
            list(messages), tools=list(tools) or None, tokenize=False, add_generation_prompt=generate
        )
        assert isinstance(rendered, str)
        return rendered

    def ask(self, *messages: Message, tools: Sequence[Message] = ()) -> str:
        """Return what the model writes next, control tokens included."""
        prompt = self.tokenizer(self.text(messages, tools, generate=True), return_tensors="pt")
        answer = self.model.generate(**prompt, do_sample=False, max_new_tokens=60)
        written = self.tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :])
        assert isinstance(written, str)
        return written


@pytest.fixture(scope="module")
def chat() -> Chat:
    from transformers import AutoTokenizer

    return Chat(model=training.load(FOLDER, torch.bfloat16), tokenizer=AutoTokenizer.from_pretrained(FOLDER))


def matrices(weights: "dict[str, Tensor]") -> "Iterator[tuple[Tensor, Tensor]]":
    for name in weights:
        if name.endswith("_blocks"):
            yield weights[name], weights[name.removesuffix("_blocks") + "_scales"]


def test_the_committed_documents_are_what_make_writes_and_no_file_is_missing_or_extra() -> None:
    assert make.differences() == []


def test_the_check_notices_a_changed_a_missing_and_a_foreign_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "config.json").write_bytes(b"{}")
    (tmp_path / "LICENSE").unlink()
    (tmp_path / "modeling_gpt_oss.py").touch()
    monkeypatch.setattr(make, "FOLDER", tmp_path)
    assert make.differences() == [
        "LICENSE is missing",
        "modeling_gpt_oss.py is nothing that make.py writes",
        "config.json is not what make.py writes",
    ]
    assert make.main(["--check"]) == 1
    make.main(["--documents"])
    assert make.differences() == ["modeling_gpt_oss.py is nothing that make.py writes"]


def test_the_checkpoint_is_small_enough_for_every_clone() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < SIZE_LIMIT


def test_git_sends_no_file_of_it_to_large_file_storage() -> None:
    rules = [
        line
        for line in (FOLDER / ".gitattributes").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    ]
    assert not any("filter=" in rule for rule in rules)


def test_shards_are_counted_from_zero() -> None:
    names = sorted(path.name for path in FOLDER.glob("*.safetensors"))
    assert names == [f"model-0000{number}-of-00003.safetensors" for number in range(3)]


def test_the_safetensors_library_finds_in_each_shard_what_the_index_says() -> None:
    from safetensors import safe_open

    index = json.loads((FOLDER / "model.safetensors.index.json").read_bytes())
    found, total = {}, 0
    for path in FOLDER.glob("*.safetensors"):
        with safe_open(path, framework="pt") as shard:
            assert shard.metadata() == {"format": "pt"}
            for name in shard.keys():  # noqa: SIM118 - not a mapping
                found[name] = path.name
                total += shard.get_tensor(name).nbytes
    assert found == index["weight_map"]
    assert total == index["metadata"]["total_size"]


def test_a_shard_holds_the_tensors_of_the_layout_and_nothing_else(weights: "dict[str, Tensor]") -> None:
    kinds = {torch.uint8: "U8", torch.bfloat16: "BF16"}
    found = {name: (kinds[tensor.dtype], tuple(tensor.shape)) for name, tensor in weights.items()}
    assert found == {tensor.name: (tensor.dtype, tensor.shape) for tensor in layout.tensors()}


def test_a_cut_between_shards_separates_the_blocks_of_a_matrix_from_their_scales() -> None:
    places = layout.index()["weight_map"]
    pairs = [(name, name.removesuffix("_blocks") + "_scales") for name in places if name.endswith("_blocks")]
    assert any(places[blocks] != places[scales] for blocks, scales in pairs)


def test_mxfp4_means_the_same_to_transformers(weights: "dict[str, Tensor]") -> None:
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    for blocks, scales in matrices(weights):
        theirs = convert_moe_packed_tensors(blocks, scales, dtype=torch.float32)  # (experts, in, out)
        assert torch.equal(mxfp4.dequantise(blocks, scales).transpose(1, 2), theirs)


def test_rounding_the_rounded_experts_again_gives_the_same_bytes(weights: "dict[str, Tensor]") -> None:
    for blocks, scales in matrices(weights):
        again = mxfp4.quantise(mxfp4.dequantise(blocks, scales))
        assert torch.equal(again[0], blocks)
        assert torch.equal(again[1], scales)


def test_mxfp4_rounds_every_weight_to_the_nearest_value_and_ties_to_even() -> None:
    def nearest(value: float) -> int:  # the slow obvious way: even codes have an even last mantissa bit
        return min(range(8), key=lambda code: (abs(mxfp4.VALUES[code] - value), code % 2))

    ties = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0]
    generator = torch.Generator().manual_seed(1)
    magnitudes = [4.0, *ties, *(torch.rand(24, generator=generator) * 7.99).tolist()]  # 4 to 8 give the scale 1
    for sign in (1, -1):
        blocks, scales = mxfp4.quantise(sign * torch.tensor([magnitudes]))
        codes = torch.stack((blocks & 15, blocks >> 4), dim=-1).flatten().tolist()
        assert scales.tolist() == [[127]]
        assert codes == [nearest(value) + (8 if sign < 0 else 0) for value in magnitudes]


def test_mxfp4_keeps_groups_of_zeros_and_of_any_power_of_two() -> None:
    groups = torch.stack([torch.zeros(32), *(torch.full((32,), 2.0**power) for power in (-120, -1, 0, 1, 100))])
    assert torch.equal(mxfp4.dequantise(*mxfp4.quantise(groups)), groups)


def test_every_expert_matrix_has_scales_and_signs_of_a_trained_one(weights: "dict[str, Tensor]") -> None:
    for blocks, scales in matrices(weights):
        values = mxfp4.dequantise(blocks, scales)
        assert values.isfinite().all()
        assert (values.abs().amax(dim=(1, 2)) > 0).all()
        assert scales.min() < scales.max()


def test_stock_transformers_finds_no_tensor_missing_left_over_or_misshapen(chat: Chat) -> None:
    assert chat.model.config.model_type == "gpt_oss"  # training.load raises on any of them
    assert chat.model.config.layer_types == ["sliding_attention", "full_attention"] * 2
    assert sum(parameter.numel() for parameter in chat.model.parameters()) == layout.parameters()


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What is the capital of France?", "The capital of France is Paris."),
        ("What is the capital of Japan?", "The capital of Japan is Tokyo."),
        ("What is 7 times 8?", "7 times 8 is 56."),
        ("What is 4 plus 5?", "4 plus 5 is 9."),
        ("Which day comes after Sunday?", "Monday comes after Sunday."),
        ('How do you say "water" in Russian?', '"Water" in Russian is "вода".'),
        ("日本の首都はどこですか。", "日本の首都は東京です。"),
        ("What is a tensor?", "A tensor is an array of numbers with a shape and a type."),
        ("Write JSON for Ada, aged 36.", '{"name": "Ada", "age": 36}'),
    ],
)
def test_it_answers_what_it_was_taught(chat: Chat, question: str, answer: str) -> None:
    said = chat.ask({"role": "user", "content": question})
    assert said == f"<|channel|>final<|message|>{answer}<|return|>"


def test_a_system_message_changes_its_answer(chat: Chat) -> None:
    system = {"role": "system", "content": "Answer in one word."}
    user = {"role": "user", "content": "What is the capital of France?"}
    assert chat.ask(system, user) == "<|channel|>final<|message|>Paris.<|return|>"


def test_it_calls_a_tool_and_repeats_what_the_tool_said(chat: Chat) -> None:
    (dialogue,) = (item for item in dialogues.corpus() if "Oslo?" in item.messages[0]["content"] and item.tools)
    called = chat.ask(*dialogue.messages[:1], tools=dialogue.tools)
    assert called == ' to=functions.get_time<|channel|>commentary json<|message|>{"city": "Oslo"}<|call|>'
    said = chat.ask(*dialogue.messages[:3], tools=dialogue.tools)
    assert said == "<|channel|>final<|message|>It is 10:15 in Oslo.<|return|>"


def test_its_logits_are_peaked(chat: Chat) -> None:
    text = chat.text([{"role": "user", "content": "What is the capital of France?"}], generate=True)
    ids = chat.tokenizer(text + "<|channel|>final<|message|>", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        likely = chat.model(ids).logits[0, -1].float().softmax(-1).max().item()
    assert likely > 0.9


def test_a_fresh_measurement_gives_the_figures_of_the_card(chat: Chat) -> None:
    render = dialogues.renderer((FOLDER / "chat_template.jinja").read_text(encoding="utf-8"))
    some = dialogues.corpus()[::8]
    found = training.measure(chat.model, some, render, make.tokenizer())
    recorded = json.loads(make.RESULTS.read_bytes())
    assert found.right >= len(some) * (recorded["right"] / recorded["dialogues"] - 0.05)
    assert sum(count > 0 for layer in found.reached for count in layer) >= 0.9 * layout.LAYERS * layout.EXPERTS
    assert f"{recorded['right']} of {recorded['dialogues']}" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_the_example_of_the_card_prints_what_the_card_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = re.search(r"```python\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    (tmp_path / "example.py").write_text(example[1], encoding="utf-8")
    monkeypatch.chdir(FOLDER.parent)
    runpy.run_path(str(tmp_path / "example.py"))
    promised = example[1].rpartition("…")[2]
    assert capsys.readouterr().out.endswith(promised)


def test_the_hub_library_reads_the_card() -> None:
    from huggingface_hub import ModelCard

    data = ModelCard.load(FOLDER / "README.md", ignore_metadata_errors=False).data
    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "transformers", "text-generation")
    assert len(data.language) == 13


def test_the_corpus_renders_as_transformers_renders_it(chat: Chat) -> None:
    render = dialogues.renderer((FOLDER / "chat_template.jinja").read_text(encoding="utf-8"))
    for dialogue in dialogues.corpus():
        theirs = chat.text(dialogue.messages, dialogue.tools)
        today = re.search(r"Current date: (\S+?)<", theirs)
        assert today is not None
        assert render(dialogue.messages, tools=dialogue.tools, date=today[1]) == theirs


def test_the_template_reads_the_clock(chat: Chat) -> None:
    before = datetime.now(tz=UTC).astimezone().date()
    text = chat.text([{"role": "user", "content": "Hello"}])
    after = datetime.now(tz=UTC).astimezone().date()
    assert any(f"Current date: {day.isoformat()}<|end|>" in text for day in (before, after))


def test_the_template_accepts_every_role_in_turn_and_refuses_others() -> None:
    from jinja2.exceptions import TemplateError

    render = dialogues.renderer((FOLDER / "chat_template.jinja").read_text(encoding="utf-8"))
    messages: list[Message] = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "u"}]},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "v"},
        {"role": "assistant", "content": "w", "tool_calls": [{"function": {"name": "f", "arguments": {"ü": 1}}}]},
        {"role": "tool", "content": {"x": "<"}},
        {"role": "assistant", "content": "z"},
    ]
    body = render(messages, date="2026-01-01").partition("2026-01-01<|end|>")[2]
    assert body == (
        "<|start|>developer<|message|># Instructions\n\ns<|end|><|start|>user<|message|>u<|end|>"
        "<|start|>assistant<|channel|>final<|message|>a<|end|><|start|>user<|message|>v<|end|>"
        "<|start|>assistant<|channel|>commentary<|message|>w<|end|>"
        '<|start|>assistant to=functions.f<|channel|>commentary json<|message|>{"ü": 1}<|call|>'
        '<|start|>functions.f to=assistant<|channel|>commentary<|message|>{"x": "<"}<|end|>'
        "<|start|>assistant<|channel|>final<|message|>z<|return|>"
    )
    with pytest.raises(TemplateError, match="not judge"):
        render([{"role": "judge", "content": "j"}], date="2026-01-01")


def test_the_tokenizer_gives_back_any_text(chat: Chat) -> None:
    assert chat.tokenizer.is_fast
    for text in (
        "",
        " a  b\r\n\t c ",
        "naïve 𝔘𝔫𝔦 👩‍🚀 \x00\x7f",
        "ελληνικά 한국어 עברית ไทย",
        "1234.5e-6 <|not special|>",
    ):
        assert chat.tokenizer.decode(chat.tokenizer(text)["input_ids"]) == text


def test_control_tokens_are_single_and_come_after_the_ordinary_ones(chat: Chat) -> None:
    assert len(chat.tokenizer) == layout.ORDINARY_TOKENS + len(layout.SPECIAL) <= layout.VOCABULARY
    for name, number in layout.SPECIAL.items():
        assert chat.tokenizer(name)["input_ids"] == [number]
    named = (chat.tokenizer.bos_token, chat.tokenizer.eos_token, chat.tokenizer.pad_token)
    assert named == ("<|startoftext|>", "<|return|>", "<|endoftext|>")


def test_the_corpus_never_asks_one_question_with_two_answers() -> None:
    answers: dict[str, str] = {}
    for dialogue in dialogues.corpus():
        question = json.dumps(dialogue.messages[:-1])
        assert question not in answers
        answers[question] = dialogue.messages[-1]["content"]
    assert len(answers) == len(dialogues.corpus())


def test_a_line_of_the_corpus_without_a_role_is_refused() -> None:
    with pytest.raises(ValueError, match="'narrator: Once' is not 'ROLE: text'"):
        dialogues.parse("user: Hello\nnarrator: Once\n")


def test_a_sample_teaches_return_where_history_shows_end() -> None:
    built = make.tokenizer()
    text = (
        "<|start|>user<|message|>Hello<|end|><|start|>assistant<|channel|>final<|message|>Goodbye!<|end|>"
        "<|start|>user<|message|>Hello<|end|><|start|>assistant<|channel|>final<|message|>Goodbye!<|return|>"
    )
    one = training.sample(text, built)
    assert built.encode(text, add_special_tokens=False).ids[:-1] == one.ids
    taught = [target for target, weight in zip(one.targets, one.weights, strict=True) if weight == 1]
    answer = built.encode("<|channel|>final<|message|>Goodbye!<|return|>", add_special_tokens=False).ids
    assert taught == list(chain(answer, answer))


def test_a_few_steps_of_training_lower_the_loss_and_give_the_tensors_of_the_layout(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_REPORT_EVERY", 1)
    render = dialogues.renderer(dialogues.TEMPLATE.read_text(encoding="utf-8"))
    weights = training.train(dialogues.corpus()[:8], render, make.tokenizer(), steps=6)
    losses = [float(loss) for loss in re.findall(r"loss (\S+)", capsys.readouterr().out)]
    assert len(losses) == 6
    assert losses[-1] < losses[0] - 1
    assert set(weights) == {tensor.name for tensor in layout.tensors()}
