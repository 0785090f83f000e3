"""Whether an output is what was asked for. ffmpeg's exit code 0 alone does not say so. Pure."""

from typing import Final

from ffrtmp_worker.task import PROBED_CODEC, Task
from ffrtmpd.wire.messages.jobs import MediaInfo, VideoStream

FPS_TOLERANCE: Final = 0.005
FRAMES_TOLERANCE: Final = 0.005
# The first and last frame may fall to either side of a cut.
FRAMES_SLACK: Final = 2
DURATION_TOLERANCE: Final = 0.01
# An audio frame and a video frame too many at either end.
DURATION_SLACK_S: Final = 0.25
# A broadcast has a key frame at least as often.
LATE_MAX_S: Final = 10.0


def verify(task: Task, media: MediaInfo) -> list[str]:
    """Return what is wrong with the output as probed, one line each; nothing when it may be published.

    ``media`` must come from a probe that counted packets: an index alone does not show that a file was cut short.
    """
    if media.video is None:
        return ["the output has no video"]
    problems = _picture(task, media.video)
    if task.audio is not None and media.audio is None:
        problems.append("the output has no sound, and the input has")
    problems += _length(task, media)
    return problems


def _picture(task: Task, video: VideoStream) -> list[str]:
    problems = []
    codec = PROBED_CODEC[task.encoder.codec]
    if video.codec != codec:
        problems.append(f"the output's codec is {video.codec}, expected {codec}")
    if (video.width, video.height) != (task.width, task.height):
        problems.append(f"the output is {video.width}x{video.height}, expected {task.width}x{task.height}")
    if task.rate is not None and video.fps is not None:
        wanted = float(task.rate)
        # A few frames over a rounded time base do not tell a rate.
        slack = wanted / video.frames if video.frames else 0.0
        if abs(video.fps - wanted) > max(wanted * FPS_TOLERANCE, slack if task.muxer in ("flv", "mpegts") else 0.0):
            problems.append(f"the output has {video.fps:.3f} frames per second, expected {wanted:.3f}")
    return problems


def _length(task: Task, media: MediaInfo) -> list[str]:
    problems = []
    frames = media.video.frames if media.video is not None else None
    late_s = _late_s(task, media)
    if frames == 0:
        problems.append("the output has no frames")
    elif task.expected_frames is not None and frames is not None:
        expected = task.expected_frames - round(late_s * (task.rate or 0))
        slack = max(FRAMES_SLACK, expected * FRAMES_TOLERANCE)
        if not expected - slack <= frames <= expected + slack + task.last_s * (task.rate or 0):
            problems.append(f"the output has {frames} frames, expected {expected}" + _cut(frames, expected))
    if task.expected_duration_s is not None and media.duration_s is None:
        problems.append("the output tells no duration")
    elif task.expected_duration_s is not None and media.duration_s is not None:
        expected_s = task.expected_duration_s - (0.0 if media.audio is not None else late_s)
        slack = max(DURATION_SLACK_S, expected_s * DURATION_TOLERANCE)
        if not expected_s - slack <= media.duration_s <= expected_s + slack + task.last_s:
            problems.append(
                f"the output lasts {media.duration_s:.3f} s, expected {expected_s:.3f} s"
                + ("" if problems else _cut(media.duration_s, expected_s))
            )
    return problems


def _late_s(task: Task, media: MediaInfo) -> float:
    """Return how much later than its source's the picture may begin, in seconds.

    Beside sound the output tells it; without, nothing does but its length.
    """
    if not task.joined or media.video is None:
        return 0.0
    if media.audio is not None:
        late_s = (media.video.start_s or 0.0) - task.picture_s
    else:
        late_s = (task.expected_duration_s or 0.0) - (media.duration_s or 0.0)
    return min(max(0.0, late_s), LATE_MAX_S)


def _cut(got: float, expected: float) -> str:
    return " (is the input cut short or damaged?)" if got < expected else ""
