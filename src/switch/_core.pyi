from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from switch.native.people_table import PeopleTable

MONTHS: int
PART_ROWS_MIN: int
WAITING: tuple[type[np.generic], ...]

class Core:
    pair_sum: NDArray[np.int64]
    pair_count: NDArray[np.int64]
    benefit_sum: NDArray[np.int64]
    benefit_count: NDArray[np.int64]
    room: NDArray[np.int64]
    def __init__(
        self,
        people: PeopleTable,
        since: NDArray[np.uint8],
        lists: NDArray[np.uint8],
        participant_of: NDArray[np.uint16],
        suspended: NDArray[np.uint8],
        amount_max: NDArray[np.int64],
        debtor_agent: NDArray[np.uint16],
        benefits: int,
        clearing_limit: int,
        value_day: int,
        bits_of: Callable[[int, int], NDArray[np.uint64]],
        threads: int = 1,
    ) -> None: ...
    def screen(
        self,
        amount: NDArray[np.int64],
        person_id: NDArray[np.uint64],
        name_key: NDArray[np.uint64],
        benefit: NDArray[np.uint16],
        debtor: NDArray[np.uint16],
        agent: NDArray[np.uint16] | None = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint32], NDArray[np.uint16], NDArray[np.uint64]]: ...
    def post(
        self,
        reason: NDArray[np.uint8],
        row: NDArray[np.uint32],
        benefit: NDArray[np.uint16],
        month: NDArray[np.uint16],
        debtor: NDArray[np.uint16],
        participant: NDArray[np.uint16],
        amount: NDArray[np.int64],
    ) -> None: ...
    def limit(
        self,
        settle: NDArray[np.uint16],
        capped: NDArray[np.uint8],
        room: NDArray[np.int64],
        priority: NDArray[np.uint8],
    ) -> None: ...
    def wait(
        self,
        reason: NDArray[np.uint8],
        row: NDArray[np.uint32],
        benefit: NDArray[np.uint16],
        month: NDArray[np.uint16],
        debtor: NDArray[np.uint16],
        participant: NDArray[np.uint16],
        amount: NDArray[np.int64],
    ) -> None: ...
    def release(self) -> NDArray[np.uint8]: ...
    def waiting(self) -> tuple[NDArray[np.uint32], NDArray[np.uint16], NDArray[np.uint16]]: ...
    def tally(self) -> list[tuple[int, int]]: ...
    def seal(self) -> None: ...
    def cleared(self) -> dict[tuple[int, int], NDArray[np.uint64]]: ...
    def close(self) -> None: ...
