# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

from model.losses.perceptual import VggLoss

LAYERS = (
    (64, 64),
    (128, 128),
    (256, 256, 256, 256),
    (512, 512, 512, 512),
    (512, 512, 512, 512),
)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Random numbers in the shapes and under the names of torchvision's VGG19."""
    generator = torch.Generator().manual_seed(0)
    found, entering, index = {}, 3, 0
    for block in LAYERS:
        for width in block:
            weight = torch.empty(width, entering, 3, 3).normal_(generator=generator)
            found[f"features.{index}.weight"] = weight * (2 / (9 * entering)) ** 0.5
            found[f"features.{index}.bias"] = torch.zeros(width)
            entering, index = width, index + 2
        index += 1
    return found | {"classifier.0.weight": torch.zeros(2, 2)}


@pytest.fixture(scope="module")
def file(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("vgg") / "vgg19.safetensors"
    safetensors.torch.save_file(state, path)
    return str(path)


def literal_loss(
    state: dict[str, torch.Tensor], one: torch.Tensor, two: torch.Tensor
) -> torch.Tensor:
    layers: list[torch.nn.Module] = []
    for block in LAYERS:
        for width in block:
            layers += [torch.nn.Conv2d(1, width, 3, padding=1), torch.nn.ReLU()]
        layers.append(torch.nn.MaxPool2d(2))
    total = torch.zeros(())
    x, y = (
        (torch.log1p(5000 * r) / torch.log(torch.tensor(5001.0)) - mean) / deviation
        for r in (one, two)
        for mean, deviation in [
            (
                torch.tensor([0.485, 0.456, 0.406])[:, None, None],
                torch.tensor([0.229, 0.224, 0.225])[:, None, None],
            )
        ]
    )
    for index, layer in enumerate(layers[:32]):
        if isinstance(layer, torch.nn.Conv2d):
            layer.weight = torch.nn.Parameter(state[f"features.{index}.weight"])
            layer.bias = torch.nn.Parameter(state[f"features.{index}.bias"])
        x, y = layer(x), layer(y)
        # relu3_2, relu4_2, relu5_2
        total = total + {13: 0.25, 22: 0.25, 31: 0.5}.get(index, 0.0) * (x - y).abs().mean()
    return total


def test_features_are_those_of_vgg19(state: dict[str, torch.Tensor], file: str) -> None:
    one, two = torch.rand(2, 1, 3, 16, 24, generator=torch.Generator().manual_seed(1))
    loss = VggLoss(file)
    with torch.no_grad():
        assert loss(one, two).item() == pytest.approx(literal_loss(state, one, two).item(), 1e-5)
    assert loss(one, one) == 0
    assert list(loss.parameters()) == []
    assert loss.state_dict() == {}
    made = one.clone().requires_grad_()
    loss(made, two).backward()
    assert made.grad is not None
    assert made.grad.abs().max() > 0
    with pytest.raises(ValueError, match="16 px"):
        loss(torch.zeros(1, 3, 15, 16), torch.zeros(1, 3, 15, 16))


def test_states_of_torch_are_read_and_meta_devices_do_not_hinder(
    state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "vgg19.pth"
    torch.save(state, path)
    with torch.device("meta"):
        loss = VggLoss(str(path))
    assert torch.equal(loss.get_buffer("conv0_weight"), state["features.0.weight"])


def test_what_is_no_vgg19_is_refused_with_a_cure(tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"features.0.weight": torch.zeros(2, 3, 3, 3)}, other)
    rotten = tmp_path / "rotten.safetensors"
    rotten.write_bytes(b"nothing")
    code = tmp_path / "code.pth"
    torch.save({"features.0.weight": Path("/")}, code)
    text = tmp_path / "text.pth"
    text.write_text("hello")
    numbers = tmp_path / "numbers.pth"
    torch.save([1, 2], numbers)
    for path, word in (
        ("", "needs the weights of VGG19"),
        (str(tmp_path / "none.pth"), "there is no file"),
        (str(other), "has no features.0.weight"),
        (str(rotten), "cannot be read"),
        (str(code), "cannot be read"),
        (str(text), "cannot be read"),
        (str(numbers), "holds no weights"),
    ):
        with pytest.raises(ValueError, match=f"{word}.*perceptual = 0"):
            VggLoss(path)
