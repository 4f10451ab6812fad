"""Self-service proven: what the audit chain has of citizens obeys its rules, and the register has
the accounts that they registered.

Each record is held against all that the chain has of the same person before it. Codes themselves
cannot be proven: their secret stands in no home.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import msgspec

from switch.home.store import Home
from switch.home.times import is_before, micros_of
from switch.outcomes import Check
from switch.proof.replaced import ReplacedIds
from switch.registry.holdings import accounts_of
from switch.registry.load_registers import current
from switch.registry.lookup import row_of

NAME = "self-service"
HALF_MINUTE, FIVE_MINUTES = 30_000_000, 300_000_000
FIVE = 5
OF_REPRESENTATIVES = ("REPRESENTATIVE_OTHER", "AUTHORITY_OVER", "REPRESENTATIVE_NOT_ALIVE")
OF_ACCOUNTS = (
    "HOLDER_DECEASED",
    "HOLDER_OTHER",
    "ACCOUNT_HELD",
    "ACCOUNTS_FULL",
    "ACCOUNT_UNKNOWN",
)
"""Refusals behind a code that was right, and is used."""
Said = dict[str, Any]


def checks(home: Home, replaced: ReplacedIds) -> Iterator[Check]:
    """All that is proven of citizens. replaced: ids that are of one person."""
    version = 0
    before: dict[int, list[tuple[str, Said]]] = {}
    bound: list[Said] = []
    claims: list[Said] = []
    for record in home.catalog.audit.records("citizen", "register"):
        detail = msgspec.json.decode(record.detail)
        said = detail if record.kind == "citizen" else detail.get("citizen")
        joined = replaced.of(version)
        version = detail.get("version", version)
        if said is None:
            claims = [] if "accounts" in detail else claims
            continue
        mine = before.setdefault(said["person"], [])
        fault = _fault(record.at, said, mine, (bound, joined.of_row(said["person"])))
        if not fault and (record.kind == "register") != ("account" in said):
            fault = "it is no record of what it says"
        if not fault and record.kind == "register" and detail["accounts"] != 1 + ("ended" in said):
            fault = "it changed other accounts than it says"
        yield Check(NAME, f"record {record.seq}", fault)
        mine.append((record.at, said))
        bound += [said] if "bound" in said else []
        claims += [said] if "account" in said else []
    if claims:
        yield Check(NAME, f"{len(claims)} accounts", _accounts_fault(home, claims))


def _fault(
    at: str, said: Said, mine: list[tuple[str, Said]], others_of: tuple[list[Said], set[int]]
) -> str:
    """Reason why a record may not stand where it does; ''. mine: what was said before it by the
    same id; others_of: all bindings before it, and rows of all ids of the person."""
    bound, rows = others_of
    if mine and is_before(at, mine[-1][0]):
        return "it is of before what the same person said before it"
    if said.get("holder") == said["person"] or ("bound" in said and "holder" in said):
        return "nobody represents themself, and no device is of somebody else's money"
    theirs: dict[int, str] = {one["person"]: one["device"] for one in bound}
    others = {device for person, device in theirs.items() if person not in rows}
    rule, device = said.get("rule", ""), said["device"]
    if "bound" in said:
        named = said["bound"] == len(bound) + 1 and said.get("by") and said.get("mark")
        if rule or not named:
            return "it does not say who bound what"
        return "it binds the device of another person" if device in others else ""
    if rule == "DEVICE_TAKEN":
        return "" if device in others else "it refuses a device that nobody has"
    own = theirs.get(said["person"], "")
    if not own or rule == "NOT_BOUND":
        same = not own and rule == "NOT_BOUND"
        return "" if same else "a device is bound exactly where it says so"
    if device != own or rule == "DEVICE_OTHER":
        same = device != own and rule == "DEVICE_OTHER"
        return "" if same else "it is of the bound device exactly where it says so"
    locked = any(micros_of(at) < until for until in _locks(mine))
    if locked or rule == "LOCKED":
        return "" if locked and rule == "LOCKED" else "a lock is there exactly where it says so"
    return _code_fault(at, said, rule, mine)


def _code_fault(at: str, said: Said, rule: str, mine: list[tuple[str, Said]]) -> str:
    """The code was judged as it says."""
    if rule == "CODE_WRONG":
        return "a wrong code has no step" if "step" in said else ""
    if not rule and not all(said.get(n) for n in ("account", "participant", "valid_from")):
        return "it does not say which account was registered"
    known = ("", "CODE_USED", *OF_ACCOUNTS, *(OF_REPRESENTATIVES if "holder" in said else ()))
    if rule not in known or (rule and "account" in said):
        return "it says nothing that a citizen may do"
    if "account" in said and ("holder" in said) != (said.get("valid_to", "") >= said["valid_from"]):
        return "an authority ends exactly where it says that somebody represents"
    now, step = micros_of(at) // HALF_MINUTE, said.get("step", -1)
    if step not in (now, now - 1):
        return "its code is of another time"
    since = max((place for place, (_, one) in enumerate(mine) if "bound" in one), default=-1)
    used = [one["step"] for _, one in mine[since + 1 :] if "step" in one]
    is_used = any(step <= other for other in used)
    if is_used != (rule == "CODE_USED"):
        return "its code was used before exactly where it says so"
    return ""


def _locks(mine: list[tuple[str, Said]]) -> list[int]:
    """Ends of all locks of a person, in microseconds: each behind five wrong codes in a row."""
    ends, row = [], 0
    for at, said in mine:
        rule = said.get("rule", "")
        if rule == "CODE_WRONG":
            row += 1
        elif "step" in said and rule != "CODE_USED":
            row = 0
        if row == FIVE:
            ends.append(micros_of(at) + FIVE_MINUTES)
            row = 0
    return ends


def _accounts_fault(home: Home, claims: list[Said]) -> str:
    """The register has the accounts as they were registered, and those that ended by it. claims:
    those behind the last table of accounts, which may have changed any."""
    first: dict[tuple[int, str], tuple[str, str, int, int | None]] = {}
    last: dict[tuple[int, str], str] = {}
    for said in claims:
        person: int = said["holder"] if "holder" in said else said["person"]
        start = said["valid_from"]
        key = (person, said["account"])
        acting = said["person"] if "holder" in said else None
        first[key] = said["participant"], start, said["priority"], acting
        last.pop(key, None)
        if "valid_to" in said:
            last[key] = said["valid_to"]
        if "ended" in said:
            day = datetime.date.fromisoformat(start) - datetime.timedelta(1)
            last[person, said["ended"]] = str(day)
    register = current(home, whole=True)
    kept = {
        (row, home.id_hash(f"{one.participant}:{one.account}")): one
        for row in {person for person, _ in (*first, *last)}
        for one in accounts_of(register, row)
    }
    for key in (*first, *last):
        one = kept.get(key)
        if one is None:
            return f"an account of row {key[0]} is not in the register"
        now = one.participant, str(one.valid_from), one.priority, _row_of(home, one.representative)
        if key in first and first[key] != now:
            return f"an account of row {key[0]} is registered otherwise"
        if str(one.valid_to or "") != last.get(key, ""):
            return f"an account of row {key[0]} ends on another day"
    return ""


def _row_of(home: Home, person_id: str) -> int | None:
    """The row of a representative; None for none."""
    folder = home.folder("registers", home.catalog.register_seq())
    return row_of(folder, int(person_id)) if person_id else None
