import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

def rank(amount: NDArray[np.int64], ranked: NDArray[np.int32], work: NDArray[np.int32]) -> None: ...

@disjoint_base
class ByValue:
    def __init__(
        self,
        sender: NDArray[np.uint16],
        receiver: NDArray[np.uint16],
        amount: NDArray[np.int64],
        ranked: NDArray[np.int32],
        own: NDArray[np.int32],
        start: NDArray[np.int32],
        level: NDArray[np.int64],
        left: NDArray[np.int64],
        pair_sum: NDArray[np.int64],
        kept: NDArray[np.uint8],
        steps: int,
    ) -> None: ...
    def begin_large(self, head: NDArray[np.int32], after: NDArray[np.int32]) -> None: ...
    def settle_large(
        self,
        cancel: NDArray[np.int64],
        free: NDArray[np.int64],
        head: NDArray[np.int32],
        after: NDArray[np.int32],
        fixed: NDArray[np.uint8],
    ) -> int: ...
    def follow(self, cancel: NDArray[np.int64]) -> bool: ...
    def free_all(self) -> bool: ...
    def try_all(self) -> None: ...
    def improve(self) -> bool: ...
