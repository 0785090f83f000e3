"""What follows once an output is whole: it is scored against its source and hashed. Runs nothing itself."""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from ffrtmp_worker.known import Sighting, Sums
from ffrtmp_worker.places import FILE_PREFIX
from ffrtmp_worker.quality import SAMPLE_EVERY, Comparison, same_rate
from ffrtmp_worker.rates import NEAR, rate_of
from ffrtmp_worker.recipe import AttemptFailed, Step, StepEnd, StepName
from ffrtmp_worker.scorer import Scorer, job_text
from ffrtmp_worker.scorers import VMAF
from ffrtmp_worker.task import Task
from ffrtmpd.wire.messages.jobs import MediaInfo, VideoStream
from ffrtmpd.wire.messages.measures import NOTE_MAX, Provenance, Quality
from ffrtmpd.wire.messages.session import Assign
from ffrtmpd.wire.vocabulary import Engine, FailureClass, VmafMode

# 4K on one slow processor scores about two frames a second. Only against a comparison that hangs.
SCORE_LEAST_S: Final = 600.0
SCORE_FRAME_S: Final = 2.0
HASH_S: Final = 6 * 3_600.0
PACKAGE: Final = Path(__file__).parent.parent
SHA256: Final = Path(__file__).with_name("sha256.py")
_SUM: Final = re.compile(rb"([0-9a-f]{64})[ ]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a node has for it.

    ``scorer`` None: it scores nothing. ``hashes`` False: files are not hashed. ``sums`` are those of earlier attempts.
    """

    python: str
    environment: Mapping[str, str]
    scorer: Scorer | None = None
    threads: int = 1
    hashes: bool = True
    sums: Sums = field(default_factory=Sums)


class Appraisal:
    """That of one attempt."""

    def __init__(self, assign: Assign, means: Means) -> None:
        self.quality: Quality | None = None
        self._assign = assign
        self._means = means
        self._task: Task | None = None
        self._hashed: tuple[str | None, str | None] = (None, None)
        self._source_before: Sighting | None = None

    @property
    def wanted(self) -> tuple[str, ...]:
        """The measures that the job asks for."""
        assign = self._assign
        vmaf = assign.vmaf is not VmafMode.OFF or assign.vmaf_floor is not None
        asked = {"vmaf": vmaf, "psnr": assign.psnr, "ssim": assign.ssim}
        return tuple(name for name, is_asked in asked.items() if is_asked)

    def expect(self, task: Task, source: MediaInfo | None) -> None:
        """Take note of what will be encoded from ``source``.

        Raises:
            AttemptFailed: there is a floor, and it is certain already that no score will be had.
        """
        self._task = task
        if task.partial is None or not self.wanted:
            return
        obstacle = self._obstacle(task, source)
        if obstacle is None:
            return
        self.quality = Quality(note=obstacle[0])
        if self._assign.vmaf_floor is not None:
            raise AttemptFailed(obstacle[1], f"the VMAF floor cannot be checked: {obstacle[0]}")

    def first(self, output: MediaInfo) -> Step | None:
        """Return the first step after the check of ``output``, None if there is none."""
        task = self._planned()
        if not self.wanted or self.quality is not None or self._means.scorer is None or task.rate is None:
            return self._hash(task)
        argv = (self._means.python, "-P", "-m", "ffrtmp_worker.scorer", job_text(self._means.scorer, self._job(task)))
        known = self._means.environment.get("PYTHONPATH")
        env = {**self._means.environment, "PYTHONPATH": f"{PACKAGE}:{known}" if known else str(PACKAGE)}
        frames = (output.video.frames if output.video is not None else None) or 0
        return Step(name=StepName.SCORE, argv=argv, env=env, timeout_s=max(SCORE_LEAST_S, frames * SCORE_FRAME_S))

    def after(self, step: StepName, end: StepEnd) -> Step | None:
        """Return the step after the one that ended so, None after the last.

        Raises:
            AttemptFailed: the output is not as good as the job wants, or nobody can tell.
        """
        if step is StepName.HASH:
            self._note_sums(end)
            return None
        failed = end.exit_code != 0
        read = None if failed else parse_quality(end.stdout)
        if read is None:
            said = end.log_tail.strip().splitlines()
            read = Quality(note=f"scoring failed: {said[-1] if said else f'exit code {end.exit_code}'}"[:NOTE_MAX])
            failed = True
        self.quality = replace(read, seconds=end.seconds, cpu_s=end.cpu_s)
        self._judge(FailureClass.TRANSIENT if failed else FailureClass.PERMANENT)
        return self._hash(self._planned())

    def provenance(self, written_bytes: int | None) -> Provenance | None:
        """Return what went in and came out, as far as it is known; None before the encode is planned."""
        if self._task is None:
            return None
        return Provenance(
            input_sha256=self._hashed[0],
            output_sha256=self._hashed[1],
            input_bytes=_file_bytes(self._task.source),
            output_bytes=written_bytes,
        )

    def _judge(self, without: FailureClass) -> None:
        floor = self._assign.vmaf_floor
        if floor is None or self.quality is None:
            return
        if self.quality.vmaf is None:
            raise AttemptFailed(without, f"the VMAF floor cannot be checked: {self.quality.note}")
        if self.quality.vmaf < floor:
            reason = f"VMAF {self.quality.vmaf:.3f} is below the floor of {floor:g}: not published"
            raise AttemptFailed(FailureClass.PERMANENT, reason)

    def _obstacle(self, task: Task, source: MediaInfo | None) -> tuple[str, FailureClass] | None:
        can = self._means.scorer.measures if self._means.scorer is not None else ()
        lacking = [name for name in self.wanted if name not in can]
        if lacking:
            hint = ": install an ffmpeg with libvmaf, or imageio-ffmpeg" if VMAF in lacking else ""
            return f"this node does not measure {', '.join(lacking)}{hint}", FailureClass.TRANSIENT
        if not task.source.startswith(FILE_PREFIX):
            return "the source is a URL, and what it gives a second time may be another", FailureClass.PERMANENT
        rate = rate_of(source.video) if source is not None and source.video is not None else None
        if task.rate is None or rate is None:
            return "the source does not tell its frame rate", FailureClass.PERMANENT
        if not same_rate(rate, float(task.rate)):
            told = f"the source has {rate:.3f} frames per second and the output {float(task.rate):.3f}"
            return f"{told}: they have no frames in common to compare", FailureClass.PERMANENT
        if task.encoder.engine is not Engine.FFMPEG and source is not None and source.video is not None:
            why = _other_frames(task, source.video)
            return None if why is None else (why, FailureClass.PERMANENT)
        return None

    def _job(self, task: Task) -> Comparison:
        wanted = self.wanted
        return Comparison(
            reference=task.source,
            distorted=task.target,
            rate=task.rate or Fraction(),
            encoded=True,
            loop=task.loop,
            limit_s=task.limit_s,
            timed=task.encoder.engine is Engine.FFMPEG,
            sound=task.audio is not None,
            deinterlaced=task.interlaced and task.encoder.engine is Engine.FFMPEG,
            vmaf="vmaf" in wanted,
            psnr="psnr" in wanted,
            ssim="ssim" in wanted,
            subsample=SAMPLE_EVERY if self._assign.vmaf is VmafMode.SAMPLE else 1,
            threads=self._means.threads,
        )

    def _hash(self, task: Task) -> Step | None:
        if not self._means.hashes:
            return None
        files = [task.target.removeprefix(FILE_PREFIX)]
        if _is_file(task.source):
            source = task.source.removeprefix(FILE_PREFIX)
            self._hashed = (self._means.sums.known(source), None)
            if self._hashed[0] is None:
                self._source_before = self._means.sums.see(source)
                files.append(source)
        argv = (self._means.python, "-P", str(SHA256), *files)
        return Step(name=StepName.HASH, argv=argv, env=self._means.environment, timeout_s=HASH_S)

    def _note_sums(self, end: StepEnd) -> None:
        source, output = parse_sums(end.stdout) if end.exit_code == 0 else (None, None)
        if source is not None and self._source_before is not None:
            self._means.sums.remember(self._source_before, source)
        self._hashed = (self._hashed[0] or source, output)

    def _planned(self) -> Task:
        if self._task is None:
            raise RuntimeError("the encode was not planned yet")
        return self._task


def _other_frames(task: Task, source: VideoStream) -> str | None:
    """Return why GStreamer encoded other frames than a comparison would take from the source, None if it did not."""
    if task.limit_s is not None and round((source.start_s or 0.0) * (task.rate or 0)) > 0:
        return "the picture begins later than the sound, and GStreamer does not tell what it cut"
    if source.fps and source.moving_fps and source.fps < source.moving_fps * (1 - NEAR):
        return "the picture stands still at times, and GStreamer fills half of that with what follows"
    return None


def parse_quality(stdout: bytes) -> Quality | None:
    """Return what the scoring program printed, None if it is nothing of that kind."""
    try:
        told: dict[str, Any] = json.loads(stdout)
        return Quality(**{field.name: told[field.name] for field in fields(Quality)})
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def parse_sums(stdout: bytes) -> tuple[str | None, str | None]:
    """Return the sums of the input and of the output from what ``sha256.py`` printed for output and input."""
    sums = [found[1].decode("ascii") for line in stdout.splitlines() if (found := _SUM.match(line))]
    match sums:
        case [output]:
            return None, output
        case [output, source]:
            return source, output
        case _:
            return None, None


def _is_file(source: str) -> bool:
    return source.startswith(FILE_PREFIX)


def _file_bytes(source: str) -> int | None:
    if not _is_file(source):
        return None
    with contextlib.suppress(OSError):
        return Path(source.removeprefix(FILE_PREFIX)).stat().st_size
    return None
