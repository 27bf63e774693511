"""What the model checker searches: cases, and the guard that each mutant lacks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One exhaustive search: flags as the head of the model explains them."""

    name: str
    model: str
    flags: tuple[str, ...] = ()
    small: bool = True  # continuous integration checks it
    optimized: bool = False  # worth the compiler's time above half a million states


@dataclass(frozen=True)
class Mutant:
    """Guards to remove, and the case that must break without them."""

    guards: tuple[str, ...]
    case: str


def owner(name: str, flags: str, *, small: bool = True, optimized: bool = False) -> Case:
    return Case(name, "owner", tuple(flags.split()), small, optimized or not small)


RETRY = ("RUNS=1", "AUTO=1", "FAIL=1", "RETRY=1")
CASES = (
    # no fault: two owners
    owner("two owners", "N=2"),
    owner("three events", "N=3 PAIRS PEEKED=2"),
    owner("two tasks", "N=2 PAIRS TASKS=2"),
    owner("parking", "N=2 PAIRS PARK=1"),
    owner("parking, two sensors", "N=2 X=1 PARK=1 CARRY", optimized=True),
    owner("listing again, merging", "N=3 X=1 PARK=2 CARRY OWNERS=1"),
    owner("deletion", "N=3 PAIRS JANITOR"),
    # one fault
    owner("loss", "N=2 LOSE FORGET"),
    owner("roll-back", "N=2 SNAP FORGET"),
    owner("kill", "N=2 PARK=1 KILL=1", optimized=True),
    owner("lost reply", "N=2 PARK=1 LOSTREPLY", optimized=True),
    owner("late call", "N=2 LATE"),
    owner("torn script", "N=2 PAIRS TORN"),
    owner("retention", "N=2 RETENTION"),
    owner("back-up of the store", "N=2 STORE"),
    # two
    owner("torn script, loss", "N=2 PAIRS TORN LOSE"),
    owner("back-up, loss", "N=2 STORE LOSE"),
    owner("retention, loss", "N=2 RETENTION LOSE", optimized=True),
    owner("parking, loss", "N=2 PARK=1 LOSE", optimized=True),
    owner("superseded objects", "N=2 X=1 PARK=1 JANITOR SHRED OWNERS=1 KILL=1"),
    # longer than continuous integration has time for
    owner("parking, pairs, loss", "N=2 PAIRS PARK=1 LOSE", small=False),
    owner("parking, roll-back", "N=2 PARK=1 SNAP FORGET", small=False),
    owner("parking, back-up", "N=2 PARK=1 STORE", small=False),
    owner("parking, deletions", "N=2 X=1 PARK=1 CARRY JANITOR SHRED", small=False),
    owner("parking, retention", "N=2 PARK=1 RETENTION", small=False),
    owner("retention, roll-back", "N=2 RETENTION SNAP", small=False),
    owner("loss, roll-back", "N=2 LOSE SNAP", small=False),
    owner("kill, loss", "N=2 KILL=1 LOSE", small=False),
    owner("lost reply, loss", "N=2 LOSTREPLY LOSE", small=False),
    owner("late call, loss", "N=2 LATE LOSE", small=False),
    owner("three events, two tasks", "N=3 PAIRS TASKS=2", small=False),
    owner("four events", "N=4 PAIRS", small=False),
    # runs
    Case("runs", "dispatch", ("RUNS=2",)),
    Case("runs, lost reply", "dispatch", ("RUNS=2", "LOSTREPLY")),
    Case("runs, ordinary flows", "dispatch", ("RUNS=1", "ORDINARY")),
    Case("runs, failure", "dispatch", ("RUNS=2", "FAIL=1")),
    Case("runs, kill", "dispatch", ("RUNS=2", "KILL=1"), optimized=True),
    Case("runs, retry", "dispatch", RETRY),
    Case("runs, retry, kill", "dispatch", (*RETRY, "KILL=1"), optimized=True),
    Case("runs, retry, lost reply", "dispatch", (*RETRY, "LOSTREPLY"), optimized=True),
    Case(
        "runs, two retries",
        "dispatch",
        ("RUNS=1", "ATT=3", "AUTO=1", "FAIL=2", "RETRY=2"),
        small=False,
        optimized=True,
    ),
    Case(
        "two runs, retry",
        "dispatch",
        ("RUNS=2", "AUTO=1", "FAIL=1", "RETRY=1"),
        small=False,
        optimized=True,
    ),
    Case(
        "runs, kill, failure",
        "dispatch",
        ("RUNS=2", "KILL=1", "FAIL=1"),
        small=False,
        optimized=True,
    ),
    # dead letters
    Case("redrive", "redrive", ("KILL=1", "LOSTREPLY")),
    Case(
        "redrive, three commands", "redrive", ("KILL=1", "LOSTREPLY", "COMMANDS=3"), optimized=True
    ),
)

MUTANTS = (
    *(
        Mutant((guard,), "two owners")
        for guard in (
            "ack last", "order", "overlap", "create-only log", "checkpoint", "trim batches",
        )
    ),
    Mutant(("rest of slice",), "three events"),
    *(
        Mutant((guard,), "loss")
        for guard in ("gap", "ack checks", "low checks", "mark with c")
    ),
    *(
        Mutant((guard,), "listing again, merging")
        for guard in ("park stops", "pieces", "whole pieces", "trim parked", "carry used")
    ),
    *(Mutant((guard,), "parking") for guard in ("release checks", "restore checks")),
    *(Mutant((guard,), "parking, loss") for guard in ("release last", "overdue")),
    Mutant(("restore", "overdue"), "parking, loss"),
    Mutant(("learn",), "kill"),
    *(
        Mutant((guard,), "deletion")
        for guard in ("number check", "replace position", "lost position", "below first")
    ),
    Mutant(("parked listed",), "superseded objects"),
    Mutant(("forget checks",), "roll-back"),
    *(Mutant((guard,), "retention, loss") for guard in ("lost first", "lost is appended")),
    *(
        Mutant((guard,), "back-up, loss")
        for guard in (
            "wipe", "attach tells n", "append tells n", "ack tells n", "low tells n",
        )
    ),
    Mutant(("straddling stays",), "parking, pairs, loss"),
    *(
        Mutant((guard,), "runs")
        for guard in ("create-only runs", "cap from the store", "settled")
    ),
    Mutant(("drive",), "runs, lost reply"),
    Mutant(("create-only results",), "runs, ordinary flows"),
    Mutant(("vector",), "runs, kill"),
    *(
        Mutant((guard,), "runs, retry")
        for guard in ("own end", "asked read", "asked stays", "replace settled")
    ),
    *(
        Mutant((guard,), "redrive")
        for guard in ("create-only redrive", "redrive once", "reads winner", "reads all", "kept")
    ),
)  # fmt: skip

# Guards that no case above needs, and why they are there.
UNMISSED = {
    "owner": {
        "behind": "a set holds each number once; the simulation needs it beside `rising`",
        "attach keeps w": "a set holds each number once; the simulation needs it beside `rising`",
        "skip": "economy: what is durable is dropped at the commit",
        "restore": "with `overdue`, which does the same later",
        "look first": "a delay, no loss: the piece waits for `overdue`",
        "read check": "three owners; the simulation has a schedule by hand",
        "contained": "economy: a piece that is listed twice over is superseded with the other",
        "forget tells n": "forgets only what ATTACH tells a moment later",
        "release tells n": "a parked manifest is told by the next ACK or APPEND of these cases",
    },
    "dispatch": {
        "end checks": "economy: a late result is the only effect in any case",
        "receipt": "without it runs are started for ever: no end, which the simulation notices",
        "asks first": "economy: a second run that creates no result",
    },
    "redrive": {},
}
