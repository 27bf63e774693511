"""A stream stops the intake at the event by which too many of its last ones cannot be used."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.classify import Classified
from ingest.decode.spec import MatchSpec, StopRule, StreamRules
from ingest.event import Event
from ingest.stop_above import IntakeStopped, StopAbove
from tests.ingest.decode.given import event, rules
from tests.ingest.test_classify import FIELD, SAMPLE, classifier

GOOD, BAD = classifier().classify(event(SAMPLE)), classifier().classify(event(b"{"))


def stops_at(share: float, over: int, *found: Classified) -> int | None:
    """Give the place of the event that stops it, None if none does."""
    judge = StopAbove({"vibration": StopRule(share, over)})
    for number, each in enumerate(found):
        try:
            judge.look(number, each)
        except IntakeStopped:
            return number
    return None


@given(st.lists(st.booleans(), max_size=60), st.sampled_from([0, 0.1, 0.5, 0.9]), st.integers(1, 9))
def test_it_stops_with_the_first_event_that_makes_it_too_many(bad, share, over) -> None:
    found = [BAD if one else GOOD for one in bad]
    windows = [bad[max(0, n + 1 - over) : n + 1] for n in range(len(bad))]
    wanted = next((n for n, last in enumerate(windows) if sum(last) > share * over), None)
    assert stops_at(share, over, *found) == wanted


def test_it_need_not_see_a_whole_window_to_know() -> None:
    assert stops_at(0.5, 100, *[BAD] * 100) == 50
    assert stops_at(0, 100, *[GOOD] * 3, BAD) == 3


def test_it_says_which_stream_which_events_and_what_to_do() -> None:
    judge = StopAbove({"vibration": StopRule(0.5, 4)})
    for number, found in enumerate([GOOD, BAD, GOOD, BAD]):
        judge.look(number, found)
    with pytest.raises(IntakeStopped) as stopped:
        judge.look(4, BAD)
    stop = stopped.value.stop
    assert (stop.stream, stop.unusable, stop.first, stop.share) == ("vibration", 3, 1, 0.75)
    assert "3 of the last 4 events of stream vibration cannot be used, from number 1" in stop.told()
    assert "bad_json: the body is no JSON" in stop.told()
    assert "streams.vibration.dead_letters.stop_above" in stop.told()


def of(arrived: Event, *streams: StreamRules, **more: Any) -> str:
    return classifier(*streams, **more).classify(arrived).of


def test_an_event_counts_for_the_stream_that_cannot_use_it_and_for_no_other() -> None:
    named = rules(match=MatchSpec(properties={"kind": "x"}), name="named")
    in_body = rules(sensor=FIELD, match=MatchSpec(sensors=("a*",)), name="in_body")
    assert of(event(SAMPLE)) == of(event(b"{")) == "vibration"
    assert of(event(b"{", properties={"kind": "x"}), named, rules()) == "named"
    assert of(event(b"{"), named, rules()) == "vibration"
    assert of(event(b"{"), named) == ""  # no stream wants it: it counts for nobody
    assert of(event(SAMPLE), named, unmatched="count") == ""
    assert of(event(b"{"), named, in_body) == "in_body"  # it may be this stream's
    assert of(event(b"{"), in_body, rules()) == "vibration"  # it is this one's


def test_streams_without_a_rule_never_stop() -> None:
    judge = StopAbove({"other": StopRule(0, 1)})
    for number in range(500):
        judge.look(number, BAD)
