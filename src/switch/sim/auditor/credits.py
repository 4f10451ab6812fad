"""Credits: which lines of a table are sent as one payment for a household.

Of the engine it imports `schema`, `reason` and `errors` alone. Amounts are whole dong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from switch.reason import Reason
from switch.schema import HOUSEHOLD, HOUSEHOLD_LINES_MAX
from switch.sim.auditor.screening import Answer, Row, period_number


def credits_of(
    rows: Sequence[Row],
    batches: Sequence[int],
    answers: Sequence[Answer | None],
    most: Callable[[str], int],
) -> list[list[int]]:
    """Places of the lines of each credit of two or more. rows: of a table, in its order, or of
    lines that had waited, oldest first; batches: that each came in; answers: None of a line that
    did not clear in its turn. most: dong that a credit to a participant may come to."""
    found: list[list[int]] = []
    for household in _households(rows, batches):
        latest: dict[tuple[str | None, str | None], list[int]] = {}
        for place in household:
            answer = answers[place]
            if answer is None or answer.reason is not Reason.NONE:
                continue
            to = answer.participant, answer.account
            mine = latest.get(to, [])
            sum_ = sum(rows[n]["amount"] for n in (*mine, place))
            if not mine or sum_ > most(str(answer.participant)):
                mine = latest[to] = []
                found.append(mine)
            mine.append(place)
    return [credit for credit in found if len(credit) > 1]


def _households(rows: Sequence[Row], batches: Sequence[int]) -> list[list[int]]:
    """Places of neighbours of a batch that name one household, for one benefit, period and debtor
    account. A household that is longer than it may be is several."""
    found: list[list[int]] = []
    last = None
    for place, (row, batch) in enumerate(zip(rows, batches, strict=True)):
        name = row.get(HOUSEHOLD)
        key = name, batch, row["benefit"], period_number(row["period"]), row["debtor_account"]
        if name and key == last and len(found[-1]) < HOUSEHOLD_LINES_MAX:
            found[-1].append(place)
        else:
            found.append([place])
        last = key
    return found
