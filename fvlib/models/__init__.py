"""TSM-ResNet with a clustering step, and weights for it."""

from fvlib.models.checkpoints import load_checkpoint
from fvlib.models.shift import temporal_shift
from fvlib.models.tsm import TSMResNet, tsm_resnet

__all__ = ["TSMResNet", "load_checkpoint", "temporal_shift", "tsm_resnet"]
