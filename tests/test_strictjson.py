import json
import math
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mbom import strictjson
from mbom.errors import FormatError
from mbom.strictjson import DEPTH_LIMIT, DIGITS_LIMIT, Fields, Json

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


def load(data: bytes, *, floats: bool = True) -> Json:
    return strictjson.loads(data, what="config.json", floats=floats)


@given(DOCUMENTS)
@settings(max_examples=150)
def test_honest_documents_read_as_the_standard_reader_reads_them(document: Json) -> None:
    for text in (json.dumps(document), json.dumps(document, ensure_ascii=False, indent=2)):
        assert load(text.encode()) == json.loads(text) == document


@given(DOCUMENTS)
@settings(max_examples=100)
def test_pretty_bytes_read_back_and_do_not_depend_on_order(document: Json) -> None:
    assert load(strictjson.pretty(document)) == document
    if isinstance(document, dict):
        assert strictjson.pretty(dict(reversed(document.items()))) == strictjson.pretty(document)


REFUSED = {
    "nothing": (b"", "not JSON"),
    "two documents": (b"{} {}", "not JSON"),
    "a trailing comma": (b"[1,]", "not JSON"),
    "a comment": (b"/* */ {}", "not JSON"),
    "single quotes": (b"{'a': 1}", "not JSON"),
    "a raw newline in a string": (b'"a\nb"', "not JSON"),
    "a leading zero": (b"01", "not JSON"),
    "a plus sign": (b"+1", "not JSON"),
    "a byte order mark": (b"\xef\xbb\xbf{}", "byte order mark"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "UTF-8"),
    "an overlong encoding": (b'"\xc0\xaf"', "UTF-8"),
    "an encoded surrogate": (b'"\xed\xa0\x80"', "UTF-8"),
    "a key twice": (b'{"a": 1, "b": 2, "a": 1}', "'a' occurs twice"),
    "a key twice, spelled differently": (b'{"a": 1, "\\u0061": 2}', "'a' occurs twice"),
    "a key twice, deep inside": (b'[[{"x": [{"k": 1, "k": 2}]}]]', "'k' occurs twice"),
    "NaN": (b'{"a": NaN}', "NaN"),
    "infinity": (b"[Infinity]", "Infinity"),
    "minus infinity": (b"[-Infinity]", "-Infinity"),
    "a number that overflows": (b"1e999", "out of range"),
    "an integer of too many digits": (b"1" * (DIGITS_LIMIT + 1), "digits"),
    "an integer that stops CPython": (b"1" * 5000, "digits"),
    "a lone surrogate": (b'["\\ud800"]', "surrogate"),
    "a lone surrogate as a key": (b'{"\\udfff": 1}', "surrogate"),
    "surrogates in the wrong order": (b'"\\ude00\\ud83d"', "surrogate"),
    "brackets one deeper than allowed": (b"[" * (DEPTH_LIMIT + 1) + b"]" * (DEPTH_LIMIT + 1), "nested"),
    "a hundred thousand brackets": (b"[" * 100_000, "nested"),
    "a hundred thousand objects": (b'{"a":' * 100_000, "nested"),
    "brackets behind a string with an escaped quote": (b'["\\"", ' + b"[" * 100_000, "nested"),
    "brackets behind a string that ends in a backslash": (b'["\\\\", ' + b"[" * 100_000, "nested"),
}


@pytest.mark.parametrize(("data", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_two_readers_could_read_differently_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(FormatError, match=reason) as refusal:
        load(data)
    assert str(refusal.value).startswith("config.json: ")


@pytest.mark.parametrize(
    "data",
    [
        b"[" * DEPTH_LIMIT + b"]" * DEPTH_LIMIT,
        b'["' + b"[" * 1000 + b'"]',
        b'["\\"' + b"{" * 1000 + b'"]',
        b"1" * DIGITS_LIMIT,
    ],
    ids=["deepest", "brackets in a string", "brackets behind an escaped quote", "longest integer"],
)
def test_what_only_looks_excessive_is_read(data: bytes) -> None:
    assert load(data) == json.loads(data)


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert load(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize("number", [b"1.5", b"1.0", b"1e3", b"-0"])
def test_where_only_integers_are_allowed_other_spellings_of_numbers_are_refused(number: bytes) -> None:
    assert load(number) == json.loads(number)
    with pytest.raises(FormatError):
        load(number, floats=False)


def test_a_document_over_the_limit_is_refused_by_its_size_alone() -> None:
    with pytest.raises(FormatError, match="11 bytes of JSON, the limit is 10"):
        strictjson.loads(b'"123456789"', what="x", limit=10)


@pytest.mark.parametrize(
    "bomb",
    [b'"' + b"\\" * 2_000_000, b'"a" ' * 500_000, b'["\\' * 500_000, b'"\\"' * 700_000, b"[" + b'"",' * 500_000],
    ids=["backslashes", "strings", "open strings", "escaped quotes", "empty strings"],
)
def test_scanning_for_depth_is_linear(bomb: bytes) -> None:
    begin = time.process_time()
    with pytest.raises(FormatError):
        load(b"[" * 60 + b"{" * 60 + bomb if bomb[:1] != b"[" else bomb)
    with pytest.raises(FormatError):
        load(b"[[" + b"[]," * 70 + bomb)
    assert time.process_time() - begin < 10  # quadratic work on two megabytes takes hours


FRAGMENTS = [b"", b'"', b"\\", b"{", b"]", b",", b"0", b"-", b"e9", b"NaN", b"\xff", b"\\ud800"]


@pytest.mark.parametrize("seed", range(3))
def test_mutated_documents_are_refused_or_read_like_the_standard_reader(seed: int) -> None:
    chance = random.Random(seed)
    honest = json.dumps({"a": [1, 2.5, None, True, 'x\\"\u00e9'], "b": {"c": -3, "d": {"e": [[]]}}}).encode()
    accepted = refused = 0
    for _ in range(2000):
        data = bytearray(honest)
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(3)] = chance.choice([*FRAGMENTS, bytes([chance.randrange(256)])])
        try:
            value = load(bytes(data))
        except FormatError:
            refused += 1
            continue
        accepted += 1
        assert value == json.loads(data)
    assert accepted > 50
    assert refused > 500


@given(st.dictionaries(st.text(), st.integers(-(2**53) + 1, 2**53 - 1) | st.text() | st.floats(-1e15, 1e15)))
@settings(max_examples=100)
def test_canonical_bytes_read_back_as_the_same_document(document: dict[str, Json]) -> None:
    data = strictjson.canonical(document)
    assert load(data) == document
    assert strictjson.canonical(dict(reversed(document.items()))) == data


def test_integers_that_canonical_json_cannot_write_are_refused() -> None:
    assert strictjson.canonical(2**53 - 1) == b"9007199254740991"
    with pytest.raises(FormatError, match="canonical"):
        strictjson.canonical(2**53)


def test_canonical_bytes_of_the_specification() -> None:
    example: Json = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 1e-27],
        "string": '\u20ac$\u000f\nA\'B"\\\\"/',
        "literals": [None, True, False],
    }
    assert strictjson.canonical(example) == (  # RFC 8785, section 3.2.2 to 3.2.4
        b'{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        b'"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


FIELDS: dict[str, tuple[Callable[[Fields], object], list[Json], list[Json]]] = {
    "text": (lambda f: f.text("x"), ["", "a"], [None, 1, True, [], {}]),
    "integer": (lambda f: f.integer("x"), [0, 2**70], [None, True, False, -1, 1.0, "1", []]),
    "integer from five": (lambda f: f.integer("x", minimum=5), [5, 6], [4, -5]),
    "number": (lambda f: f.number("x"), [1, 1.5, -2], [None, True, "1", []]),
    "boolean": (lambda f: f.boolean("x"), [True, False], [None, 0, 1, "true"]),
    "array": (lambda f: f.array("x"), [[], [1, None]], [None, {}, "[]"]),
    "integers": (lambda f: list(f.integers("x")), [[], [0, 3]], [None, [True], [-1], [1.0], ["1"], 3]),
    "texts": (lambda f: list(f.texts("x")), [[], ["a"]], [None, [1], [None], "a"]),
    "sha256": (lambda f: f.sha256("x"), ["0a" * 32], ["0A" * 32, "0a" * 31, "0a" * 32 + "\n", "", None, 0]),
    "git_id": (lambda f: f.git_id("x"), ["0a" * 20], ["0A" * 20, "0a" * 32, "0a" * 20 + "\n", None]),
    "raw": (lambda f: f.raw("x"), [None, 1, "a", [True]], []),
}


@pytest.mark.parametrize(("take", "good", "bad"), FIELDS.values(), ids=FIELDS.keys())
def test_a_member_is_taken_by_type_and_true_is_no_integer(
    take: Callable[[Fields], object], good: list[Json], bad: list[Json]
) -> None:
    for value in good:
        fields = Fields({"x": value}, "document")
        assert take(fields) == value
        fields.end()
    for value in bad:
        with pytest.raises(FormatError, match="document: 'x'"):
            take(Fields({"x": value}, "document"))
    with pytest.raises(FormatError, match="document: the member 'x' is missing"):
        take(Fields({}, "document"))


@pytest.mark.parametrize("value", [{}, {"x": None}], ids=["absent", "null"])
def test_an_optional_member_may_be_absent_or_null(value: Json) -> None:
    fields = Fields(value, "document")
    assert fields.optional_text("x") is None
    assert fields.optional_integer("x") is None
    assert not fields.has("x")
    fields.end()


def test_an_optional_member_that_is_there_has_its_type() -> None:
    assert Fields({"x": "a"}, "document").optional_text("x") == "a"
    assert Fields({"x": 3}, "document").optional_integer("x") == 3
    with pytest.raises(FormatError):
        Fields({"x": 3}, "document").optional_text("x")


def test_a_member_that_nobody_took_is_refused() -> None:
    fields = Fields({"a": 1, "b": 2}, "document")
    fields.integer("a")
    with pytest.raises(FormatError, match="document: unknown member 'b'"):
        fields.end()


def test_a_member_cannot_be_taken_twice() -> None:
    fields = Fields({"a": 1}, "document")
    fields.integer("a")
    with pytest.raises(FormatError, match="missing"):
        fields.integer("a")


def test_messages_name_the_path_inside_the_document() -> None:
    fields = Fields({"outer": {"items": [{"x": 1}, {"x": "a"}]}}, "document")
    items = fields.object("outer").objects("items")
    assert items[0].integer("x") == 1
    with pytest.raises(FormatError, match=r"^document: outer: items\[1\]: 'x' is a string where an integer belongs$"):
        items[1].integer("x")


def test_a_constant_has_one_value_and_one_type() -> None:
    Fields({"v": 1}, "document").constant("v", 1)
    for value in (2, "1", True, 1.0, None):
        with pytest.raises(FormatError):
            Fields({"v": value}, "document").constant("v", 1)


@pytest.mark.parametrize("value", [None, [], "a", 1, True, math.pi])
def test_only_an_object_has_members(value: Json) -> None:
    with pytest.raises(FormatError, match="where an object belongs"):
        Fields(value, "document")
