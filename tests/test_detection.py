"""What the benchmark of detection shows on the trained fixture in seconds; marked slow, the whole of it."""

import json
from pathlib import Path

import detection
import pytest
import torch
from detection import Family, families
from honest import CONFIGURATIONS, Configuration
from inprocess import Measuring
from nudges import Place, kind_of, nudged
from storedweights import Weights
from tampering import TAMPERS, Tamper, null_space
from tinytraining import checkpoint

from mbom.behaviour.compare import compare

IN_PROCESS = ("one prompt at a time", "prompts shuffled", "padded to 300", "two files", "stored in bfloat16")


@pytest.fixture(scope="module")
def gpt_oss(tmp_path_factory: pytest.TempPathFactory) -> Family:
    folder = tmp_path_factory.mktemp("detection")
    return families(["gpt_oss"], folder, folder)[0]


@pytest.mark.parametrize("tamper", TAMPERS.values(), ids=TAMPERS.keys())
def test_tampering_is_caught_and_the_place_named(gpt_oss: Family, tamper: Tamper) -> None:
    outcome = gpt_oss.tampered("", tamper)
    assert outcome is not None
    assert outcome.caught
    assert outcome.found.where == outcome.expected.where
    if outcome.expected.expert is not None or outcome.expected.row is not None:
        assert outcome.found == outcome.expected


def test_one_ulp_anywhere_is_caught_and_the_place_named(gpt_oss: Family) -> None:
    kinds = {kind_of(name) for name in Weights(gpt_oss.folder).names}
    outcomes = [gpt_oss.nudged(nudge) for nudge in gpt_oss.nudges(len(kinds) + 1)]  # the embedding has two kinds
    assert len({outcome.name for outcome in outcomes}) == len(kinds) + 1
    assert [outcome.comparison.detail for outcome in outcomes if not (outcome.caught and outcome.named)] == []


@pytest.mark.parametrize("run", [CONFIGURATIONS[name] for name in IN_PROCESS], ids=IN_PROCESS)
def test_honest_configurations_raise_no_alarm(gpt_oss: Family, run: Configuration) -> None:
    comparison = gpt_oss.honest(run)
    assert comparison.passed, comparison.detail


def test_a_freshly_trained_family_is_measured_and_its_stacked_experts_raise_no_alarm(tmp_path: Path) -> None:
    folder = checkpoint("qwen3_moe", tmp_path / "qwen3_moe", steps=2)
    family = Family("qwen3_moe", folder, tmp_path, Measuring())
    comparison = family.honest(CONFIGURATIONS["experts stored as one stack"])
    assert comparison.passed, comparison.detail


def test_swapping_ids_that_no_prompt_uses_is_left_to_the_file_digests(gpt_oss: Family) -> None:
    folder = gpt_oss.copy()
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = document["model"]["vocab"]
    used = {token for prompt in gpt_oss.reference.prompts for token in prompt.token_ids}
    used |= set(gpt_oss.reference.numbers.top_ids[:, :8].flatten().tolist())  # the record names the likeliest
    one, other = sorted(text for text, number in vocabulary.items() if number not in used)[:2]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    path.write_text(json.dumps(document), encoding="utf-8")
    comparison = compare(gpt_oss.reference, Measuring()(folder))
    assert (comparison.verdict, comparison.same_model) == ("match", False)


def test_an_edit_that_changes_nothing_does_not_count(gpt_oss: Family) -> None:
    with pytest.raises(ValueError, match="not a byte was changed"):
        gpt_oss.tampered("idle", lambda _: Place(where="layer 0"))


def test_an_edit_that_is_missed_or_misnamed_fails_the_benchmark(
    gpt_oss: Family, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def misdeclared(target: object) -> Place:
        TAMPERS["one weight by one ulp"](target)  # type: ignore[arg-type]
        return Place(where="layer 2")

    monkeypatch.setattr(detection, "TAMPERS", {"one weight by one ulp": misdeclared})
    assert not detection.tamper_table([gpt_oss])
    assert "1 of 1 caught (target all), 0 of 1 with the right layer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "stored", "element", "up", "expected"),
    [
        ("x.weight", torch.tensor([1.0, -2.0], dtype=torch.bfloat16), 1, True, [1.0, -2.015625]),
        ("x.weight", torch.tensor([1.0, -2.0], dtype=torch.bfloat16), 0, False, [0.99609375, -2.0]),
        ("x_blocks", torch.tensor([0x21], dtype=torch.uint8), 0, True, [0x22]),
        ("x_blocks", torch.tensor([0xF1], dtype=torch.uint8), 1, True, [0xE1]),  # 6 is the largest: down instead
        ("x_blocks", torch.tensor([0x81], dtype=torch.uint8), 1, False, [0x91]),  # -0 has no smaller neighbour
        ("x_scales", torch.tensor([120, 121], dtype=torch.uint8), 1, False, [120, 120]),
    ],
)
def test_one_ulp_is_the_neighbouring_number(
    name: str, stored: torch.Tensor, element: int, up: bool, expected: list[float]
) -> None:
    assert nudged(stored, name, element, up=up).tolist() == expected


@pytest.mark.parametrize(("positions", "dimensions"), [(0, 6), (4, 2), (9, 0)])
def test_the_null_space_is_what_no_position_reaches(positions: int, dimensions: int) -> None:
    inputs = torch.randn((positions, 6), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    basis = null_space(inputs)
    assert basis.shape == (dimensions, 6)
    assert float((inputs @ basis.T).abs().amax() if basis.numel() and positions else 0.0) < 1e-14


@pytest.mark.slow
def test_the_whole_benchmark_meets_its_targets() -> None:
    assert detection.main([]) == 0
