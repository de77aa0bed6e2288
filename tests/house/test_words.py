"""Names are the words every other project uses: no participles for classes, no coined modules."""

import ast
import functools
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "trader"

COINED_MODULES = {
    "lastwords", "killwords", "earlysignals", "narrate", "strangers", "points", "claim", "ready",
    "taking", "sayings", "utterances", "utils", "helpers", "common", "base", "manager",
}  # fmt: skip
COINED_NAMES = {"Asked", "Told", "Said", "Begun", "Opened", "Held", "Kept", "Found", "Made"}
# an ending of a participle; the nouns that have it by chance or by trade
ENDINGS = ("ed", "own", "ost", "een", "old", "eld", "egun", "pent", "iven", "aken", "one")
NOUNS = {
    "Feed",
    "AnyFeed",
    "LiveFeed",
    "ReplayFeed",
    "StdinFeed",
    "VenueFeed",
    "Seed",
    "Cost",
    "Screen",
}
NOUNS |= {"Threshold"}
FUNCTIONS = {"utils", "helpers", "do_it", "handle", "process_data"}


@functools.cache
def names():
    """Names of modules and folders, of classes and of functions of the package."""
    modules, classes, functions = set(), set(), set()
    for path in PACKAGE.rglob("*.py"):
        modules |= {path.stem, path.parent.name}
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                classes.add(node.name)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions.add(node.name)
    return modules, classes, functions


def is_participle(name):
    """Whether a class is called by what was done to it, and by nothing else: `Held`, `_Stored`."""
    bare = name.lstrip("_")
    words = sum(letter.isupper() for letter in bare)
    return bare in COINED_NAMES or (words == 1 and bare.endswith(ENDINGS) and bare not in NOUNS)


def test_no_module_has_a_coined_name():
    modules, _, _ = names()
    assert not COINED_MODULES & modules


def test_no_class_is_named_by_a_participle():
    _, classes, _ = names()
    assert {name for name in classes if is_participle(name)} == set()


def test_no_function_says_nothing():
    _, _, functions = names()
    assert not FUNCTIONS & functions


def test_the_rule_knows_a_participle_from_a_noun():
    wrong = {"Held", "_Begun", "Finished", "Seen", "Lost", "Opened"}
    right = {"LiveFeed", "BrokenRun", "StoredRun", "ResumeRequest", "Order", "Screen", "Feed"}
    assert {name for name in wrong | right if is_participle(name)} == wrong
