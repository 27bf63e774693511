"""Which partitions an instance should hold: a pure decision over who holds what now."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from random import Random
from typing import NamedTuple

FAIR_DIFFERENCE = 1


class Wish(NamedTuple):
    """Partitions to keep, free ones to take, and at most one to take from somebody else."""

    keep: frozenset[str]
    take: frozenset[str]
    steal: frozenset[str]


def wish(owners: Mapping[str, str], me: str, chance: Random, siblings: Sequence[str] = ()) -> Wish:
    """Choose what `me` should hold, so that all live instances end with n/k, one more or less.

    Args:
        owners: each partition's live owner; empty where there is none or it fell silent.
        me: name of this instance; it counts as live even where it holds nothing yet.
        chance: breaks ties, so that instances that look at the same moment rarely clash.
        siblings: instances that start together with `me`, its own name too: they count as live
            although they hold nothing yet, and each takes other free partitions first.

    Returns:
        What to keep, take and steal. Nothing is given away: who has too much is stolen from,
        and only while it has at least two more than the thief, so that shares settle.

    """
    held = _held(owners, (me, *siblings))
    keep = frozenset(held[me])
    share, larger_shares = divmod(len(owners), len(held))
    free = sorted(partition for partition, owner in owners.items() if not owner)
    larger_taken = sum(len(theirs) > share for owner, theirs in held.items() if owner != me)
    room = max(0, share + (larger_taken < larger_shares) - len(keep))
    take = _taken(free, _part(sorted(owners), me, siblings), room, share - len(keep), chance)
    mine = len(keep) + len(take)
    may_steal = mine < share or me == min(held, key=lambda owner: (len(held[owner]), owner))
    return Wish(keep, take, _steal(held, mine, chance) if may_steal else frozenset())


def _part(every: Sequence[str], me: str, siblings: Sequence[str]) -> frozenset[str]:
    """Give the part of all partitions that none of the siblings takes first; all without any."""
    if me not in siblings:
        return frozenset(every)
    return frozenset(every[sorted(siblings).index(me) :: len(siblings)])


def _taken(
    free: Sequence[str], part: frozenset[str], room: int, needed: int, chance: Random
) -> frozenset[str]:
    """Choose free partitions of one's own part, and of others only as many as are needed."""
    own = [partition for partition in free if partition in part]
    others = [partition for partition in free if partition not in part]
    taken = chance.sample(own, min(len(own), room))
    more = chance.sample(others, min(len(others), max(0, needed - len(taken))))
    return frozenset([*taken, *more])


def _held(owners: Mapping[str, str], live: Sequence[str]) -> dict[str, list[str]]:
    held: defaultdict[str, list[str]] = defaultdict(list, {name: [] for name in live})
    for partition, owner in sorted(owners.items()):
        if owner:
            held[owner].append(partition)
    return dict(held)


def _steal(held: Mapping[str, list[str]], mine: int, chance: Random) -> frozenset[str]:
    fullest = max(len(theirs) for theirs in held.values())
    if fullest < mine + FAIR_DIFFERENCE + 1:
        return frozenset()
    victim = chance.choice([owner for owner in sorted(held) if len(held[owner]) == fullest])
    return frozenset([chance.choice(held[victim])])
