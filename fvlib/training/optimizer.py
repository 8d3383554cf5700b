"""The optimiser of TSM: SGD with different rates and decays, and a schedule."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, OneCycleLR

from fvlib.recipe import Recipe


def parameter_groups(model: nn.Module, lr: float, weight_decay: float) -> list[dict]:
    """Groups for SGD, as TSM trains: what learns faster, and what does not decay.

    weights of convolutions: lr, decay. biases of convolutions: 2 lr, no decay. BatchNorm, and other
    norms: lr, no decay. last layer, `fc` or what the network calls `last`: weights 5 lr, decay;
    biases 10 lr, no decay. The layers of a head in its place are treated as convolutions, as TRN's
    authors do. Frozen parameters are in no group.
    Explained in chapter 05_more_frames.
    """
    rules = {
        "weight": (1, 1),
        "bias": (2, 0),
        "norm": (1, 0),
        "fc_weight": (5, 1),
        "fc_bias": (10, 0),
    }
    groups: dict[str, list[nn.Parameter]] = {name: [] for name in rules}
    for place, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            kind = "bias" if name == "bias" else "weight"
            if isinstance(module, (_BatchNorm, nn.LayerNorm, nn.GroupNorm)):
                kind = "norm"
            elif place == getattr(model, "last", "fc"):
                kind = f"fc_{kind}"
            groups[kind].append(parameter)
    return [
        {
            "name": name,
            "params": groups[name],
            "lr": lr * faster,
            "weight_decay": weight_decay * decays,
        }
        for name, (faster, decays) in rules.items()
        if groups[name]
    ]


def build_optimizer(model: nn.Module, recipe: Recipe, steps: int) -> tuple[SGD, LRScheduler]:
    """The optimiser, and a schedule that is advanced after each of `steps` steps an epoch."""
    groups = parameter_groups(model, recipe.lr, recipe.weight_decay)
    optimizer = SGD(groups, lr=recipe.lr, momentum=recipe.momentum)
    total = recipe.epochs * steps
    if recipe.schedule == "step":
        schedule = MultiStepLR(optimizer, [epoch * steps for epoch in recipe.lr_steps], gamma=0.1)
    elif recipe.schedule == "cosine":
        schedule = CosineAnnealingLR(optimizer, total)
    else:
        peaks = [group["lr"] for group in optimizer.param_groups]
        schedule = OneCycleLR(optimizer, peaks, total, cycle_momentum=False)
    return optimizer, schedule
