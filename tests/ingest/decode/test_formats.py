import io
import json

import cbor2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching.errors import SettingError
from ingest.decode.formats import Reader, media_type
from ingest.decode.problem import Reason, Unusable
from ingest.decode.spec import DecodeSpec, TimeSpec
from tests.ingest.decode.given import only, problem, spec

DOCUMENT = {"t": 1, "x": 2, "y": 3}
EXPECTED = [1], [[2, 3]]
JSON, CBOR = json.dumps(DOCUMENT).encode(), cbor2.dumps(DOCUMENT)
PACK = [{"bt": 2_000_000_000, "n": "x", "v": 2}, {"n": "y", "v": 3}]
PACKED = [2 * 10**18], [[2, 3]]


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([[1, 2, 3]], float))
    return file.getvalue()


@pytest.mark.parametrize("media", ["", "application/octet-stream", "text/plain"])
def test_a_content_type_that_says_nothing_leaves_the_streams_format(media) -> None:
    assert only(spec("json"), JSON, media) == EXPECTED
    assert only(spec("cbor"), CBOR, media) == EXPECTED
    assert only(spec("npy"), npy(), media) == EXPECTED
    assert only(spec("senml"), json.dumps(PACK).encode(), media) == PACKED
    assert only(spec("senml"), cbor2.dumps(PACK), media) == PACKED


@pytest.mark.parametrize("form", ["json", "cbor", "npy", "senml"])
def test_a_content_type_of_ours_is_believed(form) -> None:
    assert only(spec(form), npy(), "application/x-npy") == EXPECTED
    assert only(spec(form), cbor2.dumps(PACK), "application/senml+cbor") == PACKED
    assert only(spec(form), json.dumps(PACK).encode(), "application/senml+json") == PACKED
    if form != "senml":
        assert only(spec(form), JSON, "application/json") == EXPECTED
        assert only(spec(form), JSON, "application/vnd.plant7+json") == EXPECTED
        assert only(spec(form), CBOR, "application/cbor") == EXPECTED


def test_senml_may_be_labelled_as_what_it_is_written_in() -> None:
    assert only(spec("senml"), json.dumps(PACK).encode(), "application/json") == PACKED
    assert only(spec("senml"), cbor2.dumps(PACK), "application/cbor") == PACKED


def test_an_unknown_content_type_is_named_only_if_the_streams_format_fails() -> None:
    assert only(spec("json"), JSON, "image/png") == EXPECTED
    with pytest.raises(Unusable, match=r"image/png.*no JSON") as caught:
        only(spec("json"), b"\x89PNG", "image/png")
    assert caught.value.reason is Reason.UNKNOWN_CONTENT_TYPE
    assert problem(spec("json"), b"\x89PNG") is Reason.BAD_JSON


def test_parameters_and_case_of_a_content_type_do_not_count() -> None:
    assert media_type(" Application/JSON ; charset=utf-8") == "application/json"


@given(st.binary(max_size=60), st.sampled_from(["", "gzip"]))
def test_any_bytes_are_samples_or_a_reason(body, encoding) -> None:
    for form in ("json", "cbor", "npy", "senml"):
        assert problem(spec(form), body, encoding=encoding) in {None, *Reason} - {Reason.INTERNAL}


@pytest.mark.parametrize(
    ("decode", "message"),
    [
        (spec("xml"), "format"), (spec(dtype="complex64"), "dtype"), (spec(channels=[]), "1 to"),
        (spec(channels=["x"] * 2), "twice"), (spec(channels=["t"]), "time field"),
        (spec(channels=[""]), "empty"), (spec(max_samples=0), "max_samples"),
        (spec(max_body_bytes=-1), "max_body_bytes"), (spec(unit="h"), "unit"),
        (DecodeSpec("raw", TimeSpec("t", "iso8601"), ("x",), columns=(("x", "f4"),)), "iso|raw"),
    ],
)  # fmt: skip
def test_a_stream_that_contradicts_itself_is_a_setting_error(decode, message) -> None:
    with pytest.raises(SettingError, match=message):
        Reader(decode)
