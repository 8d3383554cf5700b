"""Costs: by formula, by counting, by measurement, and those the paper prints."""

import tomllib
from pathlib import Path

import pytest
import torch

from fvlib.clustering import TemporalClustering
from fvlib.cost import (
    multiply_adds,
    parameter_count,
    peak_memory,
    resnet_multiply_adds,
    saved_activation_bytes,
    step_time,
)
from fvlib.models import tsm_resnet

PAPER = tomllib.loads((Path(__file__).parents[2] / "data" / "paper.toml").read_text())


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
@pytest.mark.parametrize("stem_pool", [True, False])
def test_the_formula_gives_what_is_counted(depth, stem_pool):
    options = {"width": 8, "in_channels": 1, "stem_pool": stem_pool}
    for t, g in ((3, None), (6, 2)):
        clustering = None if g is None else TemporalClustering("uniform", g)
        model = tsm_resnet(depth, 5, clustering=clustering, **options)
        counted = multiply_adds(model, (2, t, 1, 48, 48))
        formula = resnet_multiply_adds(depth, 5, t=t, g=g, resolution=48, **options)
        assert counted == 2 * formula


def test_one_image_through_resnet_18_and_50_costs_what_is_published():
    # torchvision's documentation: 1.81 and 4.09 GFLOPS for a 224x224 picture.
    assert round(resnet_multiply_adds(18, 1000, t=1) / 1e9, 2) == 1.81
    assert round(resnet_multiply_adds(50, 1000, t=1) / 1e9, 2) == 4.09
    assert parameter_count(tsm_resnet(18, 1000)) == 11_689_512


def test_table_1_multiply_adds_are_within_one_percent_of_the_printed_ones():
    rows = PAPER["table1"]["rows"]
    assert len(rows) == 9
    for row in rows:
        t = 32 if row["frames"] == "all" else row["frames"]
        computed = resnet_multiply_adds(18, 4, t=t, g=row.get("clusters")) / 1e9
        assert computed == pytest.approx(row["flops"], rel=0.01)


def test_kept_bytes_by_hand():
    x = torch.randn(10, requires_grad=True)
    # exp keeps its result, the product keeps both factors: x and exp(x), 40 bytes each.
    assert saved_activation_bytes(lambda: (x.exp() * x).sum()) == 80
    assert saved_activation_bytes(lambda: (x + 1).sum()) == 0


def test_parameters_are_not_activations():
    layer = torch.nn.Linear(4, 3, bias=False)
    x = torch.randn(5, 4)
    assert saved_activation_bytes(lambda: layer(x).sum(), layer) == 5 * 4 * 4


def test_memory_is_linear_in_the_frames_and_clusters_save_what_lies_behind_them():
    torch.manual_seed(0)

    def peak(t, clustering=None):
        model = tsm_resnet(18, 4, width=8, clustering=clustering)
        return peak_memory(model, torch.rand(1, t, 3, 64, 64), torch.zeros(1, dtype=torch.int64))

    four, eight, sixteen = peak(4), peak(8), peak(16)
    assert sixteen - eight == pytest.approx(2 * (eight - four), rel=0.01)
    clustered = peak(16, TemporalClustering("uniform", 4))
    assert four < clustered < 0.85 * sixteen


def test_step_time_is_the_median_in_seconds_without_the_warm_up(monkeypatch):
    now, took = [0.0], iter([9.0, 1.0, 3.0, 2.0])
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    def step():
        now[0] += next(took)

    assert step_time(step, repeats=3) == 2.0
