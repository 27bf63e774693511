"""The page of failpoints, from their registry."""

from batching.failpoints import ACTIONS, POINTS, VARIABLE
from ingest.reference.tables import NOTE, table

INTRO = f"""# Failpoints

For tests of Headrace itself, and for yours: places of the [protocol](../explanation/protocol.md) at
which a process can be made to die, to fail or to wait. Nobody sets them in production; without the
variable each costs a look at an empty dictionary, once a step and never once an event.

```sh
{VARIABLE}="manifest.before=kill@3,append.after=pause:2" headrace run
```

kills the service just before it creates its third manifest, and lets everything else go on for two
seconds after its first append. Each acts once in a process, at the n-th time it is passed (`@n`; 1
if left out). A name or an action that does not exist is an error at start-up. When one acts it says
so on standard error: `failpoint manifest.before: kill at passing 3`.

The local launcher hands the variable on to flows. For `result.before` and `result.after`, which lie
in a flow's own process, `@n` means the n-th attempt of every run.
"""


def page() -> str:
    """Write the page."""
    actions = table(("Action", "What happens"), ((f"`{k}`", f"{v}.") for k, v in ACTIONS.items()))
    points = table(
        ("Failpoint", "Who stops here leaves this behind"),
        ((f"`{k}`", v) for k, v in POINTS.items()),
    )
    return f"{NOTE}\n{INTRO}\n## Actions\n\n{actions}\n## Places\n\n{points}"
