"""The page without a mouse, without eyes, in the dark, and on a narrow screen."""

from __future__ import annotations

import pytest

from tests.serving.running import TEXT, explain

pytestmark = pytest.mark.slow


def test_the_keyboard_alone(opened):
    page = opened()
    page.wait_for_function("document.querySelectorAll('#model option').length > 1")
    order = []
    for _ in range(7):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert outline == "3px", f"{order[-1]} does not show that it has the focus"
        if order[-1] == "text":
            page.keyboard.type(TEXT)
    assert order == ["text", "pair", "model", "layer", "head", "target", "go"]
    page.keyboard.press("Enter")
    page.wait_for_selector("#result:visible")
    assert page.evaluate("document.activeElement.id") == "go", "the focus was lost"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.locator("#tokens button").nth(2).get_attribute("aria-pressed") == "true"
    while page.evaluate("document.activeElement.tagName") != "CANVAS":
        page.keyboard.press("Tab")
    for pressed, distance in (
        ("ArrowRight", "0"),
        ("ArrowDown", "\u22121"),
        ("ArrowLeft", "\u22122"),
        ("ArrowUp", "\u22121"),
        ("Home", "\u22122"),
    ):
        page.keyboard.press(pressed)
        assert f"distance {distance}\n" in page.locator("#readout").inner_text(), pressed
    page.focus("#text")
    page.keyboard.press("End")
    page.keyboard.type(" Again.")
    with page.expect_response("**/explain"):
        page.keyboard.press("Control+Enter")


def test_screen_readers(opened):
    page = opened()
    explain(page)
    told = page.locator("body").aria_snapshot()
    for one in (
        'heading "Disentangled attention" [level=1]',
        'textbox "Text"',
        'combobox "Model"',
        'combobox "Layer"',
        'combobox "Head"',
        'textbox "Class or word to explain"',
        'button "Explain"',
        'region "Answer"',
        'rowheader "neutral"',
        'list "Tokens; choose one as the query"',
        "[pressed]",
        'application "content to content, ',
        'application "sum of the parts, ',
        'img "content to position, of query ',
        'columnheader "probability"',
        "status",
    ):
        assert one in told, f"{one} is missing in:\n{told}"
    unnamed = """[...document.querySelectorAll('button, select, input, textarea, canvas')].filter(
      one => !one.labels?.length && !one.getAttribute('aria-label') && !one.textContent).length"""
    assert page.evaluate(unnamed) == 0


# The contrast of a text with what is behind it, as WCAG 2 has it; backgrounds may be partly transparent.
CONTRAST = """selector => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const linear = v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = colour => colour.slice(0, 3).map(v => linear(v / 255))
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  return [...document.querySelectorAll(selector)].filter(one => one.offsetParent).map(one => {
    const layers = [];
    for (let at = one; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    const behind = layers.reverse().reduce((under, layer) => {
      const alpha = layer[3] ?? 1;
      return under.map((v, i) => v * (1 - alpha) + layer[i] * alpha);
    }, [255, 255, 255]);
    const [more, less] = [light(parse(getComputedStyle(one).color)), light(behind)].sort((a, b) => b - a);
    return (more + .05) / (less + .05);
  }).reduce((least, one) => Math.min(least, one), 99);
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_read(opened, scheme):
    page = opened(color_scheme=scheme)
    explain(page, model="names")
    for selector in (
        "h1, h2, p, label",
        "textarea, select, input, #go",
        "#tokens button",
        "mark, mark small",
        "th, td, caption",
    ):
        assert page.evaluate(CONTRAST, selector) >= 4.5, selector
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")


def test_a_narrow_screen(opened):
    page = opened(viewport={"width": 400, "height": 800})
    explain(page, text=f"River {'x' * 45}")
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    assert page.locator("canvas[data-part=scores]").bounding_box()["width"] > 300
