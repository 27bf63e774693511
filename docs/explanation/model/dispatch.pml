/* Runs, steps G and H of ../protocol.md, for the model checker SPIN: records, a cap, attempts, receipts, results, `settled`.
 *
 * One job over one partition. Manifests 1..RUNS appear one by one, each with one batch; two dispatchers make records of one manifest or
 * of two and drive them; Workflows are found by their name (record, attempt). A flow asks for the result first and creates it last,
 * or is an ordinary one, which just succeeds. It may fail, and any Workflow that ended may be gone at any time. A call is one step;
 * steps are labelled as on the protocol page, guards have the names of tests/protocol/guards.py; REMOVED=<number> takes one away.
 *
 * Size     RUNS manifests, hence at most as many records, ATT attempts, AUTO of them without being asked, CAP runs in flight
 * Retries  RETRY=m commands ask for another attempt at a record that was given up; each may die at any time
 * Faults   KILL=m (a dispatcher forgets everything), LOSTREPLY (applied, not answered; a dispatcher's call or the creation of a
 *          result), FAIL=m flows that fail, ORDINARY (flows may be ordinary ones)
 */
#ifndef RUNS
#define RUNS 2
#endif
#ifndef ATT
#define ATT 2
#endif
#ifndef AUTO
#define AUTO ATT
#endif
#ifndef RETRY
#define RETRY 0
#endif
#ifndef CAP
#define CAP 1
#endif
#ifndef KILL
#define KILL 0
#endif
#ifndef FAIL
#define FAIL 0
#endif

#define g_create_only_runs 1    /* run record: create-only */
#define g_create_only_results 2 /* result: create-only */
#define g_drive 3               /* anybody drives records without a result */
#define g_cap_from_the_store 4  /* in flight is counted from the store, not from memory */
#define g_settled 5             /* settled: no further than the first record without an end */
#define g_replace_settled 6     /* settled, and what was asked for: replaced only if unchanged */
#define g_vector 7              /* a start from `settled` reads the record before it, too */
#define g_end_checks 8          /* next attempt or .failed: only after one more look for a result */
#define g_receipt 9             /* a receipt once a Workflow is started */
#define g_asks_first 10         /* flow: the first step ends when the result exists */
#define g_own_end 11            /* the end of an attempt is named by it */
#define g_asked_read 12         /* dispatchers look now and then at what was asked for */
#define g_asked_stays 13        /* what was asked for stays so until that attempt has ended */
hidden byte removed, also_removed;
#define guard(name) (removed != g_##name && also_removed != g_##name)

/* a dispatcher's next call */
#define G1 0                  /* GET runs/<job>/position */
#define G1b 1                 /* GET run records until one is missing */
#define WORK 2
#define G3 3                  /* GET result, .failed */
#define G3b 4                 /* GET .a<k> until one is missing; GET receipt */
#define G3c 5                 /* start the run under its name */
#define G3d 6                 /* create the receipt */
#define G3e 7                 /* state of the Workflow */
#define G3f 8                 /* GET result once more */
#define G3g 9                 /* create result, .a<k+1> or .failed */
#define G4 10                 /* GET position of the runs */
#define G4b 11                /* replace it */
#define G5 12                 /* create run record */
#define G3h 13                /* create .a<k+1>, which was asked for */
typedef Dispatcher {
	unsigned pc : 4;
	unsigned next : 3;    /* number of the next record */
	unsigned vector : 3;  /* `to` of the record before */
	unsigned open : 4;    /* records without an end, as far as is known */
	unsigned mine : 4;    /* records that it created itself */
	unsigned settled : 3;
	unsigned to : 3;      /* G5: manifests that the record covers; G4: what it found there */
	unsigned want : 3;    /* G4 */
	unsigned r : 2;       /* record that it drives */
	unsigned k : 2;       /* and the attempt, from 0 */
	unsigned ended : 2
#if RETRY > 0
	; unsigned ask : 4;   /* attempt that was asked for, two bits a record, as far as it was read */
	unsigned seen : 4;    /* G4: what it found there */
	unsigned over : 4     /* behind the last attempt that is known to have ended; 3: all of them */
#endif
};
#define NONE 0
#define RUNNING 1
#define READY 2               /* has seen that there is no result */
#define SUCCEEDED 3
#define FAILED 4
Dispatcher d[2];
byte upto[RUNS];              /* run record n: `to` */
byte attempts[RUNS];          /* .a<k> that exist: the highest attempt is this one, from 0 */
byte result[RUNS], failed[RUNS * ATT];
byte receipt[RUNS * ATT], flow[RUNS * ATT];
unsigned manifests : 3;
unsigned records : 3;
unsigned settled : 3;         /* runs/<job>/position.json */
#if RETRY > 0
unsigned asked : 4;           /* also there: two bits a record */
unsigned wanted : 4;          /* the highest attempts that were ever asked for */
unsigned reopened : 2;        /* records with an attempt that was asked for */
unsigned retries : 2;
unsigned rpc : 2; unsigned rsettled : 3; unsigned rasked : 4; unsigned rn : 1; unsigned rk : 2;  /* a command */
#define OF(bits, n) ((bits) >> 2 * (n) & 3)
#define PUT(bits, n, k) ((bits) & ~(3 << 2 * (n)) | (k) << 2 * (n))
#define ASKS(n) (OF(asked, n) > 0)
#define REOPENED(n) (reopened >> (n) & 1)
#define KNOWS(me, n) (OF(d[me].ask, n) > 0)
#define ANSWERED(me, n) (KNOWS(me, n) && (OF(d[me].over, n) > (guard(asked_stays) -> OF(d[me].ask, n) : 0)))
#define ASKED_MASK(me) (KNOWS(me, 0) | KNOWS(me, 1) << 1)
#define ANSWERED_SOME(me) (ANSWERED(me, 0) || ANSWERED(me, 1))
#else
#define ASKS(n) 0
#define REOPENED(n) 0
#define ASKED_MASK(me) 0
#define ANSWERED_SOME(me) 0
#endif
unsigned kills : 2;
unsigned deaf : 2;            /* 1: the next call is not answered, 2: it was not */
unsigned fails : 2;
hidden byte i, count, t;
hidden Dispatcher saved, swapped;

#define FAILED_AT(n, k) failed[NAME(n, (guard(own_end) -> k : 0))]
#define END(n) (result[n] || FAILED_AT(n, attempts[n]))
#define IN_FLIGHT(mask) (((mask) & 1) + ((mask) >> 1 & 1) + ((mask) >> 2 & 1) + ((mask) >> 3 & 1))
#define KNOWN_IN_FLIGHT(me) (guard(cap_from_the_store) -> IN_FLIGHT(d[me].open) : IN_FLIGHT(d[me].open & d[me].mine))
#define LOWEST(mask, none) ((mask) & 1 -> 0 : ((mask) & 2 -> 1 : ((mask) & 4 -> 2 : ((mask) & 8 -> 3 : none))))
#define SETTLED(me) (guard(settled) -> LOWEST(d[me].open & ~ASKED_MASK(me), d[me].next) : d[me].next)
#define NAME(n, k) ((n) * ATT + (k))

c_code {
static const char *steps[] = { "G1 GET position", "G1 GET record", "G", "G3 GET result", "G3 GET .a<k>, receipt", "G3 start run", "G3 create receipt",
	"G3 state of run", "G3 GET result again", "G3 create result, .a<k+1> or .failed", "G4 GET position", "G4 replace position", "G5 create record",
	"G3 create .a<k+1>, asked for" };
static void tell(int me)
{	int i;
	printf("    records="); for (i = 0; i < now.records; i++) printf("to %d a%d%s%s ", now.upto[i], now.attempts[i], now.result[i] ? " result" : "", now.failed[i * ATT + now.attempts[i]] ? " failed" : "");
	printf(" manifests=%d settled=%d runs=", now.manifests, now.settled); for (i = 0; i < RUNS * ATT; i++) printf("%d%s ", now.flow[i], now.receipt[i] ? "r" : "");
	for (i = 0; i < 2; i++) printf(" | %s next=%d vector=%d open=%x r=%d k=%d", steps[now.d[i].pc], now.d[i].next, now.d[i].vector, now.d[i].open, now.d[i].r, now.d[i].k);
	printf("\ndispatcher %d: %s\n", me, steps[now.d[me].pc]);
}
}
#define begin() c_code { saved = now.d[Powner_or_me]; if (readtrail) tell(Powner_or_me); }
#define Powner_or_me Pdispatcher->me
#define at(step) (d[me].pc == step)
#define go(step) d[me].pc = step
#define idle() go(WORK); d[me].r = 0; d[me].k = 0; d[me].to = 0; d[me].want = 0; d[me].ended = 0
inline tidy_up() {
#ifndef UNSORTED
	c_code {
		if (memcmp(&now.d[0], &now.d[1], sizeof(now.d[0])) > 0) {
			swapped = now.d[0]; now.d[0] = now.d[1]; now.d[1] = swapped;
		}
	}
#else
	skip
#endif
}
inline done() {
	if :: deaf == 1 -> deaf = 2; c_code { now.d[Pdispatcher->me] = saved; } :: else fi;
	tidy_up()
}
#if RETRY > 0
inline learn_asked() {                                                       /* and take in what has no answer */
	d[me].ask = asked;
	for (i : 0 .. RUNS - 1) { if :: ASKS(i) && OF(d[me].over, i) <= OF(asked, i) -> d[me].open = d[me].open | 1 << i :: else fi }
}
#endif
inline creates_result(n, by) {
	assert(!result[n]);                                                  /* EFFECT: two of them */
	result[n] = by
}

proctype dispatcher(byte me) {
	do
	:: d_step { at(G1) -> begin();
		d[me].settled = settled;
#if RETRY > 0
		learn_asked();
#endif
		d[me].next = (guard(vector) && settled > 0 -> settled - 1 : settled);
		go(G1b); done() }
	:: d_step { at(G1b) -> begin();
		if
		:: d[me].next < records ->
			d[me].vector = upto[d[me].next];
			if :: d[me].next >= d[me].settled -> d[me].open = d[me].open | 1 << d[me].next :: else fi;
			d[me].next++
		:: else -> idle()
		fi;
		done() }
	:: d_step { at(WORK) && d[me].next < records -> begin(); go(G1b); done() }

	/* G3. Drive a record to its end: anybody may, at any time, also twice. Polls that would change nothing are no steps. */
#define DRIVES(n) (at(WORK) && n < RUNS && (d[me].open >> n & 1) && (guard(drive) || (d[me].mine >> n & 1)) && (END(n) || STIRS(n)))
#define STIRS(n) (!receipt[NAME(n, attempts[n])] || flow[NAME(n, attempts[n])] == NONE || flow[NAME(n, attempts[n])] >= SUCCEEDED)
	:: d_step { DRIVES(0) -> begin(); d[me].r = 0; go(G3); done() }
#if RUNS > 1
	:: d_step { DRIVES(1) -> begin(); d[me].r = 1; go(G3); done() }
#endif
#if RUNS > 2
	:: d_step { DRIVES(2) -> begin(); d[me].r = 2; go(G3); done() }
#endif
	:: d_step { at(G3) -> begin();
		if
#if RETRY > 0
		:: END(d[me].r) && !result[d[me].r] && OF(d[me].ask, d[me].r) > attempts[d[me].r] -> d[me].k = OF(d[me].ask, d[me].r); go(G3h)
		:: END(d[me].r) && (result[d[me].r] || OF(d[me].ask, d[me].r) <= attempts[d[me].r]) ->
			d[me].over = PUT(d[me].over, d[me].r, (result[d[me].r] -> 3 : attempts[d[me].r] + 1));
#else
		:: END(d[me].r) ->
#endif
			d[me].open = d[me].open & ~(1 << d[me].r); idle()
		:: else -> go(G3b)
		fi;
		done() }
#if RETRY > 0
	:: d_step { at(G3h) -> begin();
		if
		:: attempts[d[me].r] < d[me].k ->
			assert(attempts[d[me].r] == d[me].k - 1 && (result[d[me].r] || d[me].r >= settled || ASKS(d[me].r))); /* RETRY: it is held */
			attempts[d[me].r] = d[me].k; reopened = reopened | 1 << d[me].r
		:: else
		fi;
		idle(); done() }
	:: d_step { at(WORK) && d[me].ask != asked && guard(asked_read) -> begin(); learn_asked(); done() }
#endif
	:: d_step { at(G3b) -> begin();
		d[me].k = attempts[d[me].r];
		if :: receipt[NAME(d[me].r, d[me].k)] -> go(G3e) :: else -> go(G3c) fi;
		done() }
	:: d_step { at(G3c) -> begin();                                      /* 409: it exists already */
		if :: flow[NAME(d[me].r, d[me].k)] == NONE -> flow[NAME(d[me].r, d[me].k)] = RUNNING :: else fi;
		if :: guard(receipt) -> go(G3d) :: else -> idle() fi;
		done() }
	:: d_step { at(G3d) -> begin(); receipt[NAME(d[me].r, d[me].k)] = 1; idle(); done() }
	:: d_step { at(G3e) -> begin();
		t = flow[NAME(d[me].r, d[me].k)];
		if
		:: t == RUNNING || t == READY -> idle()
		:: else -> d[me].ended = (t == SUCCEEDED -> 1 : 2); if :: guard(end_checks) -> go(G3f) :: else -> go(G3g) fi
		fi;
		done() }
	:: d_step { at(G3f) -> begin(); if :: result[d[me].r] -> idle() :: else -> go(G3g) fi; done() }
	:: d_step { at(G3g) -> begin();
		if
		:: d[me].ended == 1 ->                                       /* an ordinary flow */
			if :: !result[d[me].r] -> creates_result(d[me].r, 9) :: else fi
		:: d[me].ended == 2 && d[me].k + 1 < AUTO ->
			if :: attempts[d[me].r] == d[me].k -> attempts[d[me].r] = d[me].k + 1 :: else fi
		:: d[me].ended == 2 && d[me].k + 1 >= AUTO -> FAILED_AT(d[me].r, d[me].k) = 1
		:: else
		fi;
		idle(); done() }

	/* G4. settled, and what is asked for */
#if RETRY > 0
#define UNCHANGED(me) (settled == d[me].to && asked == d[me].seen)
#define tidy_seen() d[me].seen = 0
#else
#define UNCHANGED(me) (settled == d[me].to)
#define tidy_seen() skip
#endif
	:: d_step { at(WORK) && (SETTLED(me) > d[me].settled || ANSWERED_SOME(me)) -> begin();
		d[me].want = (SETTLED(me) > d[me].settled -> SETTLED(me) : d[me].settled); go(G4); done() }
	:: d_step { at(G4) -> begin();
		d[me].to = settled;
#if RETRY > 0
		d[me].seen = asked; learn_asked();
#endif
		if :: d[me].want > settled || ANSWERED_SOME(me) -> go(G4b) :: else -> d[me].settled = d[me].want; idle() fi;
		done() }
	:: d_step { at(G4b) -> begin();
		if
		:: UNCHANGED(me) || !guard(replace_settled) ->
			if :: d[me].want > d[me].to -> settled = d[me].want :: else -> settled = d[me].to fi;
#if RETRY > 0
			asked = d[me].seen;
			for (i : 0 .. RUNS - 1) { if :: ANSWERED(me, i) -> asked = PUT(asked, i, 0) :: else fi };
			d[me].ask = asked;
#endif
			for (i : 0 .. RUNS - 1) { assert(i >= settled || END(i) || ASKS(i)) }      /* SETTLED too high */
		:: else
		fi;
		d[me].settled = d[me].want; idle(); tidy_seen(); done() }

	/* G5. The next record, under the cap: of one new manifest, or of all */
#define CLAIMS(count) (at(WORK) && d[me].next <= RUNS && d[me].vector + count <= manifests && KNOWN_IN_FLIGHT(me) < CAP)
	:: d_step { CLAIMS(1) -> begin(); d[me].to = d[me].vector + 1; go(G5); done() }
	:: d_step { CLAIMS(2) -> begin(); d[me].to = d[me].vector + 2; go(G5); done() }
	:: d_step { at(G5) -> begin();
		if
		:: d[me].next < records && guard(create_only_runs) -> go(G1b); d[me].to = 0
		:: else ->
			assert(d[me].next < RUNS && d[me].next <= records);
			assert(d[me].vector == (d[me].next == 0 -> 0 : upto[d[me].next - 1]));         /* RUN: continues the one before */
			assert(d[me].next == records || upto[d[me].next] == d[me].to);            /* RUN: says one thing for ever */
			count = 0;
			for (i : 0 .. RUNS - 1) { if :: i < records && !END(i) && !REOPENED(i) -> count++ :: else fi }
			assert(count < CAP);                                 /* CAP */
			upto[d[me].next] = d[me].to;
			if :: d[me].next == records -> records++ :: else fi;
			d[me].mine = d[me].mine | 1 << d[me].next;
			go(G1b); d[me].to = 0
		fi;
		done() }
	od
}

#if RETRY > 0
/* K. `runs retry`: read the position, then what was done about a record, then replace the position if it says the same. */
#define GIVEN_UP(n) ((n) < records && END(n) && !result[n] && attempts[n] + 1 < ATT && OF(asked, n) <= attempts[n])
#define rest() rpc = 0; rsettled = 0; rasked = 0; rn = 0; rk = 0
#define CHOOSES(n) d_step { rpc == 1 && GIVEN_UP(n) -> rn = n; rk = attempts[n] + 1; rpc = 2 }
proctype command() {
	do
	:: d_step { rpc == 0 && retries < RETRY && (GIVEN_UP(0) || GIVEN_UP(RUNS - 1)) -> retries++; rsettled = settled; rasked = asked; rpc = 1 }
	:: CHOOSES(0)
#if RUNS > 1
	:: CHOOSES(1)
#endif
	:: d_step { rpc == 2 ->
		if
		:: rsettled == settled && rasked == asked ->
			asked = PUT(asked, rn, rk); if :: OF(wanted, rn) < rk -> wanted = PUT(wanted, rn, rk) :: else fi
		:: else                                                              /* once more, if it may */
		fi;
		rest() }
	:: d_step { rpc > 0 -> rest() }                                              /* dies */
	od
}
#endif

/* H. A flow, attempt i % ATT of record i / ATT */
#define CREATES(i) (!result[(i) / ATT] || !guard(create_only_results))
#define FLOW(i) \
	:: d_step { flow[i] == RUNNING && (!result[(i) / ATT] || !guard(asks_first)) -> flow[i] = READY } \
	:: d_step { flow[i] == RUNNING && result[(i) / ATT] -> flow[i] = SUCCEEDED } \
	:: d_step { flow[i] == READY -> if :: CREATES(i) -> creates_result((i) / ATT, (i) % ATT + 1) :: else fi; flow[i] = SUCCEEDED } \
	:: d_step { (flow[i] == RUNNING || flow[i] == READY) && fails < FAIL -> fails++; flow[i] = FAILED } \
	:: d_step { flow[i] == SUCCEEDED || flow[i] == FAILED -> flow[i] = NONE } \
	LOST_RESULT(i) ORDINARY_FLOW(i)
#ifdef LOSTREPLY
#define LOST_RESULT(i) :: d_step { flow[i] == READY && deaf == 0 && CREATES(i) -> deaf = 2; creates_result((i) / ATT, (i) % ATT + 1); flow[i] = FAILED }
#else
#define LOST_RESULT(i)
#endif
#ifdef ORDINARY
#define ORDINARY_FLOW(i) :: d_step { flow[i] == RUNNING -> flow[i] = SUCCEEDED }
#else
#define ORDINARY_FLOW(i)
#endif
proctype world() {
	do
	:: d_step { manifests < RUNS -> manifests++ }
	FLOW(0) FLOW(1)
#if RUNS * ATT > 2
	FLOW(2)
#endif
#if RUNS * ATT > 3
	FLOW(3)
#endif
#if RUNS * ATT > 4
	FLOW(4) FLOW(5)
#endif
#if RUNS * ATT > 6
	FLOW(6) FLOW(7) FLOW(8)
#endif
#if KILL > 0
#define die(me) c_code { memset(&now.d[me], 0, sizeof(now.d[0])); }; kills++; tidy_up()
	:: d_step { kills < KILL && d[0].pc != G1 -> die(0) }
	:: d_step { kills < KILL && d[1].pc != G1 -> die(1) }
#endif
#ifdef LOSTREPLY
	:: d_step { deaf == 0 -> deaf = 1 }
#endif
	od
}

proctype ending() {                                                          /* one step: `i` is in no state */
	d_step { timeout ->
		assert(manifests == RUNS && records > 0 && upto[records - 1] == RUNS && settled == records);
		for (i : 0 .. RUNS - 1) { assert(i >= records || END(i)) }
#if RETRY > 0
		assert(asked == 0);
		for (i : 0 .. RUNS - 1) { assert(result[i] || attempts[i] >= OF(wanted, i)) }        /* RETRY: not heard */
		for (i : 0 .. RUNS * ATT - 1) {                                              /* RETRY: not begun */
			assert(i / ATT >= records || result[i / ATT] || i % ATT > attempts[i / ATT] || receipt[i])
		}
#endif
	}
}

init {
	c_code {
		removed = getenv("REMOVED") ? atoi(getenv("REMOVED")) : 0;
		also_removed = getenv("ALSO") ? atoi(getenv("ALSO")) : 0;
	};
	atomic { run dispatcher(0); run dispatcher(1); run world(); run ending()
#if RETRY > 0
		; run command()
#endif
	}
}
