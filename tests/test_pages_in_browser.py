"""The report and the live page as a browser has them: of a real run, while it trains and after it.

AVTD3_SCREENSHOTS=docs takes the documentation's pictures, of the report of AVTD3_SCREENSHOTS_RUN where that is given.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from browser import Opened, chromium, needs_chromium

from avtd3_jax.report.__main__ import main as report
from envloop.free_ports import free_ports

pytestmark = needs_chromium
ROOT = Path(__file__).parents[1]
STEPS = 260
SETTINGS = {
    "total_steps": 100_000,
    "exploration_steps": STEPS // 3,
    "batch_size": 8,
    "log_every": STEPS // 26,
    "eval_every": STEPS // 4,
    "eval_episodes": 2,
    "scenario": "0",
    "checkpoint_every": 0,
    "replay.capacity": 20_000,
    "replay.prefetch": 2,
    "monitor.pictures_per_s": 4.0,
}


class LiveRun:
    """A training with a live page."""

    def __init__(self, workdir: Path) -> None:
        self.workdir, self.port = workdir, free_ports()
        options = [f"--config.{key}={value}" for key, value in {**SETTINGS, "monitor.port": self.port}.items()]
        command = [sys.executable, "-m", "avtd3_jax.train", "--config", "configs/town01.py", "--workdir", str(workdir)]
        self.log = (workdir.parent / "log.txt").open("w+")
        self.process = subprocess.Popen([*command, *options], cwd=ROOT, stdout=self.log, stderr=self.log)
        self.url = f"http://127.0.0.1:{self.port}/"

    def state(self) -> dict:
        with urllib.request.urlopen(f"{self.url}state.json", timeout=10) as answer:
            return json.load(answer)

    def wait_for(self, reached, patience_s: float = 240.0) -> dict:
        """The first state that `reached` is true of."""
        deadline, state = time.monotonic() + patience_s, {}
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.workdir.parent / "log.txt").read_text()
            try:
                if reached(state := self.state()):
                    return state
            except OSError:
                pass  # not there yet, or late
            time.sleep(0.2)
        raise AssertionError(f"not reached in {patience_s:g} s: {state}")

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(120)
        self.log.close()
        return code


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    run = LiveRun(tmp_path_factory.mktemp("pages") / "town01 among 20 cars, 2026-11-28-12-00-00")
    yield run
    run.stop()


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def live_page(live, browser):
    live.wait_for(lambda state: state["step"] >= STEPS and state["failures"] and state["events"])
    opened = Opened(browser, live.url)
    opened.page.wait_for_selector("#curves .plot .main-svg")
    opened.page.wait_for_selector("#phases .main-svg")
    yield opened
    opened.page.close()


@pytest.fixture(scope="module")
def report_file(live) -> Path:
    """The run's report, once the run has ended; the tests of the live page come first."""
    live.wait_for(lambda state: state["step"] >= STEPS and state["events"])
    assert live.stop() == 130
    assert report([str(live.workdir)]) == 0
    return live.workdir / "report.html"


@pytest.fixture(scope="module")
def opened(report_file, browser):
    made = Opened(browser, report_file.as_uri())
    yield made
    made.page.close()


def test_the_live_page_shows_the_run_as_it_goes(live, live_page):
    page = live_page.page
    assert "town01 among" in page.title()
    assert "minicarla" in page.inner_text("#about")
    picture = "#environments article img"
    before = page.get_attribute(picture, "src")
    page.wait_for_selector(f"{picture}:not([src='{before}'])", state="attached")
    # One that is not replaced while it is decoded.
    shown = (
        "image => { const still = new Image(); still.src = image.src; return still.decode().then(() => still.width) }"
    )
    assert page.eval_on_selector(picture, shown) == 600
    assert min(live_page.points("#curves .plot")) >= 1
    assert max(live_page.points("#curves .plot")) >= 5
    phases = page.eval_on_selector("#phases", "plot => plot.data[0].y")
    assert {"env step", "dispatch update", "act"} <= set(phases)
    assert live_page.each("#gauges dt", "one.textContent") == ["replay", "batches made ahead"]
    assert "evaluation at step" in page.inner_text("#events")
    assert page.locator("#failures article").count() >= 1
    widths = live_page.each("#failures article img", "one.naturalWidth")
    assert widths
    assert set(widths) <= {0, 600}, "0 for one that is under way"
    assert live_page.complaints == []
    assert all(url.startswith((live.url, "data:")) for url in live_page.requests)
    live_page.screenshot("live.webp")


def test_the_live_page_is_read_on_a_telephone(live, browser, live_page):
    narrow = Opened(browser, live.url, width=400)
    narrow.page.wait_for_selector("#phases .main-svg")
    assert narrow.overflow() <= 0
    assert narrow.complaints == []
    narrow.page.close()


def test_a_hidden_page_asks_for_nothing(live, browser, live_page):
    hidden = Opened(browser, live.url)
    hidden.page.wait_for_selector("#phases .main-svg")
    hidden.page.evaluate("Object.defineProperty(document, 'hidden', { value: true })")
    asked, deadline = -1, time.monotonic() + 60.0
    while asked != len(hidden.requests):  # some are under way
        assert time.monotonic() < deadline
        asked = len(hidden.requests)
        hidden.page.wait_for_timeout(3000)
    hidden.page.close()


def test_a_page_whose_run_has_ended_says_so(live_page, report_file):
    live_page.page.wait_for_selector("#alert:not([hidden])")
    assert "does not answer" in live_page.page.inner_text("#alert")


def test_the_report_opens_from_disk_alone(opened, report_file):
    opened.page.wait_for_selector(".curve .main-svg")
    assert report_file.stat().st_size < 15e6
    assert [url for url in opened.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert opened.complaints == []
    about = opened.page.inner_text("#about")
    assert "minicarla" in about
    assert "cores" in about
    assert "not recorded" not in about
    settings = opened.page.inner_text("#settings")
    assert "exploration_steps" in settings
    assert "agent.gamma" not in settings, "only what differs from the defaults"


def test_a_run_that_has_only_begun_has_a_report_without_empty_frames(report_file, browser, tmp_path):
    run = tmp_path / "begun <b>&"
    run.mkdir()
    (run / "config.json").write_bytes((report_file.parent / "config.json").read_bytes())
    assert report([str(run)]) == 0
    begun = Opened(browser, (run / "report.html").as_uri())
    assert begun.page.inner_text("#about thead").strip() == "begun <b>&"
    assert "no evaluations yet" in begun.page.inner_text("#evaluations")
    assert begun.page.locator("#evaluations .panel:visible, #evaluations select:visible").count() == 0
    assert begun.complaints == []
    begun.page.close()


def test_every_plot_of_the_report_has_points(opened):
    page = opened.page
    for i in range(page.locator(".curve").count()):
        page.locator(".curve").nth(i).scroll_into_view_if_needed()
    page.wait_for_function("[...document.querySelectorAll('.curve')].every((plot) => plot.data)")
    titles = page.eval_on_selector_all("figure h3", "all => all.map((one) => one.textContent)")
    assert {"Success", "Return", "progress", "Critic loss", "Gradient norm, encoder", "env_step"} <= set(titles)
    assert min(opened.points(".curve")) >= 1
    assert opened.complaints == []


def test_curves_are_drawn_against_steps_or_hours(opened):
    page = opened.page
    figure = page.locator(".curve[aria-label^='Environment steps']")
    figure.scroll_into_view_if_needed()
    page.wait_for_selector(".curve .main-svg")
    steps = figure.evaluate("plot => plot.data[0].x.at(-1)")
    page.click("#by-hours")
    hours = figure.evaluate("plot => plot.data[0].x.at(-1)")
    assert steps >= STEPS // 2
    assert 0.0 < hours < 3.0
    assert page.get_attribute("#by-hours", "aria-pressed") == "true"
    page.click("#by-steps")
    assert figure.evaluate("plot => plot.data[0].x.at(-1)") == steps


def test_every_evaluation_has_its_tracks_on_the_map(opened, live):
    page = opened.page
    files = list((live.workdir / "evaluations").glob("*.json"))
    options = page.eval_on_selector_all("#evaluation option", "all => all.map((one) => one.value)")
    assert len(options) == len(files) > 0
    for option in options:
        page.select_option("#evaluation", option)
        (traces,) = opened.each("#map", "one.data.map((trace) => [trace.name, trace.x.length])")
        assert traces[0][0] == "roads"
        assert traces[0][1] > 100
        assert len(traces) == 1 + SETTINGS["eval_episodes"]
        assert page.locator("#episodes tbody tr").count() == SETTINGS["eval_episodes"]
        assert page.locator("#summary tr").count() >= 5
    page.locator("#evaluations").scroll_into_view_if_needed()
    heading = page.locator("#episodes th button", has_text="completed")
    heading.click()
    shown = opened.each("#episodes tbody td:nth-child(4)", "parseFloat(one.textContent)")
    assert shown == sorted(shown)
    heading.click()
    shown = opened.each("#episodes tbody td:nth-child(4)", "parseFloat(one.textContent)")
    assert shown == sorted(shown, reverse=True)


def test_several_towns_stand_apart_each_with_its_name(opened):
    """Two towns with the same coordinates: one is moved, with what was driven there."""
    second = """
      const first = data.evaluations[0].episodes;
      data.maps.second = { ...data.maps[first[0].map], town: "Carla/Maps/Second" };
      const episodes = [first[0], { ...first[0], number: 1, map: "second" }];
      data.evaluations.push({ ...data.evaluations[0], episodes });
      showEvaluation(data.evaluations.length - 1);
    """
    opened.page.evaluate(f"() => {{ {second} }}")
    (names,) = opened.each("#map", "one.layout.annotations.map((note) => note.text)")
    assert names == ["Town01", "Second"]
    (starts,) = opened.each("#map", "one.data.slice(-2).map((trace) => trace.x[0])")
    (widths,) = opened.each(
        "#map",
        "one.data.slice(0, 2).map((roads) => Math.max(...roads.x) - Math.min(...roads.x.filter((x) => x !== null)))",
    )
    assert starts[1] - starts[0] > widths[0] == pytest.approx(widths[1])
    opened.page.evaluate("data.evaluations.pop(); delete data.maps.second; showEvaluation(0)")


def test_filters_filter_and_the_order_orders(opened):
    page = opened.page
    failures = page.evaluate("data.failures.map((one) => [one.reason, one.route, one.density, one.completion])")
    assert len(failures) >= 2
    cards = page.locator("#gallery article")
    assert cards.count() == min(24, len(failures))
    for reason in {failure[0] for failure in failures}:
        page.select_option("#filter-reason", reason)
        tags = page.eval_on_selector_all("#gallery .tag", "all => all.map((one) => one.textContent)")
        assert set(tags) == {reason.replace("_", " ")}
        count = sum(failure[0] == reason for failure in failures)
        assert page.inner_text("#failure-count").startswith(f"{count} of {len(failures)} ")
    page.select_option("#filter-reason", "")
    for name in ("density", "route"):
        values = page.eval_on_selector_all(f"#filter-{name} option", "all => all.map((one) => one.value)")
        assert len(values) == 2, "all, and the only one of this run"
    for order in ("completion", "reason", "route", "density"):
        page.select_option("#order", order)
        shown = page.eval_on_selector_all("#gallery article", f"all => all.map((one) => one.failure.{order})")
        assert len(shown) == len(failures[:24])
        assert shown == sorted(shown)
    page.select_option("#order", "newest")


def test_clips_play_and_can_be_wound_by_keyboard(opened):
    page = opened.page
    card = page.locator("#gallery article.film").first
    card.scroll_into_view_if_needed()
    film, play, slider = card.locator("video"), card.locator(".player button"), card.locator("input[type=range]")
    film.wait_for()
    page.wait_for_function("document.querySelector('#gallery video').readyState >= 2")
    assert film.evaluate("film => [film.videoWidth, film.videoHeight, film.error]") == [600, 216, None]
    duration = film.evaluate("film => film.duration")
    last = int(slider.get_attribute("max"))
    assert duration == pytest.approx((last + 1) / 10.0, abs=0.15)
    play.press("Enter")
    page.wait_for_function("document.querySelector('#gallery video').currentTime > 0.3")
    assert {"km/h,", "steer"} <= set(card.locator(".readout").inner_text().split())
    page.wait_for_function("document.querySelector('#gallery video').ended", timeout=120_000)
    page.wait_for_function("document.querySelector('#gallery article.film .player button').innerText === 'Play'")
    slider.focus()
    slider.press("End")
    assert card.locator(".readout").inner_text().startswith(("0.0 s:", "-0.0 s:"))
    slider.press("Home")
    slider.press("ArrowRight")
    assert slider.input_value() == "1"
    assert film.evaluate("film => film.currentTime") == pytest.approx(0.15, abs=0.06)
    assert min(opened.points("#gallery article.film .plot")[:3]) == last + 1
    assert opened.complaints == []


@pytest.mark.skipif("AVTD3_SCREENSHOTS" not in os.environ, reason="takes pictures where AVTD3_SCREENSHOTS says")
def test_the_pictures_of_the_documentation(tmp_path, live, report_file, browser):
    run = os.environ.get("AVTD3_SCREENSHOTS_RUN", str(live.workdir))
    assert report([run, "--out", str(tmp_path / "shown.html")]) == 0
    shown = Opened(browser, (tmp_path / "shown.html").as_uri())
    for section in ("evaluations", "failures"):
        shown.page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
        shown.page.wait_for_timeout(3000)
        shown.page.evaluate(f"document.getElementById('{section}').scrollIntoView()")  # what was drawn has moved it
        shown.page.wait_for_timeout(1000)
        shown.screenshot(f"report-{section}.webp")
    assert shown.complaints == []
    shown.page.close()


def test_the_report_is_read_on_a_telephone_and_by_keyboard(report_file, browser):
    narrow = Opened(browser, report_file.as_uri(), width=400)
    page = narrow.page
    page.locator(".curve").first.scroll_into_view_if_needed()
    page.wait_for_selector(".curve .main-svg")
    page.locator("#gallery article").first.scroll_into_view_if_needed()
    page.wait_for_selector("#gallery video")
    assert narrow.overflow() <= 0
    sizes = narrow.each("p, td, th, dd, button, select", "parseFloat(getComputedStyle(one).fontSize)")
    assert min(sizes) >= 12.0
    page.evaluate("window.scrollTo(0, 0); document.activeElement.blur()")
    reached = []
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
        if page.evaluate("document.activeElement.matches('#gallery input')"):
            break
    assert reached[0] == "skip"
    assert {"by-steps", "by-hours", "evaluation", "filter-reason", "order"} <= set(reached)
    assert page.evaluate("document.activeElement.matches('#gallery input')"), "Tab comes to a film's slider"
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "what has the focus is seen"
    page.close()


# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}  # fmt: skip


def lab(colour: str, sight) -> np.ndarray:
    """CIE L*a*b* (D65) of "#rrggbb" as it is seen."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(sight) @ linear, 0.0, 1.0)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    share = to_xyz @ seen / [0.9505, 1.0, 1.089]
    f = np.where(share > 216 / 24389, np.cbrt(share), (24389 / 27 * share + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_outcomes_are_told_apart_by_the_colour_blind_and_without_colours(opened):
    styles = opened.page.evaluate("[...Object.values(data.outcomes), data.other]")
    assert len(styles) == 6
    for name in ("dash", "marker"):
        assert len({style[name] for style in styles}) == len(styles)
    for sight in BLINDNESS.values():
        seen = [lab(style["colour"], sight) for style in styles]
        nearest = min(np.linalg.norm(one - other) for one, other in itertools.combinations(seen, 2))
        assert nearest > 10.0, "a just noticeable difference is about 2.3"
