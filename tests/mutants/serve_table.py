"""Mutants of the served pages: the mistake, the file, the text, its change, and the test."""

from __future__ import annotations

_STAFF = "serve/staff.py"
_APP = "serve/app.py"
_ANSWERS = "serve/answers.py"
_DEEDS = "serve/deeds.py"
_VIEWS = "serve/views.py"
_PAGES = "serve/test_pages.py::"
_DOORS = "serve/test_doors.py::"
_AGENCY = _PAGES + "test_pages__of_an_agency_show_its_own_batches_alone"
_FORM = _DOORS + "test_form__of_another_page_is_refused"
_TOKEN = _DOORS + "test_door__asks_for_a_token_where_there_is_staff"
_ROLES = "serve/test_deeds.py::test_deed__is_for_its_roles_alone"
_SAME = "serve/test_deeds.py::test_deed__does_what_its_command_does"
_ADDRESS = _DOORS + "test_address__that_others_reach_needs_tokens_and_tls"

SERVE = [
    (
        "one person may ask for a thing and decide it",
        _STAFF,
        "    frozenset({OPERATOR, APPROVER}),\n",
        "",
        _DOORS + "test_staff__roles_exclude_each_other_as_said",
    ),
    (
        "an agency sees every source",
        _STAFF,
        "return not self.is_agency or source in self.sources",
        "return True",
        _AGENCY,
    ),
    (
        "an agency may open every list",
        "serve/front.py",
        "return view.agency or not person.is_agency",
        "return True",
        _AGENCY,
    ),
    (
        "lines that wait are those of everybody",
        _VIEWS,
        'lambda house, asked: _of_own(house, asked, house.engine.held(**asked.words), "batch_id")',
        "lambda house, asked: house.engine.held(**asked.words)",
        _AGENCY,
    ),
    (
        "the timeline of a person has lines of all agencies",
        _ANSWERS,
        'told = [one for one in told if one["batch_id"] in own]',
        "told = [one for one in told if own]",
        _AGENCY,
    ),
    (
        "a search looks through batches of all agencies",
        _ANSWERS,
        "sources = sorted(seen.person.sources) if seen.person.is_agency else None",
        "sources = None",
        _AGENCY,
    ),
    (
        "whoever comes in may do everything",
        _DEEDS,
        "return person.has(*deed.roles)",
        "return bool(deed.roles)",
        _ROLES,
    ),
    (
        "an action is taken without a yes",
        _ANSWERS,
        'if form.get("sure") != "yes":',
        'if form.get("sure") == "no":',
        "serve/test_deeds.py::test_deed__asks_first_and_does_nothing_without_a_yes",
    ),
    (
        "a form of any page is taken",
        _APP,
        '_is_from_here(request) and self._front.is_form_of(found[1], form.get("token"))',
        "_is_from_here(request)",
        _FORM,
    ),
    (
        "a form may come from anywhere",
        _APP,
        'return origin is None or urlsplit(origin).netloc == request.headers.get("host")',
        "return True",
        _FORM,
    ),
    (
        "the server answers to every name",
        _APP,
        "if self._names and not _is_named",
        "if not self._names and not _is_named",
        _DOORS + "test_server__answers_to_its_own_name_alone",
    ),
    (
        "a session is not over when somebody leaves",
        "serve/front.py",
        "        self._sessions.pop(key, None)\n",
        "        pass\n",
        _TOKEN,
    ),
    (
        "events are told to everybody",
        _APP,
        '            return PlainTextResponse("come in first", 401)\n',
        '            found = self._front.alone, "", False\n',
        _TOKEN,
    ),
    (
        "a login leads anywhere",
        _APP,
        'return path if is_own else "/"',
        "return path",
        _DOORS + "test_door__leads_to_no_other_place",
    ),
    (
        "others reach a server without TLS",
        "serve/server.py",
        "        if address.certificate is None:\n",
        "        if False:\n",
        _ADDRESS,
    ),
    (
        "a page goes on with another answer",
        _ANSWERS,
        "if (link or start) and link != head.link[:16]:",
        "if (link or start) and not head.link:",
        _PAGES + "test_list__is_paged_over_one_answer",
    ),
    (
        "a page begins with the last row of the one before",
        _ANSWERS,
        'f"{head.link[:16]}.{start + shown}"',
        'f"{head.link[:16]}.{start + shown - 1}"',
        _PAGES + "test_list__is_paged_over_one_answer",
    ),
    (
        "a cap is none",
        _DEEDS,
        'cap=NO_CAP if text == "none" else number_of("cap", text)',
        "cap=NO_CAP",
        _SAME,
    ),
    (
        "whoever is named in the form did it",
        _DEEDS,
        'words: dict[str, Any] = {"by": doing.person.name, "at"',
        'words: dict[str, Any] = {"by": doing.given.get("owner") or "x", "at"',
        _SAME,
    ),
    (
        "an agency is told which batches others have",
        _ANSWERS,
        'if seen.person.is_agency and seen.one("batch"):',
        'if not seen.person and seen.one("batch"):',
        _DOORS + "test_agency__is_not_told_which_batches_others_have",
    ),
    (
        "a token of before lets somebody in",
        _STAFF,
        "        if stamp != self._stamp:\n",
        "        if not stamp:\n",
        _DOORS + "test_token__that_was_replaced_lets_nobody_in",
    ),
    (
        "a home that was restored is read as it was",
        "home/catalog.py",
        "        if place != self._file:\n",
        "        if not place:\n",
        _DOORS + "test_home__that_was_restored_in_place_is_read_anew",
    ),
    (
        "a part of a dong is a dong",
        _DEEDS,
        "if len(text) > 32 or not _WHOLE.fullmatch(text):",
        "if len(text) > 32 or not _WHOLE.match(text):",
        _DOORS + "test_number__is_read_as_it_is_meant_or_not_at_all",
    ),
    (
        "pages are told of a commit once, whichever it was",
        "serve/live.py",
        "if self.pulse != told and self.pulse.records >= 0:",
        "if told is None and self.pulse.records >= 0:",
        "serve/test_live.py::test_events__tell_each_commit_to_every_page",
    ),
]
