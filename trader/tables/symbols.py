"""A column of names as codes.

Law: an empty cell is the name ""; a name is kept as written.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass
class SymbolColumn:
    """A symbol per row: `names[code]`."""

    names: list[str]
    codes: np.ndarray  # i4


def symbol_column(column: "pa.ChunkedArray") -> SymbolColumn:
    """A column of names: texts, or what can be written as one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from trader.tables.typed_columns import decoded

    if not pa.types.is_dictionary(column.type) or column.type.value_type != pa.string():
        column = pc.dictionary_encode(decoded(column).cast(pa.string()))
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0)
    names = [str(name) for name in whole.dictionary.to_pylist()]
    codes = whole.indices.fill_null(len(names)).to_numpy().astype(np.int32)
    return SymbolColumn([*names, ""], codes)
