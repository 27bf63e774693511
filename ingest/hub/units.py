"""Durations and sizes as people write them: `1 d`, `90 s`, `64 MiB`, or plain numbers."""

import re

from batching.errors import SettingError

_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_BYTES = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


def seconds(setting: str, text: str) -> float:
    """Read a duration.

    Raises:
        SettingError: it is none; the message names the setting.

    """
    return _read(setting, text, _SECONDS, "a duration such as 90 s, 15 min, 12 h or 7 d")


def size_bytes(setting: str, text: str) -> int:
    """Read a size.

    Raises:
        SettingError: it is none; the message names the setting.

    """
    return int(_read(setting, text, _BYTES, "a size such as 500 MiB or 20 GiB"))


def _read(setting: str, text: str, units: dict[str, float] | dict[str, int], wanted: str) -> float:
    found = _QUANTITY.fullmatch(text.strip())
    if found is None or found[2] not in units or not float(found[1]):
        raise SettingError(f"{setting} must be {wanted}, got {text!r}")
    return float(found[1]) * units[found[2]]
