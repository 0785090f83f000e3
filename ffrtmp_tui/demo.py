"""`ffrtmp demo`: a whole cluster on this machine, with real encodes, and nothing left behind."""

import contextlib
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any, Final

from ffrtmp_tui import units
from ffrtmp_tui.command import Argument, Noun, Verb
from ffrtmp_tui.failures import Exit, Failure, usage
from ffrtmp_tui.run import Run

WORKERS: Final = ("worker-1", "worker-2")
SECONDS: Final = 4.0
LIVE_SECONDS: Final = 6.0
# SIGTERM and a closed terminal end the demo as Ctrl-C does: with everything stopped.
_ENDS: Final = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One job of the demo: what it shows, and its fields."""

    title: str
    fields: Mapping[str, Any]


def demo(run: Run) -> int:
    """Run the demo, or stop one that was left running."""
    args = run.args
    if args.stop:
        return _stop(run, Path(args.stop))
    source = Path(args.input).absolute() if args.input else None
    if source is not None and not source.is_file():
        raise usage(f"there is no file {source}")
    folder = _new_folder(args.dir)
    temporary = args.dir is None
    from ffrtmp_tui.demo_cluster import DemoCluster

    cluster = DemoCluster(folder, run.environ)
    keep = False
    try:
        with _signals(_interrupt, *_ENDS):
            code = _play(run, cluster, source)
            keep = bool(args.keep)
            if keep:
                _tell_how_to_use(run, cluster, temporary=temporary)
        return code
    finally:
        if not keep:
            run.terminal.say("stopping the cluster")
            with _signals(signal.SIG_IGN, signal.SIGINT, *_ENDS):
                # A second Ctrl-C must not leave half of it running.
                cluster.stop()
            if temporary:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                run.terminal.say(f"everything it made is in {folder}")


def acts(extra: Sequence[str], source: Path | None, live_url: str | None) -> list[Act]:
    """Return the jobs of the demo; ``live_url`` is where a push can go, None if there is nobody to take it."""
    short = {"duration_s": SECONDS, "preset": "veryfast"}
    push = {"output": live_url, "output_mode": "rtmp"} if live_url else {}
    found = [
        Act(title="h264 file", fields={"scenario": "720p30-h264", **short}),
        Act(title="h265 file", fields={"scenario": "480p30-h265", **short, "preset": "ultrafast"}),
        Act(
            title="live push" if live_url else "live queue",
            fields={"scenario": "480p30-h264", "queue": "live", "priority": "high", "duration_s": LIVE_SECONDS, **push},
        ),
        Act(title="batch file", fields={"scenario": "480p30-h264", "queue": "batch", "priority": "low", **short}),
    ]
    if source is not None:
        found.append(Act(title="your file", fields={"scenario": "720p30-h264", "input": str(source)}))
    return found + [Act(title=scenario, fields={"scenario": scenario, "duration_s": SECONDS}) for scenario in extra]


def _play(run: Run, cluster: Any, source: Path | None) -> int:
    from ffrtmp_tui import follow
    from ffrtmp_tui.board import Board
    from ffrtmp_tui.link import Link, new_id
    from ffrtmp_tui.manifest import spec
    from ffrtmpd.wire.messages.inquiries import ListScenarios, ScenarioList
    from ffrtmpd.wire.messages.jobs import Submission, Submit, Submitted
    from ffrtmpd.wire.messages.nodes import ListNodes, NodeList

    say = run.terminal.say
    say(f"starting a master and two workers in {cluster.folder}")
    cluster.start_master()
    context = cluster.context()
    with Link(context.master, context.server_key, context.key_pair()) as link:
        show = Run(args=run.args, terminal=run.terminal, environ=run.environ, stdin=run.stdin, given_link=link)

        for scenario in run.args.jobs or ():
            # What cannot be is refused before anything else is begun for it.
            show.ask(ListScenarios(request_id=new_id(), name=scenario), ScenarioList)
        settings = _worker_settings(cluster.folder, source)
        for name in WORKERS:
            cluster.start_worker(name, settings=settings)

        def all_active() -> bool:
            nodes = show.ask(ListNodes(request_id=new_id()), NodeList).nodes
            return sum(node.status == "active" for node in nodes) == len(WORKERS)

        say("each worker proves its encoders by a test encode")
        for name in WORKERS:
            cluster.wait_until(all_active, "both workers were there", name)
        live_url = _start_ingest(cluster)
        wanted = acts(run.args.jobs or (), source, live_url)
        submissions = tuple(Submission(key=new_id(), spec=spec(act.fields, {}, now_s=run.wall())) for act in wanted)
        results = show.ask(Submit(request_id=new_id(), jobs=submissions), Submitted).results
        titles = {}
        for act, result in zip(wanted, results, strict=True):
            if result.job_id is None:
                problem = result.problem.message if result.problem else "no job"
                raise usage(f"{act.title}: {problem}")
            titles[result.job_id] = f"{act.title:<11}"
        jobs = [follow.status(show, job_id).job for job_id in titles]
        board = Board(run.terminal, titles)
        for changed in follow.until_done(show, jobs, timeout_s=run.args.timeout):
            board.update(changed)
        board.close()
        replies = [follow.status(show, job_id) for job_id in titles]
    _show(show, replies, titles, cluster.received() if live_url else None)
    return Exit.OK if follow.verdict(reply.job for reply in replies) is Exit.OK else Exit.FAILED


def _show(run: Run, replies: Sequence[Any], titles: Mapping[str, str], received: Any) -> None:
    """Write the results; ``received`` is what the ingest recorded of the live push, as probed."""
    from ffrtmp_tui.fit import Column
    from ffrtmp_tui.job_view import video_text
    from ffrtmp_tui.terminal import clean

    def probed(reply: Any) -> str | None:
        media = received if reply.spec.output_mode != "file" else reply.report and reply.report.media
        return media and video_text(media)

    columns = (
        Column(title="Job ID", name="job_id", get=lambda reply: reply.job.job_id),
        Column(title="What", name="what", get=lambda reply: titles[reply.job.job_id].strip()),
        Column(title="Scenario", name="scenario", get=lambda reply: reply.job.scenario, wide=True),
        Column(title="Queue", name="queue", get=lambda reply: reply.job.queue, wide=True),
        Column(title="Status", name="state", get=lambda reply: reply.job.state),
        Column(title="Node ID", name="node_id", get=lambda reply: reply.job.node_id, rank=2),
        Column(title="Encoder", name="encoder", get=lambda reply: reply.report and reply.report.encoder, rank=3),
        Column(
            title="Encode Time",
            name="encode_s",
            get=lambda reply: reply.report and reply.report.encode_s,
            show=units.duration_text,
            right=True,
            short_title="Time",
            rank=1,
        ),
        Column(title="Output as Probed", name="video", get=probed, brief=_picture, least=21),
        Column(title="Output", name="output", get=lambda reply: reply.job.output, wide=True),
    )
    run.show_list("jobs", replies, columns, name_of=lambda reply: reply.job.job_id)
    for reply in replies:
        if reply.job.state != "completed":
            run.terminal.say(f"\n{reply.job.job_id} {reply.job.state}: {clean(reply.job.reason or 'no reason given')}")
            tail = (reply.report.log_tail if reply.report else None) or ""
            for line in tail.splitlines():
                run.terminal.say("  " + clean(line))


def _picture(video: str) -> str:
    """Return codec, size and rate from what `video_text` says: the rest of it is the same for all jobs of the demo."""
    return ", ".join(video.split(", ")[:2])


def _start_ingest(cluster: Any) -> str | None:
    """Start a program that takes one rtmp push, and return the URL to push to; None where that cannot be."""
    from ffrtmp_tui.demo_cluster import free_port, is_taken

    ffmpeg = find_ffmpeg()
    if ffmpeg is None:
        return None
    port = free_port()
    url = f"rtmp://127.0.0.1:{port}/live/demo"
    output = str(cluster.recording)
    quiet = ("-hide_banner", "-nostdin", "-y", "-loglevel", "warning")
    cluster.start("ingest", ffmpeg, *quiet, "-listen", "1", "-f", "flv", "-i", url, "-c", "copy", output)
    try:
        cluster.wait_until(lambda: is_taken(port), "the ingest listens", "ingest", limit_s=5.0)
    except Failure:
        return None
    return url


def find_ffmpeg() -> str | None:
    """Return an ffmpeg of this machine: in PATH, else the one of imageio-ffmpeg."""
    if path := shutil.which("ffmpeg"):
        return path
    try:
        found: str = import_module("imageio_ffmpeg").get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        return None
    return found


def _worker_settings(folder: Path, source: Path | None) -> Path | None:
    """Write settings that let the workers read the user's file; None where there is none."""
    if source is None:
        return None
    import json

    path = folder / "workers.toml"
    path.write_text(f"[media]\ninput_roots = [{json.dumps(str(source.parent), ensure_ascii=False)}]\n", "utf-8")
    return path


def _new_folder(wanted: str | None) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="ffrtmp-demo-"))
    folder = Path(wanted).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise usage(f"{folder} is not empty", "name a folder that is new or empty")
    except OSError as error:
        raise usage(f"cannot use {folder}: {error.strerror}") from None
    return folder


def _tell_how_to_use(run: Run, cluster: Any, *, temporary: bool) -> None:
    (cluster.folder / "temporary").write_text("yes\n" if temporary else "no\n", encoding="utf-8")
    run.terminal.say(
        f"\nThe cluster goes on. To use it:\n"
        f"  export FFRTMP_CONFIG_DIR={cluster.client}\n"
        f"  ffrtmp console\n"
        f"  ffrtmp nodes list\n"
        f"  ffrtmp jobs submit 720p30-h264 --duration 10 --follow\n"
        f"To look at it, logs and outputs:\n"
        f"  {cluster.folder / 'logs'}\n"
        f"  {cluster.folder}/worker-*/output\n"
        f"To stop it:\n"
        f"  ffrtmp demo --stop {cluster.folder}"
    )


def _stop(run: Run, folder: Path) -> int:
    from ffrtmp_tui.demo_cluster import remembered, stop_processes

    stop_processes(remembered(folder))
    note = folder / "temporary"
    if note.exists() and note.read_text(encoding="utf-8").strip() == "yes":
        shutil.rmtree(folder, ignore_errors=True)
    run.terminal.write(f"{run.terminal.tick} Demo in {folder} stopped")
    return Exit.OK


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _signals(handler: Any, *numbers: signal.Signals) -> Iterator[None]:
    """Answer signals with ``handler`` inside the block."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


NOUN: Final = Noun(
    name="demo",
    help="run a whole cluster on this machine for a few seconds",
    verbs=(
        Verb(
            name="",
            help="start a master and two workers here, encode, show the results, and stop everything",
            run=demo,
            arguments=(
                Argument(names=("--input", "-i"), metavar="FILE", help="a file of yours to encode as well"),
                Argument(names=("--jobs",), metavar="SCENARIO", many=True, help="one more scenario to encode"),
                Argument(names=("--dir",), metavar="DIR", help="use and leave this new folder, not a temporary one"),
                Argument(
                    names=("--keep",), help="leave the cluster running, and say how to use and stop it", flag=True
                ),
                Argument(names=("--stop",), metavar="DIR", help="stop a demo that was left running"),
                Argument(
                    names=("--timeout",),
                    metavar="TIME",
                    convert=units.duration,
                    default=300.0,
                    help="give up after it, 5m unless said (exit code 7)",
                ),
            ),
            examples=(
                ("ffrtmp demo", "see it work"),
                ("ffrtmp demo --input talk.mov", "with a file of yours"),
                ("ffrtmp demo --keep", "and leave the cluster running"),
            ),
        ),
    ),
)
