import json
import random
from typing import Any

import pytest

from mbom.digest import sha256
from mbom.errors import FormatError
from mbom.facts.producers import BUILT_IN, FILE_LIMIT, Producer, Producers, built_in

ENTRY: dict[str, Any] = {
    "account": "Acme-Labs",
    "entity": "Acme Labs GmbH",
    "country": "DE",
    "source": "https://acme.example/imprint",
    "reviewed": "2026-11-02",
}
YAML = b"""# ours
schema: urn:mbom:producers:v1
accounts:
- account: Acme-Labs
  entity: Acme Labs GmbH
  country: DE
  source: https://acme.example/imprint
  reviewed: 2026-11-02
- account: storting
  entity: Stortinget
  country: NO          # which YAML 1.1 reads as false
  website:
  source: https://www.stortinget.no/
  reviewed: 2026-11-02
"""


def table(*entries: dict[str, Any], **members: Any) -> bytes:
    return json.dumps({"schema": "urn:mbom:producers:v1", "accounts": list(entries), **members}).encode()


def read(data: bytes) -> Producers:
    return Producers().extended(data, what="own.json")


def test_the_table_of_the_package_names_entity_country_source_and_day_of_each_account() -> None:
    producers = built_in().by_account
    assert len(producers) >= 60
    assert {producer.table for producer in producers.values()} == {BUILT_IN}
    assert list(producers) == sorted(producers)
    countries = {"openai": "US", "deepseek-ai": "CN", "mistralai": "FR", "tiiuae": "AE", "cohereLabs": "CA"}
    countries |= {"AI21Labs": "IL", "stabilityai": "GB", "LGAI-EXAONE": "KR", "swiss-ai": "CH", "Aleph-Alpha": "DE"}
    for name, country in countries.items():
        found = built_in().of(name)
        assert found is not None
        assert found.country == country


@pytest.mark.parametrize("account", ["TheBloke", "bigscience", "nobody", "", None])
def test_an_account_that_is_not_in_the_table_is_unknown(account: str | None) -> None:
    assert built_in().of(account) is None


def test_letter_case_of_an_account_does_not_count() -> None:
    assert built_in().of("OpenAI") == built_in().of("openai")
    assert [
        producer.account for producer in built_in().among(["QWEN", "openai", "nobody", None, "OpenAI", "qwen"])
    ] == [
        "openai",
        "Qwen",
    ]


def test_a_file_of_the_user_extends_the_table_and_goes_before_it() -> None:
    data = table(ENTRY, {**ENTRY, "account": "OpenAI", "entity": "Another", "website": "https://another.example"})
    extended = built_in().extended(data, what="own.json")
    assert extended.of("deepseek-ai") == built_in().of("deepseek-ai")
    assert extended.of("acme-labs") == Producer(**ENTRY, website=None, table=f"sha256:{sha256(data)}")
    replaced = extended.of("openai")
    assert replaced is not None
    assert (replaced.entity, replaced.website) == ("Another", "https://another.example")


def test_the_file_may_be_yaml_in_which_every_value_is_text() -> None:
    producers = read(YAML)
    assert producers.of("acme-labs") == Producer(**ENTRY, website=None, table=f"sha256:{sha256(YAML)}")
    norway = producers.of("storting")
    assert norway is not None
    assert norway.country == "NO"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (table({**ENTRY, "country": "UK"}), "accounts[0]: 'UK' is no country"),
        (table({**ENTRY, "country": "de"}), "'de' is no country"),
        (table({**ENTRY, "country": "Germany"}), "'Germany' is no country"),
        (table({**ENTRY, "account": "org/name"}), "'account' is 'org/name', not the name of an account"),
        (table({**ENTRY, "entity": " "}), "'entity'"),
        (table({**ENTRY, "entity": "a\u202eb"}), "'entity'"),
        (table({**ENTRY, "entity": "x" * 201}), "'entity'"),
        (table({**ENTRY, "source": "http://acme.example"}), "'source' is 'http://acme.example', not an address"),
        (table({**ENTRY, "source": "https://a/ b"}), "'source'"),
        (table({**ENTRY, "source": "https://a/" + "b" * 500}), "'source' has 510 characters, the limit is 500"),
        (table({**ENTRY, "website": "javascript:alert(1)"}), "'website'"),
        (table({**ENTRY, "reviewed": "2026-02-30"}), "'reviewed' is '2026-02-30', not a day"),
        (table({**ENTRY, "reviewed": "20260201"}), "'reviewed'"),
        (table({**ENTRY, "reviewed": 2026}), "'reviewed' is an integer where a string belongs"),
        (table({**ENTRY, "since": "x"}), "unknown member 'since'"),
        (table({name: value for name, value in ENTRY.items() if name != "source"}), "'source' is missing"),
        (table(ENTRY, {**ENTRY, "account": "ACME-labs"}), "the account ACME-labs is listed twice"),
        (table(ENTRY, extra=1), "unknown member 'extra'"),
        (table(schema="urn:mbom:producers:v2"), "'schema' is 'urn:mbom:producers:v2', only"),
        (b"[]", "own.json: an array where an object belongs"),
        (b"", "own.json: null where an object belongs"),
        (b"{", "own.json: not JSON"),
        (b"accounts: &a [*a]", "own.json uses an anchor"),
        (b"\xff", "own.json: not UTF-8"),
        (b" " * (FILE_LIMIT + 1), "own.json: 1048577 bytes, the limit is 1048576"),
        (table(*({**ENTRY, "account": f"a{n}"} for n in range(5001))), "5001 accounts, the limit is 5000"),
    ],
)
def test_a_file_of_another_form_is_refused_with_what_is_wrong(data: bytes, words: str) -> None:
    with pytest.raises(FormatError) as caught:
        read(data)
    assert words in str(caught.value)


def test_mutated_files_are_read_or_refused() -> None:
    chance = random.Random(0)
    alphabet = b"-:[]{}&*!|>'\"%@`#,?\n\t \x00\xff~ab01"
    outcomes = set()
    for _ in range(500):
        data = bytearray(chance.choice([YAML, table(ENTRY)]))
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(data))
            data[place : place + chance.randrange(3)] = bytes(chance.choices(alphabet, k=chance.randrange(4)))
        try:
            outcomes.add(len(read(bytes(data)).by_account))
        except FormatError:
            outcomes.add(-1)
    assert {-1, 1, 2} <= outcomes
