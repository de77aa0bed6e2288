"""What every test gets: its own TRADER_HOME, no settings from the caller's shell, real data.

Three tiers: `make quick` (nothing here starts a process, waits for one or takes a second),
`make test` (all but the long harnesses), `make trials` (everything). A test that tries many cases
takes `cases(n)` of `tests/tiers.py`: all n in `make trials`, a sixth in `make test`. A file whose
tests start processes says `pytestmark = pytest.mark.process`; in the quick tier a test that starts
one without it fails.
"""

import importlib
import itertools
import os
import signal
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.harness.compile import compile_all
from tests.tiers import TIER, cases

ROOT = Path(__file__).resolve().parent.parent
REAL_DATA = Path(os.environ.get("TRADER_REAL_DATA", ROOT.parent / "shared" / "data"))

QUICK = TIER == "quick"

# Threads of OpenMP wait in a loop for the next piece of work. Beside other workers the one they
# wait for does not run, and a fit of 3 ms took a second of every core.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A shell has what it starts in the background ignore Ctrl-C, and every process of that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "trader",
    max_examples=cases(200),
    deadline=None,  # machines differ; speed is measured by `make bench`
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    print_blob=True,
)
settings.load_profile("trader")


def pytest_addoption(parser):
    parser.addoption(
        "--golden-rewrite",
        action="store_true",
        help="write the golden files anew instead of comparing with them (`make golden`)",
    )


def pytest_sessionstart(session):
    """Compile a core that is new before workers start: all at once, they would all compile it,
    and the first tests that wait for it would run out of their time.

    A worker imports skops first: it looks through every module there is by then, 800 times.
    """
    if hasattr(session.config, "workerinput"):
        importlib.import_module("skops.io")
    elif getattr(session.config.option, "numprocesses", 0):
        compile_all()


@pytest.fixture(scope="session")
def homes(tmp_path_factory):
    """Folders for `trader_home`; `mktemp` for each would look through thousands to count on."""
    root = tmp_path_factory.mktemp("homes")
    return (root / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def trader_home(homes, monkeypatch):
    """A TRADER_HOME of the test's own, so that no test sees another's kills or runs."""
    home = next(homes)
    home.mkdir()
    for name in list(os.environ):
        if name.startswith(("TRADER__", "TRADER_DEBUG")) or name in ("NO_COLOR", "COLUMNS"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TRADER_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def real_data():
    """Folder of real market data; the test is skipped, visibly, where there is none."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real market data at {REAL_DATA}; TRADER_REAL_DATA names another place")
    return REAL_DATA


@pytest.fixture
def golden_rewrite(request):
    """Whether golden files are written anew instead of compared."""
    return request.config.getoption("--golden-rewrite")


@pytest.fixture(autouse=True)
def no_process_in_the_quick_tier(request, monkeypatch):
    """A test of the quick tier that starts a process fails: it belongs into another tier."""
    if not QUICK:
        return

    def refuse(*_args, **_named):
        pytest.fail("this test starts a process: mark it `process`", pytrace=True)

    monkeypatch.setattr(subprocess.Popen, "__init__", refuse)
    monkeypatch.setattr(os, "fork", refuse)
    monkeypatch.setattr(os, "posix_spawn", refuse)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 512 KiB of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("NOTICE: a full disk can only be tried as root, where tmpfs can be mounted")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
