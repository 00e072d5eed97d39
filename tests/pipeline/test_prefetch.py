# SPDX-License-Identifier: Apache-2.0
"""Making the next item while the last one is in use."""

from __future__ import annotations

import pytest

from pipeline.prefetch import one_ahead


def test_the_same_items_come_in_order():
    assert list(one_ahead(iter([]))) == []
    assert list(one_ahead(iter([None, 1, 2]))) == [None, 1, 2]


def test_the_end_is_reached_before_the_last_item_is_handed_out():
    ended = []

    def items():
        yield 1
        yield 2
        ended.append(True)

    stream = one_ahead(items())
    assert [next(stream), next(stream)] == [1, 2]
    stream.close()
    assert ended


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        raise KeyError("gone")

    stream = one_ahead(items())
    assert next(stream) == 1
    with pytest.raises(KeyError):
        next(stream)
