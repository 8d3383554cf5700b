"""The other systems of the paper's tables, and the nearest peers of its method."""

from lab.systems.baselines import NETWORKS, HeadedResNet
from lab.systems.heads import FeatureClassifier
