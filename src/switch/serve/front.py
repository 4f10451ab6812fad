"""Front: what a page is made of for somebody who asks: who it is, their language, the time."""

from __future__ import annotations

import csv
import functools
import hashlib
import hmac
import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, NamedTuple
from urllib.parse import urlencode

from markupsafe import Markup

from switch.open_items.listing import Listing
from switch.report.page import script_words
from switch.serve.house import Head, House
from switch.serve.rows import templates
from switch.serve.staff import Person, Staff, digest_of
from switch.serve.views import VIEWS, Asked, View
from switch.words import said

SESSION_SECONDS = 12 * 3600
SESSIONS_MAX = 20
"""Sessions of one person; the oldest gives way."""
LISTS_KEPT = 32
TEXT_MAX = 400
"""Signs of a text that is put into another language: a longer one is no sentence of ours, and to
look for words in it takes long."""
DONE_KEPT = 200


@functools.cache
def _vietnamese() -> dict[str, str]:
    """Words of the pages alone, whole texts, which stand in no sentence of others."""
    text = resources.files("switch").joinpath("serve/pages/vi.csv").read_text("utf-8")
    return {row["english"]: row["vietnamese"] for row in csv.DictReader(text.splitlines())}


def told(text: str, language: str) -> str:
    """A text of a page in a language."""
    own = _vietnamese().get(text) if language == "vi" else None
    if own is not None or len(text) > TEXT_MAX:
        return own or text
    return said(text, language)


class Seen(NamedTuple):
    """A question: who asks, for what, in which language. parts: of the path; query: words of the
    address by name; form: fields that were sent; key: of the session, by which forms are signed."""

    person: Person
    path: str
    parts: Mapping[str, Any]
    query: Mapping[str, list[str]]
    form: Mapping[str, Any]
    language: str
    key: str
    leaves: bool

    def one(self, name: str) -> str:
        """The last word of a name in the address; '' where there is none."""
        return (self.query.get(name) or [""])[-1]

    def say(self, text: str) -> str:
        """A text in the language of the page."""
        return told(text, self.language)


class Done(NamedTuple):
    """Outcome of an action, for the page that tells it."""

    person: str
    title: str
    command: str
    answer: str
    fault: str = ""
    remedy: str = ""


class Front:
    """All that pages share.

    house: the home. staff: who may come in by a token; None where alone may, who needs none.
    clock: tells the time as of which the home is watched; '' is the home's own. log: is told of
    each action.
    """

    def __init__(
        self,
        house: House,
        staff: Staff | None,
        alone: Person,
        clock: Callable[[], str],
        log: Callable[[Done], None] = lambda _: None,
    ) -> None:
        self.house, self.staff, self.alone, self.clock, self.log = house, staff, alone, clock, log
        self.templates = templates()
        self._secret = secrets.token_bytes(32)
        self._sessions: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._lists: OrderedDict[Any, Listing] = OrderedDict()
        self._done: OrderedDict[str, Done] = OrderedDict()

    # --- who comes in -----------------------------------------------------------------------------

    def enter(self, token: str) -> str | None:
        """The key of a new session, for who has a token; None where nobody has."""
        person = self.staff.of(token) if self.staff else None
        if person is None:
            return None
        key, digest = secrets.token_urlsafe(32), digest_of(token)
        own = [one for one, (_, other) in self._sessions.items() if other == digest]
        for one in own[: max(len(own) + 1 - SESSIONS_MAX, 0)]:
            del self._sessions[one]
        self._sessions[key] = time.monotonic() + SESSION_SECONDS, digest
        return key

    def leave(self, key: str) -> None:
        """End a session."""
        self._sessions.pop(key, None)

    def who(self, key: str) -> Person | None:
        """Person of a session; None where it is over or there is none."""
        until, digest = self._sessions.get(key, (0.0, ""))
        if self.staff is None or time.monotonic() >= until:
            return None
        return self.staff.by_digest(digest)  # Who was given another token or role has it at once.

    def form_token(self, key: str) -> str:
        """Token that a form carries, so that no page of others can send it."""
        return hmac.new(self._secret, key.encode(), hashlib.sha256).hexdigest()

    def is_form_of(self, key: str, token: object) -> bool:
        """True where a form is one of ours."""
        wanted = self.form_token(key).encode()
        return isinstance(token, str) and hmac.compare_digest(wanted, token.encode())

    # --- what is kept between questions -----------------------------------------------------------

    def listing(self, view: View, asked: Asked, head: Head) -> Listing:
        """A list, asked once a commit for the same words, so that its pages are of one answer."""
        words = json.dumps(asked.words, sort_keys=True)
        key = view.name, words, asked.person, asked.at, head.link
        found = self._lists.get(key)
        if found is None:
            found = self._lists[key] = view.ask(self.house, asked)
            while len(self._lists) > LISTS_KEPT:
                self._lists.popitem(last=False)
        return found

    def tell(self, done: Done) -> str:
        """Keep what became of an action. Returns the name by which it is asked for."""
        name = secrets.token_urlsafe(16)
        self._done[name] = done
        while len(self._done) > DONE_KEPT:
            self._done.popitem(last=False)
        return name

    def done_by(self, name: str, person: Person) -> Done | None:
        """Outcome of an action of a person."""
        found = self._done.get(name)
        return found if found and found.person == person.name else None

    # --- pages ------------------------------------------------------------------------------------

    def page(self, seen: Seen | None, template: str, title: str, **what: Any) -> str:
        """A page. title: in English, or a name. what: of its template."""
        language = seen.language if seen else what.pop("language", "en")
        say = functools.partial(told, language=language)
        head = self.house.head()
        person = seen.person if seen else None
        other = {**(seen.query if seen else {}), "lang": ["vi" if language == "en" else "en"]}
        shared = {
            "language": language,
            "say": say,
            "title": say(title),
            "name": self.house.path.resolve().name if person else "switch",
            "records": head.records if person else 0,
            "person": person,
            "leaves": bool(seen and seen.leaves),
            "other_language": urlencode(other, doseq=True),
            "menu": menu(person) if person else [],
            "here": seen.path if seen else "",
            "words": self._words(say),
            "form_token": self.form_token(seen.key) if seen else "",
            "at": "",
            "command": "",
        }
        return self.templates.get_template(template).render(**{**shared, **what})

    @staticmethod
    def _words(say: Callable[[str], str]) -> Markup:
        """Words of the scripts, as JSON."""
        live = {"live": say("live"), "lost": say("not live: the server does not answer")}
        live["stale"] = say("the home has changed: load this page again")
        told = {**json.loads(str(script_words(say))), **live}
        return Markup(json.dumps(told).replace("<", "\\u003c"))


def menu(person: Person) -> list[tuple[str, str]]:
    """Addresses and names of the pages that somebody may see."""
    lists = [(f"/{view.name}", view.title) for view in VIEWS if may_see(person, view)]
    if person.is_agency:
        return [*lists, ("/lines", "Find"), ("/deeds", "What may I do")]
    found = [("/", "Today"), ("/lines", "Find"), *lists, ("/reports", "Reports")]
    return [*found, ("/deeds", "What may I do")]


def may_see(person: Person, view: View) -> bool:
    """True where somebody may see a list."""
    return view.agency or not person.is_agency
