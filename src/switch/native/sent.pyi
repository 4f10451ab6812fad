import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

NOWHERE: int
ELSEWHERE: int
REST: int
FRESH: int
KNOWN: int

@disjoint_base
class Sent:
    def __init__(
        self,
        batches: NDArray[np.int64],
        lines: tuple[
            NDArray[np.uint16],
            NDArray[np.uint32],
            NDArray[np.int64],
            NDArray[np.uint64],
            NDArray[np.int64],
            NDArray[np.uint16],
        ],
        never: int,
        length: int,
        secret: int,
    ) -> None: ...
    def places(
        self, offsets: NDArray[np.int32], data: NDArray[np.uint8], place: NDArray[np.int64]
    ) -> None: ...
    def keep(
        self,
        place: NDArray[np.int64],
        receiver: int,
        run: int,
        amount: NDArray[np.int64],
        offsets: NDArray[np.int32],
        data: NDArray[np.uint8],
    ) -> None: ...
    def fit(
        self,
        place: NDArray[np.int64],
        amount: NDArray[np.int64],
        offsets: NDArray[np.int32],
        data: NDArray[np.uint8],
        named: NDArray[np.uint8],
        clean: NDArray[np.uint8],
    ) -> None: ...
    def hear(
        self,
        place: NDArray[np.int64],
        clean: NDArray[np.uint8],
        at: NDArray[np.int64],
        said: NDArray[np.uint16],
        outcome: NDArray[np.uint8],
    ) -> None: ...
    def accounts(
        self, offsets: NDArray[np.int32], data: NDArray[np.uint8], word: NDArray[np.uint64]
    ) -> None: ...
