import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest.hub.amqp import decode
from ingest.hub.messages import DATA, Event, section, sections
from ingest.hub.partition_log import HotSegments, PartitionLog, Retention, SelectorError

FOREVER = Retention(max_age_seconds=None, segment_bytes=1_000)


class Clock:
    ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


def opened(
    folder: Path | None,
    retention: Retention = FOREVER,
    clock: Clock | None = None,
    hot: int = 4_000,
) -> PartitionLog:
    return PartitionLog("0", folder, retention, HotSegments(hot), now_ms=clock or Clock())


def event(body: bytes) -> Event:
    return Event(b"", {}, section(DATA, body))


def body_of(message: bytes) -> bytes:
    body = decode(message, sections(message)[-1].value)[0]
    assert isinstance(body, bytes)
    return body


def mark(message: bytes, name: str) -> int:
    return int(decode(message, 3)[0][name])


def read_all(log: PartitionLog, start: int = 0) -> list[bytes]:
    messages: list[bytes] = []
    while True:
        start, found = log.read(start, 7)
        if not found:
            return messages
        messages += found
        start += len(found)


def test_events_are_numbered_from_zero_and_read_in_order(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert log.append([event(b"a"), event(b"b")]) == 0
    assert log.append([event(b"c")]) == 2
    messages = read_all(log)
    assert [body_of(m) for m in messages] == [b"a", b"b", b"c"]
    assert [mark(m, "x-opt-sequence-number") for m in messages] == [0, 1, 2]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    batches=st.lists(
        st.lists(st.binary(max_size=400), min_size=1, max_size=5), min_size=1, max_size=12
    ),
    hot=st.sampled_from([0, 1_500, 10**9]),
)
def test_a_log_in_files_agrees_with_one_in_memory_before_and_after_a_restart(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], hot: int
) -> None:
    folder = tmp_path_factory.mktemp("log")
    in_files, in_memory = opened(folder, hot=hot), opened(None)
    for batch in batches:
        in_files.append([event(body) for body in batch])
        in_memory.append([event(body) for body in batch])
    wanted = read_all(in_memory)
    assert read_all(in_files) == wanted
    in_files.close()
    again = opened(folder, hot=hot)
    assert read_all(again) == wanted
    assert again.info == in_memory.info
    for message in wanted:
        offset = mark(message, "x-opt-offset")
        number = mark(message, "x-opt-sequence-number")
        assert again.position(f"amqp.annotation.x-opt-offset > '{offset}'") == number + 1
        assert again.position(f"amqp.annotation.x-opt-offset >= '{offset}'") == number
    again.close()


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_torn_tail_is_cut_off_and_its_number_given_again(tmp_path: Path, cut: int) -> None:
    log = opened(tmp_path)
    log.append([event(b"whole")])
    log.append([event(b"torn")])
    log.close()
    (file,) = tmp_path.glob("*.log")
    with file.open("r+b") as segment:
        segment.truncate(file.stat().st_size - cut)
    again = opened(tmp_path)
    assert [body_of(m) for m in read_all(again)] == [b"whole"]
    assert again.append([event(b"next")]) == 1
    again.close()
    assert [body_of(m) for m in read_all(opened(tmp_path))] == [b"whole", b"next"]


def test_a_flipped_bit_at_the_end_is_cut_off_too(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append([event(b"whole"), event(b"flipped")])
    log.close()
    (file,) = tmp_path.glob("*.log")
    raw = bytearray(file.read_bytes())
    raw[-2] ^= 1
    file.write_bytes(raw)
    assert [body_of(m) for m in read_all(opened(tmp_path))] == [b"whole"]


def test_a_damaged_closed_segment_hides_its_rest_alone(tmp_path: Path) -> None:
    log = opened(tmp_path)
    for i in range(10):
        log.append([event(bytes([i]) * 300)])
    log.close()
    first = min(tmp_path.glob("*.log"))
    first.write_bytes(b"\xff" * first.stat().st_size)
    again = opened(tmp_path)
    numbers = [mark(m, "x-opt-sequence-number") for m in read_all(again)]
    assert numbers == list(range(numbers[0], 10))
    assert 0 < numbers[0] < 5


def test_retention_by_age_drops_whole_segments_and_keeps_the_numbers(tmp_path: Path) -> None:
    clock = Clock()
    log = opened(tmp_path, Retention(max_age_seconds=100, segment_bytes=1_000), clock)
    for i in range(10):
        log.append([event(bytes([i]) * 300)])
    clock.ms += 90_000
    log.append([event(b"young")])
    log.retain()
    assert log.first == 0
    clock.ms += 20_000
    log.retain()
    assert 0 < log.first <= 10
    assert body_of(read_all(log)[-1]) == b"young"
    clock.ms += 200_000
    log.retain()
    log.retain()
    assert log.info.empty
    assert (log.first, log.next) == (11, 11)
    log.close()
    again = opened(tmp_path, clock=clock)
    assert again.append([event(b"goes on")]) == 11
    assert len(list(tmp_path.glob("*.log"))) == 1


@pytest.mark.parametrize("on_disk", [True, False])
def test_retention_by_bytes_drops_the_oldest(tmp_path: Path, *, on_disk: bool) -> None:
    retention = Retention(max_age_seconds=None, max_bytes=3_000, segment_bytes=1_000)
    log = opened(tmp_path if on_disk else None, retention)
    for i in range(50):
        log.append([event(bytes([i]) * 300)])
        log.retain()
    messages = read_all(log, start=0)
    assert log.first > 40
    assert mark(messages[0], "x-opt-sequence-number") == log.first
    assert body_of(messages[-1]) == bytes([49]) * 300
    assert sum(f.stat().st_size for f in tmp_path.glob("*.log")) <= 3_000


def test_times_never_go_back_even_over_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    log = opened(tmp_path, clock=clock)
    log.append([event(b"a")])
    clock.ms -= 5_000
    log.append([event(b"b")])
    log.close()
    again = opened(tmp_path, clock=clock)
    again.append([event(b"c")])
    assert [mark(m, "x-opt-enqueued-time") for m in read_all(again)] == [1_000_000] * 3


def test_a_time_finds_its_first_event_over_segments(tmp_path: Path) -> None:
    clock = Clock()
    log = opened(tmp_path, clock=clock)
    for _ in range(30):
        clock.ms += 10
        log.append([event(bytes(150))])
    log.close()
    again = opened(tmp_path, clock=clock)
    for number in range(30):
        at = 1_000_010 + 10 * number
        assert again.position(f"amqp.annotation.x-opt-enqueued-time > '{at - 1}'") == number
        assert again.position(f"amqp.annotation.x-opt-enqueued-time >= '{at}'") == number
        assert again.position(f"amqp.annotation.x-opt-enqueued-time > '{at}'") == number + 1


@pytest.mark.parametrize("text", ["x", "amqp.annotation.x-opt-offset > 'abc'", "1 = 1"])
def test_other_selectors_are_errors(text: str) -> None:
    with pytest.raises(SelectorError):
        opened(None).position(text)


def test_a_full_disk_keeps_nothing_of_the_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    log.append([event(b"before")])
    write, calls = os.write, []

    def half(file: int, raw: bytes) -> int:
        calls.append(1)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return write(file, raw[: len(raw) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="No space"):
        log.append([event(b"lost"), event(b"lost")])
    monkeypatch.undo()
    assert log.append([event(b"after")]) == 1
    log.close()
    assert [body_of(m) for m in read_all(opened(tmp_path))] == [b"before", b"after"]
