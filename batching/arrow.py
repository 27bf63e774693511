"""Arrow, told when it is loaded to take memory where Python takes it.

With an allocator of its own, it keeps what earlier bundles have given back. Its C++ side reads
the choice once, from the environment; processes that are started later are left with theirs.
"""

import os

_VARIABLE = "ARROW_DEFAULT_MEMORY_POOL"
_ours = _VARIABLE not in os.environ
if _ours:
    os.environ[_VARIABLE] = "system"

import pyarrow as pa  # noqa: E402

if _ours:
    del os.environ[_VARIABLE]

__all__ = ["pa"]
