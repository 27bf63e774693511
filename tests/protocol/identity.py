"""The first object of a store, and the look whether it is still the same store."""

from typing import TYPE_CHECKING

from tests.protocol.calls import Steps, WrongStore, call
from tests.protocol.guards import guard
from tests.protocol.objects import STORE, Identity, Names

if TYPE_CHECKING:
    from tests.protocol.world import World


def open_store(world: "World") -> Steps:
    """Give the names of the store, creating its identity where it is new."""
    mine = Identity(world.new_store(), "")
    while (found := (yield from call(world.blob.get, STORE))) is None:
        yield from call(world.blob.create, STORE, mine)
    return Names(*found)


def check_store(world: "World", names: Names) -> Steps:
    """Make sure that the store is still the one that this process opened."""
    found = yield from call(world.blob.get, STORE)
    if found != (names.store, names.epoch) and guard("store check"):
        raise WrongStore
