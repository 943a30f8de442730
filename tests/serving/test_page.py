"""The page of `deberta serve --page` and of `deberta explain --html`, in a browser without a window."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.serving.running import TEXT, ask, explain, server

pytestmark = pytest.mark.slow
PAIR = "The river rises in the hills."
PARTS = ("content", "c2p", "p2c", "scores", "probabilities")


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


def test_the_numbers_are_those_of_explain(opened, page_port):
    page = opened()
    explain(page)
    picked(page, "#layer", "0")
    picked(page, "#head", "1")
    found = route(page_port, text=TEXT, layer=0, head=1, model="classes")
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


def test_a_click_in_a_map_chooses_that_pair(opened, page_port):
    page = opened()
    explain(page)
    size = len(route(page_port, text=TEXT, model="classes")["tokens"])
    canvas = page.locator("canvas[data-part=scores]")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    gutter = 76
    cell = (box["width"] - gutter) / size
    canvas.click(position={"x": gutter + 4.5 * cell, "y": gutter + 2.5 * cell})
    assert "distance +2" in page.locator("#readout").inner_text()
    assert page.locator("#tokens button").nth(2).get_attribute("aria-pressed") == "true"


def test_a_pair(opened, page_port):
    page = opened()
    explain(page, pair=PAIR)
    found = route(page_port, text=TEXT, text_pair=PAIR, model="classes")
    assert {token["part"] for token in found["tokens"]} == {0, 1, None}
    check_numbers(page, found)
    words = page.locator("#tokens button").all_inner_texts()
    letters = [TEXT, PAIR]
    for word, token in zip(words, found["tokens"], strict=True):
        if token["part"] is not None:
            assert word == (letters[token["part"]][token["start"] : token["end"]].strip() or token["text"])


def test_entities_are_marked_in_colours(opened, page_port):
    page = opened()
    explain(page, model="names")
    found = route(page_port, text=TEXT, model="names")["answer"]
    assert found, "the model finds nothing: the test can say nothing"
    marks = page.locator("#answer mark").all()
    assert [mark.evaluate("one => one.firstChild.textContent") for mark in marks] == [
        TEXT[row["start"] : row["end"]] for row in found
    ]
    assert all(
        mark.locator("small").inner_text() == f"{row['entity_group']} {row['score']:.4f}"
        for mark, row in zip(marks, found, strict=True)
    )
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


def test_nothing_leaves_the_host_and_the_page_is_small(opened, page_port):
    page = opened()
    explain(page)
    assert {address.split("/")[2] for address in page.asked if not address.startswith("data:")} == {
        f"127.0.0.1:{page_port}"
    }
    status, text = ask(page_port, "GET", "/")
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

    page.evaluate("""() => {
      const quick = fetch;
      let count = 0;  // only the first answer is late
      window.fetch = async (...all) => {
        const late = !count++, answer = await quick(...all);
        if (late) await new Promise(done => setTimeout(done, 1500));
        return answer;
      };
      $("layer").value = "0";
      explain();
      $("layer").value = $("head").value = "1";
      explain();
    }""")
    page.wait_for_timeout(2500)
    assert (page.locator("#layer").input_value(), page.locator("#head").input_value()) == ("1", "1")
    assert page.evaluate("[found.layer, found.head]") == [1, 1]


def test_a_file_by_itself(opened, folders, tmp_path):
    file = tmp_path / "why.html"
    text = '</script><img src=x onerror="title = 1"> & 🦌'
    command = [sys.executable, "-m", "deberta_dual.cli", "explain", text, "--text-pair", PAIR, "--model"]
    command += [str(folders["classes"]), "--framework", "torch", "--layer", "0"]
    subprocess.run([*command, "--html", str(file)], check=True, timeout=120)
    found = json.loads(subprocess.run(command, check=True, timeout=120, capture_output=True, text=True).stdout)
    page = opened(file.as_uri())
    assert page.locator("#fixed").inner_text() == f"{text}\n{PAIR}"
    check_numbers(page, found)
    assert page.locator("#maps-title").inner_text() == "Scores before softmax, layer 0, head 0"
    assert page.locator("form").count() == 0
    assert page.title() == "Disentangled attention"
    assert [address for address in page.asked if not address.startswith(("file:", "data:"))] == []
    assert page.complaints == []
    assert file.stat().st_size < 200_000
