"""What a report says of a model: the facts of the bundle, the verdict where there is one, and never more than that."""

import re
from dataclasses import replace

import numpy as np
import pytest
import reports
from reportpages import TIME, pages, tables, text, verdict, words

from mbom.behaviour.coverage import Coverage
from mbom.dossier import Dossier, read_bundle
from mbom.inventory import Finding
from mbom.report import Verified, of_model
from mbom.report.blocks import Picture
from mbom.report.drawings import HeatMap
from mbom.verdict import STEPS, Outcome, Verdict


def tiny() -> Dossier:
    return read_bundle(reports.BUNDLE)


def test_a_page_without_a_verdict_says_first_of_all_that_nothing_was_verified() -> None:
    page = of_model(tiny())
    assert (page.banner.tone, page.banner.title) == ("mind", "Nothing was verified")
    shown = text(page)
    assert shown.index("Nothing was verified") < shown.index("At a glance")
    assert "checks" not in {section.id for section in page.sections}


@pytest.mark.parametrize(
    ("outcomes", "tone", "title", "said"),
    [
        ({"behaviour": "SKIP", "challenge": "SKIP"}, "good", "Verified", "not asked for: behaviour, challenge"),
        ({"tensors": "FAIL", "files": "FAIL"}, "bad", "Refused",
         "The files are the signed ones: this does not hold. seen at files"),
        ({"shards": "SKIP"}, "mind", "Incomplete", "Every shard's own signature holds: this could not be checked."),
    ],
)  # fmt: skip
def test_the_verdict_stands_at_the_top_with_its_reason_and_its_time(
    outcomes: dict[str, Outcome], tone: str, title: str, said: str
) -> None:
    page = of_model(tiny(), verdict(**outcomes))
    assert (page.banner.tone, page.banner.title) == (tone, title)
    assert said in page.banner.text
    assert "2026-11-21T09:00:00Z" in page.banner.text
    (table,) = tables(page, "checks").values()
    assert [words(row[3]) for row in table.rows] == list(STEPS)
    shown = {words(row[3]).replace("-", "_"): words(row[1]) for row in table.rows}
    assert {step: shown[step] for step in outcomes} == outcomes


def test_a_verdict_without_checks_verifies_nothing() -> None:
    none = Verified(verdict=Verdict(checks=(), model=None), time=TIME, checkpoint=False)
    assert of_model(tiny(), none).banner.title == "Incomplete"


def test_a_verdict_on_the_bundle_alone_says_that_no_file_was_looked_at() -> None:
    page = of_model(tiny(), replace(verdict(), checkpoint=False))
    assert "Only the bundle was checked, and no files of the model." in page.banner.text


@pytest.mark.parametrize("name", ["model", "large model", "diff"])
def test_no_page_calls_a_model_safe(name: str) -> None:
    assert not re.search(r"\bsafe\b|\bsafely\b|\btrustworthy\b|\bsecure\b", text(pages()[name]), re.IGNORECASE)


def test_every_digest_and_the_commands_that_check_them_are_there() -> None:
    held = tiny()
    shown = text(of_model(held))
    assert held.inventory.digest in shown
    assert str(held.bundle_digest) in shown
    assert "mbom verify tiny-gpt-oss.mbom MODEL --key SIGNER.pub --behaviour" in shown
    for file in held.inventory.files:
        assert f"{file.sha256} {file.name}" in shown


def test_the_commands_quote_what_a_shell_would_take_for_more() -> None:
    page = of_model(replace(tiny(), label="/somewhere/a; rm -rf ~.mbom"))
    shown = text(page)
    assert "mbom verify 'a; rm -rf ~.mbom' MODEL" in shown
    assert "/somewhere" not in shown


def test_a_model_of_the_hub_is_demanded_by_repository_and_commit() -> None:
    shown = text(pages()["large model"])
    revision = reports.gpt_oss_120b().inventory.origin.revision
    assert f"--repo openai/gpt-oss-120b --revision {revision}" in shown


def test_restrictions_are_told_in_plain_words() -> None:
    table = tables(of_model(tiny()), "licence")["What the licences ask for and forbid, in plain words"]
    assert [words(row[0]) for row in table.rows] == ["attribution", "patent-termination"]
    assert words(table.rows[1][1]).endswith("loses the licence. / It says: the patent licence")


def test_the_parts_of_the_model_add_up() -> None:
    for name, total in (("model", 847_904), ("large model", 116_829_156_672)):
        table = tables(pages()[name], "parameters")["Parameters by part of the model"]
        assert sum(int(words(row[1]).replace(",", "")) for row in table.rows) == total


def test_the_heat_map_is_of_what_the_routers_chose() -> None:
    held = tiny()
    assert held.record is not None
    (section,) = (item for item in of_model(held).sections if item.id == "behaviour")
    (drawing,) = (block.drawing for block in section.blocks if isinstance(block, Picture))
    assert isinstance(drawing, HeatMap)
    never = next(level for level in drawing.levels if level.slot == "never")
    assert drawing.columns * drawing.rows - never.cells == held.record.coverage.experts_reached == 32
    (table,) = (found for caption, found in tables(of_model(held), "behaviour").items() if "by layer" in caption)
    ids = held.record.numbers.router_ids
    for row, chosen in zip(table.rows, ids, strict=True):
        assert words(row[1]) == f"{len(np.unique(chosen))} of 8"


def test_a_record_that_claims_a_billion_experts_is_not_drawn() -> None:
    held = tiny()
    assert held.record is not None
    coverage = replace(held.record.coverage, experts=4 * 10**9)
    page = of_model(replace(held, record=replace(held.record, coverage=coverage)))
    assert "1,000,000,000 experts in each of 4 layers are more than can be drawn here." in text(page)


def test_a_model_without_a_record_has_no_known_behaviour() -> None:
    shown = text(of_model(replace(tiny(), record=None)))
    assert "No behaviour was recorded: nothing is known of what this model computes." in shown


def test_a_record_of_nothing_reached_says_so() -> None:
    held = tiny()
    assert held.record is not None
    coverage = Coverage(**{**vars(held.record.coverage), "experts_reached": 20})
    page = of_model(replace(held, record=replace(held.record, coverage=coverage)))
    assert "20 of 32 (62.5 %)" in text(page)
    assert "the record says nothing of what the others would answer" in text(page)


def test_an_unsigned_bundle_is_called_unsigned() -> None:
    assert "Attested ! not signed" in text(of_model(replace(tiny(), attestation=None))).replace("\xa0", " ")


def test_the_gravest_findings_come_first_and_long_lists_are_cut_aloud() -> None:
    notes = [Finding(id="card-missing", severity="note", path=f"{n:05}", detail="d") for n in range(500)]
    found = (*notes, Finding(id="lfs-pointer", severity="error", path="z", detail="a pointer"))
    held = tiny()
    page = of_model(replace(held, inventory=replace(held.inventory, findings=found)))
    (table,) = tables(page, "findings").values()
    assert words(table.rows[0][0]) == "z"
    assert (len(table.rows), table.more) == (200, 301)
    assert "301 more rows: inventory.json has them all" in text(page)


def test_what_nobody_discloses_is_listed_by_what_is_missing() -> None:
    (table,) = tables(of_model(tiny()), "undisclosed").values()
    told = {words(row[0]): words(row[1]) for row in table.rows}
    assert "Dataset name, Dataset description" in told["The BOM names no data set"]
    assert told["No licence was recognised in this text"] == "USAGE_POLICY"


def test_an_empty_document_leaves_everything_unknown() -> None:
    """A BOM that says nothing is not a pass in any place."""
    held = tiny()
    page = of_model(replace(held, document={}))
    shown = text(page)
    assert "none declared" in shown
    assert "not stated" in shown
    assert "The BOM does not say what the parameters are spent on." in shown
    assert "no restriction known" in shown
