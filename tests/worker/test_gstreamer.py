"""Pipelines as data: no process is started here."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ffrtmp_worker.ffmpeg import InvalidPreset
from ffrtmp_worker.gstreamer import ELEMENTS, pipeline, refusal
from ffrtmp_worker.gstreamer_engine import GstreamerEngine
from ffrtmp_worker.recipe import Cause
from ffrtmp_worker.task import Task, plan
from ffrtmpd.wire.media import ENCODERS
from ffrtmpd.wire.vocabulary import Codec, Engine, FailureClass, OutputMode
from tests.worker import media
from tests.worker.media import assign

GST = tuple(name for name, encoder in ENCODERS.items() if encoder.engine is Engine.GSTREAMER)
URL = "rtmp://host/live/key"
ENGINE = GstreamerEngine(python="python3", version="GStreamer 1.22.0", elements=ELEMENTS, encoders=GST, environment={})
TRANSIENT, PERMANENT = FailureClass.TRANSIENT, FailureClass.PERMANENT


def task(destination: str = "/out/a.mp4", **order: Any) -> Task:
    return media.task(assign(**order), destination=Path(destination), encoders=GST)


def push(url: str = URL, **order: Any) -> Task:
    order = {"mode": OutputMode.RTMP, "duration_s": 3.0, **order}
    return plan(assign(**order), encoders=GST, source="graph", media=None, destination=url, lavfi=True)


def properties(made: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [element["properties"] for element in made["elements"] if element["name"] == name]
    return dict(found)


def test_what_was_asked_is_in_the_pipeline() -> None:
    made = pipeline(task(duration_s=0.5), ELEMENTS)
    assert properties(made, "video-caps")["caps"] == (
        "video/x-raw,format=I420,width=256,height=144,pixel-aspect-ratio=1/1,framerate=25/1"
    )
    encoder = properties(made, "encoder")
    assert (encoder["bitrate"], encoder["key-int-max"], encoder["speed-preset"]) == (300, 50, "fast")
    assert (made["limit_frames"], made["limit_ns"]) == (12, 500_000_000)
    assert properties(made, "source") == {"location": "/in/a.mkv"}
    assert properties(made, "muxer") == {"faststart": True, "faststart-file": "/out"}
    assert json.loads(json.dumps(made))["path"] == "/out/a.mp4.job-000001.2.74747474.partial"


def test_rate_of_the_source_is_kept_where_none_is_known() -> None:
    made = pipeline(replace(task(duration_s=0.5), rate=None), ELEMENTS)
    assert "framerate" not in properties(made, "video-caps")["caps"]
    assert (made["rate"], made["limit_frames"], made["limit_ns"]) == (None, None, 500_000_000)


def test_link_and_count_name_elements_that_are_there() -> None:
    for made in (
        pipeline(task(), ELEMENTS),
        pipeline(push(), ELEMENTS),
        pipeline(task("/out/a.ts"), ELEMENTS),
    ):
        names = [element["name"] for element in made["elements"]]
        assert len(names) == len(set(names))
        linked = {name for link in made["links"] for name in link}
        assert linked == set(names)
        for part in ("decode", "cuts", "counted"):
            assert set(made[part].values()) <= set(names)


def test_push_is_counted_where_its_sink_holds_it_back_and_a_file_where_it_is_encoded() -> None:
    made, of_file = pipeline(push(), ELEMENTS), pipeline(task(), ELEMENTS)
    assert (made["counted"]["video"], made["sent"], made["linger_ms"]) == ("video-ready", "out-bytes-total", 0)
    assert (of_file["counted"]["video"], of_file["sent"]) == ("video-parser", None)


def test_rest_of_a_file_is_pushed_from_where_it_was_lost() -> None:
    whole, rest = pipeline(task(), ELEMENTS), pipeline(replace(task(), length_s=3.0, skip_s=1.25), ELEMENTS)
    assert (whole["skip_ns"], whole["length_ns"]) == (0, 1_000_000_000)
    assert (rest["skip_ns"], rest["length_ns"]) == (1_250_000_000, 1_750_000_000)
    assert pipeline(push(), ELEMENTS)["length_ns"] is None


def test_srt_url_means_what_it_means_to_ffmpeg() -> None:
    plain = pipeline(push("srt://host:9000", mode=OutputMode.SRT), ELEMENTS)
    assert properties(plain, "sink") == {"uri": "srt://host:9000", "auto-reconnect": False, "sync": False}
    assert (plain["linger_ms"], plain["sent"]) == (490, "bytes-sent-total")
    url = "srt://[::1]:9000?mode=caller&latency=200000&streamid=%23%21%3A%3Ar%3Dx&passphrase=a%20b+cdefghij&pbkeylen=32"
    made = pipeline(push(url, mode=OutputMode.SRT), ELEMENTS)
    assert properties(made, "sink") == {
        "uri": "srt://[::1]:9000",
        "auto-reconnect": False,
        # Microseconds there, milliseconds here.
        "latency": 200,
        "streamid": "#!::r=x",
        "passphrase": "a%20b+cdefghij",
        "pbkeylen": "32",
        "sync": False,
    }
    assert made["linger_ms"] == 650


def test_push_of_a_generated_source_is_live_by_itself_and_that_of_a_file_is_paced() -> None:
    made = pipeline(push(), ELEMENTS)
    assert properties(made, "source")["is-live"]
    assert properties(made, "sink") == {"location": URL, "async-connect": True, "sync": False}
    assert properties(made, "encoder")["tune"] == "zerolatency"
    assert "vbv-maxrate=300:" in properties(made, "encoder")["option-string"]
    of_file = plan(
        assign(mode=OutputMode.RTMP), encoders=GST, source="file:/in/a.mkv", media=media.found(), destination=URL
    )
    assert properties(pipeline(of_file, ELEMENTS), "sink") == {"location": URL, "async-connect": False, "sync": True}


@pytest.mark.parametrize("name", ["a b!c.mp4", 'x" ! fakesink', "location=/etc/passwd", "ü\u2028.mp4"])
def test_name_is_a_value_and_nothing_else(name: str) -> None:
    usual = pipeline(replace(task(), source="file:/in/plain"), ELEMENTS)
    made = pipeline(replace(task(), source=f"file:/in/{name}"), ELEMENTS)
    assert properties(made, "source") == {"location": f"/in/{name}"}
    assert made["links"] == usual["links"]
    assert [element["factory"] for element in made["elements"]] == [element["factory"] for element in usual["elements"]]


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (replace(task(), source="http://host/a.mp4"), "no URLs"),
        (replace(task(), loop=True), "plays no source again"),
        (push("http://host/put", mode=OutputMode.STREAM), "pushes to rtmp, rtmps, srt"),
        (replace(task(), encoder=ENCODERS["libx264"]), "libx264"),
        (push("srt://host:9?mode=listener", mode=OutputMode.SRT), "a mode but caller"),
        (push("srt://host:9?maxbw=9&latency=1", mode=OutputMode.SRT), "does not know maxbw"),
        (push("srt://host:9?latency=soon", mode=OutputMode.SRT), "whole numbers"),
    ],
)
def test_what_it_cannot_do_is_refused_with_a_reason(made: Task, says: str) -> None:
    assert says in (refusal(made, ELEMENTS) or "")


def test_element_that_is_not_installed_is_named() -> None:
    assert refusal(task(), ELEMENTS) is None
    assert refusal(push(), [name for name in ELEMENTS if name != "rtmp2sink"]) == "not installed: rtmp2sink"
    assert refusal(task(), [name for name in ELEMENTS if name != "rtmp2sink"]) is None
    # Of the two encoders of AAC one is enough.
    assert refusal(task(), [name for name in ELEMENTS if name != "avenc_aac"]) is None
    assert "aac" in (refusal(task(), [name for name in ELEMENTS if name not in ("avenc_aac", "voaacenc")]) or "")


def test_preset_is_in_the_encoders_own_scale() -> None:
    assert properties(pipeline(task(codec=Codec.VP9, preset="ultrafast"), ELEMENTS), "encoder")["cpu-used"] == 8
    assert properties(pipeline(task(codec=Codec.AV1, preset="3"), ELEMENTS), "encoder")["cpu-used"] == 3
    with pytest.raises(InvalidPreset, match="x264enc has no preset"):
        refusal(task(preset="p7"), ELEMENTS)


# What GStreamer 1.22 wrote when these things happened.
@pytest.mark.parametrize(
    ("said", "kind", "cause"),
    [
        # Nobody listens; no such name.
        ("Connection refused: Could not connect to 127.0.0.1: Connection refused", TRANSIENT, Cause.CONNECTION),
        (
            "Failed to connect: Error resolving “nowhere.invalid”: Name or service not known",
            TRANSIENT,
            Cause.CONNECTION,
        ),
        # The server was killed; it was stopped; it has the name already.
        (
            "Connection error: connection closed remotely domain g-io-error-quark, code 44",
            TRANSIENT,
            Cause.CONNECTION,
        ),
        ("Failed to connect: Socket I/O timed out domain g-io-error-quark, code 24", TRANSIENT, Cause.CONNECTION),
        (
            'Failed to connect: publish denied; stream already exists: { "code": "NetStream.Publish.BadName" }',
            TRANSIENT,
            Cause.CONNECTION,
        ),
        # A wrong key, a wrong application.
        ("Failed to connect: 'publish' cmd failed: connection closed remotely", TRANSIENT, Cause.UNCLEAR),
        ("Failed to connect: 'connect' cmd failed: connection closed remotely", TRANSIENT, Cause.UNCLEAR),
        # Over SRT: nobody there, or a wrong passphrase; the peer was killed.
        ("Failed to write to SRT socket: Connection does not exist", TRANSIENT, Cause.CONNECTION),
        ("Failed to write to SRT socket: Error on SRT socket: Unknown or erroneous", TRANSIENT, Cause.CONNECTION),
    ],
)
def test_what_a_sink_says_tells_what_a_push_may_do(said: str, kind: FailureClass, cause: Cause) -> None:
    told = ENGINE.classify(1, f"[error] sink: {said}\n", live=True)
    assert (told.failure_class, told.cause) == (kind, cause)
    assert told.reason == f"sink: {said}"


@pytest.mark.parametrize(
    "said",
    [
        # As the plugin's own texts have them: no server here says so.
        "Failed to connect: publish denied: not for you",
        "Not authorized to connect: authentication failed; wrong credentials?: authmod=adobe",
        "Failed to connect: Unacceptable TLS certificate domain g-tls-error-quark, code 2",
    ],
)
def test_server_that_gives_its_reason_is_not_asked_again(said: str) -> None:
    told = ENGINE.classify(1, f"[error] sink: {said}\n", live=True)
    assert (told.failure_class, told.cause) == (PERMANENT, Cause.OTHER)


@pytest.mark.parametrize(
    ("code", "log", "kind", "cause"),
    [
        (255, "[info] asked to end\n", TRANSIENT, Cause.CONNECTION),
        (-9, "", TRANSIENT, Cause.CONNECTION),
        (65, "[error] the input has no video that can be decoded\n", PERMANENT, Cause.OTHER),
        (69, "[error] no such element: srtsink\n", TRANSIENT, Cause.OTHER),
        (1, "[error] encoder: Can not initialize x264 encoder.\n", TRANSIENT, Cause.OTHER),
    ],
)
def test_what_is_not_the_connections_is_told_apart(code: int, log: str, kind: FailureClass, cause: Cause) -> None:
    told = ENGINE.classify(code, log, live=True)
    assert (told.failure_class, told.cause) == (kind, cause)


@pytest.mark.parametrize(("code", "unreadable"), [(65, True), (66, True), (64, False), (1, False), (-9, False)])
def test_input_that_only_this_engine_may_not_read_is_told_apart(code: int, unreadable: bool) -> None:
    assert ENGINE.classify(code, "[error] decoder: no suitable plugins found\n", live=True).unreadable is unreadable


def test_connection_of_a_file_is_no_matter_of_a_push() -> None:
    assert ENGINE.classify(1, "[error] sink: Connection error: closed\n", live=False).cause is Cause.OTHER
