"""Real video: clips on disk, the lists of the five benchmarks, and the check of a data root."""

from fvlib.datasets.videos.benchmarks import (
    BENCHMARKS,
    Benchmark,
    breakfast,
    hmdb51,
    read_benchmark,
    something_v1,
    something_v2,
    ucf101,
    video_folder,
)
from fvlib.datasets.videos.check import check
from fvlib.datasets.videos.counts import FrameIndex, count_frames
from fvlib.datasets.videos.files import FrameFolder, VideoFile, open_clip
from fvlib.datasets.videos.frames import UnreadableClip, nearest_frames
from fvlib.datasets.videos.lists import ClipList, read_skip_list, write_skip_list
from fvlib.datasets.videos.report import Report

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "ClipList",
    "FrameFolder",
    "FrameIndex",
    "Report",
    "UnreadableClip",
    "VideoFile",
    "breakfast",
    "check",
    "count_frames",
    "hmdb51",
    "nearest_frames",
    "open_clip",
    "read_benchmark",
    "read_skip_list",
    "something_v1",
    "something_v2",
    "ucf101",
    "video_folder",
    "write_skip_list",
]
