"""The runner with the GStreamer of this machine."""

import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ffrtmp_worker.ffmpeg import environment
from ffrtmp_worker.gstreamer_engine import command, find_gstreamer
from ffrtmp_worker.process import Child, ToolRun, marked, run_tool
from ffrtmp_worker.progress import Block, ProgressReader
from ffrtmp_worker.recipe import Cause
from ffrtmp_worker.task import CONTAINERS, Task, plan
from ffrtmp_worker.verify import verify
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.messages.jobs import MediaInfo
from ffrtmpd.wire.vocabulary import FailureClass, OutputMode
from tests.e2e.witness import listens
from tests.ports import free_port
from tests.worker import gst, media
from tests.worker.gst import Running, running
from tests.worker.media import assign
from tests.worker.test_process import until

GST = ("x264enc", "x265enc", "av1enc", "vp9enc")
CARRIED = [(name, suffix) for name in GST for suffix, form in CONTAINERS.items() if ENCODERS[name].codec in form.codecs]
PACKETS = "packet=flags,size"
EXIT_SIGNALED, EXIT_DATA, EXIT_NO_INPUT = 255, 65, 66


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.make_source(tmp_path_factory.mktemp("gst"), seconds=2.0)


@pytest.fixture(scope="module")
def long_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.make_source(tmp_path_factory.mktemp("gst"), seconds=20.0)


def look(source: Path) -> MediaInfo:
    return media.probe(f"file:{source}")


def task(source: Path, destination: Path, name: str = "x264enc", **order: object) -> Task:
    gst.encoder(name)
    return media.task(
        assign(codec=ENCODERS[name].codec, encoder=name, **order),  # type: ignore[arg-type]
        destination=destination,
        source=f"file:{source}",
        media=look(source),
        encoders=GST,
    )


def run(made: Task) -> ToolRun:
    engine = gst.engine()
    assert engine.refusal(made) is None
    return run_tool(engine.command(made), timeout_s=60, env=engine.environment)


def blocks(stdout: bytes) -> list[Block]:
    return ProgressReader().feed(stdout)


def failure(made: Task, ran: ToolRun) -> tuple[FailureClass, str]:
    found = gst.engine().classify(ran.exit_code, ran.stderr.decode(), live=made.live)
    return found.failure_class, found.reason


@pytest.mark.parametrize(("name", "suffix"), CARRIED)
def test_output_is_what_was_asked(source: Path, tmp_path: Path, name: str, suffix: str) -> None:
    made = task(source, tmp_path / f"a{suffix}", name, preset="veryfast")
    ran = run(made)
    assert ran.exit_code == 0, ran.stderr.decode()
    found = media.probe(made.target)
    assert verify(made, found) == []
    assert found.video is not None
    # Two seconds of 30 frames, of which 25 a second are kept. If one is missing: before the encoder, in it or after?
    last = blocks(ran.stdout)[-1]
    assert (last.dropped_frames, last.duplicated_frames, last.frame, found.video.frames) == (10, 0, 50, 50)
    assert (made.expected_frames, found.video.pixel_format, last.end) == (50, "yuv420p", True)
    assert last.size_bytes == made.partial.stat().st_size if made.partial else None
    assert [path.name for path in tmp_path.iterdir()] == [made.partial.name if made.partial else None]


def test_bitrate_and_groups_are_as_asked(long_source: Path, tmp_path: Path) -> None:
    for name in GST:
        made = task(long_source, tmp_path / "a.mkv", name, preset="ultrafast", duration_s=10.0)
        assert run(made).exit_code == 0
        looked = media.succeed(
            ("ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", PACKETS, "-of", "json", made.target)
        )
        packets = json.loads(looked.stdout)["packets"]
        keys = [index for index, packet in enumerate(packets) if "K" in packet["flags"]]
        assert keys == list(range(0, 250, 50)), name
        bits = sum(int(packet["size"]) for packet in packets) * 8
        assert bits / 10 == pytest.approx(made.bitrate_bps, rel=0.35), name


def test_limit_cuts_picture_and_sound(source: Path, tmp_path: Path) -> None:
    made = task(source, tmp_path / "a.mp4", duration_s=0.6)
    assert run(made).exit_code == 0
    found = media.probe(made.target)
    assert verify(made, found) == []
    assert found.video is not None
    assert found.video.frames == 15
    assert found.duration_s == pytest.approx(0.6, abs=0.05)


def test_picture_keeps_its_shape_and_rate_goes_up(source: Path, tmp_path: Path) -> None:
    # 16:9 into a square: bars above and below.
    made = task(source, tmp_path / "a.mkv", width=144, height=144, fps=60.0)
    ran = run(made)
    assert verify(made, media.probe(made.target)) == []
    # The last picture lasts as long as before: whether it is doubled is a matter of rounding.
    assert blocks(ran.stdout)[-1].duplicated_frames in (59, 60)
    raw = media.succeed(
        ("ffmpeg", "-v", "error", "-i", made.target, "-frames:v", "1", "-pix_fmt", "gray", "-f", "rawvideo", "-")
    ).stdout
    rows = [sum(raw[y * 144 : (y + 1) * 144]) / 144 for y in range(144)]
    assert max(rows[:30] + rows[-30:]) < 24
    assert max(rows[40:-40]) > 60


def test_input_without_sound_gives_output_without(source: Path, tmp_path: Path) -> None:
    mute = tmp_path / "mute.mkv"
    media.succeed(("ffmpeg", "-v", "error", "-i", str(source), "-an", "-c", "copy", str(mute)))
    made = task(mute, tmp_path / "a.mp4")
    assert made.audio is None
    assert run(made).exit_code == 0
    assert media.probe(made.target).audio is None
    # Promised by a probe, and then not there: said, not waited for.
    ran = run(replace(made, audio="aac"))
    assert (ran.exit_code, failure(made, ran)[0]) == (EXIT_DATA, FailureClass.PERMANENT)
    assert b"no audio" in ran.stderr


def test_progress_only_grows(long_source: Path, tmp_path: Path) -> None:
    made = task(long_source, tmp_path / "a.mp4", width=640, height=360, preset="slow", duration_s=10.0)
    told = blocks(run(made).stdout)
    assert len(told) > 2
    assert [block.end for block in told] == [False] * (len(told) - 1) + [True]
    for kind in ("frame", "out_time_s", "size_bytes"):
        values = [getattr(block, kind) or 0 for block in told]
        assert values == sorted(values), kind
    assert (told[-1].frame, told[-1].out_time_s) == (250, 10.0)


def slow(source: Path, destination: Path) -> Task:
    return task(source, destination, width=854, height=480, preset="medium")


@contextlib.contextmanager
def begun(made: Task, folder: Path) -> Iterator[Running]:
    with running(gst.engine().command(made), folder) as begun:
        until(lambda: begun.frame > 5, limit_s=30)
        yield begun


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_one_signal_ends_it_with_a_playable_file(
    long_source: Path, tmp_path: Path, suffix: str, number: signal.Signals
) -> None:
    made = slow(long_source, tmp_path / f"a{suffix}")
    with begun(made, tmp_path) as child:
        os.kill(child.child.pid, number)
        until(lambda: child.ended() is not None)
        assert child.ended() == EXIT_SIGNALED
        told = blocks(child.stdout)[-1]
    assert told.end
    said = gst.engine().classify(EXIT_SIGNALED, "[info] asked to end\n", live=False)
    assert (said.failure_class, said.reason) == (FailureClass.TRANSIENT, "stopped by a signal")
    found = media.probe(made.target)
    assert found.video is not None
    assert found.video.frames == told.frame
    assert 0 < (told.frame or 0) < 500
    decoded = media.succeed(("ffmpeg", "-v", "error", "-xerror", "-i", made.target, "-f", "null", "-"))
    assert decoded.stderr == b""


def test_killed_it_leaves_no_process_and_no_scratch_file(long_source: Path, tmp_path: Path) -> None:
    made = slow(long_source, tmp_path / "a.mp4")
    with begun(made, tmp_path) as child:
        mark = child.child.mark
        assert list(marked(mark))
        child.child.kill()
        until(lambda: child.ended() is not None)
        assert child.ended() == -signal.SIGKILL
        assert list(marked(mark)) == []
    assert [path.name for path in tmp_path.iterdir()] == [made.partial.name if made.partial else None]


def test_pause_changes_no_frame(long_source: Path, tmp_path: Path) -> None:
    made = replace(slow(long_source, tmp_path / "a.mkv"), limit_s=4.0)
    with begun(made, tmp_path) as child:
        child.child.pause()
        until(lambda: _state(child.child) == "T")
        frozen = child.frame
        child.drain()
        assert child.frame == frozen < 100
        child.child.resume()
        until(lambda: child.ended() is not None, limit_s=30)
        assert child.ended() == 0
        last = blocks(child.stdout)[-1]
    # Each picture of the source's first four seconds at its own moment: 20 of 120 are left out by the rate alone.
    assert (last.frame, last.dropped_frames, last.duplicated_frames) == (100, 20, 0)
    looked = media.succeed(
        ("ffprobe", "-v", "error", "-select_streams", "v", "-show_entries", "frame=pts", "-of", "json", made.target)
    )
    assert [frame["pts"] for frame in json.loads(looked.stdout)["frames"]] == list(range(0, 4_000, 40))


def _state(child: Child) -> str:
    return Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0]


# ── what goes wrong ───────────────────────────────────────────────────────────────────────────────────────────────


def test_input_that_is_gone_or_no_media_fails_for_good(source: Path, tmp_path: Path) -> None:
    made = task(source, tmp_path / "a.mp4")
    gone = replace(made, source=f"file:{tmp_path}/gone.mkv")
    ran = run(gone)
    assert (ran.exit_code, failure(gone, ran)[0]) == (EXIT_NO_INPUT, FailureClass.PERMANENT)
    assert "No such file" in failure(gone, ran)[1]
    noise = tmp_path / "noise.mkv"
    noise.write_bytes(os.urandom(50_000))
    ran = run(replace(made, source=f"file:{noise}"))
    assert (ran.exit_code, failure(made, ran)[0]) == (EXIT_DATA, FailureClass.PERMANENT)


HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-VERSION:3\n#EXTINF:2,\n{url}\n#EXT-X-ENDLIST\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation mimeType="video/mp4" bandwidth="1"><BaseURL>{url}</BaseURL></Representation></AdaptationSet>'
    "</Period></MPD>"
)
SDP = (
    "v=0\no=- 0 0 IN IP4 127.0.0.1\ns={url}\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)


@pytest.mark.parametrize("text", [HLS, DASH, SDP])
def test_file_that_names_other_places_leads_nowhere(source: Path, tmp_path: Path, text: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        playlist = tmp_path / "list.mp4"
        playlist.write_text(text.format(url=f"http://127.0.0.1:{server.getsockname()[1]}/x.ts"))
        ran = run(replace(task(source, tmp_path / "a.mp4"), source=f"file:{playlist}"))
        assert ran.exit_code == EXIT_DATA, ran.stderr.decode()
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_input_that_was_cut_short_does_not_pass_the_check(source: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    made = task(source, tmp_path / "a.mp4")
    ran = run(replace(made, source=f"file:{cut}"))
    assert ran.exit_code != 0 or verify(made, media.probe(made.target))


def test_full_disk_is_a_matter_of_this_moment(source: Path, tmp_path: Path) -> None:
    made = task(source, tmp_path / "a.ts")
    ran = run(replace(made, target="file:/dev/full"))
    assert failure(made, ran)[0] is FailureClass.TRANSIENT, ran.stderr.decode()
    assert "No space" in failure(made, ran)[1]


def test_pipeline_that_is_not_understood_has_its_exit_code() -> None:
    engine = gst.engine()
    for document, code in (({}, 64), ([], 64), ({"elements": [{"factory": "none", "name": "x"}]}, 69)):
        ran = run_tool(command(engine.python, "run", document), timeout_s=20, env=engine.environment)
        assert ran.exit_code == code
        assert ran.stderr.startswith(b"[error] ")
        assert b"Traceback" not in ran.stderr


def test_machine_without_gstreamer_has_no_such_engine(tmp_path: Path) -> None:
    surroundings = environment(os.environ)
    registry = tmp_path / "registry"
    assert find_gstreamer("", environment=surroundings, registry=registry) is None
    assert find_gstreamer("/no/python3", environment=surroundings, registry=registry) is None
    assert find_gstreamer("/bin/false", environment=surroundings, registry=registry) is None
    assert find_gstreamer("/bin/echo", environment=surroundings, registry=registry) is None


def test_proofs_are_kept_until_a_plugin_changes(tmp_path: Path) -> None:
    engine = gst.engine()
    runs: list[str] = []
    described: dict[str, bytes] = {}

    def counting(argv: tuple[str, ...], **how: object) -> ToolRun:
        runs.append(argv[3])
        ran = run_tool(argv, **how)  # type: ignore[arg-type]
        return replace(ran, stdout=described.get(argv[3], ran.stdout))

    def find() -> tuple[str, ...]:
        runs.clear()
        found = find_gstreamer(
            engine.python,
            environment=environment(os.environ),
            registry=Path(engine.environment["GST_REGISTRY"]),
            cache=tmp_path / "gstreamer.json",
            run=counting,
        )
        assert found is not None
        return found.encoders

    assert find() == engine.encoders
    assert runs.count("run") == 4
    assert (find(), runs) == (engine.encoders, ["describe"])
    (tmp_path / "gstreamer.json").write_text("{")
    assert (find(), runs.count("run")) == (engine.encoders, 4)
    newer = run_tool(command(engine.python, "describe", list(engine.elements)), timeout_s=20, env=engine.environment)
    described["describe"] = newer.stdout.replace(b"GStreamer 1.", b"GStreamer 9.")
    assert (find(), runs.count("run")) == (engine.encoders, 4)


# ── live ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def push(port: int, seconds: float) -> Task:
    gst.encoder("x264enc")
    order = assign(encoder="x264enc", mode=OutputMode.RTMP, duration_s=seconds)
    url = f"rtmp://127.0.0.1:{port}/live/x"
    return plan(order, encoders=GST, source="graph", media=None, destination=url, lavfi=True)


@contextlib.contextmanager
def ingest(recorded: Path) -> Iterator[tuple[int, Child]]:
    port = free_port()
    url = f"rtmp://127.0.0.1:{port}/live/x"
    argv = ("ffmpeg", "-nostdin", "-y", "-v", "error", "-listen", "1", "-f", "flv", "-i", url, "-c", "copy")
    server = Child((*argv, str(recorded)), env=environment(os.environ), cwd="/", mark="ingest")
    try:
        until(lambda: listens(port, server.pid))
        yield port, server
    finally:
        server.close()


def test_push_arrives_whole(tmp_path: Path) -> None:
    recorded = tmp_path / "recorded.mkv"
    with ingest(recorded) as (port, server):
        made = push(port, 2.0)
        ran = run(made)
        assert ran.exit_code == 0, ran.stderr.decode()
        until(lambda: server.reap() is not None)
    found = media.probe(f"file:{recorded}")
    assert found.video is not None
    assert found.audio is not None
    assert (found.video.codec, found.video.width, found.video.height) == ("h264", 256, 144)
    assert (found.video.frames, blocks(ran.stdout)[-1].frame) == (50, 50)


def test_file_is_pushed_at_its_own_pace(source: Path, tmp_path: Path) -> None:
    recorded = tmp_path / "recorded.mkv"
    with ingest(recorded) as (port, server):
        order = assign(encoder=gst.encoder("x264enc"), mode=OutputMode.RTMP)
        url = f"rtmp://127.0.0.1:{port}/live/x"
        made = plan(order, encoders=GST, source=f"file:{source}", media=look(source), destination=url)
        ran = run(made)
        assert ran.exit_code == 0, ran.stderr.decode()
        until(lambda: server.reap() is not None)
    video = media.probe(f"file:{recorded}").video
    assert video is not None
    assert video.frames == 50
    # Half a second between two reports: all at once would be one or two.
    assert len(blocks(ran.stdout)) >= 4


def test_rest_of_a_file_begins_where_the_push_was_lost(long_source: Path, tmp_path: Path) -> None:
    whole, rest = (task(long_source, tmp_path / f"{name}.mkv", duration_s=2.0) for name in ("whole", "rest"))
    whole = replace(whole, limit_s=7.0)
    rest = replace(rest, skip_s=5.0)
    for made in (whole, rest):
        ran = run(made)
        assert ran.exit_code == 0, ran.stderr.decode()
    seen, again = gray(whole.target), gray(rest.target)
    assert (len(seen), len(again)) == (175, 50)
    # Noise moves in the source, so that no two pictures are alike.
    near = [difference(again[0], picture) for picture in seen]
    # From 30 a second to 25: which of two neighbours is taken is a matter of rounding.
    assert abs(near.index(min(near)) - 125) <= 1


def gray(target: str) -> list[bytes]:
    """Return the pictures of a file, small and gray."""
    argv = ("ffmpeg", "-v", "error", "-i", target, "-vf", "scale=64:36", "-pix_fmt", "gray", "-f", "rawvideo", "-")
    raw = media.succeed(argv).stdout
    return [raw[at : at + 64 * 36] for at in range(0, len(raw), 64 * 36)]


def difference(one: bytes, other: bytes) -> int:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))


def test_push_ends_cleanly_when_asked(tmp_path: Path) -> None:
    recorded = tmp_path / "recorded.mkv"
    with ingest(recorded) as (port, server), begun(push(port, 60.0), tmp_path) as child:
        child.child.terminate()
        until(lambda: child.ended() is not None)
        assert child.ended() == EXIT_SIGNALED
        until(lambda: server.reap() is not None)
        told = blocks(child.stdout)[-1]
    video = media.probe(f"file:{recorded}").video
    assert video is not None
    assert video.frames == told.frame


def test_push_that_finds_nobody_or_loses_its_server_may_be_tried_again(tmp_path: Path) -> None:
    refused = push(free_port(), 5.0)
    ran = run(refused)
    assert "Connection refused" in failure(refused, ran)[1]
    assert gst.engine().classify(ran.exit_code, ran.stderr.decode(), live=True).cause is Cause.CONNECTION
    assert failure(refused, ran)[0] is FailureClass.TRANSIENT
    # Nothing was taken by anyone, so nothing has begun.
    assert not any(block.out_time_s for block in blocks(ran.stdout))
    with ingest(tmp_path / "r.mkv") as (port, server), begun(push(port, 60.0), tmp_path) as child:
        server.kill()
        until(lambda: child.ended() is not None)
        code = child.ended()
        assert code == 1
        found = gst.engine().classify(code, child.stderr.decode(), live=True)
    assert (found.failure_class, found.cause) == (FailureClass.TRANSIENT, Cause.CONNECTION)
