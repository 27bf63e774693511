"""The page of decoders says what the decoders do: its examples are read by them."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from ingest.decode.cbor_body import MAX_BYTES, MAX_DEPTH
from ingest.decode.columns import MAX_PARTS
from ingest.decode.formats import CONTENT_TYPES, Reader
from ingest.decode.problem import Reason
from ingest.decode.spec import DecodeSpec
from tests.ingest.decode.given import NOW_NS, only, parts, spec

PAGE = (Path(__file__).parents[3] / "docs/reference/decoders.md").read_text(encoding="utf-8")


def examples(language) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def stream(form="json", **more: Any) -> DecodeSpec:
    return spec(form, ["x", "y", "z"], "ms", **more)


def test_the_examples_of_json_are_read() -> None:
    columns, one, several, gateway, _ = (text.encode() for text in examples("json"))
    first = 1_767_225_600_000 * 10**6
    times = [first, first + 10**7]
    assert only(stream(), columns) == (times, [[0.5, 1, 0], [0.25, None, 0]])
    assert only(stream(), one) == ([first], [[0.5, 1, 0]])
    assert only(stream(), several) == (times, [[0.5, None, None], [0.25, 1, None]])
    found = parts(stream(path="readings"), gateway, sender="device.id")
    assert [(part.sender, len(part.times_ns)) for part in found] == [("press 1", 2), ("press 2", 1)]


def test_the_example_of_senml_is_read() -> None:
    pack = examples("json")[-1].encode()
    (part,) = parts(stream("senml"), pack)
    assert part.sender == "press-1"
    assert only(stream("senml"), pack)[1] == [[0.5, 1, None], [0.25, None, None]]


@pytest.mark.parametrize("text", examples("python"))
def test_the_examples_of_npy_are_read(text) -> None:
    file = io.BytesIO()
    np.save(file, eval(text, {"np": np}))  # noqa: S307, our own page
    decoded = Reader(stream("npy")).read(file.getvalue(), "", "", NOW_NS)
    assert decoded.parts[0].values[0, 0] == 0.5


def test_the_example_of_raw_is_a_layout() -> None:
    decode = YAML(typ="safe").load(examples("yaml")[-1])["decode"]
    raw = spec("raw", decode["channels"], "ms", columns=tuple(decode["columns"].items()))
    row = np.dtype([("t", "<i8"), ("s", "u1"), ("pad", "V1"), ("x", "<i2"), ("y", "<f4")])
    body = np.array([(5, 1, b"", -2, 0.5)], row).tobytes()
    assert only(raw, body) == ([5 * 10**6], [[-2, 0.5]])


def test_the_page_names_every_reason_content_type_and_limit() -> None:
    for name in (*Reason, *(t for t in CONTENT_TYPES if "sensml" not in t)):
        assert f"`{name}`" in PAGE
    limits = spec()
    assert f"{limits.max_body_bytes // 2**20} MiB, CBOR {MAX_BYTES // 2**20} MiB" in PAGE
    assert f"| {limits.max_samples:,} |" in PAGE
    assert f"| {limits.max_decoded_bytes // 2**20} MiB |" in PAGE
    assert f"| {MAX_PARTS:,} |" in PAGE
    assert f"CBOR {MAX_DEPTH}" in PAGE
