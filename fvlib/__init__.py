"""Full video action recognition: temporal clustering of ResNet activations.

The method, in the order in which it is read:

    clustering          distances of neighbouring frames, labels, means (Eq. 8, Fig. 3)
    models/shift.py     the temporal shift: how frames of a network know of one another
    models/blocks.py    residual blocks with it
    models/resnet.py    the network with its one clustering step (Fig. 2)
    models/chunked.py   the same in pieces, so that memory does not grow with the video
    training/loop.py    one training loop for all networks and all data
    evaluation.py       protocols: what a network is shown when it is tested
"""

__version__ = "0.1.0"
