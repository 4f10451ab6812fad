"""Citizens lived: devices that are bound and accounts that are registered, on engine and auditor.

A phone is a file with the address of its seed, from which it shows codes by RFC 6238 itself.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import random
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from switch.errors import InputRefused
from switch.home import days
from switch.home.times import LOCAL
from switch.sim.auditor.auditor import Auditor
from switch.sim.auditor.citizens import Claim as Claimed
from switch.sim.auditor.citizens import Place
from switch.sim.lives.difference import require
from switch.sim.lives.operations import Bind, Claim
from switch.sim.lives.sides import Sides

SECRET = b"a secret of the authority of this life"
BORROWED = ("right", "right", "right", "before", "early", "late", "borrowed", "made up")
"""Codes of which there is one to be typed."""
SECONDS = (0, 1, 2, 5, 20, 29, 30, 31, 60, 200, 299, 300, 301, 900)
"""Seconds by which somebody comes behind the last time that they did."""
HALF_MINUTE = 30


class Citizens:
    """Citizens of a home and its auditor. Without the extra `[citizen]` nobody comes."""

    def __init__(self, sides: Sides, folder: Path) -> None:
        self.sides, self.folder = sides, folder / "phones"
        self.folder.mkdir()
        self.is_open = find_spec("pyotp") is not None

    def bind(self, operation: Bind) -> str:
        """Bind a device of a person, or somebody else's. Returns what came of it, in words."""
        sides, rng = self.sides, random.Random(operation.salt)
        person = self._person(rng)
        if not person:
            return "nothing"
        owner = person if rng.random() < 0.85 else self._person(rng)
        device = f"phone {owner[-3:]}-{rng.choice([0, 0, 0, 1])}"
        at = self._time(rng, person, operation.day)
        after = sides.auditor.copy()
        expected = after.bind(person, device, at)
        number = after.citizens.numbers.get(after.people.now(person), 0)

        def act() -> object:
            return sides.engine.citizens.bind(
                person, device=device, by="an officer", secrets=SECRET,
                out=self.folder / f"{number}", at=at.isoformat(),
            )  # fmt: skip

        return self._attempt(act, operation, after, expected)

    def claim(self, operation: Claim) -> str:
        """Register an account by some code. Returns what came of it, in words."""
        sides, rng = self.sides, random.Random(operation.salt)
        person, places = self._person(rng, 0.7), sides.auditor.citizens.places()
        holder = self._represented(person, operation.salt)
        if not person or not places:
            return "nothing"
        known = sides.auditor.citizens
        device = known.device(person) or "no phone"
        if rng.random() < 0.06:
            device = known.device(self._person(rng)) or "another phone"
        at = self._time(rng, person, operation.day)
        code = self._code(rng, person, at)
        step = next((s for s in _steps(at) if self._shown(person, s) == code), None)
        place, ends = self._place(rng, holder or person, places)
        after = sides.auditor.copy()
        expected = after.claim(Claimed(person, device, at, step, place, ends, holder))

        def act() -> object:
            return sides.engine.citizens.account(
                holder or person, device=device, code=code, secrets=SECRET, participant=place[0],
                account=place[1], instead_of=ends, at=at.isoformat(),
                representative=person if holder else None,
            )  # fmt: skip

        word = self._attempt(act, operation, after, expected)
        told = sides.engine.citizens.show(holder or person)["accounts"]
        found = {
            (a["participant"], a["priority"], a["valid_from"], a["valid_to"], a["representative"])
            for a in told
        }
        hashed = sides.engine.home.id_hash
        known_now = sides.auditor.citizens.accounts(holder or person)
        wanted = {(*row, hashed(who) if who else "") for *row, who in known_now}
        require(f"accounts of {holder or person}", wanted, found)
        return word

    def _represented(self, person: str, salt: int) -> str:
        """Whom a person says that they represent, where they do: somebody who names them, or, now
        and then, who does not."""
        people = self.sides.auditor.people
        rows = sorted(people.accounts.items())
        named = [key[0] for key, row in rows if row.get("representative") == person]
        named = [one for one in named if people.now(one) != people.now(person)]
        others = sorted(one for one in people.people if people.now(one) != people.now(person))
        chosen = (named if salt % 2 else []) or (others if salt % 16 == 0 else [])
        return chosen[salt // 16 % len(chosen)] if chosen else ""

    def _attempt(
        self,
        act: Callable[[], object],
        operation: Bind | Claim,
        after: Auditor,
        expected: str | None,
    ) -> str:
        """Do it on both sides; a refusal is a commit, too."""

        def heard() -> str:
            try:
                act()
            except InputRefused as error:
                return error.rule
            return ""

        is_stored = expected is None
        word, rule = self.sides.attempt(heard, operation.fault, after, replay=is_stored)
        if rule is not None:
            require("word for a citizen", expected or "", rule)
        return f"{word} {expected or ''}".strip()

    def _person(self, rng: random.Random, rate: float = 0.4) -> str:
        """Somebody of the register: at this rate one who was wrong before, or has a phone."""
        auditor = self.sides.auditor
        known = auditor.citizens
        some = [sorted(known.wrong | known.locked), sorted(known.numbers)]
        everybody = sorted({*auditor.people.people, *(key[0] for key in auditor.people.accounts)})
        chosen = next((group for group in some if group and rng.random() < rate), everybody)
        return rng.choice(chosen) if chosen else ""

    def _time(self, rng: random.Random, person: str, day: dt.date) -> dt.datetime:
        """A time before nothing that was said, by the person or at all."""
        known = days.times(self.sides.engine.home)
        said = [dt.datetime.fromisoformat(at) for at in (known.said, known.closed) if at]
        floor = [at if at.tzinfo else at.replace(tzinfo=LOCAL) for at in said]
        last = self.sides.auditor.citizens.last.get(self.sides.auditor.people.now(person))
        if last and rng.random() < 0.75:
            wanted = last + dt.timedelta(seconds=rng.choice(SECONDS))
        else:
            moment = dt.time(rng.randint(7, 17), rng.randint(0, 59), rng.randint(0, 59))
            wanted = dt.datetime.combine(day, moment, LOCAL)
        return max([wanted, *floor, *([last] if last else [])])

    def _code(self, rng: random.Random, person: str, at: dt.datetime) -> str:
        now, *_ = _steps(at)
        auditor = self.sides.auditor
        wrong = auditor.citizens.wrong.get(auditor.people.now(person), 0)
        kind = rng.choice(BORROWED)
        if wrong and rng.random() < 0.6:
            kind = "made up"
        lent = self._person(rng) if kind == "borrowed" else person
        step = now + {"before": -1, "late": -2, "early": 1}.get(kind, 0)
        code = "" if kind == "made up" else self._shown(lent, step)
        return code or f"{rng.randrange(10**6):06d}"

    def _shown(self, person: str, step: int) -> str:
        """The code of a half minute that the bound phone of a person shows; '' without one, also
        where its address was lost in a fault."""
        known = self.sides.auditor
        phone = self.folder / f"{known.citizens.numbers.get(known.people.now(person), 0)}"
        if not phone.exists():
            return ""
        seed = parse_qs(urlsplit(phone.read_text("utf-8").strip()).query)["secret"][0]
        digest = hmac.new(base64.b32decode(seed), step.to_bytes(8, "big"), hashlib.sha1).digest()
        start = digest[-1] % 16
        number = int.from_bytes(digest[start : start + 4], "big") % 2**31
        return f"{number % 10**6:06d}"

    def _place(
        self, rng: random.Random, person: str, places: list[str]
    ) -> tuple[Place, Place | None]:
        """An account, of nobody or of somebody, and one that ends, mostly theirs."""
        held = sorted(key for key in self.sides.auditor.people.accounts)
        mine = [key[1:] for key in held if key[0] == person]
        there = [key[1:] for key in held if key[1] in places]
        place = (rng.choice(places), f"C-{rng.randrange(10**4)}")
        if there and rng.random() < 0.15:
            place = rng.choice(there)
        ends = rng.choice(mine) if mine and rng.random() < 0.4 else None
        if ends is None and rng.random() < 0.05:
            ends = (rng.choice(places), "NONE")
        return place, None if ends == place else ends


def _steps(at: dt.datetime) -> list[int]:
    """Half minutes since 1970 whose codes are taken at a time."""
    now = int(at.timestamp()) // HALF_MINUTE
    return [now, now - 1]
