from hypothesis import given
from hypothesis import strategies as st

from batching.horizon import LIVE_NS, SILENT_HUB_NS, Horizon

NOW = 1_700_000_000 * 10**9


def test_age_is_judged_up_to_the_newest_event_that_was_appended() -> None:
    horizon = Horizon()
    assert horizon.at(NOW) == 0
    horizon.appended(NOW - 50, NOW)
    horizon.appended(NOW - 80, NOW)  # disorder does not turn it back
    assert horizon.at(NOW) == NOW - 50


def test_an_event_from_the_hubs_future_does_not_make_age_early() -> None:
    horizon = Horizon()
    horizon.appended(NOW + 10**12, NOW)
    assert horizon.at(NOW) == NOW


def test_a_clock_behind_the_hubs_is_found_out_by_events_of_its_future() -> None:
    horizon, hour = Horizon(), 3_600 * 10**9
    horizon.appended(NOW - hour, NOW)  # an old event proves nothing
    assert horizon.hub_now(NOW) == NOW
    horizon.appended(NOW + hour, NOW)
    assert horizon.hub_now(NOW + 5) == NOW + hour + 5
    horizon.appended(NOW + hour, NOW + hour)  # somebody set our clock
    assert horizon.hub_now(NOW + hour) == NOW + hour


def test_in_silence_the_hubs_word_counts_from_when_it_was_asked() -> None:
    horizon = Horizon(appended_ns=NOW - 10**12)
    horizon.asked(NOW - 7)
    horizon.answered(NOW - 7, last_enqueued=41, acked=40)  # one is still on its way
    assert horizon.at(NOW) == NOW - 10**12
    horizon.answered(NOW - 7, last_enqueued=41, acked=41)
    assert horizon.at(NOW) == NOW - 7


def test_a_clock_that_is_set_back_does_not_make_a_silent_hub_hold_back_for_longer() -> None:
    horizon = Horizon()
    horizon.asked(NOW)
    back = NOW - 3_600 * 10**9
    horizon.asked(back)
    assert horizon.at(back + SILENT_HUB_NS) == 0
    assert horizon.at(back + SILENT_HUB_NS + 1) == back + SILENT_HUB_NS + 1


def test_a_hub_that_is_silent_for_ten_seconds_holds_nothing_back() -> None:
    horizon = Horizon()
    horizon.asked(NOW)
    horizon.asked(NOW + 9 * 10**9)  # asked again, still no answer since NOW
    assert horizon.at(NOW + SILENT_HUB_NS) == 0
    assert horizon.at(NOW + SILENT_HUB_NS + 1) == NOW + SILENT_HUB_NS + 1
    horizon.answered(NOW + SILENT_HUB_NS, last_enqueued=5, acked=0)
    assert horizon.at(NOW + SILENT_HUB_NS + 1) == 0


def test_a_partition_is_live_while_it_is_at_most_five_seconds_behind() -> None:
    horizon = Horizon(appended_ns=NOW)
    assert horizon.live(NOW + LIVE_NS - 1)
    assert not horizon.live(NOW + LIVE_NS)
    horizon.answered(NOW + LIVE_NS, last_enqueued=3, acked=3)
    assert horizon.live(NOW + LIVE_NS)


steps = st.lists(
    st.tuples(st.sampled_from(["appended", "asked", "answered"]), st.integers(0, 30)), max_size=30
)


@given(steps)
def test_age_is_never_judged_beyond_what_is_known_unless_the_hub_is_silent(
    steps: list[tuple[str, int]],
) -> None:
    horizon, now, proven, unanswered = Horizon(), NOW, 0, None
    for step, seconds in steps:
        now += seconds * 10**9
        if step == "appended":
            horizon.appended(now, now)
            proven = now
        elif step == "asked":
            horizon.asked(now)
            unanswered = now if unanswered is None else unanswered
        else:
            horizon.answered(now, last_enqueued=1, acked=1)
            proven, unanswered = now, None
        silent = unanswered is not None and now - unanswered > SILENT_HUB_NS
        assert horizon.at(now) == (now if silent else proven)
