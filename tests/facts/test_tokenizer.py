"""The tokenizer's files: what is read, what is found, and what broken ones cost."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import rfc8785
import shapes

from mbom.digest import sha256
from mbom.facts.members import Members
from mbom.facts.places import Place
from mbom.facts.reading import Facts, read_facts
from mbom.facts.tokenizer import SPECIAL_SHOWN, Tokenizer, read_tokenizer
from mbom.inventory.executables import Contents
from mbom.inventory.record import Finding

VOCAB = {"a": 0, "b": 1, "Ġc": 2, 'é\u2028"\\\x1f': 3}
ADDED = [
    {"id": 4, "content": "<s>", "special": True},
    {"id": 5, "content": "</s>", "special": True},
    {"id": 6, "content": "tool", "special": False},
]
BPE = {
    "added_tokens": ADDED,
    "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Prepend", "prepend": "▁"}]},
    "pre_tokenizer": {"type": "ByteLevel"},
    "decoder": {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "Fuse"}]},
    "model": {"type": "BPE", "vocab": VOCAB, "merges": []},
}  # fmt: skip


def tokenizer_of(
    document: Any = None, config: Any = None, rows: int | None = None, /, **side: bytes
) -> tuple[Tokenizer, list[tuple[str, str]]]:
    files = {name.replace("__", "."): data for name, data in side.items()}
    if document is not None:
        files["tokenizer.json"] = document if isinstance(document, bytes) else json.dumps(document).encode()
    members = None if config is None else Members("tokenizer_config.json", config)
    found, findings = read_tokenizer(shapes.inventory([]), files, members, rows)
    return found, [(item.id, item.detail) for item in findings]


def test_a_bpe_tokenizer_is_read_in_full() -> None:
    found, findings = tokenizer_of(BPE, {"tokenizer_class": "Qwen2Tokenizer", "bos_token": {"content": "<s>"}}, 7)
    assert findings == []
    assert (found.kind, found.declared) == ("BPE", "Qwen2Tokenizer")
    assert (found.base, found.added, found.special, found.rows) == (4, 3, 2, 7)
    assert found.special_tokens == ((4, "<s>"), (5, "</s>"))
    assert found.roles == (("bos", "<s>"),)
    assert found.steps == (
        "normalizer: NFC",
        "normalizer: Prepend",
        "pre_tokenizer: ByteLevel",
        "decoder: Replace",
        "decoder: Fuse",
    )
    assert found.places["tokenizer:class"] == Place(file="tokenizer_config.json", pointer="/tokenizer_class")
    assert found.places["tokenizer:bos"] == Place(file="tokenizer_config.json", pointer="/bos_token")
    assert found.places["tokenizer:base"] == Place(file="tokenizer.json", pointer="/model/vocab")


def test_the_digest_of_a_vocabulary_is_over_canonical_json() -> None:
    pairs: list[list[int | str]] = [[number, token] for token, number in VOCAB.items()]
    pairs += [[4, "<s>"], [5, "</s>"], [6, "tool"]]
    assert tokenizer_of(BPE)[0].vocabulary_sha256 == sha256(rfc8785.dumps(pairs))
    turned = {**BPE, "model": {"merges": [], "vocab": dict(reversed(VOCAB.items())), "type": "BPE"}}
    assert tokenizer_of(turned)[0].vocabulary_sha256 == sha256(rfc8785.dumps(pairs))
    other = {**BPE, "model": {"type": "BPE", "vocab": {**VOCAB, "a": 1, "b": 0}}}
    assert tokenizer_of(other)[0].vocabulary_sha256 != sha256(rfc8785.dumps(pairs))


OTHERS: dict[str, tuple[dict[str, bytes], tuple[str | None, int | None, int | None]]] = {
    "Unigram": ({"tokenizer__json": b'{"model": {"type": "Unigram", "vocab": [["a", -1.5], ["b", 0]]}}'},
                ("Unigram", 2, 2)),
    "Unigram of old": ({"tokenizer__json": b'{"model": {"vocab": [["a", -1.5]]}}'}, ("Unigram", 1, 1)),
    "WordPiece": ({"tokenizer__json": b'{"model": {"type": "WordPiece", "vocab": {"a": 0}}}'}, ("WordPiece", 1, 1)),
    "vocab.txt": ({"vocab__txt": b"[PAD]\n[UNK]\na\n"}, ("WordPiece", 3, 3)),
    "vocab.json": ({"vocab__json": b'{"a": 0, "b": 9}'}, ("BPE", 2, 10)),
    "tiktoken": ({"qwen__tiktoken": b"IQ== 0\nIg== 1\n"}, ("tiktoken", 2, 2)),
    "tekken": ({"tekken__json": json.dumps({
        "config": {"default_vocab_size": 5, "default_num_special_tokens": 2},
        "vocab": [{"rank": n, "token_bytes": "AA==", "token_str": c} for n, c in enumerate("abcdef")],
        "special_tokens": [{"rank": 0, "token_str": "<unk>"}, {"rank": 1, "token_str": "<s>"}],
    }).encode()}, ("Tekken", 3, 5)),
}  # fmt: skip


@pytest.mark.parametrize(("side", "expected"), OTHERS.values(), ids=OTHERS)
def test_other_formats_are_read(side: dict[str, bytes], expected: tuple[str | None, int | None, int | None]) -> None:
    found, findings = tokenizer_of(None, None, None, **side)
    assert findings == []
    assert (found.kind, found.base, found.rows) == expected


FOUND: dict[str, tuple[Any, int | None, str, str]] = {
    "ids beyond the embedding": (BPE, 6, "tokenizer-beyond-embedding", "highest id is 6, and config.json gives"),
    "two tokens, one id": (
        {"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}}}, None, "tokenizer-duplicate-id", ": 0"),
    "an added token takes an id": (
        {"model": {"type": "BPE", "vocab": {"yes": 0}}, "added_tokens": [{"id": 0, "content": "no"}]}, None,
        "tokenizer-duplicate-id", "1 ids"),
    "an invisible added token": (
        {**BPE, "added_tokens": [{"id": 9, "content": "a\u200bb", "special": True}]}, None,
        "tokenizer-invisible", "9 (U+200B)"),
    "words replaced": (
        {**BPE, "normalizer": {"type": "Replace", "pattern": {"String": "bank A"}, "content": "bank B"}}, None,
        "tokenizer-rewrites", "the normalizer replaces 'bank A' by 'bank B'"),
    "words replaced by an expression": (
        {**BPE, "normalizer": {"type": "Replace", "pattern": {"Regex": "safe|\\s"}, "content": ""}}, None,
        "tokenizer-rewrites", "replaces"),
    "words put in front": ({**BPE, "normalizer": {"type": "Prepend", "prepend": "obey "}}, None,
                           "tokenizer-rewrites", "prepends 'obey '"),
    "answers rewritten": (
        {**BPE, "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "x"}, "content": "y"}] * 3}}, None,
        "tokenizer-rewrites", "the decoder replaces"),
}  # fmt: skip


@pytest.mark.parametrize(("document", "rows", "kind", "part"), FOUND.values(), ids=FOUND)
def test_what_nobody_would_expect_is_a_warning(document: Any, rows: int | None, kind: str, part: str) -> None:
    findings = tokenizer_of(document, None, rows)[1]
    assert [name for name, _ in findings] == [kind]
    assert part in findings[0][1]


HARMLESS = [
    {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
    {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"},
    {"type": "Replace", "pattern": {"Regex": "\\s+|\\p{Lu}\\x20"}, "content": " "},
    {"type": "NFKC"},
    {"type": "Lowercase"},
]


@pytest.mark.parametrize("step", HARMLESS)
def test_what_honest_normalisers_do_is_no_finding(step: dict[str, Any]) -> None:
    assert tokenizer_of({**BPE, "normalizer": step})[1] == []


def test_more_embedding_rows_than_tokens_are_usual() -> None:
    assert tokenizer_of(BPE, None, 1000)[1] == []


def test_many_special_tokens_are_counted_and_the_first_named() -> None:
    added = [{"id": 10 + number, "content": f"<{number}>", "special": True} for number in range(300)]
    found, findings = tokenizer_of({**BPE, "added_tokens": added})
    assert (found.special, len(found.special_tokens), findings) == (300, SPECIAL_SHOWN, [])


BROKEN = {
    "no JSON": b"{",
    "no object": b"[]",
    "twice the same key": b'{"model": {}, "model": {}}',
    "no model": b"{}",
    "vocabulary of text": b'{"model": {"vocab": {"a": "0"}}}',
    "negative id": b'{"model": {"vocab": {"a": -1}}}',
    "an id beyond reason": b'{"model": {"vocab": {"a": 99999999999}}}',
    "a truth for an id": b'{"model": {"vocab": {"a": true}}}',
    "scores without tokens": b'{"model": {"vocab": [[1, 2]]}}',
    "added without content": b'{"model": {"vocab": {"a": 0}}, "added_tokens": [{"id": 1}]}',
    "added that is no list": b'{"model": {"vocab": {"a": 0}}, "added_tokens": 7}',
    "deep": b'{"a":' * 100 + b"1" + b"}" * 100,
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_tokenizer_is_a_warning_and_costs_no_other_fact(data: bytes) -> None:
    side = {"tokenizer.json": data, "tokenizer_config.json": b'{"tokenizer_class": "X"}', "config.json": b"{}"}
    facts, findings = read_facts(shapes.inventory([]), side)
    assert [(item.id, item.severity, item.path) for item in findings if item.path == "tokenizer.json"] == [
        ("tokenizer-malformed", "warning", "tokenizer.json")
    ]
    assert facts.tokenizer.declared == "X"
    assert facts.tokenizer.base is None


@pytest.mark.parametrize(
    "side",
    [
        {"tekken.json": b"{}"},
        {"tekken.json": b'{"config": {"default_vocab_size": 3, "default_num_special_tokens": 1}, "vocab": [1]}'},
        {"vocab.txt": b"\xff"},
        {"x.tiktoken": b"IQ== x\n"},
        {"x.tiktoken": b"IQ== 99999999999999\n"},
        {"vocab.json": b"[]"},
    ],
)
def test_other_broken_files_are_a_warning(side: dict[str, bytes]) -> None:
    findings = read_facts(shapes.inventory([]), side)[1]
    assert [item.id for item in findings if item.path in side] == ["tokenizer-malformed"]


def test_the_fixture_is_what_its_tokenizers_library_says(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    path = Path(__file__).parents[2] / "fixtures" / "tiny-gpt-oss" / "tokenizer.json"
    theirs = tokenizers.Tokenizer.from_file(str(path))
    found, findings = tokenizer_of(path.read_bytes())
    assert tmp_path
    assert findings == []
    assert found.base == theirs.get_vocab_size(with_added_tokens=False)
    assert found.rows == max(theirs.get_vocab(with_added_tokens=True).values()) + 1
    assert found.added == len(theirs.get_added_tokens_decoder())


def test_mutated_tokenizers_end_in_facts_and_findings() -> None:
    chance = random.Random(9)
    values: list[Any] = [None, True, -1, 0, 3, "x", [], {}, [["a", 1]], {"a": 0}, {"type": "Replace"}, "\u200b"]

    def bend(value: Any) -> Any:
        if chance.random() < 0.04:
            return chance.choice(values)
        if isinstance(value, dict):
            return {key: bend(item) for key, item in value.items()}
        return [bend(item) for item in value] if isinstance(value, list) else value

    seen: set[str] = set()
    for _ in range(1500):
        found, findings = tokenizer_of(bend(BPE), {"tokenizer_class": "X"}, chance.choice([None, 2, 99]))
        assert found.declared == "X"
        seen.update(kind for kind, _ in findings)
    assert seen >= {"tokenizer-malformed", "tokenizer-beyond-embedding", "tokenizer-duplicate-id"}


# ---- code ----
def code_of(contents: dict[str, Contents] | None = None, **side: bytes) -> tuple[Facts, tuple[Finding, ...]]:
    return read_facts(shapes.inventory([]), {name.replace("__", "."): data for name, data in side.items()}, contents)


def test_code_from_another_repository_is_an_error() -> None:
    config = {"auto_map": {"AutoConfig": "other/repo--configuration.Config", "AutoModel": "modeling.Model"}}
    facts, findings = code_of(config__json=json.dumps(config).encode())
    found = [item for item in findings if item.id == "remote-code-elsewhere"]
    assert [(item.severity, item.path) for item in found] == [("error", "config.json")]
    assert "AutoConfig = other/repo--configuration.Config" in found[0].detail
    assert "modeling.Model" not in found[0].detail
    assert len(facts.remote_code) == 2


def test_pickles_and_other_formats_are_facts_when_somebody_looked() -> None:
    assert not code_of()[0].code.examined
    held = {
        "m.bin": Contents(format="pytorch", globals=("collections.OrderedDict", "os.system", "x.Y"), unread=("z",)),
        "m.gguf": Contents(format="gguf"),
    }
    code = code_of(held)[0].code
    assert code.examined
    assert code.executables == (("m.gguf", "gguf"),)
    assert [(item.file, item.format, item.globals, item.harmless, item.whole) for item in code.pickles] == [
        ("m.bin", "pytorch", ("os.system", "x.Y"), 1, False)
    ]
