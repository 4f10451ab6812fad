"""A payday and those who watch it: a writer, four threads that ask, and a service in asyncio.

Run it: python examples/service.py FOLDER
"""

import asyncio
import json
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import switch


def payday(home: Path, table: Path) -> int:
    """Run a table as the one writer. Returns the lines that cleared."""
    with switch.open(home, wait=60) as engine:
        return engine.run(table).summary["cleared"]["count"]


def watch(home: Path, running: Future[int]) -> int:
    """Count lines that are held, again and again, until the run is over."""
    with switch.open(home, mode="r") as reader:
        while not running.done():
            len(reader.held())
        return len(reader.held())


async def serve(reader: switch.Engine, asked: bytes) -> list[str]:
    """Answer one question over a socket. Returns the states of the line asked for."""

    async def answer(incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        name, _, number = (await incoming.readline()).decode().strip().rpartition(":")
        line = await asyncio.to_thread(reader.line, name, int(number))
        outgoing.write(json.dumps([state["state"] for state in line["states"]]).encode())
        outgoing.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        incoming, outgoing = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        outgoing.write(asked)
        states: list[str] = json.loads(await incoming.read())
        outgoing.close()
    return states


def main(folder: Path) -> None:
    world = switch.generate(folder / "world", people=20_000, lines=15_000, seed=7)
    home = folder / "home"
    with switch.init(home, participants=world.participants, debtors=world.debtors) as engine:
        engine.register(population=world.population, accounts=world.accounts)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(payday, home, world.payday)
        watching = [pool.submit(watch, home, running) for _ in range(4)]
        print(f"{running.result():,} lines cleared; held: {[job.result() for job in watching]}")
    with switch.open(home, mode="r") as reader:
        print(*asyncio.run(serve(reader, b"PAYDAY-2026-11:1\n")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
