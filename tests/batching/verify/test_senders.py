import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batching.bundle import Builder, DeadLetters, chunks_of, open_bundle
from batching.errors import SettingError
from batching.model import Entry
from batching.verify import Report, Senders

LETTER = {
    "reason": "bad_json",
    "detail": "",
    "body": b"{",
    "body_bytes": 1,
    "content_type": "",
    "properties": {},
    "annotations": {},
}


def line(message: str, samples: int = 3, total: float | None = 6.0) -> str:
    plain = {"id": message, "sensor": "a", "samples": samples}
    return json.dumps(plain if total is None else {**plain, "sum": total})


def batch(*messages: tuple[str, list[float]]) -> tuple[Entry, object, object]:
    """One committed batch as `verify` shows it to the senders."""
    builder = Builder(["x", "y"])
    for number, (message, values) in enumerate(messages):
        column = np.array(values, float)
        builder.add_chunk(
            np.arange(len(column)),
            np.column_stack([column, np.zeros(len(column))]),
            sequence_number=number,
            enqueued_ns=0,
            message_id=message,
        )
    builder.end_batch("a", 0)
    table = open_bundle(b"".join(builder.write()))
    entry = Entry("batch", "s", "a", 0, len(messages) - 1, len(messages), rows=(0, builder.rows))
    return entry, chunks_of(table), table


def dead(message: str) -> tuple[Entry, object, object]:
    letters = DeadLetters()
    letters.add(LETTER, sequence_number=0, enqueued_ns=0, message_id=message)
    table = open_bundle(b"".join(letters.write()))
    return Entry("batch", "_dead", "_", 0, 0, 1, rows=(0, 1)), chunks_of(table), table


def judged(lines: list[str], *found: tuple[Entry, object, object]) -> Report:
    senders, report = Senders(lines, "senders.jsonl"), Report()
    for each in found:
        senders.watch(*each)
    senders.judge(report)
    return report


def test_what_was_sent_and_is_there_is_right() -> None:
    report = judged(
        [line("m1"), "", line("m2", 2, -1.5)], batch(("m1", [1, 2, 3]), ("m2", [0, -1.5]))
    )
    assert not report.wrong
    assert (report.sent, report.sent_twice) == (2, 0)


def test_a_message_that_is_not_there_is_missing_by_its_id() -> None:
    report = judged([line("m1"), line("m2")], batch(("m1", [1, 2, 3])))
    assert report.missing.count == 1
    assert "message m2: sent 1 times, found 0" in report.missing.examples[0]


def test_a_message_sent_twice_must_be_there_twice() -> None:
    lines = [line("m1"), line("m1")]
    assert judged(lines, batch(("m1", [1, 2, 3]))).missing.count == 1
    report = judged(lines, batch(("m1", [1, 2, 3]), ("m1", [1, 2, 3])))
    assert not report.wrong
    assert (report.sent, report.sent_twice) == (2, 1)


def test_a_message_may_be_there_more_often_than_its_sender_knows() -> None:
    """A sender that got no answer repeats; the hub then has the event twice, by two numbers."""
    assert not judged([line("m1")], batch(("m1", [1, 2, 3]), ("m1", [1, 2, 3]))).wrong


@pytest.mark.parametrize("values", [[1, 2, 4], [1, 2], [6.0001, 0, 0], []])
def test_samples_that_are_others_than_were_sent_are_damage(values: list[float]) -> None:
    report = judged([line("m1")], batch(("m1", values)))
    assert (report.damaged.count, report.missing.count) == (1, 0)
    assert "m1" in report.damaged.examples[0]


def test_a_body_that_nobody_can_decode_must_be_a_dead_letter() -> None:
    garbage = line("g", 0, None)
    assert not judged([garbage], dead("g")).wrong
    assert judged([garbage], batch(("g", [1.0]))).damaged.count == 1


def test_samples_that_were_set_aside_are_counted() -> None:
    report = judged([line("m1"), line("g", 0, None)], dead("m1"), dead("g"))
    assert not report.wrong
    assert report.sent_set_aside == 1
    assert report.plain()["sent_set_aside"] == 1


def test_events_of_others_are_no_concern() -> None:
    assert not judged([line("m1")], batch(("m1", [1, 2, 3]), ("other", [9, 9]))).wrong


finite = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(st.lists(st.lists(finite | st.just(math.nan), max_size=6), min_size=1, max_size=6))
def test_sums_agree_for_any_samples_and_nan_counts_as_nothing(chunks: list[list[float]]) -> None:
    lines = [line(f"m{i}", len(c), float(np.nansum(c))) for i, c in enumerate(chunks)]
    assert not judged(lines, batch(*((f"m{i}", c) for i, c in enumerate(chunks)))).wrong


@pytest.mark.parametrize(
    "wrong",
    [
        "not json",
        "[1, 2]",
        "5",
        "null",
        '{"id": "a"}',
        '{"samples": 3}',
        '{"id": "a", "samples": null}',
        '{"id": "a", "samples": "three"}',
        '{"id": "a", "samples": 1e999}',
        '{"id": "a", "samples": 3, "sum": "six"}',
        '{"id": "a", "samples": 3, "sum": {}}',
    ],
)
def test_a_line_that_is_none_of_a_senders_log_is_told_by_its_number(wrong: str) -> None:
    with pytest.raises(SettingError, match=r"senders.jsonl, line 2: not a line of a senders' log"):
        Senders([line("m1"), wrong], "senders.jsonl")


def test_a_log_that_cannot_be_read_is_told_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"--against .*none\.jsonl: No such file"):
        Senders.read(tmp_path / "none.jsonl")
    with pytest.raises(SettingError, match="--against"):
        Senders.read(tmp_path)
    binary = tmp_path / "data.jsonl"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingError, match=r"data\.jsonl.* UTF-8"):
        Senders.read(binary)
