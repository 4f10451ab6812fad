"""Institutions of the world: real participants, in the roles that this world gives them.

Who settles for whom, market shares, limits and suspensions are assumptions, stated in
data/simulated_directory.csv and data/market_shares.csv.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from switch.sim.world.draw import choice_table, fields, sparse
from switch.sim.world.nation import Rates

TREASURY = "KBNN"
COMMERCIAL_DEBTORS = ("970405", "970415", "970418", "970436")
"""Banks that keep a treasury payment account in this world, so that some lines are on-us."""
UNLISTED = ("970498", "970499", "971098")
"""Participants that registers name and the directory lacks."""
UNLIMITED = 2**62


class Directory(NamedTuple):
    """Participants in the order of their codes as text; a position is a participant's number.

    Holds the ones that the account register names and the directory lacks as well (`listed` False).
    """

    codes: list[str]
    kinds: list[str]
    listed: NDArray[np.bool_]
    suspended: NDArray[np.bool_]
    limits: NDArray[np.int64]
    """Highest amount of a line, dong; UNLIMITED where there is none."""
    shares: NDArray[np.float64]
    """Market share among active listed participants; zero for the others."""
    digits: NDArray[np.int64]
    """Digits of an account number."""

    def wrong(self, kind: NDArray[np.integer], at: NDArray[np.integer]) -> NDArray[np.uint16]:
        """Unlisted (kind 0) or suspended (kind 1) participants, picked by any number."""
        unlisted, suspended = np.flatnonzero(~self.listed), np.flatnonzero(self.suspended)
        picked = np.where(kind == 0, unlisted[at % len(unlisted)], suspended[at % len(suspended)])
        narrow: NDArray[np.uint16] = picked.astype(np.uint16)
        return narrow

    def holders(self, rng: np.random.Generator, rows: int, rates: Rates) -> NDArray[np.uint16]:
        """Participants by market share, with the stated rates of unlisted and suspended ones."""
        participant = choice_table(self.shares)[fields(rng, rows)]
        rates_wrong = (rates.participant_unknown, rates.participant_suspended)
        hits, kind = sparse(rng, rows, rates_wrong)
        participant[hits] = self.wrong(kind, rng.integers(0, 6, len(hits)))
        return participant

    def account_numbers(
        self, number: NDArray[np.uint64], participant: NDArray[np.integer]
    ) -> pa.StringArray:
        """Account numbers of the bank's length; they differ for numbers below 7 * 10**8.

        Mobile money has phone numbers: 0, then 3 or more, then eight digits.
        """
        phone_of = np.array([kind == "mobile_money" for kind in self.kinds])
        power = 10 ** (self.digits - 1)
        first = np.where(phone_of, 3 * 10**8, power).astype(np.uint64)
        span = np.where(phone_of, 7 * 10**8, 9 * power).astype(np.uint64)
        # 2,654,435,761 has no factor 2, 3, 5 or 7: within a span, numbers are only permuted.
        value = number * np.uint64(2_654_435_761) % span[participant] + first[participant]
        text = pc.cast(pa.array(value), pa.string())
        phone = phone_of[participant]
        if not phone.any():
            return text
        phones = pc.binary_join_element_wise("0", text.filter(pa.array(phone)), "")
        return pc.replace_with_mask(text, pa.array(phone), phones)


def package_rows(name: str) -> list[dict[str, str]]:
    """Rows of a packaged table, in file order."""
    text = files("switch").joinpath("data", name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _write_csv(path: Path, header: str, rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)


def write_participants(path: Path) -> Directory:
    """participants.csv: the real institutions, in the roles that this world gives them."""
    roles = {row["participant"]: row for row in package_rows("simulated_directory.csv")}
    market = {row["participant"]: row for row in package_rows("market_shares.csv")}
    known: dict[str, dict[str, str]] = {}
    for row in package_rows("participants.csv"):
        code = row["bin"] or row["short_name"]
        role = roles.get(code, {})
        known[code] = {
            "short_name": row["short_name"],
            "name": row["name"],
            "bic": row["bic"],
            "kind": row["kind"],
            "settled_by": role.get("settled_by", ""),
            "net_debit_cap": "",
            "amount_max": role.get("amount_max", ""),
            "status": role.get("status", "active"),
        }
    header = "participant,short_name,name,bic,kind,settled_by,net_debit_cap,amount_max,status"
    _write_csv(path, header, [(code, *row.values()) for code, row in known.items()])

    codes = sorted([*known, *UNLISTED], key=lambda code: code.encode())
    active = [known[c]["status"] == "active" if c in known else False for c in codes]
    share = [float(market[c]["share_percent"]) if c in market else 0.0 for c in codes]
    limits = [known[c]["amount_max"] if c in known else "" for c in codes]
    return Directory(
        codes,
        [known[c]["kind"] if c in known else "bank" for c in codes],
        np.array([c in known for c in codes]),
        np.array([c in known and known[c]["status"] == "suspended" for c in codes]),
        np.array([int(limit) if limit else UNLIMITED for limit in limits], np.int64),
        np.array(share) * np.array(active),
        np.array([int(market[c]["account_digits"]) if c in market else 12 for c in codes]),
    )


def write_debtors(path: Path, benefits: Sequence[str]) -> list[list[str]]:
    """debtors.csv; returns the accounts of each of these benefits, the treasury's first."""
    rows = []
    accounts = []
    for number, programme in enumerate(package_rows("programmes.csv")):
        benefit = programme["benefit"]
        own = [(f"37130100{number + 1:04d}", TREASURY, benefit, "")]
        # Two of the four banks each, so that banks differ in what they pay.
        for at in (number % 4, (number + 1) % 4):
            own.append((f"9527{at + 1:02d}{number + 1:06d}", COMMERCIAL_DEBTORS[at], benefit, ""))
        rows += own
        if benefit in benefits:
            accounts.append([account for account, *_ in own])
    _write_csv(path, "debtor_account,debtor_agent,programme,budget", rows)
    return accounts
