"""What a report says of two models: everything that differs, and what could not be compared."""

from dataclasses import replace

import pytest
import reports
from reportpages import tables, text, verdict, words

from mbom.diff.changes import Changes, FieldChange
from mbom.report import Page, of_changes
from mbom.report.blocks import Picture
from mbom.report.drawings import Chart
from mbom.strictjson import Json


def page(found: Changes) -> Page:
    return of_changes(found, reports.gpt_oss_120b())


def quiet() -> Changes:
    """Changes of nothing."""
    held = reports.changes()
    return replace(
        held,
        new=held.old,
        files=replace(held.files, changes=()),
        tensors=replace(held.tensors, counts={"identical": 459}, changes=()),
        fields=(),
        tokenizer=replace(held.tokenizer, added=0, removed=0, listed=()),  # type: ignore[type-var]
        templates=(),
        findings_new=(),
        findings_gone=(),
        weights=None,
        explanations=(),
        behaviour=None,
        notes=(),
    )


def test_restrictions_that_came_stand_first_in_plain_words() -> None:
    table = tables(page(reports.changes()), "licence")["Restrictions that came, went or changed, in plain words"]
    told = [(words(row[0]), words(row[1])) for row in table.rows]
    assert told == [("user-cap", "new"), ("unheard-of", "gone"), ("naming", "changed")]
    assert words(table.rows[0][2]).startswith("Above a number of users, the value, the rights end")
    assert words(table.rows[0][2]).endswith("It says: 700 million monthly active users.")
    assert "in words that mbom does not know" in words(table.rows[1][2])
    assert words(table.rows[2][2]).endswith("It said: Seven. It says: Built with Seven.")


def test_the_chart_and_the_table_say_the_same() -> None:
    shown = page(reports.changes())
    (section,) = (item for item in shown.sections if item.id == "weights")
    (drawing,) = (block.drawing for block in section.blocks if isinstance(block, Picture))
    assert isinstance(drawing, Chart)
    rows = tables(shown, "weights")["Change by layer"].rows
    labels = [column.label for column in drawing.columns]
    assert labels == [f"layer {words(row[0])}: {words(row[2])}" for row in rows]
    assert labels[2].endswith("beyond measure (it was all zero)")


def test_estimates_have_errors_and_exact_figures_have_none() -> None:
    held = reports.changes()
    assert held.weights is not None
    assert "Figures are estimates from the sketches" in text(page(held))
    exact = replace(held.weights, basis="weights", by_layer=tuple(
        replace(item, basis="weights", error=0.0, unchanged=0.5, largest=0.25) for item in held.weights.by_layer
    ))  # fmt: skip
    shown = text(page(replace(held, weights=exact)))
    assert "Figures are exact" in shown
    assert "The thin lines are the errors" not in shown


def test_explanations_have_outcome_residual_and_what_they_account_for() -> None:
    lora, edit = tables(page(reports.changes()), "weights")["What explains the change of the weights"].rows
    assert [words(cell) for cell in (lora[1], lora[4])] == ["explained", "2.00e-09"]
    assert words(lora[2]).endswith('modules: ["q_proj", "v_proj"] / rank: 8')
    assert words(lora[3]).startswith("58 weights / model.layers.1.self_attn.q_proj.weight")
    assert words(edit[4]) == "nobody can tell"


def test_answers_stand_side_by_side_the_most_changed_first() -> None:
    (table,) = tables(page(reports.changes()), "behaviour").values()
    first = [words(cell) for cell in table.rows[0]]
    assert first[0].startswith("chat-tools / system: You plan boat trips.")
    assert first[1:] == ["␣a  89.4% / .  2.0%", ".  61.0% / token 9  20.0%", "91.0%", "0.4"]


def test_the_new_template_is_shown_line_by_line() -> None:
    shown = text(page(reports.changes()))
    assert "-{{ bos }} +{{ eos }}" in shown
    assert "Chat template tools: " + "5" * 64 + " → none. Its text is not at hand on both sides." in shown


def test_nothing_that_differs_says_so_and_claims_no_more() -> None:
    shown = text(page(quiet()))
    assert "The same files." in shown
    assert "All files are the same: 9 files." in shown
    assert "No finding is new." in shown
    assert "The values were not compared" in shown
    assert "The answers were not compared" in shown
    assert "Weights ! not compared" in shown.replace("\xa0", " ")


def test_what_could_not_be_compared_is_said() -> None:
    assert "tokenizer.json is not the same, and its members were not compared" in text(page(reports.changes()))


def test_a_commit_with_two_contents_is_the_first_thing_to_read() -> None:
    held = reports.changes()
    shown = page(replace(held, new=replace(held.new, revision=held.old.revision)))
    assert (shown.banner.tone, shown.banner.title) == ("bad", "Changed in place")
    same = page(replace(held, new=held.old))
    assert same.banner.title == "Nothing was verified"
    folders = replace(
        held, old=replace(held.old, repo=None, revision=None), new=replace(held.new, repo=None, revision=None)
    )
    assert page(folders).banner.title == "Nothing was verified"


@pytest.mark.parametrize("outcome", ["PASS", "FAIL"])
def test_a_verdict_is_of_the_new_model(outcome: str) -> None:
    told = verdict(signature=outcome)  # type: ignore[arg-type]
    shown = of_changes(reports.changes(), reports.gpt_oss_120b(), told)
    assert shown.banner.title == f"{'Verified' if outcome == 'PASS' else 'Refused'}: the new model"


def test_every_section_of_facts_has_a_place() -> None:
    from mbom.diff.changes import SECTIONS

    held = quiet()
    for section in SECTIONS:
        fields = (FieldChange(section=section, name="a-fact", old="before it", new="after it"),)
        shown = text(page(replace(held, fields=fields)))
        assert "after it" in shown, section


def test_every_weight_that_was_edited_is_in_a_table() -> None:
    held = reports.changes()
    elements: list[Json] = [
        {"weight": "model.norm.weight", "index": [3], "old": 0.5, "new": -0.5, "bit": 15},
        {"weight": "model.norm.weight", "index": [9], "old": 0.5, "new": 0.7, "bit": None},
    ]
    edit = replace(held.explanations[1], details={"elements": elements, "bit_flips": 1})
    shown = page(replace(held, explanations=(edit,)))
    table = tables(shown, "weights")["Every element that was edited; bit 0 is the lowest"]
    assert [[words(cell) for cell in row] for row in table.rows] == [
        ["model.norm.weight[3]", "0.5", "-0.5", "bit 15"],
        ["model.norm.weight[9]", "0.5", "0.7", "more than one"],
    ]
    assert "index" not in words(tables(shown, "weights")["What explains the change of the weights"].rows[0][2])


def test_what_nobody_tested_is_not_called_unexplained() -> None:
    held = reports.changes()
    assert held.weights is not None
    for basis, told in (("sketches", "Explanations were not tested"), ("weights", "No named explanation accounts")):
        weights = replace(held.weights, basis=basis)  # type: ignore[arg-type]
        shown = page(replace(held, explanations=(), weights=weights))
        assert told in text(shown)
        assert ("not tested" in text(shown)) == (basis == "sketches")
        same = replace(weights, equal=weights.compared, changed=(), only_old=(), only_new=())
        shown = page(replace(held, explanations=(), weights=same))
        assert told not in text(shown)
        assert "nothing to explain" in text(shown)
