"""How long ago, or since when: the option --since of commands."""

from datetime import UTC, datetime
from time import time_ns

from batching.errors import SettingError
from ingest.units import Duration


def since_ns(text: str) -> int:
    """Read a duration or a time; give nanoseconds UTC.

    Raises:
        SettingError: it is neither.

    """
    try:
        return time_ns() - Duration.read(text).ns
    except ValueError:
        pass
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise SettingError(
            f"--since {text}: expected a duration such as 2 h, or a time such as"
            " 2026-11-24T08:00 (UTC, unless it names another zone)"
        ) from None
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1e9)
