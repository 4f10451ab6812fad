"""App: addresses of the pages, who may come in, and how answers are sent (Starlette).

Nobody is let in without a token where a file of staff is given. A form is taken from our own pages
alone. Every answer says that nothing of others is loaded, framed or kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from importlib import resources
from typing import Any
from urllib.parse import quote, urlsplit

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from switch import words
from switch.errors import (
    EnvironmentFailed,
    HomeLocked,
    InputRefused,
    SwitchError,
    UsageError,
)
from switch.report.page import part
from switch.serve import answers
from switch.serve.answers import ACT_BYTES_MAX, Forbidden, Missing
from switch.serve.front import SESSION_SECONDS, Front, Seen
from switch.serve.live import Live

_log = logging.getLogger("switch.serve")
COOKIE, LANGUAGE = "switch_session", "switch_lang"
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'"
    " data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",  # By no-referrer a browser says that its forms are of nobody.
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
STATIC = {
    "page.css": ("report/page", "text/css; charset=utf-8"),
    "page.js": ("report/page", "text/javascript; charset=utf-8"),
    "serve.css": ("serve/pages", "text/css; charset=utf-8"),
    "live.js": ("serve/pages", "text/javascript; charset=utf-8"),
}
LOOPBACK = ("localhost", "127.0.0.1", "::1")
FORM_FIELDS_MAX = 40
QUERY_MAX = 4096
ACTIONS_MAX = 4
"""Actions at once: others wait, and hold up no page."""
STREAMS_MAX = 10
"""Pages of one person that are told of what moves."""
ACTING = (answers.do, answers.take_act)
Answer = Callable[[Front, Seen], Response]
STATUSES: tuple[tuple[type[SwitchError], int], ...] = (
    (HomeLocked, 409),
    (InputRefused, 422),
    (UsageError, 400),
    (EnvironmentFailed, 503),
)
"""Status of an answer by what went wrong, the first that fits; else 500."""


class _Guard:
    """Middleware: headers of every answer; on a machine's own address nobody else's name for it."""

    def __init__(self, app: ASGIApp, *, names: Collection[str], tls: bool) -> None:
        self._app, self._names = app, names
        headers = {**HEADERS, **({"strict-transport-security": "max-age=31536000"} if tls else {})}
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name for name, _ in message["headers"]}
                more = [one for one in self._headers if one[0] not in names]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        if len(scope["query_string"]) > QUERY_MAX:
            await PlainTextResponse("the address is too long", 414)(scope, receive, guarded)
            return
        if self._names and not _is_named(Request(scope).headers.get("host", ""), self._names):
            refused = PlainTextResponse("this server answers to localhost alone", 421)
            await refused(scope, receive, guarded)
            return
        await self._app(scope, receive, guarded)


def _is_named(host: str, names: Collection[str]) -> bool:
    try:
        return urlsplit(f"//{host}").hostname in names
    except ValueError:
        return False


def app(
    front: Front, *, tls: bool = False, port: int = 0, names: Collection[str] = LOOPBACK
) -> Starlette:
    """The server of a front. tls: it is reached by https, so that cookies are for that alone. port:
    where it listens. names: of this machine, by which it is asked where nobody has to come in."""
    live = Live(front)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        looking = asyncio.create_task(live.run())
        try:
            yield
        finally:
            live.end()
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking

    doors = Doors(front, tls, port)

    async def events(request: Request) -> Response:
        return doors.events(request, live)

    get, post = ["GET"], ["POST"]
    shown = {
        "/": answers.today,
        "/batches/{batch}": answers.batch,
        "/batches/{batch}/lines/{line:int}": answers.line,
        "/cycles/{cycle}": answers.cycle,
        "/lines": answers.lines,
        "/reports": answers.reports,
        "/reports/{kind}/{name}": answers.report_file,
        "/deeds": answers.may,
        "/do/{deed}": answers.ask,
        "/done/{name}": answers.done,
        "/statement": answers.statement,
        "/statement/file": answers.statement_file,
        "/metrics": answers.metrics,
        "/export/{view}.{ending}": answers.export,
        "/{view}": answers.listing,
    }
    taken = {
        "/lines": answers.lines,
        "/person": answers.person,
        "/do/{deed}": answers.do,
        "/act": answers.take_act,
    }
    routes = [
        Route("/health", doors.health, methods=get),
        Route("/events", events, methods=get),
        Route("/login", doors.login, methods=["GET", "POST"]),
        Route("/logout", doors.logout, methods=get),
        Route("/static/{name}", static, methods=get),
        *(Route(path, doors.taken(answer), methods=post) for path, answer in taken.items()),
        *(Route(path, doors.shown(answer), methods=get) for path, answer in shown.items()),
    ]
    guard = Middleware(_Guard, names=names if front.staff is None else (), tls=tls)
    made = Starlette(routes=routes, middleware=[guard], lifespan=lifespan)
    made.state.live = live
    return made


async def static(request: Request) -> Response:
    """A file of the pages."""
    name = request.path_params["name"]
    if name not in STATIC:
        return PlainTextResponse("nothing is here", 404)
    folder, media = STATIC[name]
    return Response(_content(folder, name), media_type=media)


@functools.cache
def _content(folder: str, name: str) -> str:
    if folder == "report/page":
        return part(name)
    return resources.files("switch").joinpath(folder, name).read_text("utf-8")


class Doors:
    """Doors: who comes in, and what goes out when something is wrong."""

    def __init__(self, front: Front, tls: bool, port: int = 0) -> None:
        self._front, self._tls, self._port = front, tls, port
        self._acting = CapacityLimiter(ACTIONS_MAX)
        self._streams: Counter[str] = Counter()

    @property
    def _cookie(self) -> str:
        """Name of the cookie: servers on one machine share its cookies."""
        return f"{COOKIE}_{self._port}" if self._port else COOKIE

    # --- who asks ---------------------------------------------------------------------------------

    def who(self, request: Request) -> tuple[Any, str, bool] | None:
        """(person, key of the session, whether forms need our token); None for nobody."""
        if self._front.staff is None:
            return self._front.alone, "alone", True
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            found = self._front.staff.of(token.strip())
            return None if found is None else (found, f"bearer {found.name}", False)
        key = request.cookies.get(self._cookie, "")
        person = self._front.who(key)
        return None if person is None else (person, key, True)

    def _seen(self, request: Request, found: tuple[Any, str, bool], form: dict[str, Any]) -> Seen:
        person, key, _ = found
        query: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            query.setdefault(name, []).append(value)
        language = _language(request, query.pop("lang", [""])[-1])
        leaves = self._front.staff is not None and not key.startswith("bearer ")
        return Seen(
            person, request.url.path, request.path_params, query, form, language, key, leaves
        )

    # --- answers ----------------------------------------------------------------------------------

    def shown(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """A page that changes nothing."""

        async def endpoint(request: Request) -> Response:
            found = self.who(request)
            if found is None:
                return self._turned_away(request)
            if self._front.staff is None and not _is_meant(request):
                return PlainTextResponse("another page may not ask for this", 403)
            return await self._answered(answer, self._seen(request, found, {}), request)

        return endpoint

    def taken(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """A form that was sent."""

        async def endpoint(request: Request) -> Response:
            found = self.who(request)
            if found is None:
                return self._turned_away(request)
            form = await _form(request)
            if form is None:
                return PlainTextResponse("the form is too long", 413)
            if found[2] and not (
                _is_from_here(request) and self._front.is_form_of(found[1], form.get("token"))
            ):
                return PlainTextResponse("the form is not of this server, or is too old", 403)
            return await self._answered(answer, self._seen(request, found, form), request)

        return endpoint

    async def _answered(self, answer: Answer, seen: Seen, request: Request) -> Response:
        """The answer, or a page that says what is wrong with the question."""
        try:
            limiter = self._acting if answer in ACTING else None
            response = await to_thread.run_sync(answer, self._front, seen, limiter=limiter)
        except Missing:
            response = await self._fault(seen, 404, "nothing is here", "")
        except Forbidden:
            response = await self._fault(seen, 403, "your role may not see or do this", "")
        except SwitchError as error:
            code = next((code for kind, code in STATUSES if isinstance(error, kind)), 500)
            told = error.told()
            what = str(told["what"])
            response = await self._fault(seen, code, what, str(told.get("remedy", "")))
        except Exception as error:  # Such as of a catalog that is no database any more.
            _log.exception("a page failed: %s", type(error).__name__)
            return PlainTextResponse("the server failed to answer; its log says why", 500)
        if request.query_params.get("lang") in words.LANGUAGES:
            response.set_cookie(
                LANGUAGE, seen.language, max_age=31_536_000, httponly=True, samesite="strict",
                secure=self._tls,
            )  # fmt: skip
        return response

    async def _fault(self, seen: Seen, code: int, what: str, remedy: str) -> Response:
        def make() -> str:
            return self._front.page(seen, "fault.html", "Not so", fault=what, remedy=remedy)

        try:
            return HTMLResponse(await run_in_threadpool(make), code)
        except Exception:  # The home itself cannot be read: its page cannot be made.
            return PlainTextResponse(f"{what}\n{remedy}\n", code)

    def _turned_away(self, request: Request) -> Response:
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/login?next={quote(path, safe='')}", 303)
        return PlainTextResponse("come in first: a token is needed", 401)

    # --- coming and going -------------------------------------------------------------------------

    async def login(self, request: Request) -> Response:
        """The page by which somebody comes in, by a token."""
        if self._front.staff is None:
            return RedirectResponse("/", 303)
        fault, place = "", _place(request.query_params.get("next", "/"))
        if request.method == "POST":
            form = await _form(request) or {}
            key = None
            if _is_from_here(request):
                key = self._front.enter(str(form.get("token", "")).strip())
            if key is not None:
                response = RedirectResponse(place, 303)
                response.set_cookie(
                    self._cookie, key, max_age=SESSION_SECONDS, httponly=True, samesite="strict",
                    secure=self._tls,
                )  # fmt: skip
                return response
            fault = "nobody has this token"
        language = _language(request, request.query_params.get("lang", ""))

        def make() -> str:
            told = {"fault": fault, "next": place, "language": language}
            return self._front.page(None, "login.html", "Come in", **told)

        try:
            return HTMLResponse(await run_in_threadpool(make), 401 if fault else 200)
        except Exception as error:
            _log.exception("the page to come in by failed: %s", type(error).__name__)
            return PlainTextResponse("the home cannot be read; the log says why", 503)

    async def logout(self, request: Request) -> Response:
        """Leave: the session is over."""
        self._front.leave(request.cookies.get(self._cookie, ""))
        response = RedirectResponse("/login", 303)
        response.delete_cookie(self._cookie)
        return response

    def events(self, request: Request, live: Live) -> Response:
        """Events for a page, as long as whoever opened it may come in."""
        found = self.who(request)
        if found is None:
            return PlainTextResponse("come in first", 401)
        name = found[0].name
        if self._streams[name] >= STREAMS_MAX:
            return PlainTextResponse("too many pages of yours are open", 429)

        async def told() -> AsyncIterator[bytes]:
            self._streams[name] += 1
            try:
                async for one in live.events(counts=not found[0].is_agency):
                    if self.who(request) is None:
                        return
                    yield one
            finally:
                self._streams[name] -= 1

        return StreamingResponse(told(), media_type="text/event-stream")

    async def health(self, _: Request) -> Response:
        """State of the server: the home can be read, or not; nobody has to come in for it."""
        try:
            head = await run_in_threadpool(self._front.house.head)
        except SwitchError as error:
            return JSONResponse({"status": "failed", "rule": error.told()["rule"]}, 503)
        except Exception:
            _log.exception("the home cannot be read")
            return JSONResponse({"status": "failed", "rule": "FAULT"}, 503)
        return JSONResponse({"status": "ok", "records": head.records})


async def _form(request: Request) -> dict[str, Any] | None:
    """Fields of a form: texts, and the content of files; None where it is too long."""
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) > 2 * ACT_BYTES_MAX:
        return None
    async with request.form(max_files=1, max_fields=FORM_FIELDS_MAX) as form:
        return {
            name: await value.read(ACT_BYTES_MAX + 1) if isinstance(value, UploadFile) else value
            for name, value in form.items()
        }


def _is_from_here(request: Request) -> bool:
    """True where a browser says that a form comes from our own page, or says nothing of it."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _is_meant(request: Request) -> bool:
    """True where a page is asked for by itself: where nobody has to come in, a page of others could
    ask for ours, again and again, though it does not see them."""
    return (
        request.headers.get("sec-fetch-site", "") != "cross-site"
        or request.headers.get("sec-fetch-mode", "") == "navigate"
    )


def _language(request: Request, asked: str) -> str:
    """The language that is asked for, or was; else what the browser prefers."""
    for one in (asked, request.cookies.get(LANGUAGE, "")):
        if one in words.LANGUAGES:
            return one
    return _preferred(request)


def _place(path: str) -> str:
    """A place of this server, and of no other."""
    is_own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_own else "/"


def _preferred(request: Request) -> str:
    """The language that a browser asks for, where it is Vietnamese."""
    first = request.headers.get("accept-language", "").split(",")[0].strip().lower()
    return "vi" if first.split("-")[0] == "vi" else "en"
