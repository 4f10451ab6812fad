"""Accounts: names of the accounts of the books, and of the steps that move money between them.

A name is a kind, and in brackets the owner: S.BANK[970436]. The letter says whose books they are:
T the treasury's, S those of the State Bank, B a participant's own, N positions, which are no money
and end with their cycle (docs/domain.md). The proof uses these names, and nothing else of this room
that moves money.
"""

from __future__ import annotations

CERTIFY, FUND, CLEAR, SETTLE, REVERSAL = "P1", "P2", "P3", "P4", "P7"
RETURN, REISSUE, WRITE_BACK, ON_US, LIQUIDITY = "P8", "P9", "P10", "P12", "P14"
FEE = "P13"
"""Steps of the domain's table. REVERSAL: a clearing is taken back before its cycle settles.
LIQUIDITY: money comes to a settlement account, or leaves it."""

KEPT_BOOKS = ("T.", "S.", "B.")
"""Books with balances."""
TREASURY = "treasury"
"""The kind of participant that sets money aside before it pays."""
RETURNED = "T.RETURNS"
"""The treasury's account of what came back and has no disposition yet."""
PAYABLE, CUSTOMER, RESERVE, CLEARING = "T.PAYABLE", "B.CUSTOMER", "S.RESERVE", "S.CLEARING"
POSITION = "N.POSITION"
SETTLEMENT = ("S.TREASURY", "S.BANK")
"""Kinds of settlement accounts: a participant's account is named by its own kind."""


def expense(benefit: str) -> str:
    """The treasury's account of a programme."""
    return f"T.EXPENSE[{benefit}]"


def payable(batch: int) -> str:
    """The treasury's account of what a batch cleared and nobody was paid yet."""
    return f"{PAYABLE}[{batch:06d}]"


def fees(agency: str) -> str:
    """The account of what citizens paid to an agency."""
    return f"T.FEES[{agency}]"


def settlement(kind: str, code: str) -> str:
    """A participant's account at the State Bank. kind: of the participant."""
    return f"{SETTLEMENT[kind != TREASURY]}[{code}]"


def outside(code: str) -> str:
    """The side of a participant's money that is not in these books."""
    return f"S.RTGS[{code}]"


def reserve(batch: int) -> str:
    """The account of what treasuries set aside for a batch."""
    return f"{RESERVE}[{batch:06d}]"


def clearing(cycle: str) -> str:
    """The account through which a cycle settles; it ends at zero."""
    return f"{CLEARING}[{cycle}]"


def position(code: str) -> str:
    """A settlement participant's position."""
    return f"{POSITION}[{code}]"


def treasury_at(code: str) -> str:
    """The payer's account at a participant that pays its own customers."""
    return f"B.TREASURY[{code}]"


def customers_at(code: str) -> str:
    """The account of a participant's customers."""
    return f"{CUSTOMER}[{code}]"


def kind_of(account: str) -> str:
    """The kind of an account: its name before the brackets."""
    return account.partition("[")[0]


def owner_of(account: str) -> str:
    """Owner of an account: the code in its brackets."""
    return account.partition("[")[2][:-1]


def held(balances: dict[str, int], code: str) -> int:
    """The balance of a participant at the State Bank, minor units. Its account is named by its
    kind. Where the kind was changed, money on the account of the former kind counts too."""
    return sum(balances.get(f"{kind}[{code}]", 0) for kind in SETTLEMENT)
