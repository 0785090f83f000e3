import socket
from pathlib import Path

import pytest

from ffrtmp_worker.failures import classify, classify_problems
from ffrtmp_worker.ffmpeg import encode_command
from ffrtmp_worker.recipe import Cause
from ffrtmpd.wire.vocabulary import FailureClass, OutputMode
from tests.worker.media import assign, proven, run, succeed, task, tools

BASE = ("-nostdin", "-hide_banner", "-y", "-loglevel", "repeat+level+info")
TEST_PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=128x72:rate=30:duration=0.2")
PERMANENT, TRANSIENT, BUSY = FailureClass.PERMANENT, FailureClass.TRANSIENT, FailureClass.BUSY


def _fails(*options: str, live: bool = False) -> tuple[FailureClass, str]:
    ran = run((tools().ffmpeg, *BASE, *options))
    assert ran.exit_code != 0
    # The same log must do with the exit code of 5.1, which is always 1.
    told = classify(ran.exit_code, ran.stderr.decode(), live=live)
    assert classify(1, ran.stderr.decode(), live=live) == told
    return told.failure_class, told.reason


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_real_missing_input_is_permanent(tmp_path: Path) -> None:
    kind, reason = _fails("-i", f"file:{tmp_path}/gone.mp4", "-f", "null", "-")
    assert kind is PERMANENT
    assert "No such file or directory" in reason


def test_real_junk_input_is_permanent(tmp_path: Path) -> None:
    (tmp_path / "junk.mp4").write_bytes(b"\x00junk" * 5_000)
    kind, reason = _fails("-i", f"file:{tmp_path}/junk.mp4", "-f", "null", "-")
    assert kind is PERMANENT
    assert "moov" in reason or "Invalid data" in reason


def test_real_unknown_encoder_is_permanent() -> None:
    kind, reason = _fails(*TEST_PICTURE, "-c:v", "nosuch", "-f", "null", "-")
    assert kind is PERMANENT
    assert reason == "Unknown encoder 'nosuch'"


def test_real_refused_encoder_settings_tell_why() -> None:
    options = ("-vf", "scale=127:71,format=yuv420p", "-c:v", "libx264", "-f", "null", "-")
    assert _fails(*TEST_PICTURE, *options) == (PERMANENT, "width not divisible by 2 (127x71)")


def test_real_refused_rtmp_port_is_transient() -> None:
    order = assign(mode=OutputMode.RTMP, duration_s=0.2)
    made = task(order, source="file:/dev/null", destination=f"rtmp://127.0.0.1:{_closed_port()}/live/x")
    kind, reason = _fails(*TEST_PICTURE, "-c:v", "libx264", "-f", "flv", made.target, live=made.live)
    assert kind is TRANSIENT
    assert "Connection refused" in reason


def test_real_refused_input_url_is_transient() -> None:
    kind, reason = _fails("-i", f"http://127.0.0.1:{_closed_port()}/a.mp4", "-f", "null", "-")
    assert kind is TRANSIENT
    assert "Connection refused" in reason


def test_real_full_disk_is_transient() -> None:
    kind, reason = _fails(*TEST_PICTURE, "-c:v", "libx264", "-f", "mp4", "/dev/full")
    assert kind is TRANSIENT
    assert "No space left on device" in reason


def test_real_format_off_the_list_is_permanent(tmp_path: Path) -> None:
    trap = tmp_path / "trap.mkv"
    trap.write_text("ffconcat version 1.0\nfile a.mkv\n")
    made = task(assign(), source=f"file:{trap}", destination=tmp_path / "o.mp4", encoders=proven())
    ran = run(encode_command(tools(), made))
    told = classify(ran.exit_code, ran.stderr.decode(), live=False)
    assert told.failure_class is PERMANENT
    assert "whitelist" in told.reason


@pytest.mark.parametrize(
    ("exit_code", "log", "live", "kind", "reason"),
    [
        (-9, "", False, TRANSIENT, "killed by SIGKILL (out of memory?)"),
        (-11, "[error] odd", False, TRANSIENT, "killed by SIGSEGV"),
        (255, "[info] Exiting normally, received signal 15.", False, TRANSIENT, "received signal 15"),
        (123, "", False, TRANSIENT, "stopped by a signal"),
        (69, "", False, PERMANENT, "could not be decoded"),
        (254, "", False, PERMANENT, "ENOENT"),
        (145, "", True, TRANSIENT, "ECONNREFUSED"),
        (1, "", False, TRANSIENT, "exit code 1"),
        (1, "[error] something new", False, TRANSIENT, "something new"),
        (1, "[h264_nvenc @ 0x1] [error] OpenEncodeSessionEx failed: out of memory (10): x", False, BUSY, "Open"),
        (1, "[h264_nvenc @ 0x1] [error] OpenEncodeSessionEx failed: incompatible client key (21)", True, BUSY, "Open"),
        (1, "[error] OpenEncodeSessionEx failed: unsupported device (2): (no details)", False, TRANSIENT, "device"),
        (1, "[h264_vaapi @ 0x1] [error] Failed to sync to picture surface: 34 (HW busy now).", False, BUSY, "HW busy"),
        (1, "[rtmp @ 0x1] [error] Server error: Already publishing", True, TRANSIENT, "Already publishing"),
        (1, "[fatal] rtmp://h/wrong/x: Input/output error", True, TRANSIENT, "Input/output error"),
        (1, "[rtmp @ 0x1] [error] Server error: NetStream.Authenticate.Rejected", True, PERMANENT, "Authenticate"),
        (1, "[https @ 0x1] [error] HTTP error 404 Not Found", False, PERMANENT, "404"),
        (
            251,
            "[tls @ 0x1] [error] x:SSL routines::certificate verify failed\n[error] I/O error",
            False,
            PERMANENT,
            "SSL_C",
        ),
        (1, "[warning] HTTP error 403 x (media.url_hosts)\n[error] Broken pipe", False, PERMANENT, "url_hosts"),
        (
            1,
            "x264 [error]: malloc of size 9 failed\n[error] Error while opening encoder",
            False,
            TRANSIENT,
            "memory_bytes",
        ),
        (1, "[https @ 0x1] [error] HTTP error 503 Service Unavailable", False, TRANSIENT, "503"),
    ],
)
def test_log_and_code_tell_the_class(exit_code: int, log: str, live: bool, kind: FailureClass, reason: str) -> None:
    told = classify(exit_code, log, live=live)
    assert told.failure_class is kind
    assert reason in told.reason


def test_lost_connection_outweighs_damaged_packets_before_it() -> None:
    log = "[dec @ 0x1] [error] Invalid data found when processing input\n[error] write_frame(): Broken pipe"
    assert classify(1, log, live=True).failure_class is TRANSIENT


def test_words_in_information_lines_do_not_decide() -> None:
    log = "[info]   title : Connection refused\n[error] moov atom not found"
    assert classify(1, log, live=False).failure_class is PERMANENT


def test_credentials_are_left_out_of_the_reason_and_its_length_is_bounded() -> None:
    log = "[error] rtmp://user:secret@h/live: Connection refused" + "x" * 5_000
    told = classify(1, log, live=True)
    assert "secret" not in told.reason
    assert len(told.reason) == 500


def test_problems_of_an_output_are_the_inputs_fault_unless_the_log_tells_of_the_disk() -> None:
    problems = ["the output has 4 frames, expected 60"]
    assert classify_problems(problems, "[warning] corrupt decoded frame").failure_class is PERMANENT
    told = classify_problems(problems, "[out @ 0x1] [error] Error writing trailer: No space left on device")
    assert told.failure_class is TRANSIENT
    assert "4 frames" in told.reason
    assert "No space" in told.reason


def test_good_run_leaves_no_telling_line() -> None:
    ran = succeed((tools().ffmpeg, *BASE, *TEST_PICTURE, "-f", "null", "-"))
    assert "exit code" in classify(1, ran.stderr.decode(), live=False).reason


@pytest.mark.parametrize(
    ("code", "log", "cause"),
    [
        (1, "[error] av_interleaved_write_frame(): Broken pipe", Cause.CONNECTION),
        (224, "", Cause.CONNECTION),
        (1, "[rtmp @ 0x5] [error] Server error: Already publishing", Cause.CONNECTION),
        (-9, "", Cause.CONNECTION),
        (1, "[error] rtmp://h/nope/x: Input/output error", Cause.UNCLEAR),
        (251, "", Cause.UNCLEAR),
        (1, "[error] OpenEncodeSessionEx failed: out of memory (10)", Cause.OTHER),
        (1, "[error] Unknown encoder 'x'", Cause.OTHER),
    ],
)
def test_cause_tells_a_push_whether_to_connect_again(code: int, log: str, cause: Cause) -> None:
    assert classify(code, log, live=True).cause is cause
