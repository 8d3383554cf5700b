"""Small networks and clips that several test modules share: `from shared import ...`."""

import torch
from torch import Tensor, nn

from fvlib.models import tsm_resnet


def lively_network(kind=tsm_resnet, *, depth=18, seed=0, dtype=torch.float64, **options):
    """A small network whose running statistics and affine parameters are not the initial ones."""
    torch.manual_seed(seed)
    model = kind(depth, 3, **{"width": 4, "stem_pool": False, "dropout": 0.0} | options)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.normal_(norm.running_mean, std=0.3)
            nn.init.uniform_(norm.running_var, 0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.normal_(norm.bias, std=0.3)
    return model.to(dtype)


def moving_clips(n: int, t: int, *, seed=0, side=16) -> Tensor:
    """Clips that change at some times more than at others, as uint8."""
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randn(n, t, 3, side, side, generator=generator).cumsum(1) * 20
    return (128 + steps).clamp(0, 255).to(torch.uint8)


def noise_clips(n=2, t=6, channels=3, size=32, seed=0) -> Tensor:
    """Clips of numbers from 0 to 1."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, t, channels, size, size, generator=generator)
