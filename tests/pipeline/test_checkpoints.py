# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: whole or not there, and never mistaken for another run's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline import storage
from pipeline.checkpoints import Checkpoint, Identity, Store
from pipeline.errors import InfrastructureError, UsageError

IDENTITY = Identity(
    network={"network": "tiny", "options": {"width": 0.5}},
    recipe={"training": {"lr": 0.1, "steps": 9}, "data": {"frames": (2, 3)}},
    patches="abc",
    contents="def",
    init="012",
)


def checkpoint(step: int, **changes) -> Checkpoint:
    weight = torch.nn.Parameter(torch.full((2, 2), float(step)))
    optimizer = torch.optim.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    facts = {
        "identity": IDENTITY,
        "step": step,
        "seconds": 1.5,
        "best": {"closeness": 0.5},
        "best_step": step,
        "stale": 1,
        "network": {"weight": weight.detach()},
        "optimizer": optimizer.state_dict(),
        "averaged": {"weight": weight.detach() / 2},
    }
    return Checkpoint(**(facts | changes))


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(str(tmp_path / "checkpoints"))


def file_of(store: Store, step: int) -> Path:
    return Path(store.folder) / f"step-{step:08d}.pt"


def nobody(text: str) -> None:
    raise AssertionError(text)


def test_what_was_saved_comes_back(store):
    saved = checkpoint(3)
    store.save(saved)
    found = store.newest_of(IDENTITY, nobody)
    assert found is not None
    for name in ("step", "seconds", "best", "best_step", "stale"):
        assert getattr(found, name) == getattr(saved, name)
    assert torch.equal(found.network["weight"], saved.network["weight"])
    assert torch.equal(found.averaged["weight"], saved.averaged["weight"])
    assert found.optimizer["param_groups"] == saved.optimizer["param_groups"]
    assert torch.equal(
        found.optimizer["state"][0]["exp_avg"], saved.optimizer["state"][0]["exp_avg"]
    )


def test_an_empty_folder_has_none(store):
    assert store.newest(nobody) is None


def test_the_last_two_and_the_best_are_kept(store):
    for step in range(1, 6):
        store.save(checkpoint(step, best_step=2))
    assert store.steps() == [2, 4, 5]


def test_the_best_of_the_one_before_is_kept_as_well(store):
    """Should the newest rot, the one before it is gone on from, and its best weights ship."""
    best = {1: 1, 2: 2, 3: 2, 4: 4, 5: 4}
    for step in best:
        store.save(checkpoint(step, best_step=best[step]), best_before=best.get(step - 1))
        for kept in store.steps()[-2:]:
            assert best[kept] in store.steps()
    assert store.steps() == [4, 5]


def test_what_is_gone_is_said_without_a_photographs_cure(store):
    with pytest.raises(ValueError, match=r"^it is gone$"):
        store.load(3)


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "cut":
        del data[len(data) // 2 :]
    elif how == "empty":
        data.clear()
    else:
        # Within the stored numbers, which torch itself would read without a word.
        place = data.index(torch.full((2, 2), 2.0).numpy().tobytes()) if how == "bit" else 0
        data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["cut", "empty", "bit", "head"])
def test_a_damaged_one_gives_way_to_the_one_before(store, how):
    store.save(checkpoint(1))
    weight = torch.full((2, 2), 2.0)
    store.save(checkpoint(2, network={"weight": weight}))
    damage(file_of(store, 2), how)
    notes: list[str] = []
    found = store.newest_of(IDENTITY, notes.append)
    assert found is not None
    assert found.step == 1
    assert len(notes) == 1
    assert "step-00000002.pt" in notes[0]
    store.save(checkpoint(2))
    assert store.newest(nobody).step == 2


def test_none_whole_is_an_error_and_not_a_new_start(store):
    store.save(checkpoint(1))
    damage(file_of(store, 1), "cut")
    with pytest.raises(UsageError) as caught:
        store.newest(lambda _: None)
    assert caught.value.code == "checkpoint-invalid"


@pytest.mark.parametrize(
    ("other", "named"),
    [
        (replace(IDENTITY, network={"network": "ufm", "options": {"width": 0.5}}), "ufm"),
        (replace(IDENTITY, recipe=IDENTITY.recipe | {"training": {"lr": 0.2}}), "training.lr"),
        (replace(IDENTITY, patches="xyz"), "patches"),
        (replace(IDENTITY, contents="xyz"), "contents"),
        (replace(IDENTITY, init="xyz"), "init"),
    ],
)
def test_another_run_is_refused_and_told_what_differs(store, other, named):
    store.save(checkpoint(1))
    with pytest.raises(UsageError) as caught:
        store.newest_of(other, nobody)
    assert caught.value.code == "checkpoint-invalid"
    assert named in caught.value.message
    assert "--out" in caught.value.message


def test_what_is_not_known_does_not_differ(store):
    store.save(checkpoint(1))
    assert store.newest_of(replace(IDENTITY, contents="", init=""), nobody) is not None


def test_tuples_and_lists_are_the_same_recipe(store):
    store.save(checkpoint(1))
    same = replace(IDENTITY, recipe=IDENTITY.recipe | {"data": {"frames": [2, 3]}})
    assert store.newest_of(same, nobody) is not None


def test_a_full_disk_leaves_the_last_good_one(store, monkeypatch):
    store.save(checkpoint(1))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(InfrastructureError) as caught:
            store.save(checkpoint(2))
    assert caught.value.code == "disk-full"
    assert store.steps() == [1]
    assert store.newest(nobody).step == 1
    assert not [n for n in Path(store.folder).iterdir() if n.name.endswith(".tmp")]


def test_no_pickle_is_ever_run(store):
    import zipfile

    store.save(checkpoint(1))
    target = Path(store.folder) / "ran"
    evil = f"cos\nsystem\n(S'touch {target}'\ntR.".encode()
    with zipfile.ZipFile(file_of(store, 1)) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file_of(store, 1), "w") as archive:
        for name, data in content.items():
            archive.writestr(name, evil if name.endswith("data.pkl") else data)
    with pytest.raises(ValueError):
        store.load(1)
    assert not target.exists()
    assert storage.exists(store.folder)
