"""Claims: a citizen's device is bound, and the holder of an account registers it by a one-time
password of that device.

Each is a commit of its own, and so is each refusal, for it counts. What is wrong with the call
itself (words, times, a secret of another authority) is nobody's try and is not recorded.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, Required, TypedDict, Unpack

import msgspec
import numpy as np
import pyarrow as pa

from switch.arguments import BY_MAX, require_words
from switch.errors import InputRefused, UsageError
from switch.files.disk import landing, require_outside
from switch.home import days
from switch.home.store import Home
from switch.home.times import DAY, LOCAL, day_of, is_before, micros_of, time_text
from switch.reason import AUTHORITY_ENDED, Reason
from switch.registry.directory import Directory
from switch.registry.holdings import (
    Claimant,
    Held,
    accounts_of,
    day_number,
    is_of_another,
    masked,
    require_account,
)
from switch.registry.load_registers import (
    Tables,
    current,
    current_chain,
    load_registers,
    rows_of_person,
)
from switch.registry.lookup import row_of
from switch.registry.passwords import DIGITS, Authority, authority_of
from switch.registry.register import Register
from switch.registry.representatives import Representatives
from switch.registry.self_service import (
    CITIZEN,
    LOCK_SECONDS,
    TRIES_MAX,
    CitizenSaid,
    SelfService,
)
from switch.registry.versions import Chain
from switch.schema import DAY_MAX, NO_ROW

PRIORITY_MAX = ACCOUNTS_MAX = 255
PROVEN_MAX = 1 << 28
"""Largest file of the register that is proven before a representative is looked up in it."""
PLAIN_KIND, PAYING_KIND = "bank", "treasury"
_PERSON_FORM, _CODE_FORM = re.compile("[0-9]{12}"), re.compile(f"[0-9]{{{DIGITS}}}")


class Claimed(TypedDict, total=False):
    """An account, as a citizen says it (`Citizens.account`)."""

    device: Required[str]
    """The device on which they say it."""
    code: Required[str]
    """The one-time password that it shows: 6 digits."""
    secrets: Required[bytes | str | Path]
    """The secret of the authority that bound the device, or a file of it, as of `bind`."""
    participant: Required[str]
    """Code of the bank, wallet or operator that keeps the account."""
    account: Required[str]
    """The account, as that one writes it."""
    instead_of: tuple[str, str] | None
    """(participant, account) of theirs that ends the day before; its priority is taken over."""
    priority: int | None
    """1 to 255, 1 first; default: behind all that they have, or that of instead_of."""
    representative: str | None
    """12 digits of who says it for the person, on a device of their own: the account is theirs, and
    receives as long as their authority lasts. They give no priority."""
    at: Required[datetime.date | str]
    """The time that is recorded, to the second: a code is of half a minute."""


NEEDED = ("device", "code", "secrets", "participant", "account", "at")
"""Fields of `Claimed` without which it is none."""


class CitizenBound(TypedDict):
    """A device that is bound to a person; the file has the address for their authenticator."""

    person: str
    """Keyed hash of their id."""
    number: int
    """Number of the binding in this home."""
    at: str
    by: str
    file: str
    new: bool
    """False where it was bound so before, and nothing was said since: nothing is recorded."""


class AccountClaimed(TypedDict):
    """An account that its holder registered; accounts are masked."""

    person: str
    at: str
    participant: str
    account: str
    kind: str
    priority: int
    valid_from: str
    """The first value date of which it receives."""
    valid_to: str
    """The last day of the authority of a representative; '' for an account of the person's own."""
    representative: str
    """Keyed hash of their id; '' for an account of the person's own."""
    ended: str
    """The account in whose place it is, PARTICIPANT:ACCOUNT; '' where in none's."""
    register: int
    """Version of the register that has it."""


class AccountHeld(TypedDict):
    """An account of a person; valid_from and valid_to are '' where they are open."""

    participant: str
    account: str
    kind: str
    priority: int
    valid_from: str
    valid_to: str
    representative: str
    """Keyed hash of the id of the representative whose it is; '' for one of the person's own."""


class CitizenShown(TypedDict):
    """Accounts of a person, the one that counts first in front, and their bound device."""

    person: str
    bound: int
    """Number of the binding; 0 where no device is bound."""
    bound_at: str
    by: str
    wrong_codes: int
    """In a row."""
    locked_until: str
    """The end of the last lock; '' where there was none."""
    accounts: list[AccountHeld]


class _Visit:
    """One citizen at the door: who they are, and what is known of them."""

    def __init__(self, home: Home, person_id: str, device: str, at: str, holder: str = "") -> None:
        """holder: whom they represent, where it is somebody."""
        require_person(person_id)
        require_words("device", device, BY_MAX)
        if not device:
            raise UsageError("say on which device (device)")
        self.chain = _chain(home)
        # Who has another id now is at the door as that one, whichever they name.
        person_id = self.chain.replaced.id_of(person_id)
        holder = self.chain.replaced.id_of(holder) if holder else ""
        if holder == person_id:
            raise UsageError("nobody represents themself")
        self.home, self.person_id, self.at = home, person_id, at
        self.holder_id = holder or person_id
        self.row = self.holder = _row(self.chain, person_id)
        if holder:
            self.holder = _row(self.chain, holder)
        self.known = SelfService(home)
        self.person = self.known.person(self.row)
        self.text, self.device = device, home.id_hash(f"device {device}")

    def is_me(self, person_id: str) -> bool:
        """Tell whether an id is the visitor's now, or was; '' is nobody's."""
        return bool(person_id) and self.chain.replaced.id_of(person_id) == self.person_id

    @property
    def said_holder(self) -> int | None:
        """The row of whom they represent, as it is recorded."""
        return None if self.holder == self.row else self.holder

    def seed_of(self, number: int) -> tuple[object, ...]:
        """Parts of the seed of a binding of this person and device (`Authority`)."""
        return self.home.id_hash(CITIZEN), self.person_id, self.text, number

    def require_forward(self) -> None:
        """The time lies before nothing that this citizen said, and before nothing that the home
        recorded. Raises InputRefused."""
        days.require_forward(days.times(self.home), self.at)
        if self.person.last_at and is_before(self.at, self.person.last_at):
            raise InputRefused(
                "DAYS_RUN_BACK",
                f"{self.at} lies before the last that was recorded of this citizen",
                remedy="give --at the time of the try",
            )

    def refuse(self, rule: str, step: int | None = None) -> NoReturn:
        """Record a refusal, and raise it. step: of the code that is used by it."""
        said = CitizenSaid(
            person=self.row, device=self.device, rule=rule, step=step, holder=self.said_holder
        )
        self.home.commit(at=self.at, kind=CITIZEN, detail=said, changes=[])
        what, remedy = REFUSALS[rule]
        raise InputRefused(rule, what, remedy=remedy)


REFUSALS = {
    "DEVICE_TAKEN": (
        "the device is bound to another person",
        "bind a device of the person's own",
    ),
    "NOT_BOUND": (
        "no device of the person is bound",
        "bind one first: `switch citizen HOME bind`",
    ),
    "DEVICE_OTHER": (
        "the device is not the one that is bound to the person",
        "use the bound one, or have this one bound in its place",
    ),
    "LOCKED": (
        f"the person is locked for {LOCK_SECONDS} seconds behind {TRIES_MAX} wrong codes",
        "wait, and try again with a new code",
    ),
    "CODE_WRONG": (
        "the code is not one that the bound device shows now",
        f"type the code that it shows; {TRIES_MAX} wrong ones lock for {LOCK_SECONDS} seconds",
    ),
    "CODE_USED": (
        "the code, or one after it, was used",
        "wait for the next code of the device",
    ),
    "REPRESENTATIVE_OTHER": (
        "no account of the person names the other one as a representative",
        "have whoever gave the authority put it into the account register",
    ),
    "AUTHORITY_OVER": (
        "the authority of the representative is over before the account would receive",
        "have it renewed by whoever gave it; the person may register an account of their own",
    ),
    "REPRESENTATIVE_NOT_ALIVE": (
        "the population register does not have the representative as alive",
        "have another representative named; the person may register an account of their own",
    ),
    "HOLDER_DECEASED": (
        "the population register has the person as deceased",
        "nothing can be registered any more; where the register is wrong, have it corrected",
    ),
    "HOLDER_OTHER": (
        "the account is registered for another person",
        "register an account of one's own; the receiver tells whose it is",
    ),
    "ACCOUNT_HELD": (
        "the account is registered for the person already",
        "nothing needs to be done; `switch citizen HOME show` lists their accounts",
    ),
    "ACCOUNT_UNKNOWN": (
        "the account that is to end is not one of the person's",
        "name one that `switch citizen HOME show` lists, whole",
    ),
    "ACCOUNTS_FULL": (
        f"the person has {ACCOUNTS_MAX} accounts, and no more are kept",
        "have the ones that are closed taken out of the register",
    ),
}
"""Refusals that are recorded, in words: what is wrong, and what to do."""


def bind(
    home: Home,
    person_id: str,
    device: str,
    *,
    by: str,
    secrets: bytes | str | Path,
    out: str | Path,
    at: datetime.date | str,
) -> CitizenBound:
    """Bind a device to a person (`Citizens.bind`)."""
    time, authority = _time(at), authority_of(secrets)
    require_words("by", by, BY_MAX)
    if not by:
        raise UsageError("say who saw the person and the card (by)")
    path = require_outside(Path(out).absolute())
    visit = _Visit(home, person_id, device, time)
    person = visit.person
    same = (person.device, person.mark, person.by) == (visit.device, authority.mark, by)
    is_stored = person.is_new and same
    if not is_stored:
        visit.require_forward()
        mine = rows_of_person(visit.chain, visit.person_id)
        if visit.known.is_of_another(visit.device, mine):
            visit.refuse("DEVICE_TAKEN")
        said = CitizenSaid(
            person=visit.row,
            device=visit.device,
            bound=visit.known.bindings + 1,
            by=by,
            mark=authority.mark,
        )
        home.commit(at=time, kind=CITIZEN, detail=said, changes=[])
        person.take(time, said)
    name = home.id_hash(visit.person_id)
    address = authority.invitation(name, *visit.seed_of(person.number))
    with landing(path.parent, path.name) as file:
        file.write(f"{address}\n".encode())
    return {
        "person": name,
        "number": person.number,
        "at": person.bound_at,
        "by": by,
        "file": str(out),
        "new": not is_stored,
    }


def claim(
    home: Home,
    directory: Directory,
    person_id: str,
    certified: Callable[[], list[str]],
    **said: Unpack[Claimed],
) -> AccountClaimed:
    """Register an account of a person (`Citizens.account`). certified: value dates of tables that
    are certified and were not run yet."""
    for name in NEEDED:
        if name not in said:
            raise UsageError(f"say {name}: a claim needs it")
    time = _time(said["at"])
    if len(time) == len(DAY):
        raise UsageError("at is a day: give the time to the second, for a code is of half a minute")
    kind = _require_claim(directory, said)
    authority = authority_of(said["secrets"])
    acting = said.get("representative") or ""
    require_person(person_id)
    visit = _Visit(home, acting or person_id, said["device"], time, person_id if acting else "")
    visit.require_forward()
    step = _require_code(visit, authority, said["code"])
    whole, today = current(home, whole=True), day_of(time)
    dates = [day_of(date) for date in certified()]
    floor, first = day_number(min([today, *dates])), max([today, *map(_next, dates)])
    held = accounts_of(whole, visit.holder)
    until = _require_lives(visit, held, step, day_number(first))
    ends = _require_holder(visit, whole, held, said, (step, floor))
    priority = said.get("priority") or (ends.priority if ends else _behind(held, day_number(first)))
    account = said["participant"], said["account"], kind, priority
    new = Held(*account, day_number(first), until, visit.person_id if acting else "")
    recorded = CitizenSaid(
        person=visit.row,
        device=visit.device,
        step=step,
        participant=new.participant,
        account=hash_of(home, new),
        valid_from=str(first),
        priority=priority,
        ended=hash_of(home, ends) if ends else "",
        holder=visit.said_holder,
        valid_to=str(new.valid_to or ""),
    )
    rows = [new, *([ends._replace(last=new.first - 1)] if ends else [])]
    load_registers(
        home,
        Tables(accounts=_table(visit.holder_id, rows)),
        replace=False,
        at=time,
        strict_columns=True,
        progress=None,
        warn=lambda _: None,
        why={CITIZEN: msgspec.to_builtins(recorded)},
    )
    return {
        "person": home.id_hash(visit.holder_id),
        "at": time,
        "participant": new.participant,
        "account": masked(new.account),
        "kind": kind,
        "priority": priority,
        "valid_from": str(first),
        "valid_to": recorded.valid_to,
        "representative": home.id_hash(visit.person_id) if acting else "",
        "ended": f"{ends.participant}:{masked(ends.account)}" if ends else "",
        "register": home.catalog.register_seq(),
    }


def shown(home: Home, person_id: str) -> CitizenShown:
    """A citizen's device and accounts as they are registered (`Citizens.show`)."""
    require_person(person_id)
    chain = _chain(home)
    person_id = chain.replaced.id_of(person_id)
    row = _row(chain, person_id)
    whole, person = current(home, whole=True), SelfService(home).person(row)
    until = datetime.timedelta(microseconds=person.locked_until)
    moment = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + until
    return {
        "person": home.id_hash(person_id),
        "bound": person.number,
        "bound_at": person.bound_at,
        "by": person.by,
        "wrong_codes": person.wrong,
        "locked_until": moment.astimezone(LOCAL).isoformat() if person.locked_until else "",
        "accounts": [
            {
                "participant": one.participant,
                "account": masked(one.account),
                "kind": one.kind,
                "priority": one.priority,
                "valid_from": str(one.valid_from or ""),
                "valid_to": str(one.valid_to or ""),
                "representative": home.id_hash(one.representative) if one.representative else "",
            }
            for one in accounts_of(whole, row)
        ],
    }


def hash_of(home: Home, account: Held) -> str:
    """The keyed hash by which the audit chain knows an account."""
    return home.id_hash(f"{account.participant}:{account.account}")


def require_person(person_id: str) -> None:
    """Raise UsageError for what is no id of a person, which is not shown."""
    if not _PERSON_FORM.fullmatch(person_id):
        raise UsageError("a person is named by the 12 digits of their citizen id")


def _time(at: datetime.date | str) -> str:
    time = time_text(at)
    if not time:
        raise UsageError("say when: at is the time of the try")
    return time


def _chain(home: Home) -> Chain:
    """The register of a home, which is not read: a wrong code costs as little."""
    if not home.catalog.register_seq():
        raise UsageError("the person is in no register of this home")
    return current_chain(home)


def _row(chain: Chain, person_id: str) -> int:
    row = row_of(chain.last.folder, int(person_id))
    if row == NO_ROW:
        raise UsageError("the person is in no register of this home")
    return row


def _require_claim(directory: Directory, said: Claimed) -> str:
    """The claim is one, whoever makes it. Returns the kind of its account."""
    if not _CODE_FORM.fullmatch(said["code"]):
        raise UsageError(f"a code is {DIGITS} digits")
    require_account(said["account"])
    priority, place = said.get("priority"), said["participant"]
    if priority is not None and not 1 <= priority <= PRIORITY_MAX:
        raise UsageError(f"priority is 1 to {PRIORITY_MAX}")
    kinds = {one.participant: one.kind for one in directory.participants}
    if kinds.get(place, PAYING_KIND) == PAYING_KIND:
        raise UsageError(f"participant {place!r} is none that keeps accounts of citizens")
    if said.get("representative") and priority is not None:
        raise UsageError(
            "a representative gives no priority: the account stands where the one was that ends, or"
            " behind all others"
        )
    if said.get("instead_of") == (place, said["account"]):
        raise UsageError("an account is not registered instead of itself")
    return kinds[place] or PLAIN_KIND


def _require_code(visit: _Visit, authority: Authority, code: str) -> int:
    """The step of a code that was not used, from the bound device of a person who is not locked.
    Each refusal is recorded."""
    person = visit.person
    if not person.number:
        visit.refuse("NOT_BOUND")
    if person.device != visit.device:
        visit.refuse("DEVICE_OTHER")
    if person.mark != authority.mark:
        raise UsageError("the secret is not that of the authority that bound the device")
    if person.is_locked(visit.at):
        visit.refuse("LOCKED")
    second = micros_of(visit.at) // 1_000_000
    step = authority.step_of(code, second, *visit.seed_of(person.number))
    if step is None:
        visit.refuse("CODE_WRONG")
    if step <= person.step:
        visit.refuse("CODE_USED", step)
    return step


def _require_holder(
    visit: _Visit, register: Register, held: list[Held], said: Claimed, used: tuple[int, int]
) -> Held | None:
    """The account is nobody else's, and not registered already. used: step of the code, and the
    first day that counts. Returns the account that ends. Each refusal is recorded."""
    (step, floor), mine = used, (said["participant"], said["account"])
    who = Claimant(
        int(visit.person_id),
        *(rows_of_person(visit.chain, one) for one in (visit.person_id, visit.holder_id)),
    )
    if is_of_another(register, mine, floor, who):
        visit.refuse("HOLDER_OTHER", step)
    if any((one.participant, one.account) == mine and one.last >= floor for one in held):
        visit.refuse("ACCOUNT_HELD", step)
    if len(held) >= ACCOUNTS_MAX:
        visit.refuse("ACCOUNTS_FULL", step)
    wanted = said.get("instead_of")
    if wanted is None:
        return None
    found = [one for one in held if (one.participant, one.account) == wanted]
    if visit.holder != visit.row:
        found = [one for one in found if visit.is_me(one.representative)]
    if not found or found[0].last < floor:
        visit.refuse("ACCOUNT_UNKNOWN", step)
    return found[0]


def _require_lives(visit: _Visit, held: list[Held], step: int, first: int) -> int:
    """Nobody is known to be deceased on the day from which on an account would receive: neither the
    person, of whose last months money may still be owed, nor who represents them. step: of the
    code. Returns the last day of an authority, DAY_MAX for one's own account. Each refusal is
    recorded."""
    who = Representatives(visit.chain, first, PROVEN_MAX)

    def life_of(person_id: str) -> int:
        return int(who.living(np.array([int(person_id)], np.uint64))[0])

    until = DAY_MAX
    if visit.holder_id != visit.person_id:
        until = _require_authority(visit, held, step, first)
        if life_of(visit.person_id) != Reason.NONE:
            visit.refuse("REPRESENTATIVE_NOT_ALIVE", step)
    if life_of(visit.holder_id) == AUTHORITY_ENDED:
        visit.refuse("HOLDER_DECEASED", step)
    return until


def _require_authority(visit: _Visit, held: list[Held], step: int, first: int) -> int:
    """The visitor is named as a representative in an account of the person, and may still receive
    on the day from which on an account would. Returns the last day of the authority."""
    days = [one.last for one in held if visit.is_me(one.representative)]
    if not days:
        visit.refuse("REPRESENTATIVE_OTHER", step)
    if max(days) < first:
        visit.refuse("AUTHORITY_OVER", step)
    return max(days)


def _behind(held: list[Held], day: int) -> int:
    """The priority behind all accounts that count on a day."""
    last = max((one.priority for one in held if one.last >= day), default=0)
    return min(last + 1, PRIORITY_MAX)


def _next(day: datetime.date) -> datetime.date:
    return day + datetime.timedelta(1)


def _table(person_id: str, accounts: list[Held]) -> pa.Table:
    """Rows of the account register of one person."""
    date = pa.date32()
    columns = {
        "person_id": pa.array([person_id] * len(accounts)),
        "participant": pa.array([one.participant for one in accounts]),
        "account": pa.array([one.account for one in accounts]),
        "kind": pa.array([one.kind for one in accounts]),
        "priority": pa.array([one.priority for one in accounts], pa.uint8()),
        "valid_from": pa.array([one.valid_from for one in accounts], date),
        "valid_to": pa.array([one.valid_to for one in accounts], date),
        "representative": pa.array([one.representative or None for one in accounts], pa.string()),
    }
    return pa.table(columns)
