"""Packages that some tests need: looked for without being imported, since every worker collects
every module, and an exchange library costs a second to import."""

from importlib.util import find_spec

import pytest


def require(*names: str) -> None:
    """Skip the module that asks where one of these packages is not installed."""
    for name in names:
        if find_spec(name) is None:
            pytest.skip(f"{name} is not installed", allow_module_level=True)
