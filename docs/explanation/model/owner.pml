/* The owner's side of ../protocol.md, steps A to F, for the model checker SPIN: every interleaving of a small case.
 *
 * One partition with events 1..N of two sensors x and y, two owners, one Redis, one store. An external call is one step, together
 * with the computation after it; decisions of the policy, ages and bounds are free choices, so no decision can break what is
 * checked. Steps are labelled as on the protocol page; guards have the names of tests/protocol/guards.py, and REMOVED=<number> in
 * the environment takes one away (ALSO=<number> another). A set of events is a mask: event e is bit e-1. `python -m tests.protocol.model_check` runs the cases.
 *
 * Size     N events (2 to 4), X and Y (masks: whose events they are), KM seals that are numbered, PEEKED buffers in one PEEK
 * Parts    PARK=m (at most m parked objects), CARRY (listing again and merging), PAIRS (an append may bring two events),
 *          FORGET (A4), TASKS=2 (an owner receives while it commits; else only between its jobs)
 * Faults   LOSE (Redis emptied), SNAP (Redis goes back to any earlier state), KILL=m, LOSTREPLY (applied, not answered), LATE
 *          (a call that timed out is applied at any time later, or never), TORN (an append's script fails half-way),
 *          RETENTION (the hub drops events that nobody has read), JANITOR (old manifests are deleted), SHRED (superseded parked
 *          objects are), STORE (an older back-up of the store is brought in). Each at most once, at any moment, except deletions.
 *
 * Polls that change nothing are no steps. So a state without steps is an end, and there everything must be committed.
 */
#ifndef N
#define N 2
#endif
#ifndef X                     /* all of sensor x, or every third of y */
#if N == 2
#define X 3
#elif N == 3
#define X 5
#else
#define X 11
#endif
#endif
#define ALL ((1 << N) - 1)
#define Y (ALL & ~(X))
#ifndef KM
#define KM 4
#endif
#ifndef PEEKED
#define PEEKED 1
#endif
#ifndef PARK
#define PARK 0
#endif
#ifndef KILL
#define KILL 0
#endif
#ifndef TASKS
#define TASKS 1
#endif
#ifndef OWNERS
#define OWNERS 2
#endif
#ifdef RETENTION
#define LOSTS 5               /* `lost` entries: one of each owner, and more when Redis goes back meanwhile */
#else
#define LOSTS 0
#endif
#define M (N + PARK + LOSTS)  /* manifests: each holds a batch, a new object or a lost interval */

/* ------------------------------------------------------------------------------------------------------------- the guards */
#define g_gap 1               /* append: refused when Redis is behind the caller */
#define g_behind 2            /* append: refused when Redis is ahead of the caller */
#define g_attach_keeps_w 3    /* attach: never lowers w */
#define g_ack_checks 4        /* ack: only that key, only up to what was committed */
#define g_forget_checks 5     /* forget: only a buffer that is committed as a whole */
#define g_release_checks 6    /* release: only events up to the durable mark */
#define g_restore_checks 7    /* restore: leaves an existing buffer alone */
#define g_park_stops 8        /* parkable: stops at the first sealed buffer */
#define g_skip 9              /* append: leaves out what is known to be durable */
#define g_low_checks 10       /* maintain: attaches again when w is behind what was acknowledged */
#define g_restore 11          /* attach: puts buffers of parked pieces back */
#define g_overdue 12          /* puts the buffer of an overdue parked piece back */
#define g_learn 13            /* reads manifests of others now and then */
#define g_ack_last 14         /* ack after the commit, not before */
#define g_release_last 15     /* release after the commit, not before */
#define g_order 16            /* sealed buffers are committed in the order of sealing */
#define g_overlap 17          /* commit: leaves out what is durable */
#define g_pieces 18           /* commit: puts the parked pieces in front */
#define g_whole_pieces 19     /* commit: takes parked pieces whole */
#define g_look_first 20       /* nothing left to commit: looks at the log once more before it acknowledges */
#define g_mark_with_c 21      /* what is at or below the checkpoint is durable */
#define g_create_only_log 22  /* manifest: create-only */
#define g_number_check 23     /* after a manifest: position.first is not beyond its number */
#define g_read_check 24       /* after reading the log: position.first has not moved beyond the start */
#define g_replace_position 25 /* position: replaced only if unchanged */
#define g_lost_position 26    /* position lost to another owner: attach again */
#define g_checkpoint 27       /* checkpoint = lowest event that is not durable - 1, not w */
#define g_trim_batches 28     /* first: keeps manifests with batches above the checkpoint */
#define g_trim_parked 29      /* first: keeps manifests with parked pieces in use */
#define g_carry_used 30       /* an object listed again says which of its pieces are still in use */
#define g_straddling_stays 31 /* release: an element that reaches beyond the mark stays whole */
#define g_lost_is_appended 32 /* lost: w passes it by an append, refused where Redis went back */
#define g_lost_first 33       /* lost: the manifest that says so before w passes it */
#define g_parked_listed 34    /* janitor: keeps parked objects listed from `first` on */
#define g_wipe 35             /* attach: wipes Redis when the log ends before what Redis relies on */
#define g_attach_tells_n 36   /* attach: tells Redis on which manifest it relies */
#define g_append_tells_n 37   /* append: the same */
#define g_ack_tells_n 38      /* ack: the same */
#define g_release_tells_n 39  /* release: the same */
#define g_below_first 40      /* janitor: deletes manifests below first only */
#define g_contained 41        /* a listed piece replaces those of its key that it contains */
#define g_forget_tells_n 42   /* forget: tells Redis on which manifest it relies */
#define g_low_tells_n 43      /* maintain: takes in every manifest that Redis relies on before it moves the position */
#define g_rest_of_slice 44    /* append: what was received above w is appended, too, after BEHIND */
hidden byte removed, also_removed;
#define guard(name) (removed != g_##name && also_removed != g_##name)

/* ------------------------------------------------------------------------------------------------------------ sets of events */
#define OF(key) ((key) == 0 -> X : Y)
#define UPTO(e) ((1 << (e)) - 1)
#define FIRST(m) ((m) & 1 -> 1 : ((m) & 2 -> 2 : ((m) & 4 -> 3 : ((m) & 8 -> 4 : 0))))
#define LAST(m) ((m) & 8 -> 4 : ((m) & 4 -> 3 : ((m) & 2 -> 2 : ((m) & 1 -> 1 : 0))))
#define MAX(a, b) ((a) > (b) -> (a) : (b))

/* ------------------------------------------------------------------------------------------------------------------ the state */
typedef Redis {
	unsigned w : 3;       /* T w */
	unsigned n : 4;       /* T n: manifests that this state relies on (a count), with STORE */
	unsigned k : 3;       /* T k: counter of seals */
	unsigned open : 2;    /* T b: which keys have an open buffer */
	unsigned has : 4;     /* content of the open buffers */
	unsigned pair : 1;    /* PAIRS: events 1 and 2 of x came in one append, so they are one element */
	unsigned free : 1;    /* PAIRS: event 1 is durable, but is in an element that had to stay: not in lo any more */
	unsigned waits : 4;   /* events that sealed buffers hold back */
	byte last[2];         /* totals of the open buffers: last, parked events too */
	byte q[KM];           /* T q: sealed buffers by number: free << 6 | (key + 1) << 4 | content */
	byte qlast[KM]
};
typedef View {                /* what the log says, as far as it was read */
	byte last[2];         /* last(key): the highest event in a batch */
	byte uses[2];         /* pieces of key in use: the objects that hold them */
	byte piece[2]         /* and their content */
};
typedef Owner {
	unsigned pc : 5;
	unsigned job : 3;
	unsigned c : 3;       /* checkpoint that this owner knows: the position's version, too */
	unsigned first : 4;
	unsigned next : 4;    /* number of the next manifest */
	unsigned acked : 3;
	unsigned newc : 3;    /* E: the checkpoint it wants */
	unsigned upto : 3;    /* end of a lost interval */
	unsigned taken : 4;   /* E: events of the buffers that it parks */
	unsigned relies : 4;  /* A0: T n, read before the log */
	unsigned holds : 1;   /* its receiver got events before the hub dropped them */
	unsigned pending : 3; /* TASKS=2: an append is applied, its answer is not read */
	unsigned forgot : 4;  /* events that were received and are in no append; only without `rest of slice` */
	View v;
	byte mark[2];         /* mark(key): everything up to here is durable */
	byte k[PEEKED];       /* D1: the sealed buffers, by number + 1 */
	byte q[PEEKED];
	byte qlast[PEEKED]
};
/* where an owner is: what it is going to call next */
#define A1 0                  /* GET headrace.json and T n, then position */
#define A2 1                  /* GET manifests until one is missing */
#define A3 2                  /* GET position once more */
#define WIPE 3
#define A4 4                  /* FORGET */
#define A5 5                  /* RESTORE */
#define A6 6                  /* ATTACH */
#define A7 7                  /* APPEND without events, over the lost interval */
#define WORK 8                /* the receiver is open; the committer chooses its next job */
#define D2 9                  /* GET parked */
#define D3 10                 /* nothing left: look for another manifest */
#define D5 11                 /* create manifest */
#define D5b 12                /* it exists: GET it */
#define D6 13                 /* GET position, take the manifest into the view */
#define D7 14                 /* ACK */
#define RELEASE 15            /* E2 */
#define E4 16                 /* replace position */
#define DEAD 17
/* jobs */
#define BATCHES 1
#define PARKING 2
#define LEARNING 3
#define LOSING 4
#define PARK_RELEASED 5       /* only without the guard `release last` */

Redis r, snap;
Owner o[3];                   /* two owners; o[2] is a call that timed out and is still under way (LATE) */
/* the store */
byte batch[M];                /* manifest n: events in its batches */
byte lists[M];                /* parked objects that it lists: those with a used piece of x, and << 4 of y */
byte lost[M];                 /* events in its lost intervals */
unsigned length : 4;          /* manifests that ever counted */
#ifdef JANITOR
short there, again;           /* manifests that are not deleted; deleted ones that were created once more */
byte batch2[M], lists2[M];
#define THERE(i) ((i) < M && (there >> (i) & 1))
#define BATCH(i) (again >> (i) & 1 -> batch2[i] : batch[i])
#define LISTS(i) (again >> (i) & 1 -> lists2[i] : lists[i])
#else
#define THERE(i) ((i) < length)
#define BATCH(i) batch[i]
#define LISTS(i) lists[i]
#endif
#if PARK > 0
byte obj[PARK];               /* content of the parked objects, a piece for each key */
#endif
unsigned objects : 3;
unsigned shredded : 3;        /* objects that the janitor deleted */
unsigned c : 3;               /* the position object */
unsigned first : 4;
/* the hub */
unsigned dropped : 3;         /* events up to here cannot be received any more */
/* faults that were used */
unsigned lose_used : 1;
unsigned snapped : 2;         /* 1: `snap` may come back, 2: it did */
unsigned kills : 2;
unsigned deaf : 2;            /* 1: the next call is not answered, 2: it was not */
unsigned late_used : 1;
unsigned torn_used : 1;
unsigned backup : 2;          /* 1: a back-up was made, 2: it was brought in */
unsigned backup_length : 4;
unsigned backup_c : 3;
unsigned backup_first : 4;
/* the truth: what follows from all manifests that counted */
View truth;
unsigned batched : 4;
unsigned gone : 4;            /* events in lost intervals */

hidden byte b, p, li, i, j, key, m, t, f, seal, tidy, ok;   /* of one step; not part of a state */
hidden View newcomer;
hidden Owner saved, swapped;

/* ------------------------------------------------------------------------------------------------------------- pieces, marks */
#if PARK == 0
#define OBJECT(j) 0
#define CONTENT(set) 0
#elif PARK == 1
#define CONTENT(set) ((set) & 1 -> obj[0] : 0)
#elif PARK == 2
#define CONTENT(set) (((set) & 1 -> obj[0] : 0) | ((set) & 2 -> obj[1] : 0))
#else
#define CONTENT(set) (((set) & 1 -> obj[0] : 0) | ((set) & 2 -> obj[1] : 0) | ((set) & 4 -> obj[2] : 0))
#endif
#define PIECES(v, key) v.piece[key]
#define MARK(me, key) o[me].mark[key]
inline set_marks(me) {
	for (key : 0 .. 1) {
		o[me].mark[key] = LAST(o[me].v.piece[key]);
		o[me].mark[key] = MAX(o[me].mark[key], o[me].v.last[key]);
		if :: guard(mark_with_c) -> o[me].mark[key] = MAX(o[me].mark[key], o[me].c) :: else fi
	}
}

#if PARK > 0
#define OBJECT(j) obj[j]
#endif

/* Take a manifest into a view: batches supersede pieces as a whole; a listed piece replaces those that it contains. */
#define take(v, batches, listed) \
	for (key : 0 .. 1) { \
		m = (batches) & OF(key); \
		if :: m -> t = LAST(m); v.last[key] = MAX(v.last[key], t) :: else fi; \
		for (j : 0 .. PARK - 1) { \
			m = OBJECT(j) & OF(key); \
			if \
			:: ((listed) >> (4 * key + j) & 1) && m && LAST(m) > v.last[key] -> \
				for (t : 0 .. PARK - 1) { \
					f = OBJECT(t) & OF(key); \
					if \
					:: guard(contained) && (v.uses[key] >> t & 1) && FIRST(m) <= FIRST(f) && LAST(f) <= LAST(m) -> \
						v.uses[key] = v.uses[key] & ~(1 << t) \
					:: else \
					fi \
				} \
				v.uses[key] = v.uses[key] | (1 << j) \
			:: (v.uses[key] >> j & 1) && LAST(m) <= v.last[key] -> \
				v.uses[key] = v.uses[key] & ~(1 << j) \
			:: else \
			fi \
		} \
		v.piece[key] = CONTENT(v.uses[key]) & OF(key) \
	}

/* What a newcomer makes of the log, from manifest `from` on. */
#define read_log(v, from) \
	v.last[0] = 0; v.last[1] = 0; v.uses[0] = 0; v.uses[1] = 0; v.piece[0] = 0; v.piece[1] = 0; \
	for (i : 0 .. M - 1) { \
		if :: i >= (from) && i < length -> take(v, batch[i], lists[i]) :: else fi \
	}

/* ---------------------------------------------------------------------------------------------------------- what must be true */
/* Manifest `length` appears with batches b: the next events of their keys, none twice, none left out but lost ones. */
inline judge_manifest() {
	assert(!(b & batched));                                              /* TWICE */
	for (key : 0 .. 1) {
		m = b & OF(key);
		assert(!m || !(OF(key) & UPTO(LAST(m)) & ~(batched | b | gone)));  /* HOLE */
		assert(!m || FIRST(m) > truth.last[key]);                    /* ORDER */
#if PARK > 0
		for (j : 0 .. PARK - 1) {
			t = obj[j] & OF(key);
			assert(!(truth.uses[key] >> j & 1) || !m || LAST(t) <= LAST(m) || FIRST(t) > LAST(m))  /* CUT */
		}
#endif
	}
}

/* The position moves to `to`, `f`: everything up to it is durable or said to be lost, and a newcomer learns what is true. */
inline judge_position(to, from) {
	assert(!(UPTO(to) & ~(batched | gone | PIECES(truth, 0) | PIECES(truth, 1))));  /* CHECKPOINT */
#ifdef JANITOR
	for (i : 0 .. M - 1) { assert(i < (from) || i >= length || THERE(i)) }   /* FIRST names a deleted manifest */
#endif
	read_log(newcomer, from);
	for (key : 0 .. 1) {
		assert(MAX(to, newcomer.last[key]) >= truth.last[key]);      /* TRIMMED: a batch that is needed */
		assert(newcomer.uses[key] == truth.uses[key])                /* TRIMMED: a piece, or its end */
	}
}

/* --------------------------------------------------------------------------------------------------------------- Redis scripts */
#define NOT_FREE(q) ((q) & 15 & ~((q) >> 6 & 1))
#define SEALABLE(key) ((r.open >> (key) & 1) && r.k < KM)
inline seal_buffer(key) {
	r.q[r.k] = (key + 1) << 4 | (r.has & OF(key)) | (key == 0 -> r.free << 6 : 0);
	r.qlast[r.k] = r.last[key];
	r.waits = r.waits | NOT_FREE(r.q[r.k]);
	r.k++;
	r.open = r.open & ~(1 << key); r.has = r.has & ~OF(key); r.last[key] = 0;
	if :: key == 0 -> r.pair = 0; r.free = 0 :: else fi
}
inline restore_buffer(me, key) {
	if
	:: !(r.open >> key & 1) || !guard(restore_checks) ->
		if :: key == 0 -> r.pair = 0; r.free = 0 :: else fi;
		r.open = r.open | 1 << key; r.has = r.has & ~OF(key); r.last[key] = LAST(PIECES(o[me].v, key))
	:: else
	fi
}
#ifdef STORE
#define tells_n(name, me) if :: guard(name) -> r.n = MAX(r.n, o[me].next) :: else fi
#else
#define tells_n(name, me) skip
#endif
#define Q(i) ((i) < KM -> r.q[(i) % KM] : 0)
#define SEALED r.waits
#define LOWEST FIRST(r.waits | (r.has & ~r.free))
#define IS_SEALED(key) (OF_KEY(0, key) || OF_KEY(1, key) || OF_KEY(2, key) || OF_KEY(3, key) || OF_KEY(4, key))
#define OF_KEY(i, key) ((Q(i) >> 4 & 3) == key + 1)

/* --------------------------------------------------------------------------------------------------------- beginnings and ends */
c_code {                      /* the story of a counterexample: python -m tests.protocol.model_check --case NAME --without GUARD */
static const char *steps[] = { "A1 GET position", "A2 GET manifest", "A3 GET position", "WIPE", "A4 FORGET", "A5 RESTORE", "A6 ATTACH", "A7 APPEND over what is lost",
	"B, C, D1, E or F", "D2 GET parked", "D3 look at the log", "D5 create manifest", "D5 GET manifest", "D6 take manifest", "D7 ACK",
	"E2 RELEASE", "E4 replace position", "-" };
static const char *faults[] = { "REDIS EMPTIED", "this state of Redis may come back", "REDIS ROLLED BACK", "KILL owner 0", "KILL owner 1",
	"owner 0 DIES for good", "owner 1 DIES for good", "the next call is not answered", "A CALL TIMES OUT, and may be applied later",
	"the late call is never applied", "THE HUB DROPS EVENTS", "a manifest is deleted", "a parked object is deleted", "back-up of the store",
	"THE BACK-UP IS BROUGHT IN" };
static void tell(int me)
{	int i;
	printf("    redis w=%d open=%d has=%x last=%d,%d sealed=", now.r.w, now.r.open, now.r.has, now.r.last[0], now.r.last[1]);
	for (i = 0; i < KM; i++) if (now.r.q[i]) printf("%d:%c%x(%d) ", i, "?xy"[now.r.q[i] >> 4 & 3], now.r.q[i] & 15, now.r.qlast[i]);
	printf(" log="); for (i = 0; i < now.length; i++) printf("%x/%x/%x ", now.batch[i], now.lists[i], now.lost[i]);
	printf(" c=%d first=%d", now.c, now.first);
	for (i = 0; i < 2; i++) printf(" | %s c=%d next=%d acked=%d last=%d,%d uses=%d,%d", steps[now.o[i].pc], now.o[i].c, now.o[i].next, now.o[i].acked,
		now.o[i].v.last[0], now.o[i].v.last[1], now.o[i].v.uses[0], now.o[i].v.uses[1]);
	printf("\nowner %d: %s\n", me, steps[now.o[me].pc]);
}
}

#define at(step) (o[me].pc == step)
#define go(step) o[me].pc = step

#ifdef LOSTREPLY
#define begin() c_code { saved = now.o[Powner->me]; if (readtrail) tell(Powner->me); }
#define unanswered() if :: deaf == 1 -> deaf = 2; c_code { now.o[Powner->me] = saved; } :: else fi
#else
#define begin() c_code { if (readtrail) tell(Powner->me); }
#define unanswered() skip
#endif
/* Owners differ by nothing but what they know: keep them sorted. A number of a seal that nobody knows is free again. */
inline tidy_up() {
#ifndef UNSORTED
	c_code {
		if (memcmp(&now.o[0], &now.o[1], sizeof(now.o[0])) > 0) {
			swapped = now.o[0]; now.o[0] = now.o[1]; now.o[1] = swapped;
		}
	}
#endif
	ok = (snapped != 1 && !o[0].k[0] && !o[1].k[0] && !o[2].k[0]);
	for (j : 0 .. KM - 1) { ok = ok && !r.q[j] }
	if :: ok -> r.k = 0 :: else fi
}
inline done() {
	unanswered();
#ifdef LATE
	if :: me == 2 -> c_code { memset(&now.o[2], 0, sizeof(now.o[2])); }; o[2].pc = DEAD :: else fi;
#endif
	tidy_up()
}
#define attach_again() c_code { memset(&now.o[Powner->me], 0, sizeof(now.o[0])); }
inline idle() {
	go(WORK); o[me].job = 0; o[me].newc = 0; o[me].taken = 0; o[me].upto = 0;
	for (j : 0 .. PEEKED - 1) { o[me].k[j] = 0; o[me].q[j] = 0; o[me].qlast[j] = 0 }
}

/* ---------------------------------------------------------------------------------------------------------------- D2: planning */
/* b: what the batches of the next manifest would hold; p: what its new parked object would. */
inline plan() {
	b = 0; p = 0; li = 0;
	if
	:: o[me].job == BATCHES ->
		for (j : 0 .. PEEKED - 1) {
			if
			:: o[me].q[j] ->
				key = (o[me].q[j] >> 4 & 3) - 1;
				f = PIECES(o[me].v, key);
				if
				:: (b & OF(key)) || !guard(pieces) -> f = 0
				:: else -> if :: f && o[me].qlast[j] < FIRST(f) -> f = 0 :: else fi     /* a buffer from before the pieces */
				fi;
				if :: !guard(whole_pieces) -> f = f & UPTO(o[me].qlast[j]) :: else fi;
				m = b & OF(key);
				t = LAST(m);
				t = (guard(overlap) -> MAX(MARK(me, key), t) : 0);
				b = b | f | (o[me].q[j] & 15 & ~UPTO(t))
			:: else
			fi
		}
	:: o[me].job == PARKING || o[me].job == PARK_RELEASED ->
		p = (o[me].taken & X & ~UPTO(MARK(me, 0))) | (o[me].taken & Y & ~UPTO(MARK(me, 1)))
	:: o[me].job == LOSING ->
		li = UPTO(o[me].upto) & ~UPTO(o[me].acked)
	:: else
	fi
}
#ifdef SHRED
#define PLANNED D2
#else
#define PLANNED D5
#endif
/* Something left to commit, or what comes after it. */
inline go_on(learned) {
	plan();
	if
	:: b || p || li -> go(PLANNED)
	:: else ->
		if
		:: o[me].job == BATCHES && !guard(ack_last) -> idle()
		:: o[me].job == BATCHES && guard(ack_last) -> if :: learned || !guard(look_first) -> go(D7) :: else -> go(D3) fi
		:: o[me].job == PARKING -> go(RELEASE)
		:: o[me].job == LOSING -> go(A7)
		:: else -> idle()
		fi
	fi
}
/* Carry: objects with a piece in use are listed again, with those pieces. They stand before the batches of their manifest. */
inline carry() {
#if PARK > 0
	for (j : 0 .. PARK - 1) {
		t = (o[me].v.uses[0] >> j & 1) | (o[me].v.uses[1] >> j & 1) << 4;
		if :: t && !guard(carry_used) -> t = (obj[j] & X -> 1 : 0) | (obj[j] & Y -> 16 : 0) :: else fi;
		f = f | t << j
	}
#else
	skip
#endif
}
/* D5 on a number that is free: batches b, a new object of p, lost interval li, objects f listed again. */
inline create() {
#if PARK > 0
	if :: p -> obj[objects] = p; f = f | (p & X -> 1 << objects : 0) | (p & Y -> 16 << objects : 0); objects++ :: else fi;
#endif
	assert(o[me].next <= length);                                        /* LOG has a hole */
#ifdef JANITOR
	there = there | 1 << o[me].next;
	if
	:: o[me].next < length -> again = again | 1 << o[me].next; batch2[o[me].next] = b; lists2[o[me].next] = f
	:: else ->
#endif
		p = f;
		judge_manifest();
		batch[length] = b; lists[length] = p; lost[length] = li; length++;
		batched = batched | b; gone = gone | li;
		take(truth, b, p)
#ifdef JANITOR
	fi
#endif
}

/* ------------------------------------------------------------------------------------------------------------------- an owner */
proctype owner(byte me) {
	do
	/* A. Attach */
	:: d_step { at(A1) -> begin();
#ifdef STORE
		o[me].relies = r.n;                                          /* A0: before the log */
#endif
		o[me].c = c; o[me].first = first; o[me].next = first; set_marks(me); go(A2); done() }
	:: d_step { at(A2) -> begin();
		if
		:: THERE(o[me].next) && ((LISTS(o[me].next) | LISTS(o[me].next) >> 4) & shredded) ->
			assert(first > o[me].first);                         /* CORRUPT: an index is gone, and `first` stands still */
			attach_again()
		:: THERE(o[me].next) && !((LISTS(o[me].next) | LISTS(o[me].next) >> 4) & shredded) -> take(o[me].v, BATCH(o[me].next), LISTS(o[me].next)); o[me].next++; set_marks(me)
		:: else -> go(A3)
		fi;
		done() }
	:: d_step { at(A3) -> begin();
		if
		:: first > o[me].first && guard(read_check) -> attach_again()
		:: else ->
			if :: o[me].next < o[me].relies && guard(wipe) -> go(WIPE) :: else -> go(A4) fi;
			o[me].relies = 0
		fi;
		done() }
	:: d_step { at(WIPE) -> begin();
		c_code { memset(&now.r, 0, sizeof(now.r)); }
		if :: snapped == 1 -> snapped = 0; c_code { memset(&now.snap, 0, sizeof(now.snap)); } :: else fi;   /* made durable */
		go(A4); done() }
	:: d_step { at(A4) -> begin();
#ifdef FORGET
		for (key : 0 .. 1) {
			if
			:: (r.open >> key & 1) && !PIECES(o[me].v, key) && (r.last[key] <= MARK(me, key) || !guard(forget_checks)) ->
				if :: key == 0 -> r.pair = 0; r.free = 0 :: else fi;
				r.open = r.open & ~(1 << key); r.has = r.has & ~OF(key); r.last[key] = 0
			:: else
			fi
		}
		tells_n(forget_tells_n, me);
#endif
		if :: guard(restore) && (o[me].v.uses[0] | o[me].v.uses[1]) -> go(A5) :: else -> go(A6) fi;
		done() }
	:: d_step { at(A5) -> begin();
		if :: PIECES(o[me].v, 0) -> restore_buffer(me, 0) :: else fi;
		if :: PIECES(o[me].v, 1) -> restore_buffer(me, 1) :: else fi;
		go(A6); done() }
	:: d_step { at(A6) -> begin();
		r.w = (guard(attach_keeps_w) -> MAX(r.w, o[me].c) : o[me].c);
		tells_n(attach_tells_n, me);
		o[me].acked = r.w; o[me].forgot = 0;
		idle();
		if
		:: dropped > o[me].acked ->                                  /* the hub's first number > w + 1 */
			o[me].job = LOSING; o[me].upto = dropped;
			if :: guard(lost_first) -> go(D5) :: else -> go(A7) fi
		:: else
		fi;
		done() }
#ifdef RETENTION
	:: d_step { at(A7) -> begin();
		if
		:: r.w < o[me].acked && guard(lost_is_appended) -> attach_again()       /* GAP: Redis went back meanwhile */
		:: r.w > o[me].acked && guard(lost_is_appended) -> o[me].acked = r.w; idle()    /* BEHIND */
		:: else ->
			r.w = MAX(r.w, o[me].upto); o[me].acked = r.w;
			tells_n(append_tells_n, me);
			idle()
		fi;
		done() }
#endif

	/* B. Append: the next event, or two; which buffers are sealed is a free choice (before the append: C). */
#define RECEIVES (o[me].pc >= WORK && o[me].pc < DEAD && o[me].job != LOSING && (TASKS == 2 || at(WORK)) && !o[me].pending)
#define CAN_GET(count) (o[me].acked + count <= N && (o[me].acked >= dropped || o[me].holds))
	:: d_step { RECEIVES && CAN_GET(1) && r.w < o[me].acked && guard(gap) -> begin();
		attach_again(); done() }                                     /* GAP */
	:: d_step { RECEIVES && CAN_GET(1) && r.w > o[me].acked && guard(behind) -> begin();
		o[me].acked = r.w; done() }                                  /* BEHIND */
#ifdef PAIRS
	:: d_step { RECEIVES && CAN_GET(2) && r.w == o[me].acked + 1 && guard(behind) && !guard(rest_of_slice) -> begin();
		o[me].forgot = UPTO(o[me].acked + 2) & ~UPTO(r.w); o[me].acked = r.w; done() }   /* BEHIND, and the link goes on */
#endif
	:: d_step { RECEIVES && o[me].acked < dropped && !o[me].holds -> begin();
		attach_again(); done() }                                     /* the link says: no longer there */
#define APPENDS(count) (RECEIVES && CAN_GET(count) && (r.w == o[me].acked || (r.w < o[me].acked && !guard(gap)) || (r.w > o[me].acked && !guard(behind))))
#define append(count, sealed, torn) \
		b = UPTO(o[me].acked + count) & ~UPTO(o[me].acked) & ~o[me].forgot; \
		if :: guard(skip) -> b = b & ~((X & UPTO(MARK(me, 0))) | (Y & UPTO(MARK(me, 1)))) :: else fi; \
		for (key : 0 .. 1) { \
			m = b & OF(key); \
			if \
			:: m && !(torn && key == (b & X -> 1 : 2)) -> \
				if :: key == 0 && (m & 3) == 3 && !(r.has & 3) -> r.pair = 1 :: else fi; \
				r.open = r.open | 1 << key; r.has = r.has | m; t = LAST(m); r.last[key] = MAX(r.last[key], t); \
				if :: ((sealed) >> key & 1) && SEALABLE(key) -> seal_buffer(key) :: else fi \
			:: else \
			fi \
		} \
		if \
		:: torn \
		:: !torn && TASKS == 2 -> r.w = o[me].acked + count; o[me].pending = r.w \
		:: else -> o[me].acked = o[me].acked + count; r.w = o[me].acked \
		fi; \
		tells_n(append_tells_n, me)
#define X_COMES(count) (X & UPTO(o[me].acked + count) & ~UPTO(o[me].acked) & ~UPTO(MARK(me, 0)) && r.k < KM)
#define Y_COMES(count) (Y & UPTO(o[me].acked + count) & ~UPTO(o[me].acked) & ~UPTO(MARK(me, 1)) && r.k < KM)
	:: d_step { APPENDS(1) -> begin(); append(1, 0, 0); done() }
	:: d_step { APPENDS(1) && (X_COMES(1) || Y_COMES(1)) -> begin(); append(1, 3, 0); done() }
#ifdef PAIRS
	:: d_step { APPENDS(2) -> begin(); append(2, 0, 0); done() }
	:: d_step { APPENDS(2) && X_COMES(2) -> begin(); append(2, 1, 0); done() }
	:: d_step { APPENDS(2) && Y_COMES(2) -> begin(); append(2, 2, 0); done() }
	:: d_step { APPENDS(2) && X_COMES(2) && Y_COMES(2) -> begin(); append(2, 3, 0); done() }
#endif
#ifdef TORN
	:: d_step { APPENDS(1) && !torn_used -> begin(); torn_used = 1; append(1, 0, 1); done() }
	:: d_step { APPENDS(1) && !torn_used && (X_COMES(1) || Y_COMES(1)) -> begin(); torn_used = 1; append(1, 3, 1); done() }
#ifdef PAIRS
	:: d_step { APPENDS(2) && !torn_used -> begin(); torn_used = 1; append(2, 0, 1); done() }
	:: d_step { APPENDS(2) && !torn_used && (X_COMES(2) || Y_COMES(2)) -> begin(); torn_used = 1; append(2, 3, 1); done() }
#endif
#endif
	:: d_step { o[me].pending -> o[me].acked = o[me].pending; o[me].pending = 0; tidy_up() }   /* the answer is read */

	/* C. Sweep: any open buffer may be due. */
	:: d_step { at(WORK) && SEALABLE(0) -> begin(); seal_buffer(0); done() }
	:: d_step { at(WORK) && SEALABLE(1) -> begin(); seal_buffer(1); done() }

	/* D. Commit */
	:: d_step { at(WORK) && (Q(0) || Q(1) || Q(2) || Q(3) || Q(4)) -> begin();                       /* D1: one script */
		i = 0;
		for (j : 0 .. KM - 1) {
			t = (guard(order) -> j : KM - 1 - j);
			if :: r.q[t] && i < PEEKED -> o[me].k[i] = t + 1; o[me].q[i] = r.q[t]; o[me].qlast[i] = r.qlast[t]; i++ :: else fi
		}
		o[me].job = BATCHES;
		if :: guard(ack_last) -> go_on(false) :: else -> go(D7) fi;
		done() }
#ifdef SHRED
	:: d_step { at(D2) -> begin();                                       /* D2: content of the pieces, read from their objects */
		t = 0;
		for (j : 0 .. PEEKED - 1) {
			if :: o[me].q[j] -> t = t | o[me].v.uses[(o[me].q[j] >> 4 & 3) - 1] :: else fi
		}
#ifdef CARRY
		t = t | (o[me].job == PARKING -> o[me].v.uses[0] | o[me].v.uses[1] : 0);
#endif
		if :: t & shredded -> attach_again() :: else -> go(D5) fi;
		done() }
#endif
	:: d_step { at(D3) -> begin();
		if :: THERE(o[me].next) -> go(D6) :: else -> go(D7) fi;
		done() }
	:: d_step { at(D5) && THERE(o[me].next) && guard(create_only_log) -> begin(); go(D5b); done() }
	:: d_step { at(D5) && (!THERE(o[me].next) || !guard(create_only_log)) && o[me].next < M -> begin();
		plan();                                                      /* D4, D5 */
		if
		:: p && objects == PARK -> idle()                            /* bound of the model: this owner gives up parking */
		:: else -> f = 0; if :: THERE(o[me].next) -> judge_manifest(); batch[o[me].next] = b :: else -> create() fi; go(D6)
		fi;
		done() }
	:: d_step { at(D5) && !THERE(o[me].next) && o[me].next >= M -> assert(false) }       /* the model's log is too short */
#ifdef CARRY
	:: d_step { at(D5) && !THERE(o[me].next) && o[me].next < M && (o[me].v.uses[0] | o[me].v.uses[1]) -> begin();
		plan();                                                      /* the same, and objects are listed again */
		if
		:: p && objects == PARK -> idle()
		:: else -> f = 0; carry(); create(); go(D6)
		fi;
		done() }
	:: d_step { at(D5) && o[me].job == PARKING && !THERE(o[me].next) && o[me].next < M && (o[me].v.uses[0] | o[me].v.uses[1]) && objects < PARK -> begin();
		plan();                                                      /* the same, and all pieces in use move into the new object */
		p = p | PIECES(o[me].v, 0) | PIECES(o[me].v, 1);
		f = 0; create(); go(D6);
		done() }
#endif
	:: d_step { at(D5b) -> begin();
		if :: THERE(o[me].next) -> go(D6) :: else -> attach_again() fi;
		done() }
	:: d_step { at(D6) -> begin();
		if
		:: first > o[me].next && guard(number_check) -> attach_again()
		:: else ->
			li = lost[o[me].next];
			take(o[me].v, BATCH(o[me].next), LISTS(o[me].next)); o[me].next++; set_marks(me);
			if
			:: o[me].job == LOSING -> if :: li == (UPTO(o[me].upto) & ~UPTO(o[me].acked)) -> go(A7) :: else -> go(D5) fi
			:: else -> go_on(true)
			fi
		fi;
		done() }
	:: d_step { at(D7) -> begin();
		for (j : 0 .. PEEKED - 1) {
			if
			:: o[me].k[j] ->
				t = o[me].k[j] - 1;
				if
				:: ((r.q[t] >> 4 & 3) == (o[me].q[j] >> 4 & 3) && r.qlast[t] <= o[me].qlast[j]) || !guard(ack_checks) ->
					r.q[t] = 0; r.qlast[t] = 0
				:: else
				fi
			:: else
			fi
		}
		r.waits = 0;
		for (j : 0 .. KM - 1) { r.waits = r.waits | NOT_FREE(r.q[j]) }
		tells_n(ack_tells_n, me);
		if :: guard(ack_last) -> idle() :: else -> go_on(false) fi;
		done() }

	/* E. Maintain */
	:: d_step { at(WORK) && r.w < o[me].acked && guard(low_checks) -> begin(); attach_again(); done() }   /* E1 */
#define UP_TO_LO (LOWEST && guard(checkpoint) -> LOWEST - 1 : r.w)
	:: d_step { at(WORK) && (r.w >= o[me].acked || !guard(low_checks)) && (r.n <= o[me].next || !guard(low_tells_n)) &&
		UP_TO_LO > o[me].c -> begin();
		o[me].newc = UP_TO_LO; go(E4); done() }                      /* E3 */
	:: d_step { at(E4) -> begin();
		if
		:: c != o[me].c && guard(replace_position) ->
			if :: guard(lost_position) -> attach_again() :: else -> o[me].c = MAX(c, o[me].c); set_marks(me); idle() fi
		:: else ->
			t = o[me].next;
			for (j : 0 .. M - 1) {
				i = M - 1 - j;
				if
				:: i >= o[me].first && i < o[me].next && guard(trim_batches) && LAST((batch[i] | lost[i])) > o[me].newc -> t = i
				:: else
				fi
			}
#if PARK > 0
			if
			:: guard(trim_parked) ->
				for (j : 0 .. PARK - 1) {
					if
					:: (o[me].v.uses[0] | o[me].v.uses[1]) >> j & 1 ->
						f = t; ok = false;                   /* its newest listing */
						for (i : 0 .. M - 1) {
							if :: i >= o[me].first && i < o[me].next && ((lists[i] | lists[i] >> 4) >> j & 1) -> f = i; ok = true :: else fi
						}
						if :: ok && f < t -> t = f :: else fi
					:: else
					fi
				}
			:: else
			fi;
#endif
			first = MAX(t, o[me].first); c = o[me].newc; o[me].c = c; set_marks(me);
			judge_position(c, first);
			idle()
		fi;
		done() }

#if PARK > 0
	/* E2. Park: the open buffers with the lowest lo, one of them or both, none beyond a sealed one. */
#define PARKABLE(set) (((set) & r.has & X & ~UPTO(MARK(me, 0))) || ((set) & r.has & Y & ~UPTO(MARK(me, 1))))
#define RELEASABLE(set) (((set) & r.has & ~r.free & X & UPTO(MARK(me, 0))) || ((set) & r.has & ~r.free & Y & UPTO(MARK(me, 1))))
#define IN_LO (r.has & ~r.free)
#define LOWER (IN_LO & X && (!(IN_LO & Y) || FIRST(IN_LO & X) < FIRST(IN_LO & Y)) -> X : Y)
#define STOPS(set) (SEALED && guard(park_stops) && (FIRST(SEALED) < FIRST((set) & X) || FIRST(SEALED) < FIRST((set) & Y)))
#define USEFUL(set) (PARKABLE(set) -> objects < PARK : RELEASABLE(set))
#define park(set) begin(); \
		o[me].taken = r.has & set; o[me].job = PARKING; \
		if :: guard(release_last) -> go_on(true) :: else -> go(RELEASE) fi; \
		done()
	:: d_step { at(WORK) && IN_LO && !STOPS(IN_LO & LOWER) && USEFUL(LOWER) -> park(LOWER) }
	:: d_step { at(WORK) && (IN_LO & X) && (IN_LO & Y) && !STOPS(IN_LO) && USEFUL(ALL) -> park(ALL) }
	:: d_step { at(RELEASE) -> begin();
		for (key : 0 .. 1) {
			if
			:: (o[me].taken & OF(key)) && (r.open >> key & 1) ->
				t = (guard(release_checks) -> MARK(me, key) : N);
				if :: !guard(release_last) -> t = MAX(t, LAST(o[me].taken & OF(key))) :: else fi;
				if
				:: key == 0 && r.pair && t == 1 ->           /* the element straddles */
					if :: guard(straddling_stays) -> r.free = 1 :: else -> r.has = r.has & ~3; r.pair = 0 fi
				:: else ->
					r.has = r.has & ~(OF(key) & UPTO(t));
					if :: key == 0 && !(r.has & 2) -> r.pair = 0; r.free = 0 :: else fi
				fi
			:: else
			fi
		}
		tells_n(release_tells_n, me);
		if :: guard(release_last) || o[me].job == PARK_RELEASED -> idle() :: else -> o[me].job = PARK_RELEASED; go_on(true) fi;
		done() }
#endif

	/* F. Overdue: manifests of others; a piece without a buffer may be past its due time. */
	:: d_step { at(WORK) && THERE(o[me].next) && guard(learn) -> begin(); o[me].job = LEARNING; go(D6); done() }
#if PARK > 0
#define OVERDUE(key) (at(WORK) && guard(overdue) && PIECES(o[me].v, key) && !(r.open >> key & 1) && !IS_SEALED(key) && (!THERE(o[me].next) || !guard(learn)))
	:: d_step { OVERDUE(0) -> begin(); restore_buffer(me, 0); done() }
	:: d_step { OVERDUE(1) -> begin(); restore_buffer(me, 1); done() }
#endif
	od
}

/* ---------------------------------------------------------------------------------------------------------------- what goes wrong */
#define CHANGED (r.w != snap.w || r.k != snap.k || r.open != snap.open || r.has != snap.has || Q(0) != S(0) || Q(1) != S(1) || Q(2) != S(2) || \
	Q(3) != S(3) || Q(4) != S(4) || r.last[0] != snap.last[0] || r.last[1] != snap.last[1] || r.n != snap.n)
#define S(i) ((i) < KM -> snap.q[(i) % KM] : 0)
#define happens(what) c_code { if (readtrail) printf("%s\n", faults[what]); }
#define die(me, how) happens(3 + 2 * (how == DEAD) + me); c_code { memset(&now.o[me], 0, sizeof(now.o[0])); }; o[me].pc = how; kills++; tidy_up()
proctype world() {
	do
	:: false -> skip
#ifdef LOSE
	:: d_step { !lose_used && (r.w || r.open || r.k) -> happens(0); lose_used = 1; c_code { memset(&now.r, 0, sizeof(now.r)); }; tidy_up() }
#endif
#ifdef SNAP
	:: d_step { snapped == 0 -> happens(1); snapped = 1; c_code { now.snap = now.r; } }
	:: d_step { snapped == 1 && CHANGED -> happens(2);
		snapped = 2; c_code { now.r = now.snap; memset(&now.snap, 0, sizeof(now.snap)); }; tidy_up() }
#endif
#if KILL > 0
	:: d_step { kills < KILL && o[0].pc != DEAD && o[0].pc != A1 -> die(0, A1) }
	:: d_step { kills < KILL && o[1].pc != DEAD && o[1].pc != A1 -> die(1, A1) }
	:: d_step { kills < KILL && o[0].pc != DEAD && o[1].pc != DEAD -> die(0, DEAD) }      /* for good */
	:: d_step { kills < KILL && o[0].pc != DEAD && o[1].pc != DEAD -> die(1, DEAD) }
#endif
#ifdef LOSTREPLY
	:: d_step { deaf == 0 -> happens(7); deaf = 1 }
#endif
#ifdef LATE
	:: d_step { !late_used && o[0].pc != DEAD -> happens(8); late_used = 1; c_code { now.o[2] = now.o[0]; } }
	:: d_step { !late_used && o[1].pc != DEAD -> happens(8); late_used = 1; c_code { now.o[2] = now.o[1]; } }
	:: d_step { o[2].pc != DEAD && late_used -> happens(9); c_code { memset(&now.o[2], 0, sizeof(now.o[2])); }; o[2].pc = DEAD; tidy_up() }
#endif
#ifdef RETENTION
#define drop(upto) d_step { dropped == 0 && upto <= N -> happens(10); dropped = upto; o[0].holds = 0; o[1].holds = 0; tidy_up() }
	:: drop(1) :: drop(2) :: drop(3) :: drop(4)
	/* one of the receivers had got everything before */
#define drop_held(upto) d_step { dropped == 0 && upto <= N && o[0].pc >= WORK && o[0].pc != DEAD -> happens(10); dropped = upto; o[0].holds = 1; tidy_up() } \
	:: d_step { dropped == 0 && upto <= N && o[1].pc >= WORK && o[1].pc != DEAD -> happens(10); dropped = upto; o[1].holds = 1; tidy_up() }
	:: drop_held(1) :: drop_held(2) :: drop_held(3) :: drop_held(4)
#endif
#ifdef JANITOR
#define delete(i) d_step { THERE(i) && i < length && (i < first || !guard(below_first)) -> happens(11); there = there & ~(1 << i); again = again & ~(1 << i); \
		batch2[i] = 0; lists2[i] = 0 }
	:: delete(0)
#if M > 1
	:: delete(1)
#endif
#if M > 2
	:: delete(2)
#endif
#if M > 3
	:: delete(3)
#endif
#endif
#ifdef SHRED
#define LISTS_IT(i, j) ((i) >= first && (i) < length && ((lists[(i) % M] | lists[(i) % M] >> 4) >> j & 1))
#define LISTED(j) (LISTS_IT(0, j) || LISTS_IT(1, j) || LISTS_IT(2, j) || LISTS_IT(3, j) || LISTS_IT(4, j) || LISTS_IT(5, j) || LISTS_IT(6, j) || LISTS_IT(7, j))
#define UNUSED(j) (j < objects && !(shredded >> j & 1) && (!LISTED(j) || !guard(parked_listed)))
	:: d_step { UNUSED(0) -> happens(12); shredded = shredded | 1; assert(!((truth.uses[0] | truth.uses[1]) & 1)) }
	:: d_step { UNUSED(1) -> happens(12); shredded = shredded | 2; assert(!((truth.uses[0] | truth.uses[1]) & 2)) }
#endif
#ifdef STORE
	:: d_step { backup == 0 -> happens(13); backup = 1; backup_length = length; backup_c = c; backup_first = first }
	:: d_step { backup == 1 && (length > backup_length || c > backup_c) ->     /* services are stopped, and start again */
		happens(14); backup = 2; c = backup_c; first = backup_first; length = backup_length;
		c_code { memset(&now.o[0], 0, sizeof(now.o[0])); memset(&now.o[1], 0, sizeof(now.o[1])); }
		for (i : 0 .. M - 1) { if :: i >= length -> batch[i] = 0; lists[i] = 0; lost[i] = 0 :: else fi }
		batched = 0;
		for (i : 0 .. M - 1) { batched = batched | batch[i] }
		read_log(truth, 0);
		backup_c = 0; backup_first = 0; backup_length = 0; tidy_up() }
#endif
	od
}

/* Nobody has anything to do: everything is in a batch, or said to be lost, and the checkpoint is at the end. */
proctype ending() {
	timeout ->
	assert(r.k == KM || ((batched | gone) == ALL && c == N && !truth.uses[0] && !truth.uses[1]))
}

init {
	c_code {
		removed = getenv("REMOVED") ? atoi(getenv("REMOVED")) : 0;
		also_removed = getenv("ALSO") ? atoi(getenv("ALSO")) : 0;
	};
	o[2].pc = DEAD;
	if :: OWNERS == 1 -> o[1].pc = DEAD :: else fi;
	atomic { run owner(0); run owner(1);
#ifdef LATE
		run owner(2);
#endif
		run world(); run ending() }
}
