"""When a job with a schedule runs: moments of a cron expression in a time zone, each served once.

The decision is derived, so that any number of processes and any restart come to the same one:
a run is due once a moment has passed that is later than the commit of the oldest batch that
waits and later than the moment that the newest run record says it served.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from batching.errors import SettingError
from batching.model import RunRecord

SECOND_NS = 10**9
FAR_AHEAD_NS = 3_600 * SECOND_NS  # a served moment that lies so far ahead was a wrong clock's
FIELDS = 5
_SPANS_SECONDS = tuple(n * 3_600 for n in (1, 24, 32 * 24, 400 * 24, 9 * 366 * 24))


class Schedule:
    """The moments of a cron expression, as Debian's cron has them, changes of summer time too.

    An expression with fixed hours whose moment a change skips has it right after the change;
    one that a change doubles has it once. Where minutes or hours begin with a star, moments
    follow each other in real time. All moments are nanoseconds UTC.

    Raises:
        SettingError: it is no expression of five fields, has no moment, or no such zone.

    """

    def __init__(self, expression: str, zone: str = "UTC") -> None:
        try:
            self._zone = ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise SettingError(
                f"zone: {zone!r} is no time zone; write a name such as Europe/Helsinki or UTC"
            ) from None
        self._expression = " ".join(expression.split())
        self._span = (0, 0)  # the moment found last, and the one after it
        wrong = f"schedule: {expression!r} is no cron expression"
        if len(expression.split()) != FIELDS:
            raise SettingError(
                f"{wrong}: it has five fields, minute, hour, day of the month, month and day of"
                ' the week, such as "0 * * * *" for each full hour'
            )
        try:
            first = self.after(0)
        except CronSimError as error:
            what = str(error).removeprefix("Bad ").replace("-", " ")
            raise SettingError(
                f'{wrong}: its {what} cannot be read; such as "0 * * * *" for each full hour, or'
                ' "30 6 * * MON-FRI"'
            ) from None
        if first is None:
            raise SettingError(f"{wrong} that has a moment: no such day comes in 50 years")

    def after(self, time_ns: int) -> int | None:
        """Find the first moment after a time; None if there is none in the next 50 years."""
        return next(self._moments(time_ns), None)

    def latest(self, now_ns: int) -> int | None:
        """Find the last moment until now; None if nine years had none.

        It looks forward only, from further and further back, so that it agrees with `after`.
        """
        begin, end = self._span
        if begin <= now_ns < end:
            return begin
        for span in _SPANS_SECONDS:
            last: int | None = None
            for moment in self._moments(now_ns - span * SECOND_NS):
                if moment > now_ns:
                    if last is not None:
                        self._span = (last, moment)
                    break
                last = moment
            if last is not None:
                return last
        return None

    def text(self, moment_ns: int) -> str:
        """Spell a moment in the zone of the schedule, such as 2026-11-25T13:00:00+02:00."""
        return datetime.fromtimestamp(moment_ns // SECOND_NS, self._zone).isoformat()

    def _moments(self, time_ns: int) -> Iterator[int]:
        """Give the moments after a time, each later than the one before.

        Local times run twice in a doubled hour, where cronsim may answer with the first pass.
        """
        seconds = time_ns // SECOND_NS
        for found in CronSim(self._expression, datetime.fromtimestamp(seconds, self._zone)):
            moment = int(found.astimezone(UTC).timestamp())
            if moment > seconds:
                seconds = moment
                yield moment * SECOND_NS


@dataclass(frozen=True, slots=True)
class Due:
    """A run that is due; of a schedule: its moment, and the first one that nobody has served."""

    moment_ns: int | None = None
    first_ns: int = 0


class Timetable:
    """What the newest record of a job says about its schedule, and what follows from it."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.served_ns: int | None = None
        self.more = False  # a run could not hold all of its moment

    def take(self, record: RunRecord) -> None:
        """Take note of the newest record; one that moves nothing is another store's."""
        if record.to:
            self.served_ns, self.more = record.scheduled, record.more

    def stand(self, now_ns: int, *, begun: bool) -> tuple[int | None, bool]:
        """Give what a record without batches passes on; a job begins with its next moment."""
        return (self.served_ns, self.more) if begun else (self.schedule.latest(now_ns), False)

    def due(self, now_ns: int, since_ns: int | None) -> Due | None:
        """Tell which run is due, if the oldest batch that waits was committed at `since_ns`.

        A batch that shows up late, with a commit before a moment that was served, waits for
        the next moment: there is one run a moment, or several where one cannot hold it all.
        """
        latest, served = self.schedule.latest(now_ns), self.served_ns
        if served is not None and served > now_ns + FAR_AHEAD_NS:
            served = None
        if latest is None or since_ns is None:
            return None
        if self.more and served is not None:
            return Due(max(served, latest), served)
        after = since_ns if served is None else max(since_ns, served)
        if after >= latest:
            return None
        return Due(latest, self.schedule.after(after) or latest)
