"""The board says what is new, and only that."""

import asyncio

from tolman.launchers.cluster.board import Board, Notice


def test_parameters_are_told_to_those_who_lack_them():
    async def play():
        board = Board()
        assert await board.look(-1) == Notice(-1, [], ())
        await board.announce(("a:1", "b:2"))
        await board.publish(3, ["three"])
        assert await board.look(-1) == Notice(3, ["three"], ("a:1", "b:2"))
        assert await board.look(3) == Notice(3, [], ("a:1", "b:2"))
        # A learner that was restarted goes back; its word counts, not the higher number.
        await board.publish(2, ["two again"])
        assert (await board.look(3)).params == ["two again"]

    asyncio.run(play())
