"""Representatives: whether those who receive for others may do so on a day.

IN: accounts of representatives with their ids, and the people of the register's versions at rest.
OUT: why such an account does not count. Few people are looked up, in mapped files.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from switch.errors import VerificationFailed
from switch.files.columns import NOBODY
from switch.reason import AUTHORITY_ENDED, REPRESENTATIVE_UNSURE, Reason
from switch.registry.versions import HAS_SINCE, ID_MASK, KNOWN, SINCE, Chain

_STATUS = np.uint64(40)
_ALIVE, _DECEASED = 0, 1
"""Status in a person's word (native/types.pxd)."""


class Representatives:
    """Representatives of one register on one day since 1970."""

    def __init__(self, chain: Chain, day: int, proven_max: int) -> None:
        """proven_max: as of `Chain.mapped`."""
        self._chain, self._day, self._proven_max = chain, day, proven_max
        self._since: list[NDArray[np.void]] | None = None

    def judge(
        self, accounts: NDArray[np.void], ids: NDArray[np.uint64], died: NDArray[np.bool_]
    ) -> NDArray[np.uint8]:
        """Reasons why each of some accounts (ACCOUNT) may not receive on the day for want of
        authority, NONE where it may or its first day is not come. ids: of their representatives,
        NOBODY for a person's own. died: whether the person is deceased, which ends every
        authority."""
        why = np.zeros(len(ids), np.uint8)
        acting = np.flatnonzero(ids != NOBODY)
        known, place = np.unique(ids[acting], return_inverse=True)
        why[acting] = self.living(known)[place]
        is_over = (accounts["valid_to"][acting] < self._day) | died[acting]
        why[acting[is_over]] = AUTHORITY_ENDED
        why[acting[accounts["valid_from"][acting] > self._day]] = Reason.NONE
        return why

    def living(self, ids: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """Reasons why each of some people (ids ascending, each once) may act for nobody on the day;
        NONE where they live, as the population register knows. Who has another id now is judged by
        that."""
        if not len(ids):
            return np.empty(0, np.uint8)
        now, whose = np.unique(self._chain.replaced.of(ids), return_inverse=True)
        why = np.full(len(now), REPRESENTATIVE_UNSURE, np.uint8)
        found = self._chain.people(now, self._proven_max)
        place = np.searchsorted(now, found["word"] & ID_MASK)
        if len(found) and (
            place.max() >= len(now) or (now[place] != found["word"] & ID_MASK).any()
        ):
            raise VerificationFailed(f"{self._chain.last.folder}: people.slots is damaged")
        status = (found["word"] >> _STATUS & np.uint64(3)).astype(np.uint8)
        status[~self._in_force(found)] = _ALIVE
        known = found["word"] & KNOWN != 0
        why[place[known & (status == _ALIVE)]] = Reason.NONE
        why[place[known & (status == _DECEASED)]] = AUTHORITY_ENDED
        return why[whose]

    def died(self, ids: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Tell whether each of some people, in any order, is deceased on the day."""
        known, place = np.unique(ids, return_inverse=True)
        died: NDArray[np.bool_] = self.living(known)[place] == AUTHORITY_ENDED
        return died

    def _in_force(self, people: NDArray[np.void]) -> NDArray[np.bool_]:
        """Those whose status, alive or not, holds on the day already."""
        if self._since is None:
            links = reversed(self._chain.links)
            self._since = [self._chain.array(link, "since.bin", SINCE) for link in links]
        holds = np.ones(len(people), bool)
        unknown = people["word"] & HAS_SINCE != 0
        for since in self._since:
            if len(since):
                at = np.searchsorted(since["row"], people["row"]).clip(max=len(since) - 1)
                is_here = unknown & (since["row"][at] == people["row"])
                holds[is_here] = since["day"][at[is_here]] <= self._day
                unknown &= ~is_here
        return holds
