"""What the model card says in numbers, of published models."""

import boms
import pytest

from mbom.bom.sections.figures import figures, numbers, ranges
from mbom.facts.blocks import RULE
from mbom.facts.footprint import ACCELERATORS_RULE, SEQUENCE_RULE, STATE_RULE, WEIGHTS_RULE
from mbom.facts.parameters import ACTIVE_RULE, TOTAL_RULE
from mbom.facts.reading import read_facts
from mbom.facts.tensordigests import STRUCTURE_METHOD, VALUES_METHOD
from mbom.inventory import Inventory
from mbom.source import Origin


def test_all_figures_of_one_model() -> None:
    facts = boms.of("gpt-oss-20b").facts
    assert sorted(figures(facts)) == [
        ("architecture:attention-heads", "64"),
        ("architecture:context-length", "131072"),
        ("architecture:experts", "32"),
        ("architecture:experts-per-token", "4"),
        ("architecture:full-attention-layers", "12"),
        ("architecture:head-size", "64"),
        ("architecture:hidden-size", "2880"),
        ("architecture:intermediate-size", "2880"),
        ("architecture:key-value-heads", "8"),
        ("architecture:layers", "24"),
        ("architecture:recurrent-layers", "0"),
        ("architecture:rope:original-context", "4096"),
        ("architecture:rope:scaling-factor", "32"),
        ("architecture:rope:theta", "150000"),
        ("architecture:rope:type", "yarn"),
        ("architecture:sliding-window", "128"),
        ("architecture:tied-embeddings", "false"),
        ("architecture:vocabulary", "201088"),
        ("architecture:windowed-layers", "12"),
        ("architecture:windowed-layers:which", "0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22"),
        ("footprint:accelerators", "1 x 141 GB (NVIDIA H200)"),
        ("footprint:accelerators", "1 x 192 GB (AMD Instinct MI300X)"),
        ("footprint:accelerators", "1 x 24 GB (NVIDIA L4, GeForce RTX 4090)"),
        ("footprint:accelerators", "1 x 32 GB (GeForce RTX 5090)"),
        ("footprint:accelerators", "1 x 48 GB (NVIDIA L40S)"),
        ("footprint:accelerators", "1 x 80 GB (NVIDIA A100, H100)"),
        ("footprint:accelerators", "1 x 96 GB (NVIDIA RTX PRO 6000 Blackwell)"),
        ("footprint:accelerators:formula", ACCELERATORS_RULE),
        ("footprint:cache-at-full-context", "3224371200"),
        ("footprint:cache-at-full-context:formula", SEQUENCE_RULE),
        ("footprint:cache-per-token", "49152"),
        ("footprint:cache-per-token:beyond-window", "24576"),
        (
            "footprint:cache-per-token:formula",
            "layers of attention x (2 x key-value heads x head size) x 2 bytes (16-bit elements)",
        ),
        ("footprint:cache-state", "0"),
        ("footprint:smallest-accelerators", "1 x 24 GB (NVIDIA L4, GeForce RTX 4090)"),
        ("footprint:weights", "13761264768"),
        ("footprint:weights:formula", WEIGHTS_RULE),
        ("packing", "mxfp4 in uint8"),
        ("parameters:active", "3608307264"),
        ("parameters:active-with-embedding", "4187440704"),
        ("parameters:active:rule", ACTIVE_RULE),
        ("parameters:block:attention", "637203456"),
        ("parameters:block:embedding", "579133440"),
        ("parameters:block:experts", "19116933120"),
        ("parameters:block:head", "579133440"),
        ("parameters:block:norms", "141120"),
        ("parameters:block:router", "2212608"),
        ("parameters:block:rule", RULE),
        ("parameters:embedding", "579133440"),
        ("parameters:logical:bfloat16", "1804459584"),
        ("parameters:logical:mxfp4", "19110297600"),
        ("parameters:other-modalities", "0"),
        ("parameters:prediction-layers", "0"),
        ("parameters:stored:BF16", "1804459584"),
        ("parameters:stored:U8", "19110297600"),
        ("parameters:total", "20914757184"),
        ("parameters:total:rule", TOTAL_RULE),
        ("quantisation:method", "mxfp4"),
        ("stored-bytes:BF16", "3608919168"),
        ("stored-bytes:U8", "10152345600"),
        ("tensors:digest", "87644d7d08d2da9277dd895beee5f2a4ccea5333e0531d28cd1b6a69c982f5ea"),
        ("tensors:digest:method", STRUCTURE_METHOD),
        ("tensors:values-digest", "976b4f7336c8079331d0ecaf2523d31cef501fb185f55497f0dc637eecb2f2c0"),
        ("tensors:values-digest:method", VALUES_METHOD),
    ]


SOME: dict[str, set[tuple[str, str]]] = {
    "deepseek-v3": {
        ("architecture:key-value-rank", "512"),
        ("architecture:query-rank", "1536"),
        ("architecture:rope-head-size", "64"),
        ("architecture:value-head-size", "128"),
        ("architecture:shared-experts", "1"),
        ("architecture:expert-intermediate-size", "2048"),
        ("parameters:logical:fp8-e4m3", "669065609216"),
    },
    "gemma-3-27b-it": {
        ("architecture:rope:type", "linear"),
        ("architecture:rope:sliding_attention:theta", "10000"),
        (
            "architecture:windowed-layers:which",
            "0-4, 6-10, 12-16, 18-22, 24-28, 30-34, 36-40, 42-46, 48-52, 54-58, 60-61",
        ),
        ("architecture:modality", "image"),
        ("architecture:modality", "text"),
    },
    "llama-4-scout": {("architecture:attention-chunk", "8192"), ("architecture:full-attention-layers", "12")},
    "nemotron-3-nano": {
        ("architecture:recurrent-layers", "23"),
        ("architecture:state-size", "524288"),
        ("architecture:shared-expert-intermediate-size", "3712"),
        ("footprint:cache-state:formula", STATE_RULE),
        ("footprint:cache-state", "49082368"),
    },
    "qwen3.5-397b-a17b": {("architecture:rope:partial", "0.25"), ("architecture:modality", "video")},
}  # fmt: skip


@pytest.mark.parametrize("name", SOME)
def test_figures_that_other_models_have(name: str) -> None:
    assert set(figures(boms.of(name).facts)) >= SOME[name]


@pytest.mark.parametrize("name", boms.REPOSITORIES)
def test_every_number_that_is_read_from_a_configuration_has_a_place(name: str) -> None:
    facts = boms.of(name).facts
    known = numbers(facts.parameters, facts.architecture)
    derived = {"architecture:full-attention-layers", "architecture:windowed-layers", "architecture:recurrent-layers"}
    read = {item for item, value in known.items() if item.startswith("architecture:") and value is not None}
    assert read - derived - {"architecture:state-size"} <= facts.architecture.places.keys()


def test_what_is_not_known_is_not_stated() -> None:
    held = Inventory(origin=Origin(kind="folder", name="empty"), files=(), tensors=())
    names = {name for name, _ in figures(read_facts(held, {})[0])}
    assert not any(name.startswith(("architecture:", "footprint:cache", "parameters:block")) for name in names)
    assert ("footprint:note", "cache unknown: there is no configuration") in set(figures(read_facts(held, {})[0]))


@pytest.mark.parametrize(("listed", "text"), [([], ""), ([3], "3"), ([0, 1], "0-1"), ([0, 2, 3, 4, 9], "0, 2-4, 9")])
def test_ranges_are_as_people_write_them(listed: list[int], text: str) -> None:
    assert ranges(listed) == text
