"""The parameter server sends what is new, and only that."""

import asyncio

from tolman.launchers.cluster.parameter_server import ParameterServer, Snapshot, Turn


def test_parameters_are_sent_to_those_who_lack_them():
    async def play():
        server = ParameterServer()
        assert await server.get(-1) == Snapshot(-1, [], 1.0, ())
        await server.set_addresses(("a:1", "b:2"))
        await server.publish(3, ["three"], 2.5)
        assert await server.get(-1) == Snapshot(3, ["three"], 2.5, ("a:1", "b:2"))
        assert await server.get(3) == Snapshot(3, [], 2.5, ("a:1", "b:2"))
        # As many updates, of another task: they are others.
        await server.publish(3, ["three of the next"], 2.5, Turn(1, 1))
        assert (await server.get(3, Turn(1, 1))).params == []
        assert (await server.get(3)).params == ["three of the next"]
        assert (await server.get(3)).turn == Turn(1, 1)
        # A learner that was restarted goes back; its word counts, not the higher number.
        await server.publish(2, ["two again"], 1.5)
        assert (await server.get(3)).params == ["two again"]

    asyncio.run(play())
