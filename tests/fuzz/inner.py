"""The fuzzer itself, for one target: python -m tests.fuzz.inner TARGET, then options of libFuzzer.

A process of its own, since libFuzzer ends it; what it is to see is imported under its eyes.
"""

import sys

import atheris

with atheris.instrument_imports(include=["ingest", "batching"]):
    from tests.fuzz.targets import TARGETS

if __name__ == "__main__":
    name, *options = sys.argv[1:]
    atheris.Setup([sys.argv[0], *options], TARGETS[name])
    atheris.Fuzz()
