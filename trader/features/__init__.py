"""Features. The package is a function, too: `trader.features(config)` is `trader.api.features`.

Law: the name belongs to both, and which of them `trader.features` is must not depend on what was
imported before.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _Face(ModuleType):
    def __call__(self, *given: Any, **named: Any) -> Any:
        """The matrix as the model sees it: see `trader.api.features`."""
        return import_module("trader.api").features(*given, **named)


sys.modules[__name__].__class__ = _Face
