"""VLAD against loops, and what it does not see."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.systems.heads import FeatureClassifier, VLADHead, vlad


def draw(n=2, p=7, d=5, k=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, p, d, generator=generator, dtype=torch.float64)
    assignment = torch.rand(n, p, k, generator=generator, dtype=torch.float64)
    centres = torch.randn(k, d, generator=generator, dtype=torch.float64)
    mask = torch.rand(n, p, generator=generator) < 0.7
    return x, assignment, centres, mask


def slow_vlad(x, assignment, centres, mask):
    found = torch.zeros(len(x), *centres.shape, dtype=x.dtype)
    for i in range(len(x)):
        for p in range(x.shape[1]):
            for k in range(len(centres)):
                if mask[i, p]:
                    found[i, k] += assignment[i, p, k] * (x[i, p] - centres[k])
    return found


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.integers(0))
def test_vlad_is_the_sum_of_residuals(n, p, d, k, seed):
    x, assignment, centres, mask = draw(n, p, d, k, seed % 2**31)
    some = assignment.masked_fill(~mask[..., None], 0)  # of the places that are there
    torch.testing.assert_close(vlad(x, some, centres), slow_vlad(x, assignment, centres, mask))
    everything = torch.ones_like(mask)
    torch.testing.assert_close(
        vlad(x, assignment, centres), slow_vlad(x, assignment, centres, everything)
    )


def test_vlad_of_one_centre_is_the_mean_residual():
    x, _, centres, _ = draw(p=9, k=1)
    mean = torch.stack([torch.stack([place - centres[0] for place in clip]).mean(0) for clip in x])
    found = vlad(x, torch.ones(2, 9, 1, dtype=x.dtype), centres)[:, 0]
    torch.testing.assert_close(found, 9 * mean)
    unit = mean / mean.norm(dim=1, keepdim=True)
    torch.testing.assert_close(found / found.norm(dim=1, keepdim=True), unit)


def test_a_head_of_one_centre_describes_a_clip_by_the_direction_of_its_mean_residual():
    torch.manual_seed(0)
    head = VLADHead(5, 3, features=6, centres=1, hidden=4).eval()
    y = torch.randn(2, 4, 5, 3, 3)
    head.classifier = torch.nn.Identity()
    found = FeatureClassifier(head)(y)
    for clip, description in zip(y, found, strict=True):
        x = head.embed(clip.flatten(2)).transpose(0, 1).flatten(1)  # (features, places)
        residual = x.mean(1) - head.centres[0]
        torch.testing.assert_close(description, residual / residual.norm())


def test_every_centre_has_norm_one_and_then_all_together():
    torch.manual_seed(0)
    head = VLADHead(5, 3, features=6, centres=4, hidden=4).eval()
    y = torch.randn(2, 3, 5, 2, 2)
    head.classifier = torch.nn.Identity()
    found = FeatureClassifier(head)(y).unflatten(1, (4, 6))
    torch.testing.assert_close(found.norm(dim=2), torch.full((2, 4), 0.5))
    for clip, description in zip(y, found, strict=True):
        total = torch.zeros(4, 6)
        for frame in head.embed(clip.flatten(2)):
            for place in frame.T:
                scores = head.assign.weight[:, :, 0] @ place + head.assign.bias
                share = scores.exp() / scores.exp().sum()
                for k in range(4):
                    total[k] += share[k] * (place - head.centres[k])
        torch.testing.assert_close(description, total / total.norm(dim=1, keepdim=True) / 2)


@pytest.mark.parametrize("training", [False, True])
def test_the_order_of_frames_does_not_matter(training):
    torch.manual_seed(0)
    head = VLADHead(5, 3, features=6, centres=4, hidden=4, dropout=(0.0, 0.0)).train(training)
    x = torch.randn(3, 8, 5, 2, 2)
    torch.testing.assert_close(
        FeatureClassifier(head)(x), FeatureClassifier(head)(x[:, torch.randperm(8)])
    )
    assert not torch.allclose(FeatureClassifier(head)(x), FeatureClassifier(head)(x.flip(2)))


def test_sums_are_made_in_float32_under_autocast():
    generator = torch.Generator().manual_seed(0)
    x = 100 + torch.randn(1, 3000, 4, generator=generator)
    assignment = torch.full((1, 3000, 1), 0.5)
    centres = torch.full((1, 4), 100.0)
    exact = slow_vlad(x.double(), assignment.double(), centres.double(), torch.ones(1, 3000) > 0)
    with torch.autocast("cpu", torch.bfloat16):
        found = vlad(x, assignment, centres)
    torch.testing.assert_close(found.double(), exact, atol=0.5, rtol=0)  # of values around 30


def test_residuals_are_never_kept_one_by_one():
    n, p, d, k = 1, 2000, 8, 50
    x, assignment, centres, _ = draw(n, p, d, k)
    x.requires_grad_()
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, id):
        vlad(x, assignment.requires_grad_(), centres)
    assert max(kept) < n * p * k * d / 4
