"""The class of a release, for each thing that it can lack."""

from dataclasses import replace

import pytest
import releases
import shapes
from releases import OF_COMPONENT, PROSE, card, release

from mbom.facts.architecture import Architecture
from mbom.facts.card import read_card
from mbom.facts.mof import COMPONENTS, file_purposes
from mbom.facts.openness import assess
from mbom.facts.places import Place
from mbom.inventory.roles import role

EVERYTHING = tuple(OF_COMPONENT.values())
OPTIONAL = {component.key for component in COMPONENTS if component.optional}
CLASS_OF = {component.key: component.level for component in COMPONENTS}


def without(*keys: str) -> list[str]:
    return [name for key, name in OF_COMPONENT.items() if key not in keys]


def of_class(least: int) -> list[str]:
    """Return the files that the classes from III down to a number ask for."""
    return [name for key, name in OF_COMPONENT.items() if CLASS_OF[key] >= least and key not in OPTIONAL]


def test_everything_under_an_open_licence_is_class_one() -> None:
    openness = release(EVERYTHING, card())
    assert openness.level == 1
    assert openness.label == "Class I (Open Science)"
    assert [openness.missing(level) for level in (3, 2, 1)] == [(), (), ()]
    assert all(element.state == "present" for element in openness.elements)


@pytest.mark.parametrize(
    ("least", "label"), [(3, "Class III (Open Model)"), (2, "Class II (Open Tooling)"), (1, "Class I (Open Science)")]
)
def test_each_class_is_reached_with_just_what_it_asks_for(least: int, label: str) -> None:
    assert release(of_class(least), card()).label == label


@pytest.mark.parametrize("key", sorted(OF_COMPONENT))
def test_a_single_missing_component_costs_its_class_and_those_above(key: str) -> None:
    openness = release(without(key), card())
    assert openness.element(key).state == "absent"
    expected: dict[int, int | None] = {3: None, 2: 3, 1: 2}
    # A paper stands in for the report; the optional ones cost nothing.
    spared = OPTIONAL | {"technical-report"}
    assert openness.level == (1 if key in spared else expected[CLASS_OF[key]])


def test_neither_report_nor_paper_is_no_class_at_all() -> None:
    openness = release(without("technical-report", "research-paper"), card())
    assert openness.level is None
    assert openness.label == "none (Class III lacks Technical report: not found)"


def test_a_card_of_a_line_or_of_placeholders_is_no_model_card() -> None:
    for text in ("Nice.", "[More Information Needed]\n" * 50, f"<!-- {PROSE} -->"):
        openness = release(EVERYTHING, card(text=text))
        assert openness.missing(3) == ("Model card: no README.md with 200 characters of text",)


@pytest.mark.parametrize(
    ("licence", "verdict"),
    [
        ("license: llama3.1", False),
        ("license: gemma", False),
        ("license: other\nlicense_name: qwen", False),
        ("license: other\nlicense_name: tongyi-qianwen", False),
        ("license: bigcode-openrail-m", False),
        ("license: creativeml-openrail-m", False),
        ("license: cc-by-nc-4.0", False),
        ("license: [apache-2.0, llama2]", False),
        ("license: other\nlicense_name: my-own", None),
        ("license: other", None),
        ("license: gpl", None),
        ("language: en", False),
    ],
)
def test_terms_that_are_not_known_to_be_open_reach_no_class(licence: str, verdict: bool | None) -> None:
    openness = release(EVERYTHING, card(licence))
    assert openness.level is None
    terms = openness.element("final-parameters").terms
    assert terms is not None
    assert terms.open is verdict
    assert not any(element.counts for element in openness.elements)


def test_open_weights_alone_are_no_class_and_not_open_source() -> None:
    openness = release(["config.json"], card(), config=shapes.config("gpt-oss-20b"))
    assert openness.label == (
        "none (Class III lacks Model architecture: only linked; Technical report: not found; "
        "Evaluation results: not found; Data card: not found)"
    )
    assert openness.element("final-parameters").counts
    assert openness.open_source.startswith("Open weights are not open source AI (OSAID 1.0, https://")
    assert "Training, validation and testing code: not found" in openness.open_source


def test_the_sentence_on_open_source_is_left_out_only_where_every_condition_holds() -> None:
    assert release(EVERYTHING, card()).open_source.endswith("was not judged")
    for key in ("preprocessing-code", "training-code", "inference-code", "supporting-libraries", "model-architecture"):
        assert "are not open source" in release(without(key), card()).open_source
    no_data = without("datasets", "data-card", "research-paper", "technical-report")
    assert "information about the training data" in release(no_data, card()).open_source


def test_what_suits_another_kind_of_content_is_open_and_not_preferred() -> None:
    openness = release(EVERYTHING, card("license: openmdw-1.0"))
    assert all(element.terms is not None and element.terms.suited for element in openness.elements)
    suited = {
        element.component.key: element.terms.suited
        for element in release(EVERYTHING, card("license: mit")).elements
        if element.terms is not None
    }
    assert suited["training-code"]
    assert not suited["final-parameters"]
    assert not suited["technical-report"]


def test_an_empty_file_stands_for_nothing() -> None:
    held = releases.inventory(EVERYTHING, card())
    emptied = tuple(replace(file, size=0) if file.name == "train.py" else file for file in held.files)
    openness = assess(replace(held, files=emptied), read_card(card())[0], card(), Architecture())
    assert openness.element("training-code").state == "absent"


def test_links_are_told_and_never_count() -> None:
    text = (
        f"{PROSE}\n\nTraining code: https://github.com/org/x-train\n\n"
        "See our [technical report](https://arxiv.org/abs/2401.00001), [evaluation code](https://github.com/org/x)\n"
        "and https://github.com/org/y, https://huggingface.co/datasets/org/z and arXiv:2402.00002.\n"
    )
    openness = release([], card("license: apache-2.0\ndatasets: [org/corpus]\nlibrary_name: transformers", text))
    for key in ("training-code", "technical-report", "evaluation-code", "datasets", "supporting-libraries"):
        assert openness.element(key).state == "linked"
        assert not openness.element(key).counts
    assert openness.element("training-code").evidence[0].place == Place(file="README.md", line=10)
    assert [(link.address, link.place.line) for link in openness.unstated] == [
        ("https://github.com/org/y", 13),
        ("https://huggingface.co/datasets/org/z", 13),
        ("https://arxiv.org/abs/2402.00002", 13),
    ]
    assert openness.reproducibility == {
        "training-code": "linked", "data": "linked", "recipe": "absent", "evaluation": "absent"
    }  # fmt: skip


def test_files_that_were_not_fetched_are_listed_and_do_not_count() -> None:
    openness = release(without("intermediate-parameters"), card(), declared=["checkpoint-5/model.safetensors"])
    element = openness.element("intermediate-parameters")
    assert (element.state, element.terms) == ("listed", None)
    assert openness.level == 2


def test_sections_of_the_card_hold_what_the_framework_lets_them_hold() -> None:
    table = "| task | score |\n|---|---|\n| MMLU | 70.1 |\n| GSM8K | 81.0 |\n| ARC | 55.2 |"
    text = f"{PROSE}\n## Training Data\n{PROSE}\n## Evaluation\n{table}\n## Training procedure\n{PROSE}"
    openness = release([], card(text=text))
    assert openness.element("data-card").evidence[0].what == "section Training Data of README.md:7"
    assert openness.element("evaluation-results").counts
    assert openness.recipe.counts
    empty = text.replace(PROSE, "[More Information Needed]").replace(table, "It is good at 3 things.")
    openness = release([], card(text=empty))
    assert {openness.element(key).state for key in ("data-card", "evaluation-results", "model-card")} == {"absent"}
    assert openness.recipe.state == "absent"


def test_declared_results_are_evaluation_results() -> None:
    index = "model-index: [{name: x, results: [{dataset: {name: MMLU}, metrics: [{type: acc, value: 70.1}]}]}]"
    openness = release(without("evaluation-results"), card(f"license: mit\n{index}"))
    assert openness.element("evaluation-results").evidence[0].what == "1 declared results in README.md:3"
    assert openness.level == 1


NAMES = {
    "train.py": ("training-code",),
    "scripts/run_sft.sh": ("training-code",),
    "training/main.py": ("training-code",),
    "train_and_evaluate.py": (),  # of two purposes, so of neither
    "evaluation/run.py": ("evaluation-code",),
    "inference/generate.py": ("inference-code",),
    "inference/model.py": ("model-architecture",),
    "modeling_deepseek.py": ("model-architecture",),
    "configuration_deepseek.py": (),
    "preprocessing_molmo.py": (),  # a processor of images that loaders run, not the preparation of training data
    "image_preprocessing_molmo.py": (),
    "tokenization_qwen.py": (),
    "data/preprocess.py": ("preprocessing-code",),
    "handler.py": ("inference-code",),
    "requirements-dev.txt": ("supporting-libraries",),
    "pyproject.toml": ("supporting-libraries",),
    ".eval_results/mmlu.yaml": ("evaluation-results",),
    "all_results.json": ("evaluation-results",),
    "train_results.json": (),
    "data/README.md": ("data-card",),
    "data/test/part-0.parquet": ("evaluation-data",),
    "data/part-0.parquet": ("datasets",),
    "vocab.txt": (),
    "config.json": (),
    "dataset_infos.json": (),
    "assets/benchmark.png": (),
    "training_args.json": ("model-metadata", "recipe"),
    "global_step1000/model.safetensors": ("intermediate-parameters",),
    "original/consolidated.pth": (),
    "MODEL_CARD.md": ("model-card",),
    "X_Technical-Report.pdf": ("technical-report",),
    "report.pdf": (),
    "samples/outputs.json": ("sample-outputs",),
    "constraint.py": (),
    "evaluated": (),
}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_what_a_file_is_taken_for(name: str) -> None:
    assert file_purposes(name, role(name)) == NAMES[name]
