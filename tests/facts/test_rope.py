import json

import pytest

from mbom.facts.architecture import read_architecture
from mbom.facts.rope import Rope

YARN = {"factor": 40, "original_max_position_embeddings": 4096}

SPELLINGS: dict[str, tuple[dict[str, object], tuple[Rope, ...]]] = {
    "nothing": ({}, ()),
    "a base alone": ({"rope_theta": 10000}, (Rope(theta=1e4),)),
    "no scaling": ({"rope_theta": 1e6, "rope_scaling": None}, (Rope(theta=1e6),)),
    "the older spelling": (
        {"rope_theta": 10000, "rope_scaling": {"type": "yarn", **YARN}},
        (Rope(type="yarn", theta=1e4, factor=40.0, original_context=4096),),
    ),
    "the newer spelling": (
        {"rope_theta": 5, "rope_parameters": {"rope_type": "yarn", "rope_theta": 1e7, **YARN}},
        (Rope(type="yarn", theta=1e7, factor=40.0, original_context=4096),),
    ),
    "a part of each head": (
        {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.25}},
        (Rope(type="default", partial=0.25),),
    ),
    "by kind of layer": (
        {
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000},
                "full_attention": {"rope_type": "linear", "factor": 8, "rope_theta": 1000000},
            }
        },
        (
            Rope(layers="full_attention", type="linear", theta=1e6, factor=8.0),
            Rope(layers="sliding_attention", type="default", theta=1e4),
        ),
    ),
    "a second base for windowed layers": (
        {"rope_theta": 1e6, "rope_local_base_freq": 10000},
        (Rope(theta=1e6), Rope(layers="sliding_attention", type="default", theta=1e4)),
    ),
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_every_spelling_is_read(case: str) -> None:
    config, expected = SPELLINGS[case]
    architecture, findings = read_architecture(json.dumps(config).encode())
    assert architecture.rope == expected
    assert findings == ()


def test_places_lead_into_the_section_of_the_language_model() -> None:
    rope = {"full_attention": {"rope_theta": 1e6}, "a/b": {"factor": 2}}
    config = {"text_config": {"model_type": "x", "rope_parameters": rope}}
    places = read_architecture(json.dumps(config).encode())[0].places
    assert str(places["architecture:rope:full_attention:theta"]) == (
        "config.json#/text_config/rope_parameters/full_attention/rope_theta"
    )
    assert str(places["architecture:rope:a/b:scaling-factor"]) == (
        "config.json#/text_config/rope_parameters/a~1b/factor"
    )


@pytest.mark.parametrize(
    ("config", "member"),
    [
        ({"rope_theta": 0}, "rope_theta"),
        ({"rope_theta": -1.0}, "rope_theta"),
        ({"rope_theta": True}, "rope_theta"),
        ({"rope_theta": "1e6"}, "rope_theta"),
        ({"rope_theta": float("inf")}, "rope_theta"),
        ({"rope_scaling": 8}, "rope_scaling"),
        ({"rope_scaling": {"factor": []}}, "factor"),
        ({"rope_scaling": {"type": "\u202e"}}, "type"),
        ({"rope_scaling": {"original_max_position_embeddings": 4096.0}}, "original_max_position_embeddings"),
        ({"rope_parameters": {f"kind{number}": {} for number in range(9)}}, "rope_parameters"),
        ({"rope_parameters": {"\n": {}}}, "rope_parameters"),
    ],
)
def test_a_rotation_that_cannot_be_is_a_warning_and_costs_no_other_fact(config: dict[str, object], member: str) -> None:
    architecture, findings = read_architecture(json.dumps({"hidden_size": 64, **config}).encode())
    assert [finding.id for finding in findings] == ["config-field"]
    assert findings[0].detail.startswith(f"{member} is not ")
    assert architecture.hidden == 64
    assert all(rope.theta is None and rope.factor is None for rope in architecture.rope)
