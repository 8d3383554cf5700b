"""Networks for clips: the paper's TSM-ResNet with a clustering step."""

from fvlib.models.checkpoints import LoadReport, check_classes, load_checkpoint
from fvlib.models.resnet import TSMResNet, tsm_resnet
from fvlib.models.shift import temporal_shift

__all__ = [
    "LoadReport",
    "TSMResNet",
    "check_classes",
    "load_checkpoint",
    "temporal_shift",
    "tsm_resnet",
]
