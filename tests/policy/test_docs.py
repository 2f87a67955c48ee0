"""The reference of the policy and its schema say what the code does."""

import json
import re
from pathlib import Path

import yaml
from policies import SHAPE, policy

from docs import policy_tables
from mbom.policy import Policy
from mbom.policy.reasons import FINAL, NOTES, REASONS
from mbom.policy.starting import starting
from mbom.policy.variables import NAMES

ROOT = Path(__file__).parents[2]
PAGE = policy_tables.PAGE.read_text(encoding="utf-8")


def test_the_page_has_the_tables_of_the_code() -> None:
    assert re.findall(r"<!-- table: (\w+) -->", PAGE) == ["keys", "signers", "waivers", "rules", "reasons"]
    assert policy_tables.filled(PAGE) == PAGE, "`python -m docs.policy_tables` writes them"


def test_the_published_schema_is_that_of_the_code() -> None:
    assert policy_tables.SCHEMA.read_text(encoding="utf-8") == policy_tables.schema(), (
        "`python -m docs.policy_tables` writes it"
    )


def test_the_example_of_the_page_is_sound() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert Policy.from_bytes(example.encode()).trusted("openai/x")


def test_every_variable_and_every_member_of_it_is_described() -> None:
    rows = dict(
        re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE.partition("| variable |")[2].partition("\n#")[0], re.MULTILINE)
    )
    assert tuple(rows) == NAMES
    for path in SHAPE.split():
        name, _, inner = path.replace("[]", "").partition(".")
        for member in re.findall(r"\w+", inner):
            assert re.search(rf"\b{member}\b", rows[name]), path


def test_every_id_that_a_reason_has_in_the_code_is_in_the_list() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "mbom" / "policy").rglob("*.py")]
    used = {name for text in sources for name in re.findall(r"""(?:id=|\()"([a-z0-9]+(?:-[a-z0-9]+)+)\"""", text)}
    names = {"country-unknown", "country-not-allowed", "publisher-unknown", "publisher-not-allowed"}  # put together
    assert REASONS.keys() - used - names <= {"changed-in-place", "pickle-not-allowed", "custom-code",
                                             "executable-not-allowed"}  # fmt: skip
    assert REASONS.keys() >= FINAL | NOTES


def test_a_full_reader_of_yaml_sees_the_starting_policy_alike() -> None:
    text = starting()
    assert set(yaml.safe_load(text)) == {"version", "signers", "require", "licences", "findings", "formats", "changes"}
    held = Policy.from_bytes(text.encode())
    assert held.base.keys() == {
        f"{section}.{name}" for section, keys in yaml.safe_load(text).items() if isinstance(keys, dict) for name in keys
    }


def test_what_is_commented_out_in_the_starting_policy_is_sound_as_well() -> None:
    lines = starting().splitlines()
    first = lines.index("version: 1")
    bare = "\n".join(re.sub(r"^#(?=[a-z ]+:|  )(?! [A-Z])", "", line) for line in lines[first:])
    bare = bare.replace("signers: []", "signers:")
    held = policy(bare.removeprefix("version: 1\n"))
    assert [signer.pattern for signer in held.signers] == ["acme/*", "openai/*"]
    assert held.waivers
    assert held.rules
    assert held.overrides
    assert held.settings("x").words("changes.frozen") == ("tokenizer", "chat-template")


def test_the_schema_is_named_by_its_own_address() -> None:
    first = (ROOT / "schemas" / "policy.schema.json").read_text(encoding="utf-8")
    assert json.loads(first)["$id"] in PAGE
