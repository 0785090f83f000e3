"""Each attack is tried for real against both builds of FFmpeg: it is refused with its word and reaches nothing."""

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ffrtmp_worker.places import FILE_FORMATS, PlaceError, Places
from ffrtmp_worker.process import run_tool
from ffrtmpd.wire.messages.jobs import JobSpec, Submission, Submit, Submitted
from ffrtmpd.wire.vocabulary import ErrorCode, OutputMode
from tests.master.house import House
from tests.worker.attacks import BODIES, FILES, INPUT_NAMES, OUTPUT_NAMES, REDIRECTS, WORDS, Name
from tests.worker.attempts import BUILDS, Node, Ran, node
from tests.worker.media import make_source, succeed, tools
from tests.worker.webs import Web, web

WORD = "TOP-SECRET-WORD"


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return one second of video as MPEG-TS and as MP4; its metadata hold the word that must not leak."""
    folder = tmp_path_factory.mktemp("clip")
    source = make_source(folder, width=128, height=72, fps=25)
    made = {}
    for suffix in ("ts", "mp4"):
        path = folder / f"clip.{suffix}"
        argv = (
            tools().ffmpeg,
            "-v",
            "error",
            "-i",
            str(source),
            "-map",
            "0:v",
            "-c",
            "copy",
            "-metadata",
            f"title={WORD}",
        )
        succeed((*argv, "-metadata", f"service_name={WORD}", str(path)))
        made[suffix] = path.read_bytes()
        assert WORD.encode() in made[suffix]
    return made


@dataclass
class Scene:
    """A node, a server that it may reach, one that it may not, and a secret file beside its roots."""

    node: Node
    inside: Web
    outside: Web
    secret: Path

    def fill(self, text: str) -> str:
        values = {
            "{secret}": str(self.secret),
            "{outside}": self.outside.url,
            "{outside_host}": self.outside.place,
            "{outside_port}": str(self.outside.port),
            "{inside}": self.inside.url,
        }
        for name, value in values.items():
            text = text.replace(name, value)
        return text

    def nothing_leaked(self, ran: Ran) -> None:
        """Fail if the secret was read or the other server heard of anything."""
        assert self.outside.asked == []
        assert WORD not in ran.said
        for path in self.node.folder.rglob("o.mp4*"):
            assert WORD.encode() not in path.read_bytes()


@pytest.fixture(params=list(BUILDS))
def scene(request: pytest.FixtureRequest, tmp_path: Path, clip: dict[str, bytes]) -> Iterator[Scene]:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(clip["mp4"])
    with (
        web() as inside,
        web("127.0.0.2") as outside,
        node(tmp_path, BUILDS[request.param](), hosts=("127.0.0.1",)) as here,
    ):
        inside.bodies |= {"/own.ts": clip["ts"], "/own.mp4": clip["mp4"]}
        outside.bodies |= {"/secret.ts": clip["ts"], "/secret.mp4": clip["mp4"]}
        yield Scene(here, inside, outside, secret)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "folder").symlink_to(tmp_path)
    (tmp_path / "secret.mp4").write_bytes(b"secret")
    (tmp_path / "in/link.mp4").symlink_to(tmp_path / "secret.mp4")
    return Places(input_roots=(tmp_path / "in",), output_roots=(tmp_path / "out",))


def _code(places: Places, name: Name, folder: Path, resolve: Callable[[str], object]) -> str:
    text = name.text.replace("{secret}", str(folder / "secret.mp4")).replace("{inside}", "example.org")
    with pytest.raises(PlaceError) as caught:
        resolve(text)
    assert not any(character in str(caught.value) for character in "\n\x00\x1b")
    return caught.value.code


def _at_submit(**spec: Any) -> ErrorCode | None:
    job = JobSpec(**{"scenario": "720p30-h264", **spec})
    reply = House().ask(Submit(request_id="s", jobs=(Submission(key="key-00000001", spec=job),)))
    assert isinstance(reply, Submitted)
    (result,) = reply.results
    assert (result.job_id is None) == (result.problem is not None)
    return None if result.problem is None else result.problem.code


@pytest.mark.parametrize("name", INPUT_NAMES, ids=lambda name: ascii(name.text))
def test_input_is_refused(places: Places, tmp_path: Path, name: Name) -> None:
    assert _code(places, name, tmp_path, places.resolve_input) == name.worker
    assert _at_submit(input=name.text) == (ErrorCode.INVALID_ARGUMENT if name.at_submit else None)


@pytest.mark.parametrize("name", OUTPUT_NAMES, ids=lambda name: ascii(name.text))
def test_output_is_refused(places: Places, tmp_path: Path, name: Name) -> None:
    def resolve(text: str) -> object:
        return places.resolve_output(text, job_id="job-000001")

    assert _code(places, name, tmp_path, resolve) == name.worker
    assert _at_submit(output=name.text) == (ErrorCode.INVALID_ARGUMENT if name.at_submit else None)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["folder"]


@pytest.mark.parametrize("spec", WORDS, ids=ascii)
def test_words_are_refused_at_submit(spec: dict[str, Any]) -> None:
    expected = ErrorCode.UNKNOWN_SCENARIO if "scenario" in spec else ErrorCode.INVALID_ARGUMENT
    assert _at_submit(**spec) == expected


def test_pushes_over_http_reach_no_more_than_inputs(places: Places) -> None:
    with pytest.raises(PlaceError) as caught:
        places.resolve_output("http://169.254.169.254/x", job_id="job-000001", mode=OutputMode.STREAM)
    assert caught.value.code == "host"


def test_own_server_and_playlist_are_read(scene: Scene) -> None:
    """Show that what the attacks do differently is what stops them."""
    scene.inside.bodies["/own.m3u8"] = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nown.ts\n#EXT-X-ENDLIST\n"
    scene.inside.redirects["/moved.mp4"] = "/own.mp4"
    for path in ("/own.m3u8", "/moved.mp4"):
        ran = scene.node.attempt(input=scene.inside.url + path)
        assert ran.failure is None
        assert ran.media is not None
        assert ran.media.video is not None
        assert ran.media.video.frames in (24, 25, 26)


@pytest.mark.parametrize("which", list(FILES))
def test_file_that_leads_elsewhere_is_refused(scene: Scene, which: str) -> None:
    name, content = FILES[which]
    (scene.node.folder / "in" / name).write_text(scene.fill(content))
    ran = scene.node.attempt(input=f"./{name}")
    kind, reason = ran.told
    assert kind == "permanent", reason
    assert len(reason) > 20
    scene.nothing_leaked(ran)


@pytest.mark.parametrize("path", [*REDIRECTS, *BODIES])
def test_answer_of_an_allowed_server_that_leads_elsewhere_is_refused(scene: Scene, path: str) -> None:
    scene.inside.redirects = {name: scene.fill(target) for name, target in REDIRECTS.items()}
    scene.inside.bodies |= {name: scene.fill(body).encode() for name, body in BODIES.items()}
    ran = scene.node.attempt(input=scene.inside.url + path)
    kind, reason = ran.told
    assert kind == "permanent", reason
    assert scene.inside.asked
    scene.nothing_leaked(ran)


def test_refused_host_is_named_with_the_setting_that_allows_it(scene: Scene) -> None:
    scene.inside.redirects["/a.mp4"] = f"{scene.outside.url}/secret.mp4"
    _, reason = scene.node.attempt(input=f"{scene.inside.url}/a.mp4").told
    assert "127.0.0.2" in reason
    assert "media.url_hosts" in reason


def test_name_that_has_an_inner_address_is_refused(tmp_path: Path) -> None:
    with web() as inner, node(tmp_path, tools()) as here:
        for scheme in ("http", "rtmp", "srt"):
            kind, reason = here.attempt(input=f"{scheme}://localhost:{inner.port}/a").told
            assert kind == "permanent", reason
            assert "not a public address" in reason
        assert inner.asked == []


def test_output_over_its_input_is_refused(scene: Scene) -> None:
    source = scene.node.folder / "out" / "a.mp4"
    source.write_bytes(scene.secret.read_bytes())
    (scene.node.folder / "in" / "a.mp4").symlink_to(source)
    before = source.read_bytes()
    roots = Places(input_roots=(scene.node.folder,), output_roots=(scene.node.folder / "out",))
    object.__setattr__(scene.node.shop, "places", roots)
    kind, reason = scene.node.attempt(input="in/a.mp4", output="a.mp4").told
    assert (kind, "replace the input" in reason) == ("permanent", True)
    assert source.read_bytes() == before


def test_report_variable_of_ffmpeg_writes_no_file(tmp_path: Path, clip: dict[str, bytes]) -> None:
    report = tmp_path / "report.log"
    outer = {**os.environ, "FFREPORT": f"file={report}:level=48", "http_proxy": "http://127.0.0.1:9"}
    with node(tmp_path, tools(), outer=outer) as here:
        (tmp_path / "in/a.mp4").write_bytes(clip["mp4"])
        assert here.attempt(input="a.mp4").failure is None
    assert not report.exists()


def test_percent_and_dashes_in_names_are_letters(scene: Scene) -> None:
    for name in ("100%d.mp4", "a%03d.mp4", "a 'b' \"c\".mp4", "$(x);&|.mp4", "a[0-9]*?.mp4", "a,b:c=d.mp4"):
        (scene.node.folder / "in" / name).write_bytes(scene.secret.read_bytes())
        ran = scene.node.attempt(input=f"./{name}", output=f"o-{name}")
        assert ran.failure is None
        assert ran.output == scene.node.folder / "out" / f"o-{name}.job-000001.1.74747474.partial"
        assert ran.output.is_file()


def _boxes(data: bytes, path: list[bytes], change: Callable[[bytes], bytes]) -> bytes:
    """Return an MP4 whose box at ``path`` was changed; the sizes of those around it follow."""
    out, at = b"", 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + size]
        if kind == path[0]:
            body = change(body) if len(path) == 1 else _boxes(body, path[1:], change)
        out += struct.pack(">I4s", len(body) + 8, kind) + body
        at += size
    return out


def _alias(target: str) -> Callable[[bytes], bytes]:
    """Return what makes a data reference name another file, as QuickTime's alias records do."""
    path = target.encode() + b"\0" * (len(target) % 2)
    record = b"\0" * 10 + b"\0" * 28 + b"\0" * 12 + b"\0" * 64 + b"\0" * 16 + b"\0\0\0\0" + b"\0" * 16
    record += struct.pack(">HH", 2, len(path)) + path + b"\xff\xff\0\0"
    entry = struct.pack(">I4sI", len(record) + 12, b"alis", 0) + record
    return lambda _: struct.pack(">II", 0, 1) + entry


def test_mp4_whose_samples_lie_in_another_file_is_refused(scene: Scene) -> None:
    made = scene.secret.read_bytes().replace(WORD.encode(), b"." * len(WORD))
    trap = _boxes(made, [b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"], _alias(str(scene.secret)))
    path = scene.node.folder / "in" / "a.mp4"
    path.write_bytes(trap)
    # Told to, FFmpeg does follow it: the trap is one.
    follow = ("-enable_drefs", "1", "-use_absolute_path", "1", "-format_whitelist", FILE_FORMATS)
    ffmpeg = scene.node.shop.tools.ffmpeg
    ran = run_tool((ffmpeg, "-v", "error", *follow, "-i", str(path), "-f", "null", "-"), timeout_s=60)
    assert ran.exit_code == 0, ran.stderr.decode()
    tried = scene.node.attempt(input="a.mp4")
    assert tried.told[0] == "permanent"
    scene.nothing_leaked(tried)


def test_endless_input_ends_with_its_length_or_its_time(scene: Scene, clip: dict[str, bytes]) -> None:
    scene.inside.endless["/endless.ts"] = clip["ts"]
    ran = scene.node.attempt(input=f"{scene.inside.url}/endless.ts", duration_s=0.4)
    assert ran.failure is None
    assert ran.media is not None
    assert ran.media.duration_s == pytest.approx(0.4, abs=0.1)
