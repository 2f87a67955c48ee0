"""Chat templates: the same text as transformers, and nothing for those who want more than text."""

from datetime import datetime
from typing import Any

import pytest
from engine.chat_templates import FAMILIES, SPECIAL_TOKENS

from mbom.behaviour.prompts import Variant, fixed
from mbom.engine import template
from mbom.errors import FormatError, RefusedError
from mbom.facts.jinja import SOURCE_LIMIT

VARIANTS = [(source.id, variant) for source in fixed() for variant in source.variants]


def render(source: str, content: str = "hello") -> str | None:
    loaded = template.load("chat_template.jinja", source)
    return loaded.render([{"role": "user", "content": content}], tools=None, special_tokens={})


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("prompt", "variant"), VARIANTS, ids=[f"{prompt}-{v.name}" for prompt, v in VARIANTS])
def test_the_text_is_that_of_transformers(family: str, prompt: str, variant: Variant) -> None:
    from jinja2 import TemplateError
    from transformers.utils.chat_template_utils import render_jinja_template

    assert prompt
    arguments: dict[str, Any] = {**SPECIAL_TOKENS, "tools": list(variant.tools) or None}
    theirs: str | None
    try:
        theirs = render_jinja_template(
            conversations=[list(variant.messages)],
            chat_template=FAMILIES[family],
            add_generation_prompt=True,
            **arguments,
        )[0][0]
    except (TemplateError, TypeError):
        theirs = None
    loaded = template.load("chat_template.jinja", FAMILIES[family])
    assert loaded.render(variant.messages, tools=variant.tools or None, special_tokens=SPECIAL_TOKENS) == theirs


def test_families_refuse_what_they_should_and_take_the_rest() -> None:
    """Without this the comparison above could be between two refusals."""
    taken = {
        family: {
            variant.name
            for _prompt, variant in VARIANTS
            if template.load(family, source).render(
                variant.messages, tools=variant.tools or None, special_tokens=SPECIAL_TOKENS
            )
        }
        for family, source in FAMILIES.items()
    }
    everything = {variant.name for _prompt, variant in VARIANTS}
    assert taken["chatml"] == taken["llama-3"] == taken["odd"] == everything
    assert taken["gemma"] == taken["mistral"] == {"no-system", "user-only"} | (taken["gemma"] & {"full"})
    assert "string-arguments" in taken["deepseek"]


def test_the_clock_stands_still() -> None:
    assert render("{{ strftime_now('%Y-%m-%d %H:%M:%S %A %B') }}") == "2025-01-01 00:00:00 Wednesday January"
    assert str(datetime.now().astimezone().year) not in str(render("{{ strftime_now('%Y') }}"))


def test_chance_gives_the_same_every_time() -> None:
    source = "{{ range(100000) | random }} {{ lipsum() }}"
    assert render(source) == render(source)


HOSTILE = {
    "include": ("{% include '/etc/passwd' %}", "includes another file"),
    "import": ("{% import 'other' as other %}", "imports another file"),
    "from": ("{% from 'other' import name %}", "imports another file"),
    "extends": ("{% extends 'other' %}", "extends another file"),
    "dunder attribute": ("{{ messages.__class__ }}", "reads the attribute '__class__'"),
    "private attribute": ("{{ cycler._current }}", "reads the attribute '_current'"),
    "dunder item": ("{{ messages['__class__'] }}", "names '__class__'"),
    "dunder in escapes": (r"{{ messages['\x5f\x5fclass\x5f\x5f'] }}", "names '__class__'"),
    "dunder in a path": ("{{ messages | map(attribute='x.__globals__') }}", "names '__globals__'"),
    "dunder in a format": ("{{ '{0.__class__}'.format(messages) }}", "names '__class__'"),
    "dunder put together": ("{{ messages['__cl' ~ 'ass__'] }}", "puts '__class__' together"),
    "dunder added up": ("{% set x = '_' + '_class_' + '_' %}", "puts '__class__' together"),
    "dunder joined": ("{{ messages[['', 'class', '']|join('__')] }}", "puts '__class__' together"),
    "dunder turned round": ("{{ ('__ssalc' ~ '__')|reverse }}", "puts '__class__' together"),
    "dunder name": ("{{ __builtins__ }}", "reads the variable '__builtins__'"),
    "attr filter": ("{{ messages | attr('x' ~ 'y') }}", "uses the filter 'attr'"),
    "attr in a block": ("{% filter attr('x') %}y{% endfilter %}", "uses the filter 'attr'"),
    "power": ("{{ (9**(9**9)) % 7 }}", "raises numbers to powers"),
    "integer": ("{{ 'a' * 10000000000 }}", "has an integer above"),
    "deep inside": (
        "{% macro a() %}{% for x in [1] %}{% if x %}{{ [{'k': (1, 2**9)}] }}{% endif %}{% endfor %}{% endmacro %}",
        "raises numbers to powers",
    ),
}


@pytest.mark.parametrize(("source", "fault"), HOSTILE.values(), ids=HOSTILE)
def test_what_no_honest_template_does_is_refused_with_its_line(source: str, fault: str) -> None:
    with pytest.raises(RefusedError, match=f"^chat_template.jinja: line 3 {fault}"):
        template.load("chat_template.jinja", "{# a comment #}\n\n" + source)


@pytest.mark.parametrize(
    "source",
    [
        "{% set x = namespace() %}{% set x._private = 1 %}",
        "{% set x = namespace(_private=1) %}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(role='x') }}",
        "{% set name = '_class_' %}{{ messages[0]['_' ~ name ~ '_'].mro() }}",
        "{% set name = '_class_' %}{{ (messages | map(attribute='_' ~ name ~ '_') | first).mro() }}",
    ],
)
def test_whoever_tries_to_leave_the_sandbox_is_refused(source: str) -> None:
    with pytest.raises(RefusedError, match="tries to leave the sandbox"):
        render(source)


def test_an_attribute_of_the_interpreter_is_empty_where_the_sandbox_says_nothing() -> None:
    name = "{% set name = '_class_' %}"
    assert render(name + "{{ ('{0._' ~ name ~ '_}').format(messages) }}") == ""
    assert render(name + "{{ messages[0]['_' ~ name ~ '_'] }}") == ""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% if %}", "not a Jinja template: .* at line 1"),
        ("{{ x | no_such_filter }}", "No filter named 'no_such_filter'"),
        ("{{ " + "(" * 100_000, "cannot be compiled: RecursionError"),
        ("{{ x" + ".y" * 100_000 + " }}", "cannot be compiled: "),
        ("{% for x in y %}" * 50 + "{% endfor %}" * 50, "cannot be compiled: SyntaxError"),
        ("x" * (SOURCE_LIMIT + 1), "the limit is 262144"),
    ],
)
def test_what_is_no_template_is_a_format_error(source: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        template.load("chat_template.jinja", source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('no') }}",
        "{{ messages[0].content + 1 }}",
        "{{ messages[9].content }}",
        "{{ 1 // 0 }}",
        "{% for x in range(100001) %}{% endfor %}",
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{{ messages | tojson(indent='x' * 3, separators=1) }}",
        "{{ 'a' | int('x', 'y') + none }}",
    ],
)
def test_a_template_that_fails_on_the_messages_refuses_them(source: str) -> None:
    assert render(source) is None


def test_more_output_than_a_prompt_can_need_is_refused() -> None:
    source = "{% for x in range(1100) %}{{ messages[0].content }}{% endfor %}"
    assert render(source, "x" * 900) is not None
    with pytest.raises(RefusedError, match="writes more than 1048576 characters"):
        render(source, "x" * 1000)
