"""Reports in a real browser: silent, alone, readable by everybody, on paper and on a phone."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from headless import Browser, needs_axe, needs_chromium
from reportpages import pages

from mbom.report import html

pytestmark = needs_chromium

NAMES = ("model", "large model", "hostile model", "diff", "hostile diff")
WCAG = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
PHONE = 320  # pixels, the width at which WCAG 1.4.10 asks for no scrolling to the side
TAB = 9
OPEN = "document.querySelectorAll('details').forEach(fold => fold.open = true)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that the tests of this module share."""
    held = Browser(tmp_path_factory.mktemp("profile"))
    yield held
    held.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The addresses of the pages."""
    folder = tmp_path_factory.mktemp("pages")
    found = {}
    for number, name in enumerate(NAMES):
        path = folder / f"{number}.html"
        path.write_bytes(html(pages()[name]))
        found[name] = path.as_uri()
    return found


@pytest.fixture(autouse=True)
def ordinary(browser: Browser) -> None:
    """Each test begins with a wide window in light colours."""
    browser.look()


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_nothing_asks_for_nothing_and_runs_nothing(
    name: str, browser: Browser, files: dict[str, str]
) -> None:
    browser.open(files[name])
    browser.run(OPEN)
    assert browser.run("document.title").startswith(("tiny-gpt-oss", "openai/gpt-oss", "example/seven", "<script>"))
    assert browser.run("[document.scripts.length, document.images.length, document.links.length]")[:2] == [0, 0]
    assert browser.run("[...document.links].every(a => ['https:', 'file:'].includes(a.protocol))")
    assert browser.run("[...document.links].every(a => a.protocol !== 'file:' || a.hash !== '')")
    assert browser.run("getComputedStyle(document.querySelector('.banner')).display") == "flex", "the style is not used"
    assert browser.messages() == []
    assert browser.requests() == [files[name]]


def test_the_policy_stops_what_a_mistake_would_let_in(browser: Browser, files: dict[str, str]) -> None:
    browser.open(files["model"])
    browser.run("document.body.insertAdjacentHTML('beforeend', '<img src=https://evil.example/x>')")
    browser.run("document.body.insertAdjacentHTML('beforeend', '<p id=styled style=color:red onclick=alert(1)>x</p>')")
    script = "const s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)"
    browser.run(f"(() => {{ {script} }})()")
    browser.run("document.getElementById('styled').click()")
    assert browser.run("typeof window.ran") == "undefined"
    assert browser.run("document.getElementById('styled').style.length") == 0
    browser.wait(lambda event: event.get("method") == "Network.loadingFailed")
    failures = [event["params"] for event in browser.events if event.get("method") == "Network.loadingFailed"]
    assert [failure["blockedReason"] for failure in failures] == ["csp"]
    for _ in range(500):  # the image, the style, the handler and the script, as soon as the browser has said so
        refused = [line for line in browser.messages() if "Content Security Policy" in line]
        if len(refused) == 4:
            break
        browser.run("new Promise(done => setTimeout(done, 20))")
    assert len(refused) == 4


def test_the_browser_shows_what_it_is_asked_to_look_for(browser: Browser, tmp_path: Path) -> None:
    """Without this, a page could pass because nobody looked."""
    path = tmp_path / "bad.html"
    path.write_text(
        "<!DOCTYPE html><html><title>t</title><script>console.error('seen')</script><img src=missing.png>"
        "<p style='color:#aaa;background:#fff'>pale</p><p style='width:900px'>wide</p></html>"
    )
    browser.look(width=PHONE)
    browser.open(path.as_uri())
    assert any("seen" in line for line in browser.messages())
    assert browser.requests()[1:] == [(tmp_path / "missing.png").as_uri()]
    assert browser.run("document.documentElement.scrollWidth") > PHONE


@needs_axe
def test_axe_finds_what_is_wrong(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text(
        "<!DOCTYPE html><html><body><img src=x><p style='color:#aaa;background:#fff'>pale</p></body></html>"
    )
    browser.open(path.as_uri())
    found = {line.partition(":")[0] for line in browser.violations(*WCAG)}
    assert {"color-contrast", "document-title", "html-has-lang", "image-alt"} <= found


@needs_axe
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (PHONE, False)])
@pytest.mark.parametrize("name", ["model", "diff"])
def test_axe_has_nothing_to_say(name: str, width: int, dark: bool, browser: Browser, files: dict[str, str]) -> None:
    browser.look(width=width, dark=dark)
    browser.open(files[name])
    browser.run(OPEN)
    assert browser.violations(*WCAG) == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_sticks_out_on_a_phone(name: str, browser: Browser, files: dict[str, str]) -> None:
    browser.look(width=PHONE, height=640)
    browser.open(files[name])
    browser.run(OPEN)
    assert browser.run("document.documentElement.scrollWidth") <= PHONE
    sizes = (
        "[...document.querySelectorAll('body, body *')].filter(e => e.checkVisibility() && !e.closest('svg, .skip'))"
    )
    wide = browser.run(f"{sizes}.filter(e => e.getBoundingClientRect().right > {PHONE} + 1).map(e => e.outerHTML)")
    assert [item[:200] for item in wide] == []


def test_both_colour_schemes_are_there(browser: Browser, files: dict[str, str]) -> None:
    colours = []
    for dark in (False, True):
        browser.look(dark=dark)
        browser.open(files["model"])
        colours.append(browser.run("getComputedStyle(document.body).backgroundColor"))
    assert colours == ["rgb(255, 255, 255)", "rgb(17, 21, 26)"]


@pytest.mark.parametrize("name", ["model", "diff"])
def test_the_tab_key_reaches_everything_in_order_and_shows_where_it_is(
    name: str, browser: Browser, files: dict[str, str]
) -> None:
    browser.open(files[name])
    browser.run(OPEN)
    held = "[...document.querySelectorAll('a[href], summary, button, input, [tabindex=\"0\"]')]"
    expected = browser.run(f"{held}.map(e => e.textContent.trim())")
    reached = []
    for _ in expected:
        browser.press("Tab", TAB)
        text, outline = browser.run(
            "(e => [e.textContent.trim(), getComputedStyle(e).outlineStyle])(document.activeElement)"
        )
        assert outline != "none", text
        reached.append(text)
    assert reached == expected
    assert reached[0] == "Skip to the content"


def test_the_first_link_leads_past_the_contents(browser: Browser, files: dict[str, str]) -> None:
    browser.open(files["model"])
    browser.press("Tab", TAB)
    assert browser.run("document.activeElement.getBoundingClientRect().left") >= 0
    browser.run("document.activeElement.click()")
    assert browser.run("document.activeElement.id") == "content"


def test_the_drawings_have_names_for_those_who_do_not_see_them(browser: Browser, files: dict[str, str]) -> None:
    """What the browser hands to a screen reader, not what the page holds."""
    for name, wanted in (
        ("model", ["Parameters by part of the model", "Experts that the prompts reached: 32 of 32"]),
        ("diff", ["Relative change of the weights by layer"]),
    ):
        browser.open(files[name])
        nodes = browser.ask("Accessibility.getFullAXTree")["nodes"]
        images = [node["name"]["value"] for node in nodes if node.get("role", {}).get("value") in ("image", "img")]
        assert [item for item in images if item.startswith(tuple(wanted))] == images
        assert len(images) == len(wanted)
        assert all(re.search(r"experts|layers", item, re.IGNORECASE) for item in images)
        roles = {node.get("role", {}).get("value") for node in nodes}
        assert {"banner", "main", "navigation", "contentinfo", "table", "columnheader", "rowheader"} <= roles


def test_tables_that_are_stacked_on_a_phone_stay_tables(browser: Browser, files: dict[str, str]) -> None:
    browser.look(width=PHONE)
    browser.open(files["diff"])
    roles = [node.get("role", {}).get("value") for node in browser.ask("Accessibility.getFullAXTree")["nodes"]]
    browser.look()
    wide = [node.get("role", {}).get("value") for node in browser.ask("Accessibility.getFullAXTree")["nodes"]]
    for role in ("table", "row", "rowheader", "columnheader"):
        assert roles.count(role) == wide.count(role) > 0


def test_printed_it_is_whole_and_on_white(browser: Browser, files: dict[str, str]) -> None:
    browser.look(dark=True, media="print")
    browser.open(files["model"])
    assert browser.run("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run("[...document.querySelectorAll('.folded')].every(e => e.getBoundingClientRect().height > 50)")
    data = browser.pdf()
    assert data.startswith(b"%PDF-")
    assert max(int(number) for number in re.findall(rb"/Type /Pages\s+/Count (\d+)", data)) > 5
