# SPDX-License-Identifier: Apache-2.0
"""Making the next item while the last one is in use."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["one_ahead"]

T = TypeVar("T")


def one_ahead(items: Iterator[T]) -> Generator[T, None, None]:
    """The same items; each is asked for, in a thread, before the one before it is handed out."""
    with ThreadPoolExecutor(1) as thread:

        def ask() -> list[T]:
            return list(itertools.islice(items, 1))

        following = thread.submit(ask)
        while found := following.result():
            following = thread.submit(ask)
            yield found[0]
