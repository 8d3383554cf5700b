"""What is told of each epoch, and the same bits every time."""

import json
import os
import sys
from contextlib import suppress
from types import ModuleType

import pytest
import torch

from fvlib.datasets import InMemory
from fvlib.training import EpochLog, Recipe, TensorBoard, deterministic, reporting, train
from fvlib.training.contexts import report


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_epoch_of_a_training_with_a_checkpoint_is_told(tmp_path):
    class Brightness(torch.nn.Linear):
        def forward(self, x, lengths=None, *, cluster=True):
            return super().forward((x / 255).mean((1, 2, 3, 4))[:, None])

    videos = torch.randint(256, (4, 2, 1, 4, 4), generator=torch.manual_seed(0)).to(torch.uint8)
    clips, told = InMemory(videos, torch.arange(4) % 2), []
    recipe = Recipe(epochs=3, batch_size=2, lr=0.1, autocast=False)
    options = {"seed": 0, "classes": ["a", "b"]}
    path = tmp_path / "logs" / "run.log"
    with reporting(EpochLog(path)), reporting(lambda *given: told.append(given)):
        train(Brightness(1, 2), clips, recipe, **options)
        assert told == []
        history = train(Brightness(1, 2), clips, recipe, checkpoint=tmp_path / "a.pt", **options)
    train(Brightness(1, 2), clips, recipe, checkpoint=tmp_path / "b.pt", **options)
    assert [epoch for epoch, _ in told] == [1, 2, 3]
    assert [values["loss"] for _, values in told] == history.train_loss
    assert [values["top1"] for _, values in told] == history.train_top1
    assert [values["seconds"] for _, values in told] == history.seconds
    assert [values["lr"] for _, values in told] == pytest.approx([0.075, 0.025, 0])  # of a cosine
    written = lines(path)
    assert [line["epoch"] for line in written] == [1, 2, 3]
    assert [line["loss"] for line in written] == pytest.approx(history.train_loss, rel=1e-5)
    assert set(written[0]) == {"epoch", "loss", "top1", "seconds", "lr", "at"}


@pytest.mark.parametrize("tail", ["", '{"epoch": 3, "lo', "\0\0\0\n"])
def test_a_log_has_each_epoch_once_and_no_half_lines(tmp_path, tail):
    path = tmp_path / "run.log"
    with reporting(EpochLog(path)):
        for epoch in (1, 2, 3):
            report(epoch, loss=10.0 + epoch)
        path.write_text(path.read_text() + tail)
        for epoch in (2, 3):  # it goes on from its first epoch
            report(epoch, loss=20.0 + epoch)
        assert [(line["epoch"], line["loss"]) for line in lines(path)] == [
            (1, 11),
            (2, 22),
            (3, 23),
        ]
        report(1, loss=31.0)
    assert [(line["epoch"], line["loss"]) for line in lines(path)] == [(1, 31)]


def test_tensorboard_gets_the_numbers_and_what_is_void_is_purged(tmp_path, monkeypatch):
    calls = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            calls.append((folder, purge_step))

        def add_scalar(self, *given):
            calls.append(given)

        def flush(self):
            calls.append("flush")

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    with reporting(TensorBoard(tmp_path)):
        report(5, loss=1.0)
        report(6, loss=0.5, lr=0.1)
    assert calls == [
        (str(tmp_path), 5),
        ("train/loss", 1.0, 5),
        "flush",
        ("train/loss", 0.5, 6),
        ("train/lr", 0.1, 6),
        "flush",
    ]


def test_without_tensorboard_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match=r"pip install 'fvlib\[tensorboard\]'"):
        TensorBoard(tmp_path)


def test_deterministic_holds_for_its_block(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    for before in (False, True):
        monkeypatch.setattr(torch.backends.cudnn, "benchmark", before)
        with deterministic(False):
            assert not torch.are_deterministic_algorithms_enabled()
        with suppress(KeyError), deterministic():
            assert torch.are_deterministic_algorithms_enabled()
            assert not torch.backends.cudnn.benchmark
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
            raise KeyError
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.benchmark == before
