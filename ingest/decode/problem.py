"""Why an event cannot be used: a reason from a closed set, and a sentence for a person."""

from enum import StrEnum


class Reason(StrEnum):
    """Why an event became a dead letter; the store and the metric's label share it."""

    EMPTY_BODY = "empty_body"
    TOO_LARGE = "too_large"
    BAD_ENCODING = "bad_encoding"  # gzip cut off or broken, or an encoding that we do not know
    UNKNOWN_CONTENT_TYPE = "unknown_content_type"
    BAD_JSON = "bad_json"
    BAD_SENML = "bad_senml"
    BAD_CBOR = "bad_cbor"
    BAD_NPY = "bad_npy"
    BAD_RAW = "bad_raw"
    BAD_SHAPE = "bad_shape"  # well-formed, but its columns do not fit each other or the stream
    BAD_TIME = "bad_time"
    BAD_VALUE = "bad_value"
    NO_SAMPLES = "no_samples"
    NO_SENSOR = "no_sensor"
    BAD_SENSOR = "bad_sensor"
    NO_STREAM = "no_stream"
    INTERNAL = "internal"  # a fault of ours


class Unusable(Exception):
    """An event must be set aside as a dead letter, with `reason` and `detail`."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
