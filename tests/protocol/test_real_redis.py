"""The product's own scripts on a real server that is killed, under the simulation's schedules."""

from dataclasses import replace

import pytest

from batching.adapters import redis_buffer
from tests.protocol.real_redis import RealRedis
from tests.protocol.scheduler import Faults, Scheduler
from tests.protocol.world import World

SEEDS = 12
FAULTS = replace(Faults(), split=0.0, torn=0.0)  # one server, whose scripts are not ours to tear


def play(seed: int) -> World:
    servers: list[RealRedis] = []

    def serve() -> RealRedis:
        servers.append(RealRedis())
        return servers[0]

    try:
        world = World(seed, serve, parking=True)
        Scheduler(world, FAULTS).play()
    finally:
        servers[0].close()
    world.stat["restarts"] = servers[0].restarts
    return world


@pytest.mark.parametrize("seed", range(SEEDS))
def test_no_event_is_lost_or_doubled_on_a_real_server(seed: int) -> None:
    assert play(seed).stat["restarts"] > 0


@pytest.mark.parametrize(
    ("script", "line", "instead"),
    [
        ("append", "if w < prev then", "if false then"),
        ("append", "'ZADD', OPEN, 'LT'", "'ZADD', OPEN"),
        ("append", "local wrong = found ~= believed + 1", "local wrong = false"),
        ("append", "if wrong or found == 2 then", "if false then"),
        ("append", "if tonumber(manifest) > number_at(N) then", "if false then"),
        ("seal_keys", "call('ZADD', LO, lo, id)", ""),
        ("parkable", "tonumber(sealed or 'inf')", "math.huge"),
        ("release", "if behind <= #item and last > mark then", "if false then"),
        ("restore", "if call('EXISTS', b) == 0 then", "call('DEL', b)\n  if true then"),
    ],
)
def test_a_line_taken_out_of_a_script_is_noticed(
    monkeypatch: pytest.MonkeyPatch, script: str, line: str, instead: str
) -> None:
    whole = redis_buffer.source
    assert line in whole(script)
    monkeypatch.setattr(redis_buffer, "source", lambda name: whole(name).replace(line, instead))
    for seed in range(24):
        try:
            play(seed)
        except AssertionError:
            return
    pytest.fail("24 seeds do not notice")
