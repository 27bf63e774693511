"""An event's headers as text, and the values that classification saw, back from that text.

Patterns look at a header's text; a sensor's name may be text, a whole number or a UUID, and
nothing else. So text alone is not enough to classify an event again as it was: `true`, 2.5
and an empty value must not come back as text. Their types are kept beside it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple
from uuid import UUID

from batching.chunk import CUT

MAX_HEADER = 65_536
_TEXT = (str, UUID)  # the same to classification as their text


class Spelled(NamedTuple):
    """Headers as text by name, and the types of those that were no text."""

    texts: dict[str, str]
    types: dict[str, str]


class Odd:
    """A value of a kind that nobody can match or name a sensor by; its text is what it was."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


def spell_all(headers: Mapping[str, Any]) -> Spelled:
    """Spell all headers of one kind; what is longer than 65,536 characters is cut."""
    spelled = Spelled({}, {})
    for name, value in headers.items():
        text, key = spell(value), clean(name)
        spelled.texts[key] = text[:MAX_HEADER]
        if len(text) > MAX_HEADER:
            spelled.types[key] = CUT
        elif not _is_text(value):
            spelled.types[key] = type(value).__name__
    return spelled


def spell(value: Any) -> str:
    """Spell a header's value as text: true, 5, 2.5, or what the sender wrote."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode(errors="replace")
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return "" if value is None else clean(str(value))
    except Exception:  # noqa: BLE001, a value of the SDK's that cannot be spelled
        return f"({type(value).__name__})"


def _is_text(value: Any) -> bool:
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError:
            return False
    return isinstance(value, _TEXT)


def values_of(spelled: Spelled) -> dict[str, Any]:
    """Give values that classification takes as it took those that were spelled."""
    texts, types = spelled
    return {name: _value(text, types.get(name)) for name, text in texts.items()}


def _value(text: str, kind: str | None) -> Any:
    if kind is None:
        return text
    if kind == "NoneType":
        return None
    if kind == "bool":
        return text == "true"
    try:
        return {"int": int, "float": float}.get(kind, Odd)(text)
    except ValueError:
        return Odd(text)


def clean(text: str) -> str:
    """Replace halves of characters, which no UTF-8 can hold."""
    return text if text.isascii() else text.encode(errors="replace").decode()
