"""The page of `deberta serve --page` and of `deberta explain --html`, in a browser without a window."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time

import pytest

from tests.serving.running import ask, server

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra `dev-browser`)")
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("there is no chromium on this machine", allow_module_level=True)

pytestmark = pytest.mark.slow
TEXT = "In spring the water is high and brown, said Anna 🦌 of St. Mary's."
PAIR = "The river rises in the hills."
PARTS = ("content", "c2p", "p2c", "scores", "probabilities")


@pytest.fixture(scope="module")
def port(folders):
    with server(*(folders[name] for name in ("classes", "names", "reader", "words", "vectors")), "--page") as (_, port):
        yield port


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, port):
    """Opens the page; what its scripts complain of, and where it asks, is kept."""

    def open_page(address=f"http://127.0.0.1:{port}/", **options):
        page = browser.new_page(**{"viewport": {"width": 1100, "height": 900}, **options})
        page.complaints, page.asked = [], []
        page.on("pageerror", lambda problem: page.complaints.append(str(problem)))
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("request", lambda request: page.asked.append(request.url))
        page.set_default_timeout(20_000)
        page.goto(address)
        pages.append(page)
        return page

    pages = []
    yield open_page
    for page in pages:
        page.close()


def explain(page, text=TEXT, pair="", model="classes"):
    page.wait_for_function("document.querySelectorAll('#model option').length > 1")
    page.select_option("#model", model)
    page.fill("#text", text)
    page.fill("#pair", pair)
    page.click("#go")
    page.wait_for_selector("#result:not([aria-busy]):visible")


def picked(page, box, value):
    """Picks an option and waits until what it shows is there."""
    with page.expect_response("**/explain"):
        page.select_option(box, value)
    page.wait_for_selector("#result:not([aria-busy])")


def route(port, **body):
    status, text = ask(port, route="/explain", body=body)
    assert status == 200, text
    return json.loads(text)


def number(text):
    return float(text.replace("\u2212", "-"))


def numbers(page):
    """The table of numbers: a list of floats for each key."""
    rows = page.locator("#numbers tr").all()[1:]
    return [[number(cell) for cell in row.locator("td").all_inner_texts()] for row in rows]


def check_numbers(page, found, query=1):
    """Whether the page says what `/explain` does."""
    shown = numbers(page)
    assert len(shown) == len(found["tokens"])
    for key, row in enumerate(shown):
        wanted = [found[part][query][key] for part in PARTS] + [found["attributions"][key]]
        assert row[0] == key - query
        assert row[1:] == [float(f"{value:.4f}") for value in wanted]
    labels = [one.get_attribute("aria-label") for one in page.locator("#tokens button").all()]
    assert [number(label.rpartition(", ")[2]) for label in labels] == [
        float(f"{value:.4f}") for value in found["attributions"]
    ]


def test_the_numbers_are_those_of_explain(opened, port):
    page = opened()
    explain(page)
    picked(page, "#layer", "0")
    picked(page, "#head", "1")
    found = route(port, text=TEXT, layer=0, head=1, model="classes")
    check_numbers(page, found)
    rows = page.locator("#answer tr").all()
    answer = [(row.locator("th").inner_text(), number(row.locator("td").first.inner_text())) for row in rows]
    assert answer == [(row["label"], float(f"{row['score']:.4f}")) for row in found["answer"]]
    assert page.locator("canvas[data-part]").count() == 4
    for part in PARTS[:4]:
        canvas = page.locator(f"canvas[data-part={part}]")
        assert number(canvas.get_attribute("aria-label").rpartition(": ")[2]) == float(f"{found[part][1][1]:.4f}")
        canvas.scroll_into_view_if_needed()
        assert len(canvas.screenshot()) > 3000, "the map is empty"
    page.locator("#tokens button").nth(3).click()
    check_numbers(page, found, query=3)
    for part, owner in (("c2p_by_distance", 3), ("p2c_by_distance", 1)):
        label = page.locator(f"canvas[data-bars={part}]").get_attribute("aria-label")
        values = found[part][owner]
        assert f"most at {found['distances'][values.index(max(values))]:+d}".replace("-", "\u2212") in label
        assert f"{found[part][owner][len(found['tokens']) - 3]:.4f}".replace("-", "\u2212") in label
    assert page.complaints == []


def test_a_click_in_a_map_chooses_that_pair(opened, port):
    page = opened()
    explain(page)
    size = len(route(port, text=TEXT, model="classes")["tokens"])
    canvas = page.locator("canvas[data-part=scores]")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    gutter = 76
    cell = (box["width"] - gutter) / size
    canvas.click(position={"x": gutter + 4.5 * cell, "y": gutter + 2.5 * cell})
    assert "distance +2" in page.locator("#readout").inner_text()
    assert page.locator("#tokens button").nth(2).get_attribute("aria-pressed") == "true"


def test_a_pair(opened, port):
    page = opened()
    explain(page, pair=PAIR)
    found = route(port, text=TEXT, text_pair=PAIR, model="classes")
    assert {token["part"] for token in found["tokens"]} == {0, 1, None}
    check_numbers(page, found)
    words = page.locator("#tokens button").all_inner_texts()
    letters = [TEXT, PAIR]
    for word, token in zip(words, found["tokens"], strict=True):
        if token["part"] is not None:
            assert word == letters[token["part"]][token["start"] : token["end"]].strip()


def test_entities_are_marked_in_colours(opened, port):
    page = opened()
    explain(page, model="names")
    found = route(port, text=TEXT, model="names")["answer"]
    assert found, "the model finds nothing: the test can say nothing"
    marks = page.locator("#answer mark").all()
    assert [mark.evaluate("one => one.firstChild.textContent") for mark in marks] == [
        TEXT[row["start"] : row["end"]] for row in found
    ]
    assert all(mark.locator("small").inner_text() == f"{row['entity_group']} {row['score']:.4f}" for mark, row in zip(marks, found))
    assert all(mark.evaluate("one => getComputedStyle(one).backgroundColor") != "rgba(0, 0, 0, 0)" for mark in marks)


@pytest.mark.parametrize(
    ("model", "text", "pair", "shown"),
    [
        ("reader", "What rises?", PAIR, "answer"),
        ("words", "The [MASK] rises.", "", "0."),
        ("vectors", TEXT, "", "no class to show"),
    ],
)
def test_models_of_other_heads(opened, model, text, pair, shown):
    page = opened()
    explain(page, text=text, pair=pair, model=model)
    assert shown in page.locator("#answer").inner_text()
    assert page.locator("canvas[data-part]").count() == 4
    assert page.locator("#problem").inner_text() == ""
    assert page.complaints == []


def test_another_model_is_shown_from_its_last_layer(opened):
    page = opened()
    explain(page)
    picked(page, "#layer", "0")
    page.fill("#target", "neutral")
    picked(page, "#model", "names")
    assert page.locator("#layer").input_value() == "1"
    assert page.locator("#problem").inner_text() == ""


FOCUSED = "one => getComputedStyle(document.activeElement)"


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
    for pressed, distance in (("ArrowRight", "0"), ("ArrowDown", "\u22121"), ("ArrowLeft", "\u22122"), ("ArrowUp", "\u22121"), ("Home", "\u22122")):
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
    unnamed = "[...document.querySelectorAll('button, select, input, textarea, canvas')].filter(one => !one.labels?.length && !one.getAttribute('aria-label') && !one.textContent).length"
    assert page.evaluate(unnamed) == 0


# The contrast of a text with what is behind it, as WCAG 2 has it; backgrounds may be partly transparent.
CONTRAST = """selector => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = colour => colour.slice(0, 3).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
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
    for selector in ("h1, h2, p, label", "textarea, select, input, #go", "#tokens button", "mark, mark small", "th, td, caption"):
        assert page.evaluate(CONTRAST, selector) >= 4.5, selector
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")


def test_a_narrow_screen(opened):
    page = opened(viewport={"width": 400, "height": 800})
    explain(page, text=f"{TEXT} {'x' * 40}")
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    assert page.locator("canvas[data-part=scores]").bounding_box()["width"] > 300


def test_nothing_leaves_the_host_and_the_page_is_small(opened, port):
    page = opened()
    explain(page)
    assert {address.split("/")[2] for address in page.asked if not address.startswith("data:")} == {f"127.0.0.1:{port}"}
    status, text = ask(port, "GET", "/")
    assert status == 200
    assert len(text.encode()) < 200_000
    assert "http://" not in text
    assert "https://" not in text


def test_errors_are_sentences(browser, folders):
    with server(folders["classes"], "--page", "--max-body", "3000", "--api-key", "a&b") as (process, port):
        page = browser.new_page()
        problem = page.locator("#problem")

        def told(text, sent="a"):
            page.fill("#text", sent)
            page.click("#go")
            page.wait_for_function("text => document.querySelector('#problem').textContent.includes(text)", arg=text)
            assert problem.inner_text()[0].isupper()
            assert page.locator("#go").get_attribute("aria-disabled") is None

        page.goto(f"http://127.0.0.1:{port}/")
        told("add #key=KEY")
        page.goto(f"http://127.0.0.1:{port}/#key=a%26b")
        page.reload()
        page.wait_for_selector("#model option", state="attached")
        told("64 can be explained at once", "river " * 90)
        told("more than 3000 bytes", "river " * 600)
        page.fill("#target", "nonsense")
        told("nonsense")
        page.fill("#target", "")
        page.fill("#text", TEXT)
        page.click("#go")
        page.wait_for_selector("#result:visible")
        assert problem.inner_text() == ""
        process.kill()
        process.wait()
        told("The server does not answer.")
        page.close()


def test_the_last_request_is_the_one_that_is_shown(opened):
    page = opened()
    explain(page)

    def wait(asked):  # only the first answer is late
        page.unroute("**/explain")
        answer = asked.fetch()
        time.sleep(1)
        asked.fulfill(response=answer)

    page.route("**/explain", wait)
    page.evaluate("$('layer').value = '0'; explain(); $('layer').value = '1'; $('head').value = '1'; explain();")
    page.wait_for_timeout(2500)
    assert (page.locator("#layer").input_value(), page.locator("#head").input_value()) == ("1", "1")
    assert page.evaluate("[found.layer, found.head]") == [1, 1]


def test_a_file_by_itself(opened, folders, tmp_path):
    file = tmp_path / "why.html"
    text = 'A </script><img src="x" onerror="document.title = 1"> river & a hill 🦌.'
    command = [sys.executable, "-m", "deberta_dual.cli", "explain", text, "--text-pair", PAIR, "--model"]
    command += [str(folders["classes"]), "--framework", "torch", "--layer", "0"]
    subprocess.run([*command, "--html", str(file)], check=True, timeout=120)
    found = json.loads(subprocess.run(command, check=True, timeout=120, capture_output=True, text=True).stdout)
    page = opened(file.as_uri())
    assert page.locator("#fixed").inner_text() == f"{text}\n{PAIR}"
    check_numbers(page, found)
    assert page.locator("form").count() == 0
    assert page.title() == "Disentangled attention"
    assert [address for address in page.asked if not address.startswith(("file:", "data:"))] == []
    assert page.complaints == []
    assert file.stat().st_size < 200_000
