"""From the bytes of ``mbom.yaml`` to its parts: everything wrong with it is told at once, with lines and columns."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from mbom.errors import FormatError
from mbom.facts import plainyaml
from mbom.facts.plainyaml import Node
from mbom.inventory.findings import KINDS
from mbom.policy import keys, patterns
from mbom.policy.decision import Place
from mbom.policy.entries import Rule, TrustedSigner, Waiver, rule_id, unbounded
from mbom.policy.keys import ENTRIES, KEYS, LIMITS, REQUIRED, Key
from mbom.policy.kinds import Value
from mbom.policy.reading import Problem, Reading, core, listed, shown
from mbom.policy.reasons import FINAL, NOTES, REASONS, RULE
from mbom.policy.settings import Override, Setting
from mbom.policy.terms import unknown_licences
from mbom.signing import TrustedIdentity

SIZE_LIMIT = 256 << 10  # bytes; a thousand waivers take 150,000

LISTS = (*ENTRIES, "models")
_TOP = ("version", *keys.members(""), *LISTS)
_OF_IDENTITIES = ("issuer", "repository", "workflow", "ref", "trust_config")


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a policy file holds, in the order of the file; see ``mbom.policy.policy.Policy``."""

    base: Mapping[str, Setting]
    overrides: tuple[Override, ...]
    signers: tuple[TrustedSigner, ...]
    waivers: tuple[Waiver, ...]
    rules: tuple[Rule, ...]


def read(data: bytes, *, file: str) -> tuple[Parts, tuple[Problem, ...]]:
    """Read a policy; where there is any problem, the parts are not to be used.

    Args:
        data: the file.
        file: its name, for messages and places.
    """
    reading = Reading(file)
    top = _composed(data, reading)
    if top is None:
        return Parts(base={}, overrides=(), signers=(), waivers=(), rules=()), tuple(reading.problems)
    held = reading.mapping(top, "the policy", _TOP)
    _check_version(held.get("version"), top, reading)
    parts = Parts(
        base=dict(_settings(held, "", reading, None)),
        overrides=tuple(_overrides(held.get("models"), reading)),
        signers=tuple(_signers(held.get("signers"), reading)),
        rules=(rules := tuple(_rules(held.get("rules"), reading))),
        waivers=tuple(_waivers(held.get("waivers"), rules, reading)),
    )
    return parts, tuple(sorted(reading.problems, key=lambda problem: (problem.line, problem.column)))


def _composed(data: bytes, reading: Reading) -> Node | None:
    """Return the document; None after a problem that leaves nothing to read."""
    start = (1, 1)
    if len(data) > SIZE_LIMIT:
        reading.problem(start, f"the file has {len(data)} bytes; the limit is {SIZE_LIMIT}")
        return None
    try:
        top = plainyaml.compose(data.decode("utf-8"), what=reading.file)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reading.problem((line, 1), f"the file is not UTF-8 at byte {error.start}")
        return None
    except FormatError as error:
        line_column = re.match(r":([0-9]+):([0-9]+): ", str(error).removeprefix(reading.file))
        assert line_column is not None  # ``compose`` writes them
        sentence = str(error).removeprefix(reading.file).removeprefix(line_column[0])
        reading.problem((int(line_column[1]), int(line_column[2])), sentence)
        return None
    if top is None or top.is_null:
        reading.problem(start, "the file is empty; the shortest policy is `version: 1`")
        return None
    return top


def _check_version(node: Node | None, top: Node, reading: Reading) -> None:
    if node is None:
        if isinstance(top.value, dict):
            reading.problem(top, f"the policy has no `version`; write `version: {keys.VERSION}`")
    elif isinstance(core(node), bool) or core(node) != keys.VERSION:
        reading.problem(node, f"version is {shown(node)}; this version of mbom reads {keys.VERSION}")


def _settings(
    held: Mapping[str, Node], prefix: str, reading: Reading, pattern: str | None
) -> Iterator[tuple[str, Setting]]:
    """Yield the values of all keys below a section, by their way through the file."""
    for name, path in keys.members(prefix).items():
        node = held.get(name)
        if node is None:
            continue
        if path not in KEYS:
            inner = reading.mapping(node, f"`{path}`", keys.members(f"{path}."))
            yield from _settings(inner, f"{path}.", reading, pattern)
            continue
        value = KEYS[path].kind.read(node, f"`{path}`", reading)
        if value is not None:
            _check_licences(path, node, value, reading)
            yield path, Setting(value=value, place=reading.place(node), pattern=pattern)


def _check_licences(path: str, node: Node, value: Value, reading: Reading) -> None:
    """Refuse licences that no BOM can name: a slip in what is denied would let it through."""
    if path in ("licences.allow", "licences.deny"):
        assert isinstance(value, tuple)
        assert isinstance(node.value, list)
        for item, (name, near) in zip(node.value, unknown_licences(value), strict=True):
            if near is not None:
                hint = f"; did you mean {near}?" if near else ""
                reading.problem(item, f"`{path}` names {name!r}, which is no id of the SPDX list or of mbom's{hint}")


def _overrides(node: Node | None, reading: Reading) -> Iterator[Override]:
    if node is None:
        return
    if not isinstance(node.value, dict) or node.keys is None:
        reading.problem(node, f"`models` is {shown(node)}; it is a mapping of patterns, such as openai/*, to keys")
        return
    if len(node.value) > LIMITS["models"]:
        reading.problem(node, f"`models` has {len(node.value)} entries; at most {LIMITS['models']} are allowed")
        return
    for pattern, item in node.value.items():
        line, column = node.keys[pattern]
        named = Node(line=line, column=column, value=pattern)
        if keys.PATTERN.read(named, "a pattern of `models`", reading) is None:
            continue
        inner = reading.mapping(item, f"`models` {pattern}", keys.members(""))
        found = dict(_settings(inner, "", reading, pattern))
        yield Override(pattern=pattern, place=reading.place(named), settings=found)


# ---- lists ----


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """An entry of a list: its node, and the values of its keys."""

    node: Node
    members: Mapping[str, Node]
    values: Mapping[str, Value]

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        assert value is None or isinstance(value, str)
        return value


def _entries(name: str, node: Node | None, reading: Reading) -> Iterator[_Entry]:
    """Yield the entries of a list that are sound by themselves."""
    known: Mapping[str, Key] = ENTRIES[name]
    for item in reading.items(node, f"`{name}`", limit=LIMITS[name]) if node is not None else ():
        before = len(reading.problems)
        what = f"an entry of `{name}`"
        members = reading.mapping(item, what, known)
        read = {key: known[key].kind.read(member, f"`{key}`", reading) for key, member in members.items()}
        missing = [key for key in REQUIRED[name] if key not in members]
        if missing and isinstance(item.value, dict):
            reading.problem(item, f"{what} has no {listed(missing)}")
        if len(reading.problems) == before:
            values = {key: value for key, value in read.items() if value is not None}
            yield _Entry(node=item, members=members, values=values)


def _signers(node: Node | None, reading: Reading) -> Iterator[TrustedSigner]:
    for entry in _entries("signers", node, reading):
        ways = [key for key in ("key", "identity", "identity_regexp") if key in entry.values]
        if len(ways) != 1:
            told = listed(ways) if ways else "none of them"
            reading.problem(
                entry.node, f"a signer is a `key`, an `identity` or an `identity_regexp`; this one has {told}"
            )
            continue
        strangers = ["timestamp_authority"] if ways != ["key"] else [*_OF_IDENTITIES]
        for key in strangers:
            if key in entry.members:
                reading.problem(entry.members[key], f"`{key}` does not go with `{ways[0]}`")
        pattern = entry.text("model")
        assert pattern is not None
        identity = None if ways == ["key"] else _identity(entry, reading)
        if ways == ["key"] or identity is not None:
            yield TrustedSigner(
                pattern=pattern,
                place=reading.place(entry.node),
                key=entry.text("key"),
                timestamp_authority=entry.text("timestamp_authority"),
                identity=identity,
                trust_config=entry.text("trust_config"),
            )


def _identity(entry: _Entry, reading: Reading) -> TrustedIdentity | None:
    issuer, expression = entry.text("issuer"), entry.text("identity_regexp")
    if issuer is None:
        reading.problem(entry.node, "an identity is worth what vouches for it: name its `issuer`")
        return None
    if expression is not None:
        try:
            re.compile(expression)
        except (re.error, OverflowError, RecursionError) as error:
            reading.problem(entry.members["identity_regexp"], f"{shown(entry.members['identity_regexp'])}: {error}")
            return None
        why = unbounded(expression)
        if why is not None:
            reading.problem(entry.members["identity_regexp"], f"the expression could take very long: {why}")
            return None
    return TrustedIdentity(
        issuer=issuer,
        identity=entry.text("identity"),
        regexp=expression,
        repository=entry.text("repository"),
        workflow=entry.text("workflow"),
        ref=entry.text("ref"),
    )


def _rules(node: Node | None, reading: Reading) -> Iterator[Rule]:
    seen: set[str] = set()
    for entry in _entries("rules", node, reading):
        name, cel = entry.text("name"), entry.text("cel")
        assert name is not None
        assert cel is not None
        if rule_id(name) in seen:
            reading.problem(entry.node, f"two rules have the id {rule_id(name)}; give them other names")
        seen.add(rule_id(name))
        at = entry.members["cel"]
        yield Rule(name=name, cel=cel, message=entry.text("message"), place=reading.place(at), column=at.column)


def _waivers(node: Node | None, rules: tuple[Rule, ...], reading: Reading) -> Iterator[Waiver]:
    known = {*REASONS, *KINDS, *(rule.id for rule in rules)} - NOTES
    for entry in _entries("waivers", node, reading):
        pattern, name, reason, expires = (entry.text(key) for key in REQUIRED["waivers"])
        assert pattern is not None
        assert name is not None
        assert reason is not None
        assert expires is not None
        if name not in known:
            sentence = f"{name!r} is no id that anything can be refused by" + (
                "; `rules` has no such name" if name.startswith(RULE) else "; docs/policy.md lists them"
            )
            reading.problem(entry.members["id"], sentence, near=(name, known))
        elif name in FINAL:
            reading.problem(entry.members["id"], f"no waiver can allow {name}")
        else:
            yield Waiver(
                pattern=pattern,
                id=name,
                path=entry.text("path"),
                reason=reason,
                expires=date.fromisoformat(expires),
                place=reading.place(entry.node),
            )


def whole(file: str) -> Place:
    """Return the place of what a file says by leaving it out."""
    return Place(file=file, line=1)


def is_pattern(text: str) -> bool:
    """Tell whether a text has the form of a pattern over names."""
    return len(text) <= patterns.PATTERN_LIMIT and re.fullmatch(patterns.FORM, text) is not None
