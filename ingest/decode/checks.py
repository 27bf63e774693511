"""Whether a stream's description can be used: looked at before anything starts, so without NumPy.

Only the columns of raw rows need it, whose types are NumPy's.
"""

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from batching.errors import SettingError
from batching.model import DTYPES
from ingest.decode.spec import DecodeSpec, TimeSpec

FORMATS = ("json", "senml", "cbor", "npy", "raw")
MAX_CHANNELS = 1_000
SCALE_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}


def check(spec: DecodeSpec) -> None:
    """Make sure that a stream can be read as it says.

    Raises:
        SettingError: it contradicts itself, or names what is not known here.

    """
    if spec.format not in FORMATS:
        raise SettingError(
            f"decode.format: {spec.format!r} is not known, use one of {', '.join(FORMATS)}"
        )
    if spec.dtype not in DTYPES:
        raise SettingError(
            f"decode.dtype: {spec.dtype!r} is not known, use one of {', '.join(DTYPES)}"
        )
    if not 0 < len(spec.channels) <= MAX_CHANNELS:
        raise SettingError(f"decode.channels: name 1 to {MAX_CHANNELS} channels")
    if len({spec.time.field, *spec.channels}) <= len(spec.channels) or "" in spec.channels:
        raise SettingError("decode.channels: a name is empty, there twice, or the time field's")
    if spec.format == "raw" and spec.time.unit == "iso8601":
        raise SettingError("decode.time.unit: raw rows hold numbers, use ns, us, ms or s")
    for name in ("max_body_bytes", "max_samples", "max_decoded_bytes"):
        if getattr(spec, name) <= 0:
            raise SettingError(f"decode.{name}: must be above zero, got {getattr(spec, name)}")
    zone_of(spec.time)
    if spec.format == "raw":
        from ingest.decode.raw import layout  # noqa: PLC0415, see above

        layout(spec)


def zone_of(spec: TimeSpec) -> ZoneInfo | None:
    """Give the zone of local times in ISO 8601, if there is one.

    Raises:
        SettingError: unit or zone is not known.

    """
    if spec.unit != "iso8601":
        if spec.unit not in SCALE_NS:
            raise SettingError(
                f"decode.time.unit: {spec.unit!r} is not known, use ns, us, ms, s or iso8601"
            )
        return None
    try:
        return None if spec.zone is None else ZoneInfo(spec.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SettingError(
            f"decode.time.zone: {spec.zone!r} is no time zone of this machine, try Europe/Helsinki"
        ) from error
