"""Optical flow of clips: how far each pixel moves from one frame to the next, as bytes.

Kept as TSN keeps it, so that flow made here and flow made by its tools are the same to a network: a
picture across and one down, in which 0 ... 255 is -bound ... +bound pixels a frame and 128 is no
motion.
"""

from lab.flow.clips import FlowClips, FlowStacks, flow_clips, stacked
from lab.flow.folders import FlowFolders
from lab.flow.methods import to_bytes

__all__ = ["FlowClips", "FlowFolders", "FlowStacks", "flow_clips", "stacked", "to_bytes"]
