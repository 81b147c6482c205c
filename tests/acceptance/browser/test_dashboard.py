"""The dashboard as people use it, in a real browser."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from acceptance.browser.conftest import Site

HOSTILE = "<b>bold</b><script>alert(1)</script><img src=x onerror=alert(2)>"
CSV = "x,y,label\n" + "".join(f"{n}.5,{n % 7},{'ab'[n % 2]}\n" for n in range(200))


def _upload(page: Page, name: str, file: Path) -> None:
    page.get_by_role("link", name="Datasets").click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("File").set_input_files(file)
    page.get_by_role("button", name="Upload").click()
    page.wait_for_url(f"**/datasets/{name}/versions/1")
    expect(page.locator("h1 .state")).to_have_text("ready", timeout=20_000)


def test_from_an_upload_to_a_trained_model_watching_the_curve_grow(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text(CSV)
    _upload(page, "table", file)
    expect(page.locator("svg.histogram").first).to_be_visible()
    expect(page.locator("table.rows tbody tr")).to_have_count(20)

    page.get_by_role("link", name="Train on it").click()
    page.get_by_label("Model").fill("first")
    page.get_by_label("Algorithm").select_option("scripted")
    seconds = page.locator('[name="spec.params.seconds"]')
    seconds.wait_for()
    expect(page.get_by_label("Model")).to_have_value("first")
    page.get_by_label("Target").select_option("label")
    seconds.fill("soon")
    page.locator('[name="spec.params.points"]').fill("30")
    page.get_by_text("Run", exact=True).click()
    page.get_by_label("Name of the job").fill(HOSTILE)
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("alert")).to_contain_text("seconds")
    expect(seconds).to_have_attribute("aria-invalid", "true")
    seconds.fill("4")
    page.get_by_role("button", name="Submit").click()

    page.wait_for_url("**/jobs/job_*")
    expect(page.locator("h1")).to_contain_text(HOSTILE)
    expect(page.locator("h1 .state")).to_have_text("running")
    line = page.locator(".curve path.line").first
    line.wait_for()
    lengths = []
    for _ in range(3):
        lengths.append(len(line.get_attribute("d") or ""))
        time.sleep(0.8)
    assert lengths[0] < lengths[1] < lengths[2]
    assert 0 < float(page.locator("#progress").get_attribute("value") or 0) < 1
    expect(page.locator("#log")).to_contain_text("scripted learner begins")
    expect(page.locator("h1 .state")).to_have_text("succeeded")
    expect(page.locator(".curve")).to_have_count(2)
    points = re.findall("[ML]", page.locator(".curve path.line").first.get_attribute("d") or "")
    assert len(points) == 30

    page.get_by_role("link", name="first version 1").click()
    expect(page.locator("table.matrix tbody tr")).to_have_count(2)
    page.get_by_role("link", name="first", exact=True).click()
    page.get_by_role("button", name="Move").click()
    expect(page.locator(".tag", has_text="champion")).to_be_visible()
    page.get_by_role("link", name="Jobs").click()
    expect(page.get_by_role("link", name=HOSTILE)).to_be_visible()
    page.get_by_role("link", name="Headrace").click()
    expect(page.get_by_text("champion → 1")).to_be_visible()


def test_a_running_job_is_cancelled_and_done_again(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "again.csv"
    file.write_text(CSV)
    _upload(page, "again", file)
    page.goto("/jobs/new?dataset=again@1&algorithm=scripted")
    page.get_by_label("Model").fill("again")
    page.get_by_label("Target").select_option("label")
    page.locator('[name="spec.params.seconds"]').fill("600")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("h1 .state")).to_have_text("running")
    first = page.url
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("h1 .state")).to_have_text("cancelled")
    page.get_by_role("button", name="Retry").click()
    expect(page.locator("h1 .state")).to_have_text("running")
    assert page.url != first
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("h1 .state")).to_have_text("cancelled")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_follow_the_colours_of_the_system(chromium: Browser, site: Site, scheme: str) -> None:
    context = chromium.new_context(base_url=site.url, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto("/")
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / 3
    assert (brightness < 60) == (scheme == "dark")
    # The keyboard alone signs in: the field has the focus, and Enter sends the form.
    page.keyboard.type(site.key)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Overview")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("API key")).to_be_visible()
    context.close()
