"""The fuzzer's targets hold on their own seeds, and notice what they are there to notice."""

import numpy as np
import pytest

from batching.model import Element
from batching.names import Key
from ingest.classify import Classified, Classifier
from ingest.decode.json_arrays import JsonArrays
from ingest.hub import amqp
from tests.fuzz import targets


@pytest.mark.parametrize("target", sorted(targets.TARGETS))
def test_every_seed_keeps_its_promise(target: str) -> None:
    found = list(targets.seeds(target))
    assert len(set(found)) > 2
    for seed in found:
        targets.TARGETS[target](seed)


def test_each_stream_can_read_some_seed() -> None:
    """Bodies that nobody can read would leave the fuzzer at the door."""
    read: set[int] = set()
    for seed in targets.seeds("event"):
        which = seed[0] % len(targets.CLASSIFIERS)
        found = targets.CLASSIFIERS[which].classify(
            targets.event_of(seed)._replace(content_type="", partition_key="a")
        )
        if found.reason is None:
            read.add(which)
    assert read == set(range(len(targets.CLASSIFIERS)))


def test_a_name_that_leaves_its_path_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    (seed, *_) = (s for s in targets.seeds("event") if _kept(s))
    right = targets.CLASSIFIERS[0].classify

    def wrong(self: Classifier, event: object) -> Classified:
        found = right(event)  # type: ignore[arg-type]
        odd = [e._replace(key=Key("s", "a\n")) for e in found.elements]
        return found._replace(elements=odd)

    monkeypatch.setattr(Classifier, "classify", wrong)
    with pytest.raises(AssertionError):
        targets.event(bytes([0, *seed[1:]]))


def _kept(seed: bytes) -> bool:
    found = targets.CLASSIFIERS[0].classify(targets.event_of(seed))
    return found.reason is None and all(isinstance(e, Element) for e in found.elements)


def test_a_value_that_is_skipped_otherwise_than_read_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(amqp, "skip", lambda raw, start: start + 1)
    with pytest.raises(AssertionError):
        targets.frame(amqp.encode("text"))


def test_columns_that_are_read_otherwise_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JsonArrays, "_values", lambda self, channels, rows: np.zeros((rows, 2)))
    with pytest.raises(AssertionError):
        targets.columns(b'{"t":[1],"x":[1],"y":[2]}')
