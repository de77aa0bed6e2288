"""The import rules of docs/architecture.md, enforced on the sources."""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "trader"
SIBLINGS = ("journal", "feeds", "features", "models", "safety", "report", "brokers")
LEVELS = {
    "errors": 0,
    "exact": 0,
    "cache_folders": 0,
    "codes": 0,
    "records": 0,
    "record_arrays": 0,
    "processes": 0,
    "jit": 0.4,
    "extremes": 0.5,
    "rounding": 0.5,
    "session_rows": 0.5,
    "core": 1,
    "config": 1,
    "books": 1.2,
    "moments": 1.2,
    "finer_bars": 1.2,
    "kept_files": 1.2,
    "tables": 1.3,
    "user_code": 1.5,
    "hours": 1.6,
    "engine": 3,
    "wiring": 4,
    "jobs": 5,
    "api": 5.5,
    "cli": 6,
    "__main__": 7,
}
LEVELS |= dict.fromkeys((*SIBLINGS, "risk"), 2)
CORE_LEAVES = {"sizing", "risk", "throttle", "execution"}
# what the leaves stand on
CORE_FLOOR = {"schema", "execution", "exposure", "book"}
CORE_FLOOR |= {"market", "rows"}
CORE_TOP = {"apply": 1}  # above everything else in the core
NOT_IN_CORE = {"pandas", "sklearn", "asyncio", "time", "datetime", "random", "logging"}
NOT_IN_CORE |= {"yaml", "rich", "typer"}
STDLIB = sys.stdlib_module_names


def imported(source: ast.AST, modules: set[str]) -> set[str]:
    """Full names of the modules that `source` imports, inside functions too."""
    names = set()
    for node in ast.walk(source):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= (whole & modules) or {node.module}
    return names


def broken_rules(package: Path) -> list[str]:
    """One line for each import in `package` that the architecture forbids."""
    paths = {
        ".".join(("trader", *path.relative_to(package).with_suffix("").parts)): path
        for path in package.rglob("*.py")
    }
    return [
        f"{name} imports {target}: {rule}"
        for name, path in sorted(paths.items())
        for target in sorted(imported(ast.parse(path.read_text("utf-8")), set(paths)))
        if (rule := broken_rule(name.split(".")[1:], target))
    ] + [
        f"{name} imports {target} at module level: only inside its functions"
        for name, path in sorted(paths.items())
        if name.startswith("trader.cli.")
        for target in sorted(imported(at_import(path), set(paths)))
        if not is_light(target)
    ]


def broken_rule(module: list[str], target: str) -> str | None:
    """The rule that an import of `target` in `module` breaks; None where it breaks none."""
    top, *rest = target.split(".")
    if module[0] in ("core", "extremes", "rounding", "session_rows", "codes", "records"):
        if top in NOT_IN_CORE or top == "numba":
            return "the core is pure"
        if top not in STDLIB | {"numpy", "numba", "trader"}:
            return "the core needs NumPy only"
    if module == ["safety", "latch"] and top not in STDLIB:
        return "the latch needs the standard library only"
    if top != "trader" or not rest or module == ["__init__"]:
        return None
    if rest[0] == "cli" and module[0] not in ("cli", "__main__"):
        return "nobody imports the command line"
    if rest[0] == module[0]:
        return broken_core_rule(module[1], rest[1]) if module[0] == "core" and rest[1:] else None
    if not {module[0], rest[0]} <= set(LEVELS):
        return "a new part of the package needs a level in this test and in the docs"
    if LEVELS[rest[0]] >= LEVELS[module[0]]:
        return "imports go downwards, and not between siblings"
    return None


def broken_core_rule(module: str, target: str) -> str | None:
    """The same between two modules of the core."""
    if {module, target} <= CORE_LEAVES - CORE_FLOOR:
        return "the leaves of the core do not see each other"
    if module in CORE_LEAVES and target not in CORE_FLOOR:
        return "a leaf of the core stands on its floor"
    if CORE_TOP.get(target, 0) > CORE_TOP.get(module, 0):
        return "apply → the rest of the core"
    return None


def at_import(path: Path) -> ast.Module:
    """The statements of a file that run when it is imported; `if TYPE_CHECKING` is left out."""
    body = ast.parse(path.read_text("utf-8")).body
    return ast.Module([node for node in body if isinstance(node, ast.Import | ast.ImportFrom)], [])


def is_light(target: str) -> bool:
    top, *rest = target.split(".")
    return top in STDLIB | {"typer"} or (top == "trader" and rest[:1] in ([], ["cli"], ["errors"]))


@pytest.fixture(scope="module")
def empty_package(tmp_path_factory):
    """Modules of the same names, and a new one, all of them empty: no rule is broken."""
    root = tmp_path_factory.mktemp("package")
    for path in (*PACKAGE.rglob("*.py"), PACKAGE / "alerts.py"):
        copy = root / path.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch()
    assert broken_rules(root) == []
    return root


@pytest.mark.long
def test_imports_go_downwards_only():
    assert broken_rules(PACKAGE) == []


@pytest.mark.parametrize(
    ("module", "statement", "rule"),
    [
        ("core/risk.py", "import pandas", "pure"),
        ("core/risk.py", "def f():\n    import time", "pure"),
        ("core/risk.py", "import numba", "pure"),
        ("rounding.py", "import numba", "pure"),
        ("core/risk.py", "import scipy", "NumPy only"),
        ("core/risk.py", "from trader.core import sizing", "leaves of the core"),
        ("core/sizing.py", "from trader.core.apply import on_slice", "stands on"),
        ("core/rows.py", "from trader.core.apply import on_slice", "apply → the rest"),
        ("core/apply.py", "from trader.engine import batch", "downwards"),
        ("core/rows.py", "from trader.config.load import load_config", "downwards"),
        ("feeds/bars.py", "from trader.models import model", "siblings"),
        ("feeds/bars.py", "from trader import wiring", "downwards"),
        ("errors.py", "import trader.core.schema", "downwards"),
        ("alerts.py", "from trader.errors import TraderError", "needs a level"),
        ("engine/loop.py", "from trader.wiring import build", "downwards"),
        ("wiring.py", "from trader.cli.console import log", "command line"),
        ("safety/latch.py", "import numpy", "standard library only"),
        ("safety/latch.py", "from trader.errors import KilledError", "standard library only"),
        ("cli/train.py", "import numpy", "inside its functions"),
        ("cli/train.py", "from trader.config.load import load_config", "inside its functions"),
    ],
)
def test_forbidden_import_is_found(empty_package, module, statement, rule):
    (empty_package / module).write_text(statement + "\n")
    try:
        found = broken_rules(empty_package)
    finally:
        (empty_package / module).write_text("")
    assert len(found) == 1, found
    assert rule in found[0]


@pytest.mark.parametrize(
    ("module", "statement"),
    [
        ("jit.py", "import numba"),
        ("core/risk.py", "from trader.core.schema import BAR"),
        ("feeds/bars.py", "from trader.config.schema import Config"),
        ("safety/latch.py", "import fcntl"),
        ("cli/train.py", "def command():\n    import numpy"),
    ],
)
def test_allowed_import_is_not_reported(tmp_path, module, statement):
    (tmp_path / module).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / module).write_text(statement + "\n")
    assert broken_rules(tmp_path) == []
