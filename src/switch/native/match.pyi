from typing import Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

CROWDED: int

@disjoint_base
class Lines:
    def __new__(cls, rows: int, secret: int) -> Self: ...
    @property
    def rows(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def expect(
        self,
        offsets: NDArray[np.int32],
        data: NDArray[np.uint8],
        account_offsets: NDArray[np.int32],
        account_data: NDArray[np.uint8],
        amount: NDArray[np.int64],
        at: NDArray[np.int64],
        first: NDArray[np.uint32],
    ) -> None: ...
    def answer(
        self,
        offsets: NDArray[np.int32],
        data: NDArray[np.uint8],
        account_offsets: NDArray[np.int32],
        account_data: NDArray[np.uint8],
        amount: NDArray[np.int64],
        at: NDArray[np.int64],
        plain: NDArray[np.uint8],
        row: int,
        days: int,
        refusal_days: int,
        claim: NDArray[np.uint32],
        clean: NDArray[np.uint8],
        ousted: NDArray[np.uint32],
    ) -> None: ...
    def tell(self, claim: NDArray[np.uint32], state: NDArray[np.uint8]) -> None: ...
    def spell(
        self,
        rows: NDArray[np.int64],
        known: NDArray[np.uint8],
        ids: NDArray[np.uint8],
        account_offsets: NDArray[np.int32],
        accounts: NDArray[np.uint8],
        amounts: NDArray[np.int64],
    ) -> int: ...

def subset_sums(
    items: NDArray[np.int64],
    target: int,
    tolerance: int,
    size_min: int,
    size_max: int,
    work_max: int,
    found: NDArray[np.uint64],
) -> tuple[int, bool]: ...
