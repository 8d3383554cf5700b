"""Networks for clips: the paper's TSM-ResNet with a clustering step."""

from fvlib.models.resnet import TSMResNet, tsm_resnet
from fvlib.models.shift import temporal_shift

__all__ = ["TSMResNet", "temporal_shift", "tsm_resnet"]
