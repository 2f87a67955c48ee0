"""Declared results in a card's front matter."""

from releases import card

from mbom.facts.card import read_card
from mbom.facts.evaluations import EVALUATIONS_LIMIT, Evaluation, Evaluations, read_evaluations

INDEX = """license: mit
model-index:
- name: x
  results:
  - task: {type: text-generation, name: Text Generation}
    dataset: {type: cais/mmlu, name: MMLU, config: all, split: test}
    metrics:
    - {type: accuracy, value: 70.10, name: MMLU (5-shot), verified: true}
    - {name: exact match, value: no}
  - dataset: not a mapping
    metrics:
    - {type: pass@1, value: 0.5}
"""


def test_results_are_taken_word_for_word() -> None:
    found, findings = read_card(card(INDEX))
    assert findings == ()
    assert found.evaluations == Evaluations(
        results=(
            Evaluation(metric="accuracy", value="70.10", dataset="MMLU all test"),
            Evaluation(metric="exact match", value="no", dataset="MMLU all test"),
            Evaluation(metric="pass@1", value="0.5", dataset=None),
        ),
        count=3,
    )
    assert str(found.places["model-index"]) == "README.md:3"


def test_entries_of_another_form_are_one_finding_and_cost_no_others() -> None:
    text = """license: mit
model-index:
- name: x
  results:
  - metrics: [{type: acc, value: 1}, {type: acc}, {value: 2}, 7, {type: acc, value: [1]}, {type: acc, value: ""}]
  - metrics: {type: acc, value: 1}
  - 5
- results: none
- text
"""
    found, findings = read_card(card(text))
    assert found.evaluations == Evaluations(
        results=(Evaluation(metric="acc", value="1", dataset=None),), count=1, unreadable=9
    )
    assert [(item.id, item.detail) for item in findings] == [
        ("card-malformed", "9 entries of model-index are no results of the hub's form, so they are left out")
    ]
    assert found.licence is not None


def test_all_are_counted_and_the_first_are_kept() -> None:
    metrics = [{"type": "acc", "value": str(number)} for number in range(3 * EVALUATIONS_LIMIT)]
    found = read_evaluations([{"results": [{"metrics": metrics}]}])
    assert (len(found.results), found.count) == (EVALUATIONS_LIMIT, 3 * EVALUATIONS_LIMIT)


def test_control_characters_and_endless_texts_are_no_names() -> None:
    for metric in ({"type": "a\x1bb", "value": "1"}, {"type": "a", "value": "1" * 121}, {"type": "a", "value": "\n"}):
        assert read_evaluations([{"results": [{"metrics": [metric]}]}]) == Evaluations(unreadable=1)
    assert read_evaluations("text") == Evaluations(unreadable=1)
    assert read_evaluations(None) == read_evaluations([]) == Evaluations()
