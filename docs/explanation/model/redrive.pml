/* Dead letters that are driven again, for the model checker SPIN: the one race of the partition `redrive`.
 *
 * Once its objects are there, `redrive` is a partition like any other: numbered events that are readable for ever, which owner.pml
 * covers. What is its own is how events get their numbers: a command reads every object `redrive/<hub>/<block>/<first>.json`, leaves
 * out the letters that they hold, and creates the object that follows, create-only. Here LETTERS dead letters, COMMANDS commands at
 * a time, each about any letters; a call is one step, REMOVED=<number> in the environment takes a guard away.
 *
 * Faults   KILL=m (a command dies; somebody gives it once more), LOSTREPLY (an object is created, the command does not hear of it)
 */
#ifndef LETTERS
#define LETTERS 3
#endif
#ifndef COMMANDS
#define COMMANDS 2
#endif
#ifndef KILL
#define KILL 0
#endif
#define g_create_only_redrive 1 /* redrive object: create-only */
#define g_redrive_once 2        /* a letter that an earlier object holds is left out */
#define g_reads_winner 3        /* the object exists: read it, do not just take the next number */
#define g_reads_all 4           /* who creates an object has read all before it, not only the last ones */
#define g_kept 5                /* redrive objects are kept as long as their dead letters */
hidden byte removed, also_removed;
#define guard(name) (removed != g_##name && also_removed != g_##name)

byte object[LETTERS];           /* the object whose first event has this number: its letters, a mask; 0: none */
byte numbered;                  /* events with a number */
byte driven;                    /* letters that have one */
byte kills, lost;
hidden byte i, m;

#define COUNT(mask) (((mask) & 1) + ((mask) >> 1 & 1) + ((mask) >> 2 & 1) + ((mask) >> 3 & 1))
#define LEFT (guard(redrive_once) -> wanted & ~seen : wanted)

/* Letters m get the numbers from `number` on. */
inline appear(number) {
	assert(!(driven & m));                                               /* TWICE */
	assert(number == numbered);                                          /* NUMBERS: a gap, or one number for two letters */
	object[number] = m; driven = driven | m; numbered = numbered + COUNT(m)
}

proctype command(byte wanted) {
	byte seen, at;
again:
	atomic { seen = 0; at = (guard(reads_all) -> 0 : numbered) };
read:
	if
	:: d_step { at < LETTERS && object[at] -> seen = seen | object[at]; at = at + COUNT(object[at]) }; goto read
	:: d_step { (at >= LETTERS || !object[at]) && !LEFT -> skip }; goto finished
	:: d_step { (at >= LETTERS || !object[at]) && LEFT -> skip }
	:: d_step { kills < KILL -> kills++ }; goto again
	fi;
	if
	:: atomic { at < LETTERS && (!object[at] || !guard(create_only_redrive)) ->
		m = LEFT;
		appear(at);
		if
#ifdef LOSTREPLY
		:: lost == 0 -> lost = 1; goto read                          /* tried once more: it exists */
#endif
		:: goto finished
		fi }
	:: d_step { at < LETTERS && object[at] && guard(create_only_redrive) ->
		if :: !guard(reads_winner) -> at = at + COUNT(object[at]) :: else fi }; goto read
	:: d_step { at >= LETTERS -> assert(false) }                         /* more events than letters */
	:: d_step { kills < KILL -> kills++ }; goto again
	fi;
finished:
	atomic { assert(!(wanted & ~driven)); seen = 0; at = 0 }             /* MISSING */
}

/* Objects that nobody seems to need may be deleted, unless they are kept. */
proctype janitor() {
end:	do
	:: d_step { !guard(kept) && object[0] -> object[0] = 0 }
	od
}

/* Each command is about any letters. */
inline give() {
	if :: i = 1 :: i = 2 :: i = 3 :: LETTERS > 2 -> i = 5 :: LETTERS > 2 -> i = 6 :: LETTERS > 2 -> i = 7 fi;
	run command(i)
}
init {
	c_code {
		removed = getenv("REMOVED") ? atoi(getenv("REMOVED")) : 0;
		also_removed = getenv("ALSO") ? atoi(getenv("ALSO")) : 0;
	};
	atomic {
		run janitor();
		give(); give();
		if :: COMMANDS > 2 -> give() :: else fi
	}
}
