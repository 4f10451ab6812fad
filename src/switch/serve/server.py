"""Server: a home on an address (uvicorn): this machine's own, or any by TLS and with tokens."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import uvicorn

from switch.errors import EnvironmentFailed, UsageError
from switch.serve.app import LOOPBACK, app
from switch.serve.front import Done, Front
from switch.serve.house import House
from switch.serve.staff import AUDITOR, Person, Staff, read_staff

PORT = 8010
GRACE_SECONDS = 3


class Address(NamedTuple):
    """Address of a home that is served. certificate, key: files in PEM, of TLS."""

    host: str = "127.0.0.1"
    port: int = PORT
    certificate: Path | None = None
    key: Path | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}/"


def is_loopback(host: str) -> bool:
    """True for an address that no other machine reaches."""
    if host in LOOPBACK:
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def staff_of(address: Address, staff: Path | None) -> Staff | None:
    """People who may come in. staff: their file. Raises UsageError where an address that others
    reach has no tokens or no TLS, or one of the two files of TLS alone is given."""
    if (address.certificate is None) != (address.key is None):
        raise UsageError("TLS has a certificate and its key: give --cert and --key, or neither")
    for file in (address.certificate, address.key):
        if file is not None and not file.is_file():
            raise UsageError(f"{file} is no file: TLS needs a certificate and its key, in PEM")
    if not is_loopback(address.host):
        if staff is None:
            raise UsageError(f"{address.host} is reached by others: name who may come in (--staff)")
        if address.certificate is None:
            raise UsageError(f"{address.host} is reached by others: give TLS (--cert and --key)")
    return None if staff is None else read_staff(staff)


def serve(
    house: House,
    address: Address,
    *,
    staff: Staff | None = None,
    alone: Person | None = None,
    clock: Callable[[], str],
    log: Callable[[Done], None] = lambda _: None,
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve a home until it is interrupted. staff: who may come in; alone: who is there without a
    token, on this machine's own address (default: somebody who sees, and does nothing). ready: is
    told the address once it listens. log: is told of each action. Raises EnvironmentFailed where
    the address cannot be taken."""
    front = Front(house, staff, alone or Person("nobody", frozenset({AUDITOR})), clock, log)
    made = app(
        front,
        tls=address.certificate is not None,
        port=address.port,
        names={*LOOPBACK, address.host},
    )
    config = uvicorn.Config(
        made,
        host=address.host,
        port=address.port,
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
        log_level="warning",
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=1 << 14,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config, address, ready, made.state.live.end)
    try:
        server.run()
    except SystemExit as stop:  # So uvicorn says that it cannot listen.
        raise EnvironmentFailed(f"{address} cannot be listened on: it may be in use") from stop
    except OSError as error:
        raise EnvironmentFailed(f"{address}: {error}") from error


class _Server(uvicorn.Server):
    """A server that says when it listens, and that pages which are open do not hold up."""

    def __init__(
        self,
        config: uvicorn.Config,
        address: Address,
        ready: Callable[[str], None],
        end: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._address, self._ready, self._end = address, ready, end

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop, at Ctrl-C or a signal to end."""
        self._end()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            self._ready(str(self._address._replace(port=port)))
