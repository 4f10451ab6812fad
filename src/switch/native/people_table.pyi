from typing import Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from switch.native.pages import Pages

@disjoint_base
class PeopleTable:
    def __new__(cls, people: int = 0) -> Self: ...
    @property
    def count(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def memory(self) -> memoryview: ...
    @staticmethod
    def of_memory(pages: Pages, count: int) -> PeopleTable: ...
    @staticmethod
    def of_file(slots: NDArray[np.uint8], count: int = 0) -> PeopleTable: ...
    def reserve(self, people: int) -> int: ...
    def rows(self, ids: NDArray[np.uint64], rows: NDArray[np.uint32], add: bool) -> None: ...
    def records(self, ids: NDArray[np.uint64], found: NDArray[np.uint8]) -> None: ...
    def put_records(self, records: NDArray[np.uint8], count: int) -> None: ...
    def put_people(
        self,
        ids: NDArray[np.uint64],
        keys: NDArray[np.uint64],
        status: NDArray[np.uint8],
        dated: NDArray[np.uint8],
        rows: NDArray[np.uint32],
    ) -> None: ...
    def forget_people(self) -> None: ...
    def put_accounts(
        self,
        starts: NDArray[np.uint32],
        accounts: NDArray[np.uint8],
        list_starts: NDArray[np.uint32],
    ) -> None: ...
    def ids(self, out: NDArray[np.uint64]) -> None: ...
    def audit(self) -> tuple[int, int, int]: ...

def order_accounts(
    given: NDArray[np.uint8],
    people: int,
    rank: NDArray[np.uint16],
    heap: NDArray[np.uint8],
    ordered: NDArray[np.uint8],
    starts: NDArray[np.uint32],
) -> int: ...
def spans_of(
    accounts: NDArray[np.uint8],
    rows: NDArray[np.uint32],
    first: NDArray[np.uint32],
    last: NDArray[np.uint32],
) -> None: ...
def pack_accounts(
    offsets: NDArray[np.int32],
    data: NDArray[np.uint8],
    words: NDArray[np.uint64],
    heap: NDArray[np.uint8],
    heap_start: int,
) -> tuple[int, int]: ...
