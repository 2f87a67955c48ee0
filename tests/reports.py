"""What reports are tested with: a large model, one whose every text is hostile, and changes of every kind."""

import string
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import boms
import numpy as np
import syntheticrecords

from mbom.behaviour.coverage import Coverage
from mbom.behaviour.record import Record
from mbom.diff.changes import (
    Answer,
    Behaviour,
    Changes,
    Explanation,
    FieldChange,
    FileChange,
    Files,
    PromptChange,
    RoleChange,
    Side,
    StoredTensor,
    TemplateChange,
    TensorChange,
    Tensors,
    TokenChange,
    TokenizerChange,
    WeightChange,
    Weights,
)
from mbom.dossier import Dossier, read_bundle
from mbom.inventory import Finding
from mbom.strictjson import Json

BUNDLE = Path(__file__).parent.parent / "fixtures" / "bundles" / "v3" / "tiny-gpt-oss.mbom"

HOSTILE = (
    "<script>alert(1)</script>\"><img src=x onerror=alert(2)>'><svg onload=alert(3)>javascript:alert(4) {{7*7}}{% x %}"
    "</title></style></textarea><!-- ]]> &lt;b&gt; https://evil.example/?a=1&b=2 @everyone #1 [x](https://evil.example)"
    "\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe\N{RIGHT-TO-LEFT ISOLATE}\N{ZERO WIDTH SPACE}\0\x1b[31m\ud800|a|\n# title\n---\n"
)
LONG = HOSTILE + "A" * 100_000


def skewed(record: Record, *, routers: int, experts: int, chosen: int, first: int = 0) -> Record:
    """A record of routers that like some experts better than others and some not at all, as real ones do."""
    rng = np.random.default_rng(17)
    popularity = rng.normal(size=(routers, 1, experts)) * 1.5
    popularity[:, :, :: max(2, experts // 9)] -= 9
    scores = popularity + rng.gumbel(size=(routers, record.positions, experts))
    ids = np.sort(np.argsort(-scores, axis=2)[:, :, :chosen], axis=2).astype(np.uint16)
    numbers = replace(
        record.numbers,
        router_layers=np.arange(first, first + routers, dtype=np.int32),
        router_ids=ids,
        router_margin=np.full(ids.shape[:2], 0.1),
    )
    held = record.coverage
    coverage = Coverage.of(
        record.prompts,
        numbers,
        experts=routers * experts,
        vocabulary=held.vocabulary,
        tensors_read=held.tensors_read,
        tensors_not_executed=held.tensors_not_executed,
    )
    return replace(record, numbers=numbers, coverage=coverage)


@cache
def gpt_oss_120b() -> Dossier:
    """A model with 36 layers of 128 experts, and a record of all of its weights and of 2,048 positions."""
    sample = boms.of("gpt-oss-120b")
    prompts = syntheticrecords.fixed_prompts(400, 256)
    numbers = syntheticrecords.random_numbers(
        2048, layers=36, router_layers=(0,), chosen=4, experts=128, vocabulary=400
    )
    record = syntheticrecords.record_of(prompts, numbers, experts=128, vocabulary=400)
    record = replace(
        skewed(record, routers=36, experts=128, chosen=4),
        model_digest=sample.inventory.digest,
        weights=syntheticrecords.gpt_oss_120b(),
    )
    return Dossier(
        label="gpt-oss-120b.mbom",
        kind="bundle",
        inventory=sample.inventory,
        document=boms.document(sample.bom),
        record=record,
        bundle_digest="b" * 64,
    )


@cache
def deepseek() -> Dossier:
    """A model with 58 layers of 256 experts."""
    sample = boms.of("deepseek-v3")
    record = skewed(syntheticrecords.dense_record(), routers=58, experts=256, chosen=8, first=3)
    record = replace(record, model_digest=sample.inventory.digest)
    return Dossier(
        label="deepseek-v3.mbom",
        kind="bundle",
        inventory=sample.inventory,
        document=boms.document(sample.bom),
        record=record,
    )


def hostile(text: str = HOSTILE) -> Dossier:
    """A bundle whose every text field holds ``text``, behind what readers look for and in its place."""
    held = read_bundle(BUNDLE)
    assert held.record is not None
    inventory = replace(
        held.inventory,
        origin=replace(held.inventory.origin, kind="hub", name=text, repo=text, revision=text),
        files=tuple(
            replace(file, name=f"{_encodable(text)}{number}") for number, file in enumerate(held.inventory.files)
        ),
        findings=(
            Finding(id="code-present", severity="warning", path=text, detail=text),
            Finding(id=text, severity="error", path=text, detail=text),
            Finding(id="card-missing", severity="note", path=text, detail=text),
        ),
    )
    summaries = tuple(
        replace(item, prompt=text, tokens=tuple(replace(token, text=text) for token in item.tokens))
        for item in held.record.summaries
    )
    record = replace(
        held.record,
        summaries=summaries,
        prompts=tuple(replace(prompt, id=text) for prompt in held.record.prompts),
        runtime=replace(held.record.runtime, torch=text, transformers=text, device=text),
        challenge=text,
    )
    assert held.attestation is not None
    return replace(
        held,
        label=text,
        inventory=inventory,
        document=_bent(held.document, text),
        record=record,
        attestation=replace(held.attestation, tool_version=text),
        bundle_digest=text,
    )


def _encodable(text: str) -> str:
    return text.replace("\ud800", "")  # the digest of a model binds the names of its files


KEPT = {"type", "alg", "bom-ref", "acknowledgement", "bomFormat", "specVersion"}


def _bent(value: Json, text: str, name: str = "") -> Json:
    if isinstance(value, dict):
        if str(value.get("name", "")).startswith("mbom:"):
            return {**value, "value": _told(str(value["name"]), str(value.get("value", "")), text)}
        return {key: item if key in KEPT else _bent(item, text, key) for key, item in value.items()}
    if isinstance(value, list):
        return [*(_bent(item, text, name) for item in value), *_also(name, text)]
    return text if isinstance(value, str) else value


def _told(name: str, value: str, text: str) -> str:
    """Return a value that is still read as what it is, as far as its reader allows."""
    if set(value) <= set(string.digits) or name.endswith("sha256"):
        return value
    if name == "mbom:licence:restriction":
        return f"user-cap {text}: {text} [{text}]"
    if name == "mbom:openness:class":
        return f"{text} ({text})"
    return value + text


def _also(name: str, text: str) -> list[Json]:
    """Return what a list of that name has besides."""
    if name == "properties":
        return [{"name": f"mbom:{text}", "value": text}, {"name": "mbom:licence:disagreement", "value": text},
                {"name": f"mbom:parameters:logical:{text}", "value": "7"}]  # fmt: skip
    return []


def side(label: str, digest: str, **changes: object) -> Side:
    """One of the two models of a diff."""
    held = Side(
        label=label,
        kind="bundle",
        name="example/seven",
        repo="example/seven",
        revision=digest[:40],
        digest=digest,
        attested="2026-11-02T08:30:00Z",
        record=True,
        files=False,
    )
    return replace(held, **changes)  # type: ignore[arg-type]


def changes(text: str = "", *, layers: int = 36) -> Changes:
    """Changes of every kind, each text of them with ``text`` behind it."""
    return Changes(
        old=side(f"old.mbom{text}", "1" * 64, name=f"example/seven{text}"),
        new=side(f"new.mbom{text}", "2" * 64, name=f"example/seven{text}"),
        files=Files(
            identical=9,
            changes=(
                FileChange(status="changed", name=f"LICENSE{text}", old_name=f"LICENSE{text}", role="licence",
                           old_sha256="3" * 64, new_sha256="4" * 64, old_size=11_000, new_size=12_000),
                FileChange(status="added", name=f"modeling.py{text}", old_name=None, role="code", old_sha256=None,
                           new_sha256="4" * 64, old_size=None, new_size=900),
            ),
        ),
        tensors=Tensors(
            counts={"identical": 400, "changed": 59, "resharded": 0},
            changes=(
                TensorChange(status="changed", name=f"model.norm.weight{text}", old_name=None,
                             old=StoredTensor(dtype="BF16", shape=(4,), file="a"),
                             new=StoredTensor(dtype="BF16", shape=(4,), file="a")),
            ),
        ),
        fields=_fields(text),
        tokenizer=TokenizerChange(added=2, moved=0, removed=1, listed=_tokens(text)),
        templates=(
            TemplateChange(
                name=f"default{text}", old_sha256="5" * 64, new_sha256="6" * 64,
                lines=("@@ -1,2 +1,2 @@", " {{ messages }}", f"-{{{{ bos }}}}{text}",
                       f"+{{{{ eos }}}}{text}"),
            ),
            TemplateChange(name=f"tools{text}", old_sha256="5" * 64, new_sha256=None, lines=None),
        ),
        findings_new=(Finding(id="code-present", severity="warning", path=f"m.py{text}", detail=f"Python{text}"),),
        findings_gone=(Finding(id="card-missing", severity="note", path=f"README.md{text}", detail=f"none{text}"),),
        weights=_weights(text, layers),
        explanations=_explanations(text),
        behaviour=_behaviour(text),
        notes=(f"tokenizer.json is not the same, and its members were not compared{text}",),
    )  # fmt: skip


def _fields(text: str) -> tuple[FieldChange, ...]:
    told: Sequence[tuple[str, str, Json, Json]] = (
        ("config", "rope_theta", 10_000.0, 500_000.0),
        ("config", f"sliding_window{text}", 128, None),
        ("generation", "temperature", None, 0.7),
        ("chat-template", "chat_template.jinja default", "sha256:55", "sha256:66"),
        ("licence", "declared", f"Apache-2.0{text}", f"LicenseRef-example{text}"),
        ("restrictions", "user-cap", None, f"700 million monthly active users{text}"),
        ("restrictions", f"unheard-of{text}", "applies", None),
        ("restrictions", "naming", "Seven", "Built with Seven"),
        ("lineage", "base example/six", "finetune", "merge"),
        ("openness", "class", "Class III", "none"),
    )
    return tuple(FieldChange(section=section, name=name, old=old, new=new) for section, name, old, new in told)


def _tokens(text: str) -> tuple[TokenChange, ...]:
    return (
        TokenChange(token=f"<|call|>{text}", old_id=None, new_id=200_012),
        TokenChange(token=f" seven{text}", old_id=None, new_id=200_013),
        TokenChange(token="", old_id=17, new_id=None),
    )


def _weights(text: str, layers: int) -> Weights:
    rng = np.random.default_rng(5)
    sizes = np.abs(rng.normal(0.004, 0.002, layers)) * (np.arange(layers) % 5 != 0)
    by_layer = [
        RoleChange(layer=layer, role=None, weights=17, changed=6 if size else 0, elements=10**9, basis="sketches",
                   relative=float(size), error=float(size / 6))
        for layer, size in enumerate(sizes)
    ]  # fmt: skip
    by_layer[2] = replace(by_layer[2], relative=float("inf"), error=0.0)
    by_role = [replace(item, role=f"self_attn.q_proj.weight{text}") for item in by_layer]
    changed = tuple(
        WeightChange(name=f"model.layers.{item.layer}.mlp.experts.down_proj{text}", layer=item.layer,
                     role="mlp.experts.down_proj", elements=10**7, basis="sketches", relative=item.relative,
                     error=item.error, rank=8, experts=tuple(range(0, 40, 3)), of=128)
        for item in by_layer if item.changed
    )  # fmt: skip
    return Weights(
        basis="sketches",
        compared=459,
        equal=459 - len(changed),
        changed=changed,
        by_role=tuple(by_role),
        by_layer=tuple(by_layer),
        only_old=(),
        only_new=(f"model.layers.36.mtp.weight{text}",),
    )


def _explanations(text: str) -> tuple[Explanation, ...]:
    return (
        Explanation(
            id="lora-merge",
            outcome="explained",
            sentence=f"An adapter of rank 8 is merged into 58 matrices{text}",
            weights=58,
            names=(f"model.layers.1.self_attn.q_proj.weight{text}", "model.layers.1.self_attn.v_proj.weight"),
            residual=2e-9,
            details={"rank": 8, f"modules{text}": [f"q_proj{text}", "v_proj"]},
        ),
        Explanation(
            id="few-weights-edit",
            outcome="explained",
            sentence="3 isolated weights of model.norm.weight are not the same",
            weights=1,
            names=("model.norm.weight",),
            residual=None,
        ),
    )


def _behaviour(text: str) -> Behaviour:
    prompts = tuple(
        PromptChange(
            prompt=f"{name}{text}",
            positions=256,
            kl=0.4 / (number + 1),
            top1_agreement=0.91,
            old=(Answer(id=265, text=f" a{text}", probability=0.894), Answer(id=13, text=".", probability=0.02)),
            new=(Answer(id=13, text=f".{text}", probability=0.61), Answer(id=9, text=None, probability=0.2)),
        )
        for number, name in enumerate(("chat-tools", "code-1", "languages-2"))
    )
    return Behaviour(same=False, positions=2048, kl_mean=0.0123, kl_largest=4.2, top1_agreement=0.934, prompts=prompts)
