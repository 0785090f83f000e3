import os
import socket
from pathlib import Path

import pytest

from ffrtmp_worker.places import PlaceError, Places, formats_for, protocols_for
from ffrtmpd.wire.vocabulary import FailureClass, OutputMode


@pytest.fixture
def places(tmp_path: Path) -> Places:
    for name in ("in", "out", "secret"):
        (tmp_path / name).mkdir()
    (tmp_path / "in/a.mp4").write_bytes(b"a")
    (tmp_path / "secret/s.mp4").write_bytes(b"s")
    return Places(
        input_roots=(tmp_path / "in",), output_roots=(tmp_path / "out",), hosts=("*.example.net", "127.0.0.1", "::1")
    )


def _refused(places: Places, text: str) -> str:
    with pytest.raises(PlaceError) as caught:
        places.resolve_input(text)
    assert caught.value.failure_class is FailureClass.PERMANENT
    return caught.value.code


def _refused_output(places: Places, text: str | None, mode: OutputMode = OutputMode.FILE) -> str:
    with pytest.raises(PlaceError) as caught:
        places.resolve_output(text, job_id="job-000001", mode=mode)
    return caught.value.code


def test_input_under_a_root_becomes_an_absolute_file_url(places: Places, tmp_path: Path) -> None:
    wanted = f"file:{tmp_path}/in/a.mp4"
    assert places.resolve_input(f"{tmp_path}/in/a.mp4") == wanted
    assert places.resolve_input("a.mp4") == wanted
    assert places.resolve_input("./a.mp4") == wanted


def test_input_with_signs_of_a_pattern_or_an_option_is_an_ordinary_name(places: Places, tmp_path: Path) -> None:
    for name in ("100%d.mp4", "-i.mp4", "a|b.mp4", "a:b.mp4", "ü ñ.mp4"):
        (tmp_path / "in" / name).write_bytes(b"x")
        assert places.resolve_input(f"./{name}") == f"file:{tmp_path}/in/{name}"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("../secret/s.mp4", "outside"),
        ("/etc/passwd", "outside"),
        ("missing.mp4", "missing"),
        ("-version", "bad_name"),
        ("", "bad_name"),
        ("a.mp4\n", "bad_name"),
        ("a\x00.mp4", "bad_name"),
        ("a\udce9b.mp4\ud800", "bad_name"),
        ("concat:/etc/passwd|/etc/hosts", "scheme"),
        ("pipe:0", "scheme"),
        ("file:/etc/passwd", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("data:text/plain,x", "scheme"),
        ("crypto:/etc/passwd", "scheme"),
        ("subfile,,start,0,end,9,,:/etc/passwd", "scheme"),
        ("/etc/no-such-file", "outside"),
        ("/dev/stdin", "outside"),
        (".", "not_a_file"),
        ("x" * 300, "missing"),
    ],
)
def test_input_that_reaches_further_is_refused(places: Places, text: str, code: str) -> None:
    assert _refused(places, text) == code


def test_input_through_a_link_that_leads_out_is_refused(places: Places, tmp_path: Path) -> None:
    (tmp_path / "in/link.mp4").symlink_to(tmp_path / "secret/s.mp4")
    (tmp_path / "in/folder").symlink_to(tmp_path / "secret")
    (tmp_path / "in/circle").symlink_to(tmp_path / "in/circle")
    assert _refused(places, "link.mp4") == "outside"
    assert _refused(places, "folder/s.mp4") == "outside"
    assert _refused(places, "circle") == "missing"


def test_input_that_is_a_pipe_or_a_socket_is_refused(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "in/fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        # A socket's path is short: /tmp may be deep.
        monkeypatch.chdir(tmp_path / "in")
        listener.bind("s")
        assert _refused(places, "fifo") == "not_a_file"
        assert _refused(places, "s") == "not_a_file"


def test_url_of_an_allowed_scheme_and_host_is_taken_as_it_is(places: Places) -> None:
    for url in ("https://cdn.example.net/a.mp4?x=1", "rtmp://127.0.0.1:1935/live/x", "http://[::1]:80/a"):
        assert places.resolve_input(url) == url


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://cdn.example.net/a.mp4", "scheme"),
        ("udp://127.0.0.1:1", "scheme"),
        ("http://example.org/a.mp4", "host"),
        ("http://cdn.example.net.evil.org/", "host"),
        ("http://cdn.example.net@evil.org/", "host"),
        ("http://a@cdn.example.net@evil.org/", "host"),
        ("http://a@evil.org@cdn.example.net/", "host"),
        ("http://evil.org\\@cdn.example.net/", "bad_name"),
        ("http://cdn.example.net/a b", "bad_name"),
        ("http:///a.mp4", "host"),
        ("http://[::1/a", "bad_name"),
        ("http://127.0.0.1:99999/", "bad_name"),
        ("http://cdn.example.net/\r\nHost: evil", "bad_name"),
    ],
)
def test_url_elsewhere_is_refused(places: Places, url: str, code: str) -> None:
    assert _refused(places, url) == code


def test_protocols_and_formats_of_a_file_leave_out_all_that_names_other_files(places: Places) -> None:
    source = places.resolve_input("a.mp4")
    assert protocols_for(source) == "file"
    assert not {"concat", "image2", "hls", "dash", "lavfi", "sdp"} & set(formats_for(source).split(","))
    assert "file" not in protocols_for("https://cdn.example.net/a.m3u8").split(",")


def test_output_without_a_name_is_named_after_the_job(places: Places, tmp_path: Path) -> None:
    assert places.resolve_output(None, job_id="job-000001") == tmp_path / "out/job-000001.mp4"


def test_output_in_a_new_folder_makes_it(places: Places, tmp_path: Path) -> None:
    wanted = tmp_path / "out/x/y/b.mkv"
    assert places.resolve_output("x/y/b.mkv", job_id="job-000001") == wanted
    assert places.resolve_output(str(wanted), job_id="job-000001") == wanted
    assert wanted.parent.is_dir()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("../b.mp4", "outside"),
        ("x/../../b.mp4", "outside"),
        ("/etc/cron.d/b.mp4", "outside"),
        ("x/", "bad_name"),
        ("..", "bad_name"),
        ("-y.mp4", "bad_name"),
        ("b.mp4.job-000001.1.partial", "bad_name"),
        ("x" * 250 + ".mp4", "bad_name"),
        ("pipe:1", "scheme"),
        ("rtmp://127.0.0.1/live/x", "scheme"),
        ("b\n.mp4", "bad_name"),
    ],
)
def test_output_that_reaches_further_is_refused(places: Places, tmp_path: Path, text: str, code: str) -> None:
    assert _refused_output(places, text) == code
    assert list((tmp_path / "out").iterdir()) == []


def test_output_through_a_link_that_leads_out_is_refused(places: Places, tmp_path: Path) -> None:
    (tmp_path / "out/link").symlink_to(tmp_path / "secret")
    assert _refused_output(places, "link/b.mp4") == "outside"
    assert _refused_output(places, "link/new/b.mp4") == "outside"
    assert not (tmp_path / "secret/new").exists()


def test_output_that_exists_as_a_folder_or_a_pipe_is_refused(places: Places, tmp_path: Path) -> None:
    (tmp_path / "out/d.mp4").mkdir()
    os.mkfifo(tmp_path / "out/f.mp4")
    assert _refused_output(places, "d.mp4") == "not_a_file"
    assert _refused_output(places, "f.mp4") == "not_a_file"


def test_job_id_with_a_slash_is_refused(places: Places) -> None:
    with pytest.raises(PlaceError):
        places.resolve_output(None, job_id="../x")


def test_live_output_must_be_a_url_that_fits_its_mode(places: Places) -> None:
    def live(text: str, mode: OutputMode) -> Path | str:
        return places.resolve_output(text, job_id="job-000001", mode=mode)

    assert live("rtmp://127.0.0.1/live/x", OutputMode.RTMP) == "rtmp://127.0.0.1/live/x"
    assert live("srt://127.0.0.1:9", OutputMode.SRT) == "srt://127.0.0.1:9"
    assert live("https://cdn.example.net/x", OutputMode.STREAM) == "https://cdn.example.net/x"
    assert _refused_output(places, "srt://127.0.0.1:9", OutputMode.RTMP) == "scheme"
    assert _refused_output(places, "udp://127.0.0.1:9", OutputMode.STREAM) == "scheme"
    assert _refused_output(places, "rtmp://evil.org/x", OutputMode.RTMP) == "host"
    assert _refused_output(places, "b.mp4", OutputMode.RTMP) == "scheme"
    assert _refused_output(places, None, OutputMode.RTMP) == "scheme"
