"""Cycle: where money stands, and how a cycle of the calendar is closed and comes to its end.

A cycle settles, or is aborted, in one transaction of the catalog: all of it, or nothing. Everything
here is tens of rows.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack

import msgspec

from switch.errors import InputRefused, UsageError
from switch.home import days
from switch.home.history import ABORTED, bytes_again, is_answered, recasts
from switch.home.store import RECASTS, ROOM_SPARE, Home
from switch.home.times import is_past
from switch.registry.directory import RECAST, Directory, Settings
from switch.results import CycleAnswer, MovedTotal
from switch.schema import CURRENCY
from switch.settlement import booking, recasting
from switch.settlement.booking import Posting, Reserve
from switch.settlement.calendar import Calendar, Slot
from switch.settlement.liquidity.loss import share_loss

LIQUIDITY = "P14"
"""Step of the domain's table: money comes to a settlement account, or leaves it."""
PENDING = "state IN ('OPEN', 'CLOSED')"
"""Of cycles that are neither settled nor aborted: both are for good."""
OPENING = "INSERT INTO cycles VALUES (?, ?, 'OPEN', '', '', '') ON CONFLICT DO NOTHING"
"""Opens a cycle (a Slot), where it is not there: then its cut-off stays what it is."""
WHY_MAX = 140
"""Characters of the reason for which a cycle is aborted."""
Statements = list[tuple[str, tuple[Any, ...]]]


class Standing:
    """Balances, and what unsettled cycles will do to them."""

    def __init__(self, home: Home, directory: Directory) -> None:
        self.directory = directory
        opening = msgspec.json.decode(home.meta("opening"))
        self.balances: dict[str, int] = home.balances() or opening
        moved = home.rows("SELECT DISTINCT debit, credit FROM postings WHERE step = ?", LIQUIDITY)
        accounts = {*opening, *(row[side] for row in moved for side in ("debit", "credit"))}
        self.bound = {booking.holder(account) for account in accounts}
        for row in home.rows("SELECT detail FROM audit WHERE kind = 'liquidity'"):
            self.bound.update(msgspec.json.decode(row["detail"]).get("bound", ()))
        """Participants that may not owe more than they hold, whatever their kind became since."""
        unsettled = f"(SELECT cycle FROM cycles WHERE {PENDING})"
        self.nets: dict[str, dict[str, int]] = {}
        """By unsettled cycle and settlement participant."""
        for row in home.rows(f"SELECT * FROM positions WHERE cycle IN {unsettled}"):
            nets = self.nets.setdefault(row["cycle"], {})
            nets[row["settled_by"]] = nets.get(row["settled_by"], 0) + row["net"]
        self.reserves: dict[str, list[Reserve]] = {}
        query = (
            f"SELECT * FROM postings WHERE cycle IN {unsettled} AND"
            " (step = 'P2' OR step = 'P7' AND debit LIKE 'S.RESERVE[%') ORDER BY seq"
        )
        for row in home.rows(query):
            reserves = self.reserves.setdefault(row["cycle"], [])
            if row["step"] == "P7":  # It was released: its lines were refused.
                pair = booking.holder(row["credit"]), row["debit"]
                at = [kept[:2] for kept in reserves].index(pair)
                reserves[at] = reserves[at]._replace(amount=reserves[at].amount - row["amount"])
                continue
            owner = booking.holder(row["debit"])
            reserves.append(Reserve(owner, row["credit"], row["amount"]))

    def nets_of(self, cycle: str) -> dict[str, int]:
        """In order of code; of no lines, nothing."""
        return dict(sorted(self.nets.get(cycle, {}).items()))

    def reserved(self, cycle: str) -> dict[str, int]:
        found: dict[str, int] = {}
        for reserve in self.reserves.get(cycle, []):
            found[reserve.participant] = found.get(reserve.participant, 0) + reserve.amount
        return found

    def holds(self, code: str, cycle: str) -> int:
        """What a participant has for a cycle: its balance and what is set aside."""
        return booking.held(self.balances, code) + self.reserved(cycle).get(code, 0)

    def rooms(self, cycle: str) -> dict[str, int]:
        """How much more each may be debited in a cycle. What other unsettled cycles will take is
        taken already; what they will bring has not come."""
        nets = self.nets_of(cycle)
        funds = {}
        for p in self.directory.participants:
            code = p.participant
            if code in self.bound:
                others = sum(
                    min(self.nets[other].get(code, 0) + self.reserved(other).get(code, 0), 0)
                    for other in self.nets
                    if other != cycle
                )
                funds[code] = self.holds(code, cycle) + nets.get(code, 0) + others
        return booking.rooms(self.directory, funds, nets)


def slots_of(home: Home) -> tuple[set[str], list[Slot]]:
    """(names of the calendar's cycles that take nothing more, all that were opened)."""
    rows = home.rows("SELECT cycle, closes, state FROM cycles")
    closed = {row["cycle"] for row in rows if row["state"] != "OPEN"}
    return closed, [Slot(row["cycle"], row["closes"]) for row in rows]


def slot_for(home: Home, settings: Settings, at: str, value_date: datetime.date) -> Slot | None:
    """The cycle of the calendar that takes what comes at a time; None without a calendar."""
    if settings.cutoffs is msgspec.UNSET:
        return None
    return Calendar(settings).slot_of(at, value_date, *slots_of(home))


def require_calendar(home: Home, settings: Settings, named: list[Any] | None) -> None:
    """There are cycles to be settled, now or since a calendar that the home had before: those come
    to their end as well. named: rows of the one that is asked for, if one is."""
    there = home.rows("SELECT 1 FROM cycles") if named is None else named
    if settings.cutoffs is msgspec.UNSET and not there:
        raise UsageError(
            f"{home.path} has no calendar: every batch settles at once; give cut-offs"
            " with `switch directory --config`"
        )


def keep_positions(cycle: str, positions: Iterable[tuple[Any, ...]]) -> Statements:
    """Positions of one batch, added to those that its cycle has already."""
    return [
        (
            "INSERT INTO positions VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET credit_count = credit_count + excluded.credit_count,"
            " credit_sum = credit_sum + excluded.credit_sum,"
            " debit_count = debit_count + excluded.debit_count,"
            " debit_sum = debit_sum + excluded.debit_sum, net = net + excluded.net",
            (cycle, *position),
        )
        for position in positions
    ]


def keep_postings(batch: int, cycle: str, postings: list[Posting]) -> Statements:
    return [
        (
            "INSERT INTO postings (batch, cycle, step, debit, credit, amount)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (batch, cycle, *posting),
        )
        for posting in postings
    ]


def keep_balances(balances: dict[str, int]) -> Statements:
    """Raises InputRefused where books would leave 64 bits: nothing is committed then."""
    for account, balance in sorted(balances.items()):
        if not -(2**63) < balance < 2**63:
            raise InputRefused(
                "TOTAL_RANGE",
                f"what {account} holds would leave 64 bits",
                remedy="split the table; or begin a new home for what comes",
            )
    return [
        ("INSERT OR REPLACE INTO balances VALUES (?, ?)", row) for row in sorted(balances.items())
    ]


def set_balances(home: Home, directory: Directory, given: dict[str, int], at: str) -> None:
    """Settlement accounts hold what is given, by account, and are bound from now on."""
    balances = Standing(home, directory).balances
    postings = []
    for account, amount in sorted(given.items()):
        outside = "S.RTGS" + account[account.index("[") :]
        change = amount - booking.held(balances, booking.holder(account))
        sides = (outside, account) if change > 0 else (account, outside)
        if change:
            postings.append(Posting(LIQUIDITY, *sides, abs(change)))
    home.commit(
        at=at,
        kind="liquidity",
        detail={
            "postings": postings,
            # Also who holds what is given already, so that nothing is posted.
            "bound": sorted(map(booking.holder, given)),
        },
        statements=[
            *keep_postings(0, "", postings),
            *keep_balances(booking.apply(balances, postings)),
        ],
    )


def require_nobody_leaves(home: Home, old: Directory, new: Directory) -> None:
    """Who has a position in a cycle that is not settled keeps the account it settles by."""
    before, after = ({p.participant: p for p in d.participants} for d in (old, new))
    due = "SELECT DISTINCT participant, settled_by FROM positions WHERE cycle IN"
    for row in home.rows(f"{due} (SELECT cycle FROM cycles WHERE {PENDING})"):
        code, agent = row["participant"], row["settled_by"]
        stays = code in after and after[code].settled_by == agent
        if not stays or after[agent].kind != before[agent].kind:
            raise InputRefused(
                "DIRECTORY_INVALID",
                f"participant {code} stands in a cycle that is not settled",
                column="participant",
                remedy="settle the cycle first, or leave the participant as it is",
            )


def close(home: Home, directory: Directory, cycle: str, closes: str, at: str) -> CycleAnswer:
    """Let a cycle take no more lines. Returns its answer as it stands: none yet, or the stored one.

    closes: the cut-off, kept where no batch has opened the cycle.
    """
    rows = home.rows("SELECT * FROM cycles WHERE cycle = ?", cycle)
    if rows and rows[0]["answer"]:
        answer: CycleAnswer = msgspec.json.decode(rows[0]["answer"])
        return answer
    if not rows or rows[0]["state"] == "OPEN":
        request = request_of(home, directory, cycle, Standing(home, directory).nets_of(cycle))
        text = msgspec.json.encode(request, order="sorted").decode()
        home.commit(
            at=at,
            kind="cycle",
            detail={"cycle": cycle, "state": "CLOSED", "closes": closes, "request": request},
            statements=[
                (
                    "INSERT INTO cycles VALUES (?, ?, 'CLOSED', ?, ?, '')"
                    " ON CONFLICT (cycle) DO UPDATE"
                    " SET state = 'CLOSED', at = excluded.at, request = excluded.request",
                    (cycle, closes, at, text),
                )
            ],
        )
    return _answer(directory, cycle, "CLOSED", at, {})


def request_of(
    home: Home, directory: Directory, cycle: str, nets: dict[str, int]
) -> dict[str, Any]:
    """settlement.json of a cycle. It is kept as it was asked: who stands in it may leave later."""
    batches = home.rows("SELECT batch_id FROM batches WHERE cycle = ? ORDER BY seq", cycle)
    day = f"{cycle[:4]}-{cycle[4:6]}-{cycle[6:8]}"
    named = [row["batch_id"] for row in batches]
    return booking.request(directory, cycle, day, nets, batches=named)


def settle(
    home: Home, directory: Directory, settings: Settings, cycle: str, at: str
) -> CycleAnswer:
    """Settle a cycle that is closed. Returns the answer; its state is SETTLED, or CLOSED where
    funds are missing and the rule has no other way: then it is tried again, or aborted."""
    standing = Standing(home, directory)
    nets = standing.nets_of(cycle)
    assert sum(nets.values()) == 0, "positions do not sum to zero"
    short = _short(standing, cycle, nets)
    may_recast = settings.insufficient_funds == RECAST and not is_answered(home, cycle)
    if short and may_recast:
        return _recast(home, standing, cycle, nets, short, at)
    paid, parts = dict(nets), {}
    if short and settings.insufficient_funds == "share":
        parts = _loss_shares(home, cycle, short)
    if parts:
        for code, missing in short.items():
            paid[code] += missing
        for code, part in parts.items():
            paid[code] -= part
    rule = "" if not short else "share" if parts else "wait"
    lacking = _short(standing, cycle, paid)
    answer = _answer(
        directory,
        cycle,
        "CLOSED" if lacking else "SETTLED",
        at,
        {} if lacking else paid,
        rule=rule,
        short={code: str(missing) for code, missing in (lacking or short).items()},
        shares={code: str(part) for code, part in parts.items()},
        turned_payer=[code for code in parts if nets[code] >= 0 > paid[code]],
    )
    if not lacking:
        _commit(home, standing, cycle, paid, answer, at)
    return answer


class _Why(TypedDict, total=False):
    """Fields of an answer beyond its state."""

    rule: str
    short: dict[str, str]
    shares: dict[str, str]
    turned_payer: list[str]
    vanished: dict[str, str]
    recalled: dict[str, MovedTotal]
    why: str


def _answer(
    directory: Directory,
    cycle: str,
    state: str,
    at: str,
    moved: dict[str, int],
    **why: Unpack[_Why],
) -> CycleAnswer:
    """answer.json: what the settlement bank says of a cycle. moved: nets that were settled."""
    return {
        "cycle": cycle,
        "state": state,
        "at": at,
        "currency": CURRENCY,
        "participants": booking.sides(directory, moved),
        "rule": "",
        "short": {},
        "shares": {},
        "turned_payer": [],
        **why,
    }


def _short(standing: Standing, cycle: str, nets: dict[str, int]) -> dict[str, int]:
    """What bound payers lack."""
    found = {}
    for code, net in nets.items():
        missing = -net - max(standing.holds(code, cycle), 0)
        if code in standing.bound and net < 0 and missing > 0:
            found[code] = missing
    return found


def _loss_shares(home: Home, cycle: str, short: dict[str, int]) -> dict[str, int]:
    """Who bears what defaulters lack: those whom they had to pay in the cycle, by how much that
    was. Empty where they had to pay one another alone."""
    found: dict[str, int] = {}
    for defaulter, missing in short.items():
        rows = home.rows(
            "SELECT credit, sum(amount) AS amount FROM postings"
            " WHERE cycle = ? AND step = 'P3' AND debit = ? GROUP BY credit",
            cycle,
            f"N.POSITION[{defaulter}]",
        )
        weights = {row["credit"].partition("[")[2][:-1]: row["amount"] for row in rows}
        weights = {code: weight for code, weight in weights.items() if code not in short}
        if not weights:
            return {}
        for code, part in share_loss(missing, weights).items():
            found[code] = found.get(code, 0) + part
    return dict(sorted(found.items()))


def _recast(
    home: Home,
    standing: Standing,
    cycle: str,
    nets: dict[str, int],
    short: dict[str, int],
    at: str,
) -> CycleAnswer:
    """Settle a cycle without the payments of those who are short: their lines go back to wait, all
    in the one commit by which the others settle. Returns the answer."""
    directory = standing.directory
    unwound = recasting.unwind_cycle(
        home, cycle, nets, short, lambda after: _short(standing, cycle, after)
    )
    went, held = recasting.lines_of(home, directory, cycle, unwound.defaulters)
    answer = _answer(
        directory,
        cycle,
        "SETTLED",
        at,
        unwound.nets,
        rule=RECAST,
        short={code: str(missing) for code, missing in unwound.defaulters.items()},
        turned_payer=unwound.turned,
        vanished={code: str(sum_) for code, sum_ in unwound.vanished.items()},
        recalled=recasting.recalled(went),
    )
    _commit_without(home, standing, cycle, went, held, unwound.nets, answer, at)
    return answer


def require_abortable(home: Home, cycle: str, why: str) -> None:
    """There is a reason, and nothing but cleared lines stands in the cycle, if it has not ended."""
    is_pending = home.rows(f"SELECT 1 FROM cycles WHERE cycle = ? AND {PENDING}", cycle)
    if is_pending and is_answered(home, cycle):
        raise UsageError(f"cycle {cycle} has refusals or returns: it can settle alone")
    if not why.strip() or len(why) > WHY_MAX or not why.isprintable():
        raise UsageError(f"a cycle is aborted for a reason of 1 to {WHY_MAX} printable characters")


def abort(home: Home, directory: Directory, cycle: str, why: str, at: str) -> CycleAnswer:
    """Give up the settlement of a cycle that is closed: everything that was posted for it is taken
    back, and all its lines go back to wait, in one commit. Returns the answer."""
    standing = Standing(home, directory)
    nets = dict.fromkeys(standing.nets_of(cycle), 0)
    went, held = recasting.lines_of(home, directory, cycle, None)
    answer = _answer(
        directory,
        cycle,
        ABORTED,
        at,
        {},
        rule="abort",
        why=why,
        recalled=recasting.recalled(went),
    )
    if len(went):
        _commit_without(home, standing, cycle, went, held, nets, answer, at)
    else:
        _commit(home, standing, cycle, nets, answer, at)
    return answer


def _commit_without(
    home: Home,
    standing: Standing,
    cycle: str,
    went: Any,
    held: Any,
    nets: dict[str, int],
    answer: CycleAnswer,
    at: str,
) -> None:
    """One commit by which lines (went, held: as `recasting.lines_of` gives them) go back to wait,
    and what is left of the cycle, nets, is settled."""
    directory = standing.directory
    gone = recasting.positions_gone(directory, went)
    left = standing.nets_of(cycle)
    for _, settled_by, *_, net in gone:
        left[settled_by] += net
    assert left == nets, "lines and positions differ"
    request = request_of(home, directory, cycle, nets)
    text = msgspec.json.encode(request, order="sorted").decode()
    number, after = len(recasts(home)) + 1, home.next_batch() - 1
    home.require_room(2 * (went.nbytes + held.nbytes + bytes_again(home)) + ROOM_SPARE)
    with home.draft(RECASTS) as draft:
        names = recasting.write(home, draft, went, held)
        folder = home.folder(RECASTS, number)
        bits = [
            (
                "INSERT OR REPLACE INTO paid VALUES ('cleared', ?, ?, ?)",
                (*key, f"{RECASTS}/{folder.name}/{name}"),
            )
            for key, name in names.items()
        ]
        _commit(
            home,
            standing,
            cycle,
            nets,
            answer,
            at,
            reversals=recasting.reversals(directory, went),
            statements=[
                *keep_positions(cycle, gone),
                *bits,
                ("UPDATE cycles SET request = ? WHERE cycle = ?", (text, cycle)),
            ],
            detail={"after": after, "request": request},
            draft=draft,
            folder=folder,
        )


def _commit(
    home: Home,
    standing: Standing,
    cycle: str,
    nets: dict[str, int],
    answer: CycleAnswer,
    at: str,
    *,
    reversals: Sequence[Posting] = (),
    statements: Statements | None = None,
    detail: dict[str, Any] | None = None,
    draft: Path | None = None,
    folder: Path | None = None,
) -> None:
    """One transaction, by which a cycle comes to its end. reversals: postings that take lines out
    before; statements, detail, draft, folder: what else is committed where lines go back."""
    assert sum(nets.values()) == 0, "what is settled does not sum to zero"
    reserves = standing.reserves.get(cycle, [])
    settling = booking.settling_postings(standing.directory, cycle, nets, reserves)
    postings = [*reversals, *settling]
    after = booking.apply(standing.balances, postings)
    booking.require_settled(after, cycle)
    text = msgspec.json.encode(answer, order="sorted").decode()
    (closes,) = home.rows("SELECT closes FROM cycles WHERE cycle = ?", cycle)[0]
    of_batches = "HELD" if answer["state"] == ABORTED else "SETTLED"
    home.commit(
        at=at,
        kind="settlement",
        detail={
            "cycle": cycle,
            "answer": answer,
            "postings": postings,
            **days.word(days.times(home), at, closes),
            **(detail or {}),
        },
        statements=[
            (
                "UPDATE cycles SET state = ?, at = ?, answer = ? WHERE cycle = ?",
                (answer["state"], at, text, cycle),
            ),
            ("UPDATE batches SET state = ? WHERE cycle = ?", (of_batches, cycle)),
            *keep_postings(0, cycle, postings),
            *keep_balances(after),
            *(statements or []),
        ],
        draft=draft,
        folder=folder,
    )


def cycle_rows(home: Home, cycle: str | None, at: str | None) -> list[Any]:
    """Cycles that are not settled, oldest first: those past their cut-off; or the one of a name,
    whatever its state."""
    if cycle is not None:
        return home.rows("SELECT * FROM cycles WHERE cycle = ?", cycle)
    due = home.rows(f"SELECT * FROM cycles WHERE {PENDING} ORDER BY closes")
    return [row for row in due if at is None or is_past(row["closes"], at)]
