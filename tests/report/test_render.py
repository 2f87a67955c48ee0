"""The page as a document: nothing in it is loaded or run, everything hostile is text, and it is always the same."""

import base64
import hashlib
import re
from html import unescape

import pytest
import reports
from reportpages import pages, parsed

from mbom.report import html
from mbom.report.blocks import Banner, Fact, Facts, Link, Page, Prose, Section, Table

NAMES = ("model", "large model", "hostile model", "diff", "hostile diff")
LOADING = {"style", "src", "srcset", "background", "xlink:href"}  # attributes that load something, or style it
SIZE = 2_000_000  # bytes of the page of any model


def one(*blocks: Prose | Facts | Table) -> Page:
    section = Section(id="one", title="One", blocks=blocks)
    banner = Banner(tone="plain", title="Title", text="Text")
    return Page(title="t", subtitle="s", topic="Test", banner=banner, sections=(section,), colophon="c")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_loaded_run_or_sent(name: str) -> None:
    found = parsed(html(pages()[name]))
    used = {tag.name for tag in found.tags}
    assert not used & {"script", "link", "img", "iframe", "object", "embed", "base", "form", "image", "use"}
    for tag in found.tags:
        assert not [
            key for key in tag.attributes if key.startswith("on") or key in ("style", "src", "srcset", "xlink:href")
        ]
    for link in found.named("a"):
        assert re.match(r"https://|#", link.attributes["href"]), link
        assert link.attributes["href"].startswith("#") or "noreferrer" in link.attributes["rel"]


@pytest.mark.parametrize("name", NAMES)
def test_the_policy_allows_the_one_style_and_nothing_else(name: str) -> None:
    text = html(pages()[name]).decode()
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    (policy,) = re.findall('<meta http-equiv="Content-Security-Policy" content="([^"]*)">', text)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert unescape(policy) == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert text.index("http-equiv") < text.index("<style>")
    assert "url(" not in style
    assert "@import" not in style


@pytest.mark.parametrize("name", NAMES)
def test_the_outline_is_one_that_a_reader_can_follow_by_ear(name: str) -> None:
    found = parsed(html(pages()[name]))
    assert [tag.name for tag in found.tags if re.fullmatch("h[1-6]", tag.name)] == ["h1"] + ["h2"] * len(
        pages()[name].sections
    )
    ids = [tag.attributes["id"] for tag in found.tags if "id" in tag.attributes]
    assert len(set(ids)) == len(ids)
    for tag in found.tags:
        assert set(tag.attributes.get("aria-labelledby", "").split()) <= set(ids)
    anchors = [tag.attributes["href"] for tag in found.named("a") if tag.attributes["href"].startswith("#")]
    assert anchors[0] == "#content"
    assert {anchor[1:] for anchor in anchors} <= set(ids)
    assert len(found.named("caption")) == len(found.named("table"))
    assert all(tag.attributes["scope"] in ("col", "row") for tag in found.named("th"))
    for drawing in found.named("svg"):
        assert drawing.attributes.get("role") == "img" or drawing.attributes.get("aria-hidden") == "true"


@pytest.mark.parametrize("name", ["hostile model", "hostile diff"])
def test_hostile_text_is_shown_as_text(name: str) -> None:
    data = html(pages()[name])
    found = parsed(data)
    assert found.text.count('<script>alert(1)</script>"><img src=x onerror=alert(2)>') > 30
    assert "{{7*7}}" in found.text
    assert not re.search(r"[\u202a-\u202e\u2066-\u2069\u200b\u0000-\u0009\u000b-\u001f\ud800-\udfff]", data.decode())
    assert r"\u202egnp.exe" in found.text
    assert "A" * 1000 not in found.text
    assert "characters)" in found.text


def test_no_name_pushes_the_verdict_off_the_page() -> None:
    for name in ("hostile model", "hostile diff"):
        found = html(pages()[name]).decode()
        assert len(found[found.index("<h1>") : found.index('class="banner')]) < 1_000


@pytest.mark.parametrize("name", NAMES)
def test_no_page_is_too_large_to_send(name: str) -> None:
    assert len(html(pages()[name])) < SIZE


def test_the_same_page_gives_the_same_bytes() -> None:
    page = pages()["diff"]
    assert html(page) == html(page)
    assert reports.changes() == reports.changes()


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "http://example.org/",
        "https://example.org\\@evil.example/",
        "https://user@evil.example/",
        "https://exa mple.org/",
        "https://ex\N{CYRILLIC SMALL LETTER A}mple.org/",
        'https://example.org/" onclick="alert(1)',
        "data:text/html,x",
        "//example.org/",
        "https://example.org/" + "a" * 400,
        "",
    ],
)
def test_an_address_that_may_not_be_followed_is_text(url: str) -> None:
    found = parsed(html(one(Facts(items=(Fact(label="l", value=Link(text="there", url=url)),)))))
    assert [tag.attributes["href"] for tag in found.named("a")] == ["#content", "#one"]
    assert "there" in found.text


def test_an_address_that_may_be_followed_is_a_link() -> None:
    url = "https://example.org:8443/a/b?c=d&e=f#g"
    found = parsed(html(one(Facts(items=(Fact(label="l", value=Link(text="there", url=url)),)))))
    assert found.named("a")[-1].attributes["href"] == url


def test_a_value_that_does_not_exist_is_a_fault_and_not_a_gap() -> None:
    from jinja2 import UndefinedError

    from mbom.report.render import _environment

    with pytest.raises(UndefinedError):
        _environment().from_string("{{ page.title }}").render(page={})
