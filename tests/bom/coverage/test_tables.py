from collections import Counter
from datetime import date
from urllib.parse import urlsplit

import pytest

from mbom.bom.coverage import KEYS, standard
from mbom.bom.coverage.rules import RULES
from mbom.bom.coverage.tables import RECIPIENTS

# By heading, as the lists have them.
SIZES = {
    "g7": (10, 9, 13, 10, 2, 4, 2),
    "cisa": (11, 2),
    "ntia": (7,),
    "gpai": (6, 6, 5, 6, 2, 9, 5, 4),
}


@pytest.mark.parametrize("key", KEYS)
def test_each_list_has_as_many_elements_as_was_published(key: str) -> None:
    held = standard(key)
    counted = Counter(element.group for element in held.elements)
    assert tuple(counted[group] for group in held.groups) == SIZES[key]


def test_the_g7_ask_for_fifty_elements_in_seven_clusters() -> None:
    assert (len(standard("g7").elements), len(standard("g7").groups)) == (50, 7)


@pytest.mark.parametrize("key", KEYS)
def test_an_element_has_an_id_of_its_own_and_a_rule_that_exists(key: str) -> None:
    elements = standard(key).elements
    assert len({element.id for element in elements}) == len(elements)
    assert {element.rule for element in elements} <= RULES.keys()


def test_every_rule_is_asked_for() -> None:
    assert RULES.keys() == {element.rule for key in KEYS for element in standard(key).elements}


@pytest.mark.parametrize("key", KEYS)
def test_every_list_says_where_it_was_read_and_when(key: str) -> None:
    held = standard(key)
    assert held.sources
    assert urlsplit(held.url).scheme == "https"
    for source in held.sources:
        assert urlsplit(source.url).scheme == "https"
        assert source.purpose
        # None says that the text itself was not at hand; the purpose then says what follows from that.
        assert source.read is None or date(2026, 1, 1) <= date.fromisoformat(source.read)


def test_recipients_stand_in_the_eu_form_alone_and_name_their_ground() -> None:
    for key in KEYS:
        for element in standard(key).elements:
            if element.recipients is None:
                assert element.recipients_from is None
                continue
            assert key == "gpai"
            assert set(element.recipients) <= set(RECIPIENTS)
            assert element.recipients
            assert element.recipients_from in ("form", "annex XI", "annex XII", "annex XI and XII")


def test_an_annex_names_its_own_recipients() -> None:
    grounds = {"annex XI": ("AIO", "NCAs"), "annex XII": ("DPs",), "annex XI and XII": RECIPIENTS}
    for element in standard("gpai").elements:
        if element.recipients_from in grounds:
            assert element.recipients == grounds[element.recipients_from], element.id


def test_items_for_one_recipient_at_a_time_share_nothing() -> None:
    shared = {element.id: element.recipients for element in standard("gpai").elements}
    for item in ("data-points", "training-time", "training-computation"):
        assert (shared[f"{item}-ncas"], shared[f"{item}-aio"]) == (("NCAs",), ("AIO",))
