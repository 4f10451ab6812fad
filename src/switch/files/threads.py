"""Threads: reading ahead and writing behind, on threads of their own, in order.

Order is never changed, so results do not depend on whether these are used.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NoReturn, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")


def ahead(items: Iterator[T], depth: int) -> Iterator[T]:
    """items, produced by a thread that runs at most depth items ahead; 0: no thread."""
    if depth == 0:
        yield from items
        return
    slots: queue.Queue[Callable[[], T] | None] = queue.Queue(depth)
    stop = threading.Event()

    def put(step: Callable[[], T] | None) -> bool:
        """Hand a step over; False where nobody takes it any more."""
        while not stop.is_set():
            try:
                slots.put(step, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def produce() -> None:
        try:
            for item in items:
                if not put(partial(_given, item)):
                    return
            put(None)
        except BaseException as error:
            put(partial(_raised, error))

    thread = threading.Thread(target=produce, name="switch-read", daemon=True)
    thread.start()
    try:
        while (step := slots.get()) is not None:
            yield step()
    finally:
        stop.set()
        thread.join()


def _given(item: T) -> T:
    return item


def _raised(error: BaseException) -> NoReturn:
    raise error


def in_order(calls: Iterable[Callable[[], T]], threads: int) -> Iterator[T]:
    """Results of calls, in order. Several threads make as many calls at a time, and at most twice
    as many before their results are asked for."""
    if threads == 1:
        for call in calls:
            yield call()
        return
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(threads, "switch-read")
    try:
        for call in calls:
            waiting.append(pool.submit(call))
            if len(waiting) == 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class Behind:
    """Runs calls in order on one thread, at most depth of them waiting; 0: at once, here."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._pool = ThreadPoolExecutor(1, "switch-write") if depth else None
        self._waiting: deque[Future[None]] = deque()

    def __call__(self, call: Callable[P, None], *values: P.args, **named: P.kwargs) -> None:
        if self._pool is None:
            call(*values, **named)
            return
        while len(self._waiting) >= self._depth:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(call, *values, **named))

    def finish(self) -> None:
        """All calls are done, or the first that failed raises."""
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        """Let go of the thread; what still waits is dropped."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


Progress = Callable[[str, int, int], None]
"""(phase, rows done, rows in all) as work goes on; nothing may depend on it."""
