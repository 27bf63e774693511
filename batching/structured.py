"""structlog, loaded without the library that only its coloured tracebacks are drawn with.

We write JSON or plain lines. Loading rich and pygments for nothing takes 4 MB and 50 ms of each
process: longer than the rest of structlog by far.
"""

import sys

_UNUSED = "rich"
_loaded = sys.modules.get(_UNUSED)  # a command may have drawn a table
sys.modules[_UNUSED] = None  # type: ignore[assignment]  # so that loading it fails
try:
    import structlog
finally:
    if _loaded is None:
        del sys.modules[_UNUSED]
    else:
        sys.modules[_UNUSED] = _loaded

__all__ = ["structlog"]
