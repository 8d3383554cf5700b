"""Real video: clips on disk, the lists of the five benchmarks, and the check of a data root."""

from fvlib.datasets.videos.benchmarks import BENCHMARKS as BENCHMARKS
from fvlib.datasets.videos.benchmarks import Benchmark as Benchmark
from fvlib.datasets.videos.benchmarks import exchanged_classes as exchanged_classes
from fvlib.datasets.videos.benchmarks import read_benchmark as read_benchmark
from fvlib.datasets.videos.check import Report as Report
from fvlib.datasets.videos.check import check as check
from fvlib.datasets.videos.files import VideoFile as VideoFile
from fvlib.datasets.videos.files import open_clip as open_clip
from fvlib.datasets.videos.frames import FrameFolder as FrameFolder
from fvlib.datasets.videos.frames import UnreadableClip as UnreadableClip
from fvlib.datasets.videos.frames import nearest_frames as nearest_frames
from fvlib.datasets.videos.lists import ClipList as ClipList
from fvlib.datasets.videos.lists import FrameIndex as FrameIndex
from fvlib.datasets.videos.lists import count_frames as count_frames
from fvlib.datasets.videos.lists import read_skip_list as read_skip_list
from fvlib.datasets.videos.lists import write_skip_list as write_skip_list
from fvlib.datasets.videos.readers import breakfast as breakfast
from fvlib.datasets.videos.readers import hmdb51 as hmdb51
from fvlib.datasets.videos.readers import something_v1 as something_v1
from fvlib.datasets.videos.readers import something_v2 as something_v2
from fvlib.datasets.videos.readers import ucf101 as ucf101
from fvlib.datasets.videos.readers import video_folder as video_folder
