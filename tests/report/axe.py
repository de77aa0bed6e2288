"""axe-core, out of a wheel that carries it; nothing is fetched by a test.

It is in no extra, because that would pull in Playwright, of which nothing else is wanted:
`pip install --no-deps axe-playwright-python`.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest

SERIOUS = ("serious", "critical")
RUN = """
const done = arguments[0];
axe.run(document, {resultTypes: ['violations'], preload: false}).then(
  found => done(found.violations.map(v => [v.id, v.impact, v.nodes[0].target.join(' ')])),
  error => done(String(error)));
"""
FEW_ROWS = """
document.querySelectorAll('input[type=search]').forEach(field => {
  field.value = arguments[0]; field.dispatchEvent(new Event('input')); });
"""


def serious(driver, words):
    """What axe finds serious on the page, its tables filtered to the rows with `words`."""
    found = find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("axe-playwright-python is not installed: it carries axe-core")
    driver.execute_script(FEW_ROWS, words)
    driver.execute_script((Path(found.origin).parent / "axe.min.js").read_text("utf-8"))
    violations = driver.execute_async_script(RUN)
    assert isinstance(violations, list), violations
    return [one for one in violations if one[1] in SERIOUS]
