"""Rules of fees: why a payment to an agency is refused, in their order of precedence.

The number of a rule stands in the file of payments at rest. Codes are those of ISO 20022; NARR
stands where it has none, and the sentence says what is meant (docs/fees.md).
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

TAKEN, REFUSED = "ACSP", "RJCT"
"""ISO status of a payment that is taken, and of one that is not."""


RULES = 2
"""Version of how payments are judged, as their records say it: each by itself, and ids bank by
bank. Records without one are of before: a file was taken once, and an id by one bank."""


class FeeReason(IntEnum):
    """Reason why a payment moves nothing; the number of a refusal is its precedence."""

    NONE = 0
    AMOUNT_NOT_POSITIVE = 1
    AMOUNT_OVER_LIMIT = 2
    DAY_AHEAD = 3
    AGENCY_UNKNOWN = 4
    AGENCY_SUSPENDED = 5
    PAYER_UNKNOWN = 6
    PAYER_SUSPENDED = 7
    ID_KNOWN = 8
    BILL_UNKNOWN = 9
    BILL_PAID = 10
    AMOUNT_DIFFERS = 11
    PAST_DUE = 12
    BILL_TWICE = 13
    COVER_MISSING = 14
    KNOWN = 15
    """It is no refusal: the same payment was taken before, and is answered with its receipt."""


ACCEPTED = (FeeReason.NONE, FeeReason.KNOWN)
"""Numbers of payments that are taken, now or before."""


class FeeRule(NamedTuple):
    """A code for banks, and a sentence for people."""

    code: str
    sentence: str


FEE_RULES = {
    FeeReason.AMOUNT_NOT_POSITIVE: FeeRule("AM12", "the amount is zero or negative"),
    FeeReason.AMOUNT_OVER_LIMIT: FeeRule("AM13", "the amount is above the limit of the clearing"),
    FeeReason.DAY_AHEAD: FeeRule("DT01", "it is paid on a day that has not come"),
    FeeReason.AGENCY_UNKNOWN: FeeRule("CNOR", "the agency, or its bank, is not known here"),
    FeeReason.AGENCY_SUSPENDED: FeeRule("AB08", "the agency's bank is suspended"),
    FeeReason.PAYER_UNKNOWN: FeeRule("RC08", "the payer's bank is not in the directory"),
    FeeReason.PAYER_SUSPENDED: FeeRule("AB07", "the payer's bank is suspended"),
    FeeReason.ID_KNOWN: FeeRule("DU03", "the payment id was taken before, or stands twice"),
    FeeReason.BILL_UNKNOWN: FeeRule("NARR", "the bill is not known"),
    FeeReason.BILL_PAID: FeeRule("AM05", "the bill is paid already"),
    FeeReason.AMOUNT_DIFFERS: FeeRule("AM09", "the amount differs from that of the bill"),
    FeeReason.PAST_DUE: FeeRule("TM01", "the bill was due before, and is not paid late"),
    FeeReason.BILL_TWICE: FeeRule("AM05", "an earlier payment of the file pays the bill"),
    FeeReason.COVER_MISSING: FeeRule("AM23", "the payer's bank has no room for it in the cycle"),
}
