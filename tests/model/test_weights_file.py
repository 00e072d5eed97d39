# SPDX-License-Identifier: Apache-2.0
"""Weights that ship: there and back."""

from __future__ import annotations

import pytest
import torch

from model.weights_file import pack_weights, packaged_weights, unpack_weights


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))


def test_weights_come_back_in_half_precision():
    state = network().state_dict()
    found, metadata = unpack_weights(pack_weights(state, {"network": "tiny", "step": "7"}))
    assert metadata == {"network": "tiny", "step": "7"}
    assert found.keys() == state.keys()
    for name, value in state.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value.half().to(value.dtype)), name


def test_counters_and_large_numbers_keep_their_value():
    state = {"count": torch.tensor(123_456_789), "variance": torch.tensor([1.0, 1e6])}
    found, _ = unpack_weights(pack_weights(state, {}))
    assert found["count"].item() == 123_456_789
    assert found["variance"].tolist() == [1.0, 1e6]


def test_the_same_weights_are_the_same_bytes():
    state = network().state_dict()
    turned = dict(reversed(list(state.items())))
    assert pack_weights(state, {"a": "1", "b": "2"}) == pack_weights(turned, {"b": "2", "a": "1"})
    last = {
        name: v.contiguous(memory_format=torch.channels_last) if v.ndim == 4 else v
        for name, v in state.items()
    }
    assert pack_weights(last, {"a": "1", "b": "2"}) == pack_weights(state, {"a": "1", "b": "2"})


@pytest.mark.parametrize("data", [b"", b"x" * 100, None])
def test_what_is_damaged_is_refused(data):
    whole = pack_weights(network().state_dict(), {})
    with pytest.raises(ValueError):
        unpack_weights(whole[:-3] if data is None else data)


@pytest.mark.parametrize("name", ["no-such-weights", "../weights/mertens", "/etc/passwd"])
def test_weights_that_do_not_ship(name):
    with pytest.raises(FileNotFoundError, match="no packaged weights"):
        packaged_weights(name)
