"""Parked pieces as the log leaves them: those in use are durable, and wait for their seal."""

import numpy as np
from numpy.typing import NDArray

from batching.errors import CorruptObject
from batching.model import Entry, EntryKind
from batching.parking.objects import unpack_used
from batching.parking.pieces import ParkedObject, Pieces
from batching.parking.reads import Gone, read_pieces
from batching.verify.report import Report
from batching.view import COVERING, Log


class ParkedCheck:
    """Follows a partition's manifests from `first` on, in order."""

    def __init__(self, record: Log, report: Report) -> None:
        self._log, self._report = record, report
        self._pieces = Pieces()
        self._broken: dict[str, tuple[int, str]] = {}  # object: its newest listing, what is wrong

    async def follow(self, n: int, entries: tuple[Entry, ...]) -> None:
        """Take in manifest n."""
        for entry in entries:
            if entry.kind == EntryKind.PARKED:
                await self._listed(n, entry)
            elif entry.kind in COVERING:
                self._pieces.supersede(entry.key, entry.last)

    async def _listed(self, n: int, entry: Entry) -> None:
        name = entry.data or ""
        if self._pieces.knows(name):
            self._pieces.listed_again(name, n)
            return
        if name in self._broken:
            self._broken[name] = (n, self._broken[name][1])
            return
        try:
            index = await self._log.index(name)
            if index is None:
                self._broken[name] = (n, f"the index of {name} is gone")
            else:
                self._pieces.add(entry, index, unpack_used(entry, len(index)), n)
        except CorruptObject as error:
            self._broken[name] = (n, str(error))

    async def numbers(self) -> list[NDArray[np.int64]]:
        """Read the numbers of all events in use; what cannot be read is damaged."""
        for n, broken in self._broken.values():
            await self._damaged(n, broken)
        return [await self._numbers(each) for each in self._pieces.objects]

    async def _damaged(self, listed: int, what: str) -> None:
        """Report it, unless the janitor was faster than this reader."""
        position, _ = await self._log.position()
        if listed >= position.first:
            self._report.damaged.add(what)

    async def _numbers(self, held: ParkedObject) -> NDArray[np.int64]:
        pieces = [held.index.piece(row, held.name) for row in held.rows()]
        found: list[int] = []
        try:
            for parked in (await read_pieces(self._log.store, pieces)).values():
                for each in parked:
                    found += each.numbers()
        except CorruptObject as error:
            self._report.damaged.add(str(error))
        except Gone:
            await self._damaged(held.listed, f"{held.name} is gone")
        return np.array(found, np.int64)
