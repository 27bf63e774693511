"""Which names an object may have: the same ones in a folder and in Azure, refused by both."""

import re

from batching.errors import CorruptObject

HIDDEN = ".headrace-"  # segments that begin so are the folder's own: temporary and lock files
_LONGEST, _LONGEST_SEGMENT = 1024, 255
_REFUSED = re.compile(r"[\x00-\x1f\x7f\\]")  # Azure takes a backslash for a slash


def check_name(name: str) -> str:
    """Give the name back if it is a relative path that means one thing in every store.

    Raises:
        CorruptObject: it is empty, absolute, too long, has an empty, `.` or `..` segment, a
            control character or a backslash. Names are made by `batching.names`, so one like
            this was read from an object that somebody else wrote.

    """
    segments = name.split("/")
    if (
        not all(_is_plain(segment) for segment in segments)
        or len(name) > _LONGEST
        or _REFUSED.search(name)
    ):
        raise CorruptObject(f"{name!r} cannot be the name of an object")
    return name


def check_prefix(prefix: str) -> str:
    """Give a prefix of names back: its last segment may be cut off or empty.

    Raises:
        CorruptObject: no name can begin so.

    """
    folder, slash, rest = prefix.rpartition("/")
    if slash:
        check_name(folder)
    if rest:
        check_name(rest + "x")  # `..` may be the beginning of `..x`
    return prefix


def _is_plain(segment: str) -> bool:
    if segment in ("", ".", "..") or segment.startswith(HIDDEN):
        return False
    return len(segment.encode()) <= _LONGEST_SEGMENT
