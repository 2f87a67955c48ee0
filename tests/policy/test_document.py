"""What is read of a policy, what is refused and where, and that the published schema says the same."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mbom.errors import FormatError, StorageError
from mbom.facts import plainyaml
from mbom.facts.plainyaml import Node
from mbom.policy import Policy, load
from mbom.policy.document import SIZE_LIMIT, read
from mbom.policy.keys import ENTRIES, KEYS
from mbom.policy.reading import core

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "policy.schema.json").read_text(encoding="utf-8"))
VALIDATOR = Draft202012Validator(SCHEMA, format_checker=Draft202012Validator.FORMAT_CHECKER)

ISSUE = """\
version: 1
licences:  {allow: [Apache-2.0, MIT], forbid_restrictions: [user-cap, geographic-exclusion]}
origins:   {allow_countries: [US, FR], deny_publishers: []}
signers:   [{model: "openai/*", identity: release@example.org, issuer: https://accounts.example.org}]
require:   {signature: true, transparency_log: false, behaviour: match, expert_coverage: 0.9}
findings:  {fail_on: warning, allow: []}
changes:   {frozen: [tokenizer, chat-template], forbid: [few-weights-edit]}
models:    {"meta-llama/*": {licences: {allow: [LicenseRef-scancode-llama-4-cla-2025]}}}
waivers:   [{model: acme/x, id: custom-code, reason: reviewed in SEC-12, expires: 2027-01-31}]
rules:     [{name: small active set, cel: "bom.params.active < 8e9"}]
"""

GOOD = {
    "the shortest": "version: 1",
    "a number that is whole": "version: 1.0",
    "the one of the issue": ISSUE,
    "Norway": "version: 1\norigins: {allow_countries: [NO, ON]}".replace(", ON", ""),
    "no licence at all": "version: 1\nlicences: {allow: []}",
    "in quotes": 'version: 1\norigins: {allow_publishers: ["1234"]}',
    "a key": "version: 1\nsigners: [{model: '*', key: keys/release.pub, timestamp_authority: tsa.pem}]",
    "an expression": (
        "version: 1\nsigners: [{model: a/b, identity_regexp: 'https://github\\.com/acme/.+', issuer: https://x, "
        "ref: refs/tags/v1, repository: acme/x, workflow: release.yml, trust_config: root.json}]"
    ),
    "sensitivity": "version: 1\nrequire: {sensitivity: {trials: 50, factor: 1e3}}",
    "top-level keys in an override": "version: 1\nmodels: {a/b: {max_age: 90d, min_openness: class-i}}",
    "an empty section": "version: 1\nlicences: {}\nmodels: {}\nwaivers: []\nrules: []\nsigners: []",
    "JSON": '{"version": 1, "findings": {"fail_on": "none"}}',
}

# The file, where the first problem is, and what is said of it.
BAD = {
    "nothing": ("", (1, 1), "the file is empty"),
    "no version": ("findings: {}", (1, 1), "no `version`"),
    "another version": ("version: 2", (1, 10), "version is 2; this version of mbom reads 1"),
    "a version that is true": ("version: true", (1, 10), "version is true"),
    "a version in quotes": ("version: '1'", (1, 10), "version is '1'"),
    "a list": ("[version, 1]", (1, 1), "the policy is a list"),
    "text": ("version", (1, 1), "the policy is 'version'"),
    "a slip in a section": ("version: 1\nlicenses: {}", (2, 1), "did you mean licences?"),
    "a slip in a key": ("version: 1\nlicences:\n  alow: [MIT]", (3, 3), "did you mean allow?"),
    "a slip in an override": ("version: 1\nmodels:\n  a/b:\n    finding: {}", (4, 5), "did you mean findings?"),
    "signers in an override": ("version: 1\nmodels: {a/b: {signers: []}}", (2, 16), "unknown key 'signers'"),
    "yes": ("version: 1\nrequire: {signature: yes}", (2, 22), "'yes'; it is true or false"),
    "a number for a flag": ("version: 1\nrequire: {signature: 1}", (2, 22), "is 1; it is true or false"),
    "a share above one": ("version: 1\nrequire: {expert_coverage: 90}", (2, 28), "is 90; it is a number from 0 to 1"),
    "a share in quotes": ("version: 1\nrequire: {expert_coverage: '0.9'}", (2, 28), "'0.9'; it is a number"),
    "half a trial": ("version: 1\nrequire: {sensitivity: {trials: 1.5}}", (2, 33), "a whole number"),
    "nothing for a list": ("version: 1\nlicences:\n  allow:", (3, 9), "`licences.allow` is nothing; it is a list"),
    "text for a list": ("version: 1\nlicences: {allow: MIT}", (2, 19), "'MIT'; it is a list"),
    "a number for a text": ("version: 1\nlicences: {allow: [1.0]}", (2, 20), "put it in quotes"),
    "twice in a list": ("version: 1\nlicences: {allow: [MIT, MIT]}", (2, 25), "has 'MIT' twice"),
    "a country in lower case": ("version: 1\norigins: {allow_countries: [us]}", (2, 29), "did you mean US?"),
    "a country that is false": ("version: 1\norigins: {allow_countries: [false]}", (2, 29), "is false"),
    "no such restriction": ("version: 1\nlicences: {forbid_restrictions: [usercap]}", (2, 34), "mean user-cap?"),
    "no such finding": ("version: 1\nfindings: {forbid: [pickles]}", (2, 21), "did you mean pickle-"),
    "no such explanation": ("version: 1\nchanges: {forbid: [lora]}", (2, 20), "'lora'; it is one of"),
    "no such section to freeze": ("version: 1\nchanges: {frozen: [template]}", (2, 20), "chat-template?"),
    "an age in words": ("version: 1\nmax_age: a year", (2, 10), "a number of days such as 90d"),
    "a pattern with a class": ("version: 1\nmodels: {'a/[bc]': {}}", (2, 10), "a name or a pattern"),
    "a signer without a name": ("version: 1\nsigners: [{model: a/b}]", (2, 11), "this one has none of them"),
    "a signer with two names": ("version: 1\nsigners: [{model: a/b, key: k, identity: i}]", (2, 11), "key, identity"),
    "an identity that nobody vouches for": ("version: 1\nsigners: [{model: a, identity: i}]", (2, 11), "`issuer`"),
    "a key with an issuer": ("version: 1\nsigners: [{model: a, key: k, issuer: http://x}]", (2, 38), "does not go"),
    "a key elsewhere": ("version: 1\nsigners: [{model: a, key: ../k}]", (2, 27), "below the folder"),
    "a key at the root": ("version: 1\nsigners: [{model: a, key: /etc/k}]", (2, 27), "below the folder"),
    "a waiver without a reason": (
        "version: 1\nwaivers: [{model: a, id: custom-code, expires: 2027-01-31}]", (2, 11), "has no reason"
    ),
    "a waiver without an end": (
        "version: 1\nwaivers: [{model: a, id: custom-code, reason: so}]", (2, 11), "has no expires"
    ),
    "a waiver with an empty reason": (
        "version: 1\nwaivers: [{model: a, id: custom-code, reason: '', expires: 2027-01-31}]", (2, 47), "''"
    ),
    "no such day": (
        "version: 1\nwaivers: [{model: a, id: custom-code, reason: so, expires: 2027-02-30}]", (2, 60), "a day such as"
    ),
    "a waiver for ever": (
        "version: 1\nwaivers: [{model: a, id: custom-code, reason: so, expires: never}]", (2, 60), "a day such as"
    ),
    "a rule that nobody named": ("version: 1\nrules: [{cel: 'true'}]", (2, 9), "has no name"),
    "text in a list of mappings": ("version: 1\nsigners: [a]", (2, 11), "an entry of `signers` is 'a'"),
}  # fmt: skip

# What a schema cannot say, or no editor would see.
BEYOND = {
    "a licence that nobody knows": ("version: 1\nlicences: {deny: [apache2]}", (2, 19), "did you mean Apache-2.0?"),
    "a slip behind WITH": ("version: 1\nlicences: {deny: [MIT WITH Nothing]}", (2, 19), "no id of the SPDX list"),
    "a waiver of nothing": (
        "version: 1\nwaivers: [{model: a, id: licence-not-alowed, reason: so, expires: 2027-01-31}]",
        (2, 26),
        "did you mean licence-not-allowed?"
    ),
    "a waiver of what is final": (
        "version: 1\nwaivers: [{model: a, id: verification-failed, reason: so, expires: 2027-01-31}]", (2, 26),
        "no waiver can allow verification-failed"
    ),
    "a waiver of a note": (
        "version: 1\nwaivers: [{model: a, id: waiver-unused, reason: so, expires: 2027-01-31}]", (2, 26), "no id"
    ),
    "a waiver of a rule that is not there": (
        "version: 1\nwaivers: [{model: a, id: rule-x, reason: so, expires: 2027-01-31}]", (2, 26), "no such name"
    ),
    "two rules of one id": (
        "version: 1\nrules: [{name: a b, cel: 'true'}, {name: A_b, cel: 'true'}]", (2, 35), "the id rule-a-b"
    ),
    "no expression": (
        "version: 1\nsigners: [{model: a, identity_regexp: '(', issuer: http://x}]", (2, 39), "unterminated subpattern"
    ),
    "an expression without end": (
        "version: 1\nsigners: [{model: a, identity_regexp: '(a+)+', issuer: http://x}]", (2, 39), "it repeats a group"
    ),
    "an expression with many repetitions": (
        "version: 1\nsigners: [{model: a, identity_regexp: 'a*a*a*a*b', issuer: http://x}]", (2, 39), "4 repetitions"
    ),
    "no number": ("version: 1\nrequire: {expert_coverage: .nan}", (2, 28), "is .nan"),
    "a tag": ("version: 1\nfindings: !!python/object:os.system {}", (2, 11), "uses the tag"),
    "an anchor": ("version: 1\nfindings: &a {}", (2, 11), "uses an anchor"),
    "a star without quotes": ("version: 1\nmodels: {*: {}}", (2, 11), "while scanning an alias"),
    "an alias": ("version: 1\nmodels: {a: *b}", (2, 13), "takes quotes"),
    "a key twice": ("version: 1\nfindings: {}\nfindings: {}", (3, 1), "has the key 'findings' twice"),
    "two documents": ("version: 1\n---\nversion: 1", (3, 1), "a second YAML document"),
    "a tab": ("version: 1\nfindings:\n\tfail_on: error", (3, 1), "is not YAML"),
    "an open bracket": ("version: 1\nfindings: {", (2, 12), "is not YAML"),
    "a character that no text has": ("version: 1\nrules: [\0]", (1, 1), "is not YAML"),
}  # fmt: skip


def of_core(node: Node | None) -> Any:
    """Return a document as a reader of YAML 1.2 gives it to whoever applies the schema."""
    if node is None:
        return None
    if isinstance(node.value, dict):
        return {name: of_core(item) for name, item in node.value.items()}
    if isinstance(node.value, list):
        return [of_core(item) for item in node.value]
    return core(node)


def fits_schema(text: str) -> bool:
    return VALIDATOR.is_valid(of_core(plainyaml.compose(text, what="policy")))


def first_problem(text: str) -> Any:
    return next(iter(read(text.encode(), file="mbom.yaml")[1]), None)


@pytest.mark.parametrize("name", GOOD)
def test_what_is_sound_is_read_and_fits_the_schema(name: str) -> None:
    assert first_problem(GOOD[name]) is None
    assert fits_schema(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named_with_its_place_and_breaks_the_schema(name: str) -> None:
    text, place, words = BAD[name]
    problem = first_problem(text)
    assert (problem.line, problem.column) == place
    assert words in problem.sentence
    assert not fits_schema(text)


@pytest.mark.parametrize("name", BEYOND)
def test_what_no_schema_sees_is_named_with_its_place_too(name: str) -> None:
    text, place, words = BEYOND[name]
    problem = first_problem(text)
    assert (problem.line, problem.column) == place
    assert words in problem.sentence


def test_the_schema_is_one_and_describes_every_key() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    described = json.dumps(SCHEMA)
    for key in (*KEYS.values(), *(key for held in ENTRIES.values() for key in held.values())):
        assert json.dumps(key.meaning) in described


# ---- agreement on whatever a machine makes up ----

WORDS = [
    "MIT", "apache-2.0", "NO", "no", "us", "error", "none", "90d", "class-i", "refuse", "a/*", "*", "2027-01-31",
    "2027-02-30", "", "x y", "user-cap", "lfs-pointer", "tokenizer", "few-weights-edit", "BF16", "match", "é",
]  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 100), st.floats(-1, 2, width=32), st.sampled_from(WORDS),
    st.text("ab/*-. \n\u202e", max_size=5),
)  # fmt: skip
BEYOND_WORDS = "no id|no waiver|could take very long|at position|the id rule"
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.sampled_from(WORDS), SCALARS, max_size=2))


def _nested(path: str, value: Any) -> Any:
    for name in reversed(path.split(".")):
        value = {name: value}
    return value


def _listed(name: str) -> st.SearchStrategy[Any]:
    entry = st.fixed_dictionaries({}, optional=dict.fromkeys(ENTRIES[name], VALUES))
    return entry.map(lambda item: {name: [item]})


def _documents() -> st.SearchStrategy[Any]:
    keyed = st.builds(_nested, st.sampled_from(sorted(KEYS)), VALUES)
    override = st.builds(lambda name, inner: {"models": {name: inner}}, st.sampled_from(WORDS), keyed)
    anything = st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=2)
    return st.one_of(keyed, override, *map(_listed, ENTRIES), anything)


@settings(max_examples=200, deadline=None)
@given(_documents(), st.sampled_from([1, 1, 1, 1, 1.0, 2, True, None, "1"]))
def test_reader_and_schema_agree(held: dict[str, Any], version: Any) -> None:
    document = {"version": version} | held
    sound = first_problem(json.dumps(document)) is None
    fits = VALIDATOR.is_valid(document)
    if fits and not sound:  # what ``BEYOND`` lists
        sentences = [problem.sentence for problem in read(json.dumps(document).encode(), file="p")[1]]
        assert all(re.search(BEYOND_WORDS, sentence) for sentence in sentences), sentences
    else:
        assert sound == fits, document


# ---- YAML ----


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"), ("no", "no"), ("on", "on"), ("y", "y"), ("1_000", "1_000"), ("0o17", 15), ("017", 17),
        ("0x1f", 31), ("1:30", "1:30"), ("2027-01-31", "2027-01-31"), ("true", True), ("True", True),
        ("'true'", "true"),
        ("~", None), ("null", None), ("'null'", "null"), ("1e3", 1000.0), (".5", 0.5), ("-.inf", float("-inf")),
        ("+1", 1), ("1.", 1.0), ("1e", "1e"), ("9" * 401, "9" * 401),
    ],
)  # fmt: skip
def test_scalars_are_those_of_the_core_schema(text: str, value: Any) -> None:
    node = plainyaml.compose(text, what="policy")
    assert node is not None
    found = core(node)
    assert found == value
    assert type(found) is type(value)


def test_a_bomb_is_refused_before_it_grows() -> None:
    bomb = "version: 1\na: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
    assert "uses an anchor" in first_problem(bomb).sentence
    assert "nests deeper than 32" in first_problem("version: 1\nrules: " + "[" * 100 + "]" * 100).sentence
    assert "the limit is" in first_problem("version: 1\n#" + "x" * SIZE_LIMIT).sentence
    many = "version: 1\nlicences: {allow: [" + "a," * 5000 + "]}"
    assert first_problem(many) is not None


def test_at_most_a_hundred_problems_are_kept() -> None:
    text = "version: 1\nlicences:\n  allow:\n" + "".join(f"  - 'no {number}'\n" for number in range(500))
    assert len(read(text.encode(), file="p")[1]) == 100


def test_bytes_that_are_no_text_are_refused_with_their_line() -> None:
    problem = read(b"version: 1\n#\xff", file="p")[1][0]
    assert (problem.line, problem.sentence) == (2, "the file is not UTF-8 at byte 12")


def test_hostile_text_in_a_policy_is_escaped_in_messages() -> None:
    problem = first_problem('version: 1\n"\\e[2Jlicences\\u202e": {}')
    assert "\x1b" not in str(problem)
    assert "\u202e" not in str(problem)


def test_every_message_begins_with_file_line_and_column() -> None:
    with pytest.raises(FormatError, match=r"^ours\.yaml:2:1: .* \(and 1 more; `mbom policy check` lists them all\)$"):
        Policy.from_bytes(b"version: 1\nlicenses: {}\nfindigs: {}\n", file="ours.yaml")


def test_a_policy_that_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="`mbom policy init` writes one"):
        load(tmp_path / "mbom.yaml")
    with pytest.raises(StorageError, match=r"cannot be read|not a regular file"):
        load(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="not a regular file"):
        load(tmp_path / "pipe")


def test_what_is_read_as_core_yaml_is_what_a_full_reader_makes_of_json() -> None:
    text = json.dumps({"version": 1, "require": {"signature": False, "expert_coverage": 0.25}, "max_age": None})
    assert of_core(plainyaml.compose(text, what="p")) == yaml.safe_load(text) == json.loads(text)
