"""report.html in a real browser: nothing on its console, and what it draws is what there is."""

import shutil
from pathlib import Path

import pytest

import trader
from tests.report.axe import serious

webdriver = pytest.importorskip("selenium.webdriver")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ROOT = Path(__file__).resolve().parents[2]
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--window-size=1200,900",
)  # fmt: skip
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver here"),
]
READY = "return document.documentElement.dataset.ready === 'yes'"


@pytest.fixture(scope="module")
def run():
    config = {"feed.path": str(ROOT / "data" / "acme.csv")}
    return trader.backtest(ROOT / "configs" / "demo.yaml", set=config)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(300)
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, run, tmp_path):
    return opened(browser, run.report(tmp_path / "report.html"))


def opened(browser, path):
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(path.as_uri())
    WebDriverWait(browser, 300).until(lambda driver: driver.execute_script(READY))
    return browser


def rows(page, name):
    return page.execute_script(
        f"return [...document.querySelectorAll('#{name} tbody tr')]"
        ".map(r => [...r.cells].map(c => c.textContent))"
    )


def test_it_draws_all_there_is_and_says_nothing_on_the_console(page, run):
    found = page.execute_script("return [traderReport.bars, traderReport.fills]")
    assert found == [run.document["bars"], run.document["fills"]]
    assert page.get_log("browser") == []
    asked = [entry["message"] for entry in page.get_log("performance")]
    urls = [one for one in asked if 'Network.requestWillBeSent"' in one]
    assert not [one for one in urls if "http://" in one or "https://" in one]


def test_a_filter_and_a_sort_work(page, run):
    from selenium.webdriver.common.keys import Keys

    page.find_element("id", "trades-filter").send_keys("2024-03-05")
    shown = rows(page, "trades")
    entered = run.trades["entry_time"].dt.strftime("%Y-%m-%d")
    left = run.trades["exit_time"].dt.strftime("%Y-%m-%d")
    assert len(shown) == ((entered == "2024-03-05") | (left == "2024-03-05")).sum() > 0
    page.find_element("id", "trades-filter").send_keys(Keys.CONTROL, "a", Keys.BACKSPACE)
    page.execute_script(
        "[...document.querySelectorAll('#trades th button')]"
        ".find(b => b.textContent === 'P&L').click()"
    )
    pnl = [float(row[7].replace(",", "")) for row in rows(page, "trades")]
    assert pnl[0] == pytest.approx(run.trades["pnl"].min(), rel=1e-4)
    assert page.execute_script("return document.querySelector('#trades [aria-sort=ascending]')")


def test_keys_zoom_in_and_show_all_again(page):
    from selenium.webdriver.common.keys import Keys

    chart = page.find_element("id", "price-0")
    whole = page.execute_script("return traderReport.view()")
    chart.send_keys("+")
    closer = page.execute_script("return traderReport.view()")
    assert closer[1] - closer[0] < whole[1] - whole[0]
    chart.send_keys(Keys.HOME)
    assert page.execute_script("return traderReport.view()") == whole


def test_what_is_too_much_to_draw_is_thinned_within_its_kind(page):
    """Buys and sells take turns, so that every second mark would be of one side alone."""
    counts = page.execute_script(
        "const rows = Array.from({length: 30000}, (_, i) => ({x: i, y: 0, group: i % 2}));"
        "rows.push({x: 30000, y: 0, group: 2});"
        "const shown = marks('thinned', rows).prepare(0, 30000, 1000).shown;"
        "return [0, 1, 2].map(group => shown.filter(row => row.group === group).length)"
    )
    assert counts[2] == 1
    assert counts[0] == counts[1]
    assert 2_000 < sum(counts) <= 4_000


def test_a_loss_limit_far_below_all_days_leaves_the_days_in_sight(page):
    far, near = page.execute_script(
        "return [-5000, -50].map(value => level(value, '--halted', 'limit', [10, -20]).prepare())"
    )
    assert far["far"]
    assert near == {"low": -50, "high": 0}


@pytest.fixture
def dark(browser):
    scheme = {"name": "prefers-color-scheme", "value": "dark"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    yield
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_axe_finds_nothing_serious_in_light(page):
    assert serious(page, "2024-03-05") == []


def test_axe_finds_nothing_serious_in_dark(dark, page):
    assert page.execute_script("return matchMedia('(prefers-color-scheme: dark)').matches")
    assert serious(page, "2024-03-05") == []


def test_nothing_is_wider_than_a_narrow_window(browser, page):
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= 390
        drawn = page.execute_script("return traderReport.drawn")
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert drawn["equity"] > 0


def test_the_page_of_a_sweep_sorts_and_says_nothing_on_the_console(browser, tmp_path):
    grid = {"features.sma_fast.period": [5, 10, 15], "features.sma_slow.period": [30, 40]}
    config = {"feed.path": str(ROOT / "data" / "acme.csv")}
    trader.sweep(ROOT / "configs" / "demo.yaml", grid, set=config, save=tmp_path)
    (path,) = tmp_path.glob("*/report.html")
    browser.get_log("browser")
    page = opened(browser, path)
    page.execute_script(
        "[...document.querySelectorAll('#all-trials th button')]"
        ".find(b => b.textContent === 'sma_fast.period').click()"
    )
    assert [row[1] for row in rows(page, "all-trials")] == ["5", "5", "10", "10", "15", "15"]
    assert len(page.find_elements("css selector", ".heat td.best")) == 1
    assert page.get_log("browser") == []
    assert serious(page, "done") == []
