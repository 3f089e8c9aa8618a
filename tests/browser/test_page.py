"""The page as a person uses it: by mouse, keyboard, clipboard, microphone and a screen reader's eyes."""

import base64
import io
import json
import re
import subprocess
import wave
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Open
from tests.contract.test_sensors import judged
from tests.fake_captions import make_writing_service
from tests.fakes import image_file, recording

RED = {"name": "red.png", "mimeType": "image/png", "buffer": image_file("red")}
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}


def answered(page: Page) -> None:
    """Wait until the answer stands there."""
    expect(page.locator("#answer")).to_be_visible()
    expect(page.locator("#results")).not_to_have_attribute("aria-busy", "true")


def explained(page: Page) -> None:
    answered(page)
    expect(page.locator("#where")).to_be_visible()


def bars(page: Page, head: str) -> list[str]:
    section = page.locator("section.head").filter(has=page.get_by_role("heading", name=head, exact=True))
    return section.locator(".bars li").all_inner_texts()


def test_an_image_and_a_text_are_answered_and_explained(visit: Open, site: str) -> None:
    page = visit(site)
    page.get_by_label("Text", exact=True).fill("a red star")
    page.get_by_label("Image", exact=True).set_input_files(RED)
    explained(page)
    assert [re.sub(r"\s+", " ", bar) for bar in bars(page, "colour")] == ["red 96.6 %", "blue 3.4 %"]
    assert page.locator(".because").count() == 2  # a head each
    numbers = re.findall(r"\d+\.\d", page.locator(".because").nth(1).inner_text())
    whole, base, image, text = map(float, numbers)
    assert (whole, base) == (96.6, 50.0)
    assert whole == pytest.approx(base + image + text, abs=0.2)
    page.get_by_label("What counts for").select_option("colour")
    assert re.findall(r"\w+", page.locator(".words").inner_text())[:1] == ["a"]
    assert page.locator(".words mark").count() == 3
    assert page.locator("#where canvas").get_attribute("aria-label")
    assert page.locator(".matches li").count() == 4
    assert page.locator(".matches img").first.evaluate("image => image.decode().then(() => image.naturalWidth)")
    assert re.search(r"here \d+ ms.*decode \d", page.locator(".times").inner_text(), re.DOTALL)
    expect(page.get_by_role("status")).to_have_text("The explanation is there.")


def test_the_curl_that_is_shown_gives_the_same_answer(visit: Open, site: str, tmp_path: Path) -> None:
    page = visit(site)
    page.get_by_label("Text", exact=True).fill("it's a red; $HOME 'star'")
    page.get_by_label("Image", exact=True).set_input_files(RED)
    explained(page)
    command = page.get_by_role("group", name="Command").inner_text()
    (tmp_path / "red.png").write_bytes(image_file("red"))
    found = subprocess.run(
        ["bash", "-c", f"{command} -s"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    answer = json.loads(found.stdout)
    assert answer["modalities_used"] == ["image", "text"]
    assert set(answer["explanation"]) == {"shape", "colour"}
    shown = [re.sub(r"\s+", " ", bar) for bar in bars(page, "colour")]
    first = answer["classes"]["colour"][0]
    assert shown[0] == f"{first['label']} {100 * first['score']:.1f} %"


def test_without_explain_it_asks_once(visit: Open, site: str) -> None:
    page = visit(site)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method + request.url.removeprefix(site)))
    page.get_by_label("Explain").uncheck()
    page.get_by_label("Text", exact=True).fill("blue")
    page.get_by_label("Text", exact=True).press("Enter")
    answered(page)
    assert [path for path in asked if path.startswith("POST")] == ["POST/predict"]
    expect(page.locator("#where")).to_be_hidden()
    assert "explain" not in page.get_by_role("group", name="Command").inner_text()


def test_examples_and_matches_can_be_tried(visit: Open, site: str) -> None:
    page = visit(site)
    page.locator("#example-images button").first.click()
    explained(page)
    assert bars(page, "colour")
    page.get_by_role("button", name="Try this one: blue star").click()
    expect(page.locator(".bars li").filter(has_text="blue").first).to_contain_text("9")
    expect(page.get_by_alt_text("The image to look at: blue-1.jpeg")).to_be_visible()
    expect(page.locator("#results")).to_be_focused()
    page.locator("#example-texts button").first.click()
    explained(page)
    assert page.get_by_label("Text", exact=True).input_value()


FILE_EVENT = """([kind, target, bytes]) => {
    const data = new DataTransfer();
    const file = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
    data.items.add(new File([file], "x.png", {type: "image/png"}));
    const details = {bubbles: true, cancelable: true};
    const event = kind === "paste"
        ? new ClipboardEvent(kind, {...details, clipboardData: data})
        : new DragEvent(kind, {...details, dataTransfer: data});
    document.querySelector(target).dispatchEvent(event);
}"""


@pytest.mark.parametrize(("kind", "target"), [("drop", "#drop-image"), ("drop", "footer"), ("paste", "body")])
def test_an_image_is_dropped_or_pasted(visit: Open, site: str, kind: str, target: str) -> None:
    page = visit(site)
    expect(page.locator("#field-image")).to_be_visible()
    page.evaluate(FILE_EVENT, [kind, target, base64.b64encode(image_file("blue")).decode()])
    answered(page)
    assert bars(page, "colour")[0].startswith("blue")


def test_a_recording_is_written_down(visit: Open, site: str) -> None:
    page = visit(site)
    page.get_by_label("Model").select_option("speech 1")
    page.get_by_label("Recording", exact=True).set_input_files(
        {"name": "tone.wav", "mimeType": "audio/wav", "buffer": recording(0, 0, 1, 1, 0, 0)}
    )
    answered(page)
    expect(page.locator("#texts .said")).to_have_text(re.compile("^a+$"))
    commands = page.get_by_role("group", name="Command").inner_text()
    assert "/models/speech/predict" in commands
    assert "/models/speech/transcribe" in commands


KEEP_WHAT_IS_SENT = """() => {
    const real = window.fetch;
    window.fetch = (path, options) => {
        window.sent = options.body ?? window.sent;
        return real(path, options);
    };
}"""


def test_the_microphone_gives_a_wav_file(visit: Open, site: str) -> None:
    page = visit(site, permissions=["microphone"])
    page.get_by_label("Model").select_option("speech 1")
    button = page.locator("#record")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(button).to_have_text("Stop (1 s)")
    page.evaluate(KEEP_WHAT_IS_SENT)
    button.click()
    answered(page)
    sent = page.evaluate("async () => [...new Uint8Array(await window.sent.get('audio').arrayBuffer())]")
    with wave.open(io.BytesIO(bytes(sent))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert 0.5 < file.getnframes() / 16_000 < 10
    expect(button).to_have_attribute("aria-pressed", "false")


def test_samples_become_a_wav_file_that_others_read(visit: Open, site: str) -> None:
    page = visit(site)
    encoded = page.evaluate(
        """async () => {
            const { encode } = await import(new URL("web/wav.js", document.baseURI));
            return [...new Uint8Array(encode(Float32Array.of(0, 0.5, -0.5, 2, -2), 8000))];
        }"""
    )
    with wave.open(io.BytesIO(bytes(encoded))) as file:
        assert (file.getframerate(), file.getnframes()) == (8_000, 5)
        samples = [int.from_bytes(file.readframes(1), "little", signed=True) for _ in range(5)]
    assert samples == [0, 16_384, -16_383, 32_767, -32_767]  # JavaScript rounds a half upwards


def test_everything_is_done_by_keyboard(visit: Open, site: str) -> None:
    page = visit(site)
    expect(page.locator("#examples")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the answer")).to_be_focused()
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        if reached[-1] == "text":
            page.keyboard.type("red")
        if reached[-1] == "go":
            break
    assert reached == ["model", "SUMMARY", "A", "image", "text", "go"]
    page.keyboard.press("Enter")
    explained(page)
    assert bars(page, "colour")[0].startswith("red")


def test_what_is_wrong_is_told_in_the_services_words(visit: Open, site: str) -> None:
    page = visit(site, expect=("415", "422"))
    page.get_by_label("Image", exact=True).set_input_files(
        {"name": "notes.png", "mimeType": "image/png", "buffer": b"no image at all"}
    )
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("image")
    expect(alert).to_contain_text("JPEG")
    expect(page.locator("#go")).to_be_enabled()
    page.get_by_role("button", name="Start again").click()
    expect(alert).to_be_hidden()
    page.get_by_role("button", name="Ask").click()
    expect(alert).to_contain_text("Nothing to look at")


def test_a_key_is_asked_for_used_for_pictures_too_and_kept_nowhere(visit: Open, sites: Callable[..., str]) -> None:
    from tests.app.test_auth import HASHES, KEY

    page = visit(sites(require_key="all", api_keys=HASHES), expect=("401",))
    expect(page.get_by_role("alert")).to_contain_text("API key")
    expect(page.locator("#key")).to_be_focused()
    page.keyboard.type(KEY)
    page.keyboard.press("Enter")
    page.locator("#example-images button").first.click()
    explained(page)
    picture = page.locator(".matches img").first
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)")
    assert picture.evaluate("image => image.src").startswith("blob:")
    assert "$INTERMODAL_KEY" in page.get_by_role("group", name="Command").inner_text()
    stored = page.evaluate(
        "[localStorage.length, sessionStorage.length, document.cookie, location.href].join(' ')"
    )
    assert KEY not in stored
    assert stored.startswith("0 0 ")
    assert KEY not in page.locator("#answer").inner_text()


def test_it_works_behind_a_prefix(visit: Open, sites: Callable[..., str]) -> None:
    page = visit(f"{sites(root_path='/shop/window')}/shop/window/")
    page.locator("#example-images button").first.click()
    explained(page)
    assert page.locator(".matches img").first.evaluate("image => image.decode().then(() => image.naturalWidth)")
    assert "/shop/window/predict" in page.get_by_role("group", name="Command").inner_text()


def test_a_model_that_writes_puts_the_image_into_words(
    visit: Open, sites: Callable[..., str], tmp_path: Path
) -> None:
    page = visit(sites(partial(make_writing_service, tmp_path, first="scribe")))
    page.get_by_label("Image", exact=True).set_input_files(RED)
    answered(page)
    expect(page.locator("#texts .said")).to_contain_text("red")
    expect(page.get_by_role("heading", name="Caption")).to_be_visible()


def test_sensors_are_typed_as_json_and_doubts_are_told(visit: Open, sites: Callable[..., str]) -> None:
    page = visit(sites(judged), expect=("400", "422"))
    field = page.get_by_label("Sensors", exact=True)
    expect(page.locator("#sensors-hint")).to_contain_text("speed")
    field.fill('{"speed": 99}')
    page.get_by_role("button", name="Ask").click()
    answered(page)
    doubts = page.locator(".doubt li").all_inner_texts()
    assert doubts == ["It was shown no image, which it needs.", "speed is 99 m/s, and it knows 0 to 10."]
    expect(page.get_by_role("status")).to_contain_text("Do not rely on this.")
    expect(page.get_by_role("status")).to_contain_text("steer: ")
    steer = page.locator("section.head").filter(has=page.get_by_role("heading", name="steer"))
    expect(steer.locator(".number")).to_contain_text("±")
    expect(steer.locator(".because")).to_contain_text("sensors")
    # No more digits than its deviation has.
    value, std = steer.locator(".number").inner_text().split(" ± ")
    assert len(value.partition(".")[2]) == len(std.partition(".")[2])
    assert page.locator("#abilities li", has_text="nearest").count() == 0
    assert "items" not in page.locator("#about").inner_text()
    page.get_by_role("button", name="Fill in usual readings").click()
    assert json.loads(field.input_value()) == {"speed": 5, "turn": 0, "wheel": 100}
    page.get_by_label("Image", exact=True).set_input_files(RED)
    expect(page.locator("#advice")).to_have_text("Nothing speaks against relying on this")
    field.fill("{speed}")
    page.get_by_role("button", name="Ask").click()
    expect(page.get_by_role("alert")).to_contain_text("sensors")


def test_words_are_never_markup(visit: Open, site: str) -> None:
    page = visit(site)
    text = "<img src=x onerror=alert(1)> <b>red</b>"
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Ask").click()
    explained(page)
    page.get_by_label("What counts for").select_option("colour")
    assert page.locator("#where b, #where img").count() == 0
    hidden = page.locator(".words .sr").all_text_contents()
    shown = page.locator(".words").text_content() or ""
    for weight in hidden:
        shown = shown.replace(weight, "", 1)
    assert shown == text


SCHEMES: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"color_scheme": "light", **PHONE},
    "forced colours": {"forced_colors": "active"},
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_axe_finds_nothing(visit: Open, site: str, scheme: str) -> None:
    page = visit(site, expect=("415",), reduced_motion="reduce", **SCHEMES[scheme])
    axe = Axe()
    expect(page.locator("#examples")).to_be_visible()
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()
    page.get_by_label("Text", exact=True).fill("a red star")
    page.get_by_label("Image", exact=True).set_input_files(RED)
    explained(page)
    page.get_by_text("API key").first.click()
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()
    page.get_by_label("Model").select_option("speech 1")
    page.get_by_label("Recording", exact=True).set_input_files(
        {"name": "tone.wav", "mimeType": "audio/wav", "buffer": recording(0, 1, 0)}
    )
    answered(page)
    found = axe.run(page)
    assert found.violations_count == 0, found.generate_report()


def test_a_phone_scrolls_only_downwards(visit: Open, site: str) -> None:
    page = visit(site, **PHONE)
    page.get_by_label("Text", exact=True).fill("red " + "x" * 80)
    page.get_by_label("Image", exact=True).set_input_files(RED)
    explained(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = page.evaluate(
        """[...document.querySelectorAll("button, select, input:not(.drop *)")]
            .filter((one) => one.checkVisibility())
            .map((one) => [one.id || one.innerText, one.getBoundingClientRect().height])
            .filter(([, height]) => height < 18)"""
    )
    assert small == []


def test_it_is_dark_where_the_system_is_and_still_where_motion_is_unwanted(visit: Open, site: str) -> None:
    grounds = [
        visit(site, color_scheme=scheme).evaluate("getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    ]
    light, dark = (sum(map(int, re.findall(r"\d+", ground)[:3])) / 3 for ground in grounds)
    assert light > 200 > 60 > dark
    page = visit(site, reduced_motion="reduce")
    assert page.locator("#record .dot").evaluate("dot => getComputedStyle(dot).animationName") == "none"


def test_another_model_shows_other_fields(visit: Open, site: str) -> None:
    page = visit(site)
    expect(page.locator("#field-text")).to_be_visible()
    expect(page.locator("#field-audio")).to_be_hidden()
    page.get_by_label("Model").select_option("speech 1")
    expect(page.locator("#field-audio")).to_be_visible()
    expect(page.locator("#field-sensors")).to_be_hidden()
