"""The one place that knows Numba: functions compile, or stay plain Python where it is absent.

Law: `@jit` marks what Python calls, `@inlined` all the rest. The three ways to run the core
(compiled, `NUMBA_DISABLE_JIT=1`, Numba absent) execute the same Python source. Nothing here may
change a result: no fastmath, no parallel, no contraction.

Numba's own cache notices an edit in the file of a function, but not in the files of the functions
it calls, and would go on running the old rule: so every source of the core names the cache folder.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from trader.cache_folders import source_hash, writable_folder

Function = TypeVar("Function", bound=Callable[..., Any])

try:
    import numba
    from numba.extending import register_jitable
except ImportError:  # the same source then runs interpreted: slower, and equal to the last bit
    numba = None

COMPILED = numba is not None and not numba.config.DISABLE_JIT


def _linear_algebra_when_asked() -> None:
    """Keep Numba from importing `scipy.linalg` (0.3 s) for a core that multiplies no matrix.

    Numba asks "is there a BLAS?" by an import when it loads its array functions. Here that first
    question is answered without; code that does use `np.dot` makes the real check when it compiles.
    """
    try:
        from numba.np import linalg

        really = linalg.ensure_blas
    except (ImportError, AttributeError):  # another version: slower, and nothing else
        return

    def ensure_blas() -> None:
        array_functions = sys.modules.get("numba.np.arraymath")
        if hasattr(array_functions, "_HAVE_BLAS"):
            really()

    linalg.ensure_blas = ensure_blas


INNER: set[Any] = set()  # functions that are compiled into their callers, and never on their own
TRIED = {(0, 68)}  # the Numba versions that `_no_code_of_inner_functions` was seen to fit


def _no_code_of_inner_functions() -> None:
    """Keep Numba from optimising and assembling each inner function before it does its caller.

    What is nested five deep is then optimised once, in the entry, and not five times: a third
    less time to compile, and code as fast. The library of an inner function is only linked into
    others.
    """
    try:
        from numba.core import codegen, typed_passes

        version = tuple(int(part) for part in numba.__version__.split(".")[:2])
        if version not in TRIED:
            return  # slower to compile, and nothing else
        library, lowering = codegen.JITCodeLibrary, typed_passes.NativeLowering
        set_env, lower = codegen.JITCPUCodegen.set_env, lowering.run_pass
    except (ImportError, AttributeError, ValueError):
        return

    class InnerLibrary(library):  # type: ignore[misc, valid-type]
        """A library that is ready to be linked, without machine code."""

        def _optimize_final_module(self) -> None: ...

        def _finalize_final_module(self) -> None:
            self._finalize_dynamic_globals()
            self._verify_declare_only_symbols()
            self._finalized = True

        def get_pointer_to_function(self, name: str) -> int:
            self._ensure_finalized()
            return 0

    def set_env_if_known(generator: Any, name: str, env: Any) -> None:
        if generator._engine.get_global_value_address(name):  # an inner function has none yet
            set_env(generator, name, env)

    def run_pass(self: Any, state: Any) -> Any:
        if state.library is None and state.func_id.func in INNER:
            name = state.func_id.func_qualname
            state.library = InnerLibrary(state.targetctx.codegen(), name)
            state.library.enable_object_caching()
        return lower(self, state)

    codegen.JITCPUCodegen.set_env = set_env_if_known
    lowering.run_pass = run_pass


if COMPILED:
    _linear_algebra_when_asked()
    _no_code_of_inner_functions()


HERE = Path(__file__).parent
SOURCES = (
    *sorted((HERE / "core").glob("*.py")),
    *map(
        HERE.joinpath,
        (
            "codes.py",
            "extremes.py",
            "jit.py",
            "records.py",
            "rounding.py",
            "session_rows.py",
            "engine/quiet.py",
            "engine/stretch.py",
            "engine/trial.py",
        ),
    ),
)
CACHE_FOLDER = writable_folder(f"numba-{source_hash(SOURCES)}") if COMPILED else None
if CACHE_FOLDER is not None:
    numba.config.CACHE_DIR = str(CACHE_FOLDER)


# Compiled code allocates no arrays: callers own every buffer. That lets reference counting be
# left out, which otherwise costs an atomic per array and call (1,700 ns a bar instead of 40).
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}


def jit(function: Function) -> Function:
    """An entry: `function` compiled on first call from Python, and kept on disk."""
    if not COMPILED:
        return function
    entry = numba.njit(cache=CACHE_FOLDER is not None, **OPTIONS)(function)
    _load_without_registries(entry)
    return entry


def _load_without_registries(entry: Any) -> None:
    """Keep Numba from loading its registries of types and functions (0.2 s) to load compiled code.

    It needs them to compile, and asks for them itself before it does; code from disk runs without.
    """
    cache: Any = getattr(entry, "_cache", None)
    try:
        cache.load_overload = cache._load_overload
    except AttributeError:  # no cache, or another version: slower, and nothing else
        return


def inlined(function: Function) -> Function:
    """An inner function: inlined into compiled callers, plain Python when Python calls it.

    A call that is not inlined passes some 150 words of arrays; a wrapper for Python that nobody
    calls doubles the time to compile.
    """
    if not COMPILED:
        return function
    INNER.add(function)
    options = OPTIONS | {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return register_jitable(**options)(function)


def outlined(function: Function) -> Function:
    """An inner function that is rarely called: compiled once, not into each of its callers.

    For what most bars never reach: a call costs tens of nanoseconds, a copy of it in every
    caller costs seconds of compiling.
    """
    if not COMPILED:
        return function
    INNER.add(function)
    options = OPTIONS | {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return register_jitable(**options)(function)


def needs_compiling(module: str = "compiled_loop") -> bool:
    """Whether a module (`apply` for paper) will be compiled rather than loaded from disk."""
    return COMPILED and (CACHE_FOLDER is None or not any(CACHE_FOLDER.rglob(f"{module}.*.nbi")))
