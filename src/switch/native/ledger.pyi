import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

@disjoint_base
class Ledger:
    def __init__(
        self,
        benefits: int,
        participants: int,
        pair_sum: NDArray[np.int64],
        pair_count: NDArray[np.int64],
        benefit_sum: NDArray[np.int64],
        benefit_count: NDArray[np.int64],
    ) -> None: ...
    @property
    def benefits(self) -> int: ...
    @property
    def participants(self) -> int: ...
    @property
    def limited(self) -> bool: ...
    def limit(
        self,
        settle: NDArray[np.uint16],
        capped: NDArray[np.uint8],
        room: NDArray[np.int64],
        priority: NDArray[np.uint8],
        waits: NDArray[np.uint8],
    ) -> None: ...
    def use(self, key: int, bits: NDArray[np.uint64]) -> None: ...
    def post(
        self,
        reason: NDArray[np.uint8],
        row: NDArray[np.uint32],
        benefit: NDArray[np.uint16],
        month: NDArray[np.uint16],
        debtor: NDArray[np.uint16],
        debtor_agent: NDArray[np.uint16],
        participant: NDArray[np.uint16],
        amount: NDArray[np.int64],
        start: int,
    ) -> int: ...
    def release(
        self,
        verdict: NDArray[np.uint8],
        row: NDArray[np.uint32],
        benefit: NDArray[np.uint16],
        month: NDArray[np.uint16],
        agent: NDArray[np.uint16],
        participant: NDArray[np.uint16],
        amount: NDArray[np.int64],
        order: NDArray[np.int64],
        head: NDArray[np.int64],
        end: NDArray[np.int64],
        rank: NDArray[np.int64],
        ahead: NDArray[np.int64],
    ) -> None: ...
    def tally(self) -> list[tuple[int, int]]: ...

def total(amount: NDArray[np.int64], start: int) -> int: ...
def set_bits(bits: NDArray[np.uint64], rows: NDArray[np.uint32]) -> None: ...
