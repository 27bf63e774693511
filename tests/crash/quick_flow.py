"""What the launcher starts where no Metaflow is needed: reads its batches, ends as its job says.

`job_quick` creates its result, `job_ordinary` knows nothing of results, `job_flaky` fails at its
first attempt and `job_failing` at each.
"""

import os
import sys
import time

from batching import model, names
from flows.reader import read_run


def main(arguments: list[str]) -> int:
    run = read_run(arguments[arguments.index("--run") + 1])
    samples = sum(len(batch.times_ns) for batch in run.batches())
    job, n, attempt = run.record.job, run.record.n, int(os.environ["HEADRACE_ATTEMPT"])
    if job == "job_failing" or (job == "job_flaky" and attempt == 1):
        return 1
    if job != "job_ordinary":
        folder = names.outputs(job, n, attempt)
        result = model.Result(job, n, attempt, "flow", folder, time.time_ns(), {"samples": samples})
        run.store.create(names.result(job, n), model.dump(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
