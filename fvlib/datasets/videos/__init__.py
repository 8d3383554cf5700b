"""Real video: clips on disk, the lists of the five benchmarks, and the check of a data root."""

from fvlib.datasets.videos.benchmarks import (
    BENCHMARKS,
    Benchmark,
    exchanged_classes,
    read_benchmark,
)
from fvlib.datasets.videos.check import Report, check
from fvlib.datasets.videos.files import VideoFile, open_clip
from fvlib.datasets.videos.frames import FrameFolder, UnreadableClip, nearest_frames
from fvlib.datasets.videos.lists import (
    ClipList,
    FrameIndex,
    count_frames,
    read_skip_list,
    write_skip_list,
)
from fvlib.datasets.videos.readers import (
    breakfast,
    hmdb51,
    something_v1,
    something_v2,
    ucf101,
    video_folder,
)

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
    "exchanged_classes",
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
