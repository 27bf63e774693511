"""Arrow, told when it is loaded to take memory where Python takes it.

With an allocator of its own, it keeps what earlier bundles have given back. Its C++ side reads
the choice once, from the environment; processes that are started later are left with theirs.

What the service does with it leaves `pyarrow.compute` out, which takes 11 MB and 54 ms to load:
`take`, `cast` or `dictionary_encode` of an array would bring it in.
"""

import os
from typing import Any

_VARIABLE = "ARROW_DEFAULT_MEMORY_POOL"
_ours = _VARIABLE not in os.environ
if _ours:
    os.environ[_VARIABLE] = "system"

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402

if _ours:
    del os.environ[_VARIABLE]

__all__ = ["column", "dictionary", "pa"]


def column(numbers: Any, kind: Any = None) -> Any:
    """Give numbers as a pyarrow array over the same memory, where they lie side by side.

    Args:
        numbers: shape (n,), of integers or floats. (Arrow packs booleans, so none of these.)
        kind: a pyarrow type of as many bytes; None: that of the dtype.

    """
    numbers = np.ascontiguousarray(numbers)
    kind = kind or pa.from_numpy_dtype(numbers.dtype)
    # pa.array would load numpy.ma, to see whether some of them are masked
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])


def dictionary(texts: Any, rows: Any = None) -> Any:
    """Give texts as codes, int32, over a dictionary of those that differ, in order of coming.

    Args:
        texts: some strings.
        rows: how often each stands one after another; None: once.

    """
    codes: dict[str, int] = {}
    of = np.array([codes.setdefault(text, len(codes)) for text in texts], np.int32)
    of = of if rows is None else np.repeat(of, rows)
    return pa.DictionaryArray.from_arrays(column(of), pa.array(list(codes), pa.string()))
