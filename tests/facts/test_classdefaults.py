"""The defaults are those of transformers' own classes, in the version that is named."""

import pytest

from mbom.facts.classdefaults import DEFAULTS, SOURCE

transformers = pytest.importorskip("transformers")


def test_the_version_is_the_one_that_is_installed() -> None:
    assert f"transformers {transformers.__version__}" == SOURCE


@pytest.mark.parametrize("model_type", DEFAULTS)
def test_every_default_is_that_of_the_class(model_type: str) -> None:
    kind = transformers.CONFIG_MAPPING[model_type]
    blank = kind(num_hidden_layers=12)
    for member, value in DEFAULTS[model_type].items():
        if member in ("sliding_window_pattern", "no_rope_layer_interval"):
            full = [layer for layer, name in enumerate(blank.layer_types, 1) if name == "full_attention"]
            assert full == [layer for layer in range(1, 13) if layer % int(str(value)) == 0]
        elif member == "rope_theta":
            assert blank.rope_parameters["full_attention"]["rope_theta"] == value
        elif member == "rope_local_base_freq":
            assert blank.rope_parameters["sliding_attention"]["rope_theta"] == value
        else:
            assert getattr(blank, member) == value, member
