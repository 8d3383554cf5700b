"""Networks for clips: TSM-ResNet with a clustering step, and those that it is compared with."""

from fvlib.models.baselines import NETWORKS, HeadedResNet
from fvlib.models.checkpoints import LoadReport, check_classes, load_checkpoint
from fvlib.models.frame_head import HeadAlone
from fvlib.models.resnet import TSMResNet
from fvlib.models.shift import temporal_shift
from fvlib.models.tsm import tsm_resnet

__all__ = [
    "NETWORKS",
    "HeadAlone",
    "HeadedResNet",
    "LoadReport",
    "TSMResNet",
    "check_classes",
    "load_checkpoint",
    "temporal_shift",
    "tsm_resnet",
]
