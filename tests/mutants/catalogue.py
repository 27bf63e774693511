"""Guards of the product by the line that keeps them, what stands there without, and who notices."""

from typing import NamedTuple

GUARDS = "tests/batching/test_guards.py"
PARKING = "tests/batching/parking/test_parker.py"
PIECES = "tests/batching/parking/test_pieces.py"
JANITOR = "tests/batching/test_janitor.py"
PARTITION = "tests/batching/test_partition.py"
UPKEEP = "tests/batching/test_upkeep.py"
DISPATCH = "tests/batching/runs/test_dispatcher.py"
RETRIES = "tests/batching/runs/test_retries.py"
SCHEDULED = "tests/batching/runs/test_scheduled_jobs.py"
STORES = "tests/batching/adapters/test_stores.py"
BUFFER = "tests/batching/adapters/test_redis_buffer.py"
VERIFY = "tests/batching/verify"
VIEW = "tests/batching/test_view.py"
STATES = "tests/batching/test_states.py"
MIXIN = "tests/flows/test_mixin.py"
FRESH = "tests/batching/test_fresh.py"
COMMIT_PY = "batching/commit.py"
FRESH_PY = "batching/fresh.py"
LAYOUT_PY = "batching/layout.py"
PARTITION_PY = "batching/partition.py"
UPKEEP_PY = "batching/upkeep.py"
VIEW_PY = "batching/view.py"
JANITOR_PY = "batching/janitor.py"
LUA = "batching/adapters/lua"


class Mutant(NamedTuple):
    """One guard taken out: `line` stands exactly once in `file`."""

    name: str
    guard: str
    file: str
    line: str
    instead: str
    tests: tuple[str, ...]


MUTANTS: tuple[Mutant, ...] = (
    # PROTOCOL A, attach
    Mutant(
        "wipe", "a store that is older than Redis wipes the partition's keys",
        PARTITION_PY, "if self.view.next <= acknowledged:", "if False:", (PARTITION,),
    ),
    Mutant(
        "read-check", "after the log was read: `first` has not moved beyond its start",
        VIEW_PY, "if again.first > view.first:", "if False:", (GUARDS,),
    ),
    # PROTOCOL B, append
    Mutant(
        "gap", "an append on a Redis that lost something is refused",
        f"{LUA}/append.lua", "if w < prev then", "if false then", (BUFFER,),
    ),
    Mutant(
        "behind", "an append on a Redis that is ahead is refused",
        f"{LUA}/append.lua", "if w > prev then", "if false then", (BUFFER,),
    ),
    Mutant(
        "lowest", "`lo` of a buffer stays at its lowest number",
        f"{LUA}/append.lua", "'ZADD', OPEN, 'LT',", "'ZADD', OPEN,", (GUARDS,),
    ),
    Mutant(
        "believed", "a buffer that is not as its owner believes is sealed",
        f"{LUA}/append.lua", "= found ~= believed + 1", "= false", (BUFFER,),
    ),
    Mutant(
        "attach-keeps-w", "attach never lowers w",
        f"{LUA}/attach.lua", "math.max(number_at(W), tonumber(ARGV[1]))", "tonumber(ARGV[1])",
        (BUFFER,),
    ),
    Mutant(
        "states-again", "states are read again when somebody else has appended",
        PARTITION_PY, "if answer.outcome is Appended.BEHIND:  #", "if False:  #", (PARTITION,),
    ),
    Mutant(
        "rest-of-slice", "what was received above w is appended, too, after BEHIND",
        PARTITION_PY, "while self.acked < upto:  #", "if self.acked < upto:  #", (PARTITION,),
    ),
    # PROTOCOL D, commit
    Mutant(
        "overlap", "a commit leaves out what the log holds",
        FRESH_PY, "marks = [mark(each.key) for each in held]", "marks = [-1 for _ in held]",
        (PARTITION, UPKEEP),
    ),
    Mutant(
        "rising", "a commit takes each number once, in rising order",
        FRESH_PY, "if rises and lowest > above:", "if True:", (FRESH,),
    ),
    Mutant(
        "number-check", "after a manifest: `first` is not beyond its number",
        COMMIT_PY, "if position.first > view.next:", "if False:", (GUARDS,),
    ),
    Mutant(
        "ack-checks", "a buffer is dropped only up to what was committed",
        f"{LUA}/ack.lua", "elseif last <= tonumber(ARGV[j + 1]) then", "else", (BUFFER,),
    ),
    Mutant(
        "look-first", "what has nothing left is acknowledged once the log has nothing new",
        COMMIT_PY, "return None if await self.learn(view) else done", "return done", (PARKING,),
    ),
    # PROTOCOL E, maintain
    Mutant(
        "low-checks", "a Redis that went back is noticed when the checkpoint moves",
        UPKEEP_PY, "if low.w < acked:", "if False:", (UPKEEP,),
    ),
    Mutant(
        "lost-position", "an owner that lost the position to another attaches again",
        UPKEEP_PY, "if version is None:", "if False:", (UPKEEP,),
    ),
    # PROTOCOL E2 and F, parking
    Mutant(
        "pieces", "a batch begins with what is parked of its key",
        LAYOUT_PY, "else fronts.get(buffer.key, [])", "else []", (PARKING,),
    ),
    Mutant(
        "parked-mark", "what is parked is durable: it is not appended, nor parked, again",
        VIEW_PY, "self._last.get(key, -1), self.pieces.last(key))", "self._last.get(key, -1))",
        (PARKING, PIECES),
    ),
    Mutant(
        "trim-parked", "`first` keeps the newest listing of each piece in use",
        VIEW_PY, "first if listed is None else min(first, listed)", "first", (PARKING, PIECES),
    ),
    Mutant(
        "park-stops", "nothing is parked past a sealed buffer",
        f"{LUA}/parkable.lua", "tonumber(sealed or 'inf')", "math.huge", (BUFFER,),
    ),
    Mutant(
        "release-checks", "only what is durable leaves a buffer",
        f"{LUA}/release.lua", "if behind <= #item and last > mark then", "if false then", (BUFFER,),
    ),
    Mutant(
        "restore-checks", "an existing buffer is left alone",
        f"{LUA}/restore.lua", "if call('EXISTS', b) == 0 then", "if true then", (BUFFER,),
    ),
    # PROTOCOL I, the janitor
    Mutant(
        "undispatched", "manifests that no ended run covers are kept",
        JANITOR_PY, "limit = min([first, *await self._held()])", "limit = first", (JANITOR,),
    ),
    Mutant(
        "listed", "parked objects that the log lists are kept",
        JANITOR_PY, "if names.parked_content(name) in listed:", "if False:", (JANITOR,),
    ),
    Mutant(
        "orphans", "data that its manifest names is kept",
        JANITOR_PY, "and all(e.data != name for e in manifest.entries)", "", (JANITOR,),
    ),
    # PROTOCOL G and H, runs
    Mutant(
        "cap", "no record is created above the cap",
        "batching/runs/job_line.py", "len(self.drives) + waiting < self.job.in_flight", "True",
        (DISPATCH,),
    ),
    Mutant(
        "pace", "so many runs begin in a minute",
        "batching/runs/pace.py", "not 0 <= now_ns - self._begun[0] < MINUTE_NS", "True",
        (SCHEDULED,),
    ),
    Mutant(
        "pace-read", "what began before a restart counts",
        "batching/runs/job_line.py", "not self._pace.counts(record, self._clock.now_ns())", "True",
        (SCHEDULED,),
    ),
    Mutant(
        "moment-served", "a late batch starts no second run for a moment",
        "batching/runs/schedule.py", "max(since_ns, served)", "since_ns", (SCHEDULED,),
    ),
    Mutant(
        "moment-empty", "a moment without batches is not made up for",
        "batching/runs/schedule.py", "max(since_ns, served)", "served", (SCHEDULED,),
    ),
    Mutant(
        "moment-more", "a moment that one run cannot hold has another",
        "batching/runs/schedule.py", "if self.more and served is not None:", "if False:",
        (SCHEDULED,),
    ),
    Mutant(
        "moment-whole", "a run waits until all that was committed has been read",
        "batching/runs/job_line.py", "self._lookout.reading and not share.full", "False",
        (SCHEDULED,),
    ),
    Mutant(
        "moment-passed-on", "records without batches pass on what was served",
        "batching/runs/schedule.py",
        "(self.served_ns, self.more) if begun", "(None, False) if begun",
        (SCHEDULED,),
    ),
    Mutant(
        "settled", "`settled` stops at the first record without an end",
        "batching/runs/settling.py", "min(going, default=end)", "end", (DISPATCH,),
    ),
    Mutant(
        "own-end", "the end of an attempt is named by it",
        "batching/names.py", "{number(n)}.a{k}.failed.json", "{number(n)}.failed.json", (RETRIES,),
    ),
    Mutant(
        "asked-read", "dispatchers look now and then at what was asked for",
        "batching/runs/job_line.py", "await self._settling.look()", "pass", (RETRIES,),
    ),
    Mutant(
        "asked-stays", "what was asked for stays so until that attempt has ended",
        "batching/runs/settling.py", "if self._over.get(n, 0) < k)", "if n not in self._over)",
        (RETRIES,),
    ),
    Mutant(
        "asked-held", "the janitor keeps what a record that was asked for needs",
        JANITOR_PY, "if standing.asked:", "if False:", (JANITOR,),
    ),
    Mutant(
        "asked-looks", "no attempt is decided on whose batches are gone",
        "batching/runs/driver.py",
        "await gone(self._runs.store, self._identity, drive.record)", "None", (RETRIES,),
    ),
    Mutant(
        "asked-first", "what was asked for comes before new runs",
        "batching/runs/job_line.py", "+ waiting <", "<", (RETRIES,),
    ),
    Mutant(
        "run-name", "the attempt is part of a run's name",
        "batching/runs/driver.py", "record.n, drive.attempt)", "record.n, 1)", (DISPATCH,),
    ),
    # the store
    Mutant(
        "create-only", "an object that exists is never written again",
        "batching/adapters/folder.py", "os.link(temporary, path)", "os.replace(temporary, path)",
        (STORES,),
    ),
    # the account
    Mutant(
        "verify-twice", "verify notices a number that comes twice",
        "batching/verify/partition.py", "again = numbers[numbers <= before]",
        "again = numbers[:0]", (VERIFY,),
    ),
)  # fmt: skip
