"""Whatever two models hold: nothing differs from itself, and exchanging them exchanges what came and what went."""

import json
from collections import Counter

from commands import schema
from diffing import listed, tensor
from hypothesis import given, settings
from hypothesis import strategies as st

from mbom.diff import diff
from mbom.diff.changes import Changes
from mbom.diff.markdown import markdown
from mbom.diff.wording import groups, headline
from mbom.dossier import Dossier
from mbom.inventory.findings import finding, ordered

names = st.sampled_from(["config.json", "model.safetensors", "x/y.py", "LICENSE", "a", "ʘ"])
contents = st.sampled_from(["", "1", "2", "three"])
tensors = st.dictionaries(st.sampled_from("abcd"), st.tuples(contents, st.sampled_from("xy")), max_size=4)
findings = st.lists(
    st.builds(
        finding,
        st.sampled_from(["code-present", "template-clock"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["line 1 does", "line 2 does", "lines 1, 2 do"]),
    ),
    max_size=4,
)


@st.composite
def dossiers(draw: st.DrawFn) -> Dossier:
    held = draw(tensors).items()
    return listed(
        files=draw(st.dictionaries(names, contents, max_size=5)),
        tensors=[tensor(name, content, file=file) for name, (content, file) in held],
        findings=ordered(draw(findings)),
    )


@given(dossiers())
@settings(max_examples=60)
def test_nothing_differs_from_itself(side: Dossier) -> None:
    changes = diff(side, side)
    assert changes.identical
    assert not changes.differs
    assert (changes.files.changes, changes.tensors.changes, changes.fields) == ((), (), ())
    assert [group.id for group in groups(changes)] == ["notes"]


OPPOSITE = {"added": "removed", "removed": "added"}


def outline(changes: Changes, *, turned: bool) -> tuple[Counter[object], ...]:
    """Return what changed, seen from the other side where ``turned``."""

    def told(status: str, old: object, new: object) -> tuple[object, ...]:
        return (OPPOSITE.get(status, status), new, old) if turned else (status, old, new)

    return (
        Counter(told(item.status, item.old_sha256, item.new_sha256) for item in changes.files.changes),
        Counter(told(item.status, item.old, item.new) for item in changes.tensors.changes),
        Counter(told(item.section + item.name, str(item.old), str(item.new)) for item in changes.fields),
        Counter(changes.findings_gone if turned else changes.findings_new),
        Counter(changes.findings_new if turned else changes.findings_gone),
    )


@given(dossiers(), dossiers())
@settings(max_examples=150)
def test_exchanging_the_sides_exchanges_what_is_told(old: Dossier, new: Dossier) -> None:
    there, back = diff(old, new), diff(new, old)
    assert outline(there, turned=False) == outline(back, turned=True)
    assert there.files.identical == back.files.identical
    assert there.tensors.counts["identical"] == back.tensors.counts["identical"]
    assert there.differs == back.differs


@given(dossiers(), dossiers())
@settings(max_examples=60)
def test_every_file_and_tensor_is_told_of_once(old: Dossier, new: Dossier) -> None:
    changes = diff(old, new)
    statuses = Counter(item.status for item in changes.files.changes)
    gone, came = statuses["removed"], statuses["added"]
    rest = changes.files.identical + statuses["renamed"] + statuses["changed"]
    assert (len(old.inventory.files), len(new.inventory.files)) == (rest + gone, rest + came)
    counts = changes.tensors.counts
    rest = sum(number for status, number in counts.items() if status not in ("added", "removed"))
    assert len(old.inventory.tensors) == rest + counts["removed"]
    assert len(new.inventory.tensors) == rest + counts["added"]


VALIDATOR = schema("diff")


@given(dossiers(), dossiers())
@settings(max_examples=40)
def test_any_diff_follows_the_schema_and_can_be_told(old: Dossier, new: Dossier) -> None:
    changes = diff(old, new)
    VALIDATOR.validate(json.loads(json.dumps(changes.to_dict())))
    assert headline(changes)
    assert markdown(changes).startswith("## ")
