"""Rules changed since the last start: what the old ones gathered is committed before others begin.

An event is sorted by the rules of the process that appends it. If those change while events
between the checkpoint and the last append wait in Redis, a Redis that is lost just then would
bring them back to be sorted again, by other rules, into other batches. So the store keeps the
rules in force; at a start with others, every open batch is sealed and committed in the old
shape, and the checkpoint moved to the end. Only then do the new rules begin: behind it.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import partial
from typing import Any, NamedTuple

from batching import names
from batching.errors import CorruptBuffer, Reattach, SettingError
from batching.layout import StreamFormat
from batching.model import KeptRules, dump, load
from batching.partition import Partition
from batching.retry import answered
from batching.structured import structlog
from batching.view import partitions_of
from ingest.config import Settings
from ingest.parts import Parts

AT_ONCE, ATTEMPTS, WAIT_SECONDS = 8, 5, 1.0
Build = Callable[[str, Mapping[str, StreamFormat]], Partition]
log = structlog.get_logger()


def rules_of(settings: Settings, written: int) -> KeptRules:
    """Give what decides where an event belongs, and in which shape."""
    return KeptRules([_plain(each) for each in settings.rules()], settings.unmatched, written)


def _plain(value: Any) -> Any:
    """Give values for JSON; fields at their default are left out, so that later ones may come."""
    if is_dataclass(value):
        return {
            f.name: _plain(getattr(value, f.name))
            for f in fields(value)
            if getattr(value, f.name) != _default(f)
        }
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return dict(sorted(value.items())) if isinstance(value, Mapping) else value


def _default(field: Any) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def changes(old: KeptRules, new: KeptRules) -> list[str]:
    """Say what differs, by the names of settings."""
    before = {stream["name"]: stream for stream in old.streams}
    after = {stream["name"]: stream for stream in new.streams}
    said = [f"streams.{name} is gone" for name in before if name not in after]
    said += [f"streams.{name} is new" for name in after if name not in before]
    for name in after.keys() & before.keys():
        said += _differences(f"streams.{name}", before[name], after[name])
    if [n for n in before if n in after] != [n for n in after if n in before]:
        said.append("the order of streams")
    if old.unmatched != new.unmatched:
        said.append("unmatched")
    return sorted(said)


def _differences(where: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        found = (_differences(f"{where}.{k}", old.get(k), new.get(k)) for k in keys)
        return [each for part in found for each in part]
    return [] if old == new else [where]


async def change_over(parts: Parts, build: Build) -> None:
    """Let the rules of the settings begin, after those that the store keeps.

    Any number of processes may do this at once. Each commits only what was appended before it
    looked at the rules once more, so one that comes late writes nothing of the new ones in the
    old shape.

    Raises:
        SettingError: something that the old rules began cannot be finished without them.

    """
    wanted = rules_of(parts.settings, parts.clock.now_ns())
    kept: _Kept | None = None
    left: list[str] = []
    for _ in range(ATTEMPTS):
        kept = await _kept(parts)
        if kept is not None and not changes(kept.rules, wanted):
            return
        left = [] if kept is None else await _finish(parts, kept, wanted, build)
        if not left:
            write = partial(parts.store.replace, names.RULES, dump(wanted), kept and kept.version)
            if await answered(write) is not None:
                log.info("rules are in force", first=kept is None)
                return
        else:
            await asyncio.sleep(WAIT_SECONDS)  # another process may be about the same
    changed = ", ".join(changes(kept.rules, wanted)) if kept else "streams"
    raise SettingError(
        f"{changed}: the rules have changed, but not all that the old ones began is finished in"
        f" partition {', '.join(left)}, and by the new ones some events would be taken twice."
        " Either another service still runs with the old rules: stop all of them first. Or Redis"
        " has lost how far the old ones were: start once more with the old rules, stop by"
        " `headrace drain --stop`, then start with the new ones"
    )


class _Kept(NamedTuple):
    rules: KeptRules
    version: str


async def _kept(parts: Parts) -> _Kept | None:
    found = await answered(lambda: parts.store.get_versioned(names.RULES))
    return None if found is None else _Kept(load(KeptRules, names.RULES, found[0]), found[1])


async def _finish(parts: Parts, kept: _Kept, wanted: KeptRules, build: Build) -> list[str]:
    """Commit what the old rules gathered; give the partitions in which that was not possible."""
    changed = changes(kept.rules, wanted)
    log.info("rules have changed, committing what the old ones gathered", changed=changed)
    formats = {
        stream["name"]: StreamFormat(tuple(stream["decode"]["channels"]))
        for stream in kept.rules.streams
    }
    room = asyncio.Semaphore(AT_ONCE)

    async def finish(partition: str) -> str | None:
        async with room:
            owner = build(partition, formats)
            return None if await _finished(parts, owner, kept.version) else partition

    partitions = await partitions_of(parts.store, parts.identity, parts.partitions)
    found = await asyncio.gather(*map(finish, partitions))
    return [partition for partition in found if partition is not None]


async def _finished(parts: Parts, owner: Partition, version: str) -> bool:
    try:
        upto = await owner.attach()
        again = await _kept(parts)
        if again is None or again.version != version:
            return False  # somebody was faster, and what is in Redis may be of the new rules
        await owner.seal_all()
        await owner.drain(upto=upto)
        return await owner.finished()
    except Reattach as error:
        log.info("a partition is not finished yet", why=str(error))
    except CorruptBuffer:
        await owner.wipe()
    return False
