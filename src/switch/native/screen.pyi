import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

from switch.native.people_table import PeopleTable

@disjoint_base
class Screen:
    def __init__(
        self,
        people: PeopleTable,
        since: NDArray[np.uint8],
        lists: NDArray[np.uint8],
        participant_of: NDArray[np.uint16],
        suspended: NDArray[np.uint8],
        amount_max: NDArray[np.int64],
        clearing_limit: int,
        value_day: int,
    ) -> None: ...
    def lines(
        self,
        amount: NDArray[np.int64],
        person_id: NDArray[np.uint64],
        name_key: NDArray[np.uint64],
        benefit: NDArray[np.uint16],
        debtor: NDArray[np.uint16],
        agent: NDArray[np.uint16] | None,
        reason: NDArray[np.uint8],
        row: NDArray[np.uint32],
        participant: NDArray[np.uint16],
        account: NDArray[np.uint64],
        first: int,
    ) -> None: ...
