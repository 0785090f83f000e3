"""Jobs that may not be done, through the real programs: each ends once, says why, and leaves nothing behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, cluster
from tests.worker.attacks import BODIES, FILES, REDIRECTS
from tests.worker.webs import Web, web

pytestmark = pytest.mark.e2e

SCENARIO = "128x72p25-h264"


@pytest.fixture(scope="module")
def inside() -> Iterator[Web]:
    with web() as served:
        yield served


@pytest.fixture(scope="module")
def outside() -> Iterator[Web]:
    with web("127.0.0.2") as served:
        served.bodies |= {"/secret.mp4": b"x", "/secret.ts": b"x"}
        yield served


@pytest.fixture(scope="module")
def fenced(tmp_path_factory: pytest.TempPathFactory, ffmpeg: str, inside: Web) -> Iterator[Cluster]:
    """Give a cluster whose one worker may reach one server."""
    with cluster(tmp_path_factory.mktemp("fenced")) as running:
        running.start_master()
        running.worker("w1", slots=2, settings='url_hosts = ["127.0.0.1"]\n')
        yield running


def _filled(text: str, running: Cluster, inside: Web, outside: Web) -> str:
    values = {
        "{secret}": str(running.folder / "secret.mp4"),
        "{outside}": outside.url,
        "{outside_host}": outside.place,
        "{outside_port}": str(outside.port),
        "{inside}": inside.url,
    }
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def _unfinished(running: Cluster) -> list[str]:
    return sorted(path.name for path in running.folder.rglob("*.partial"))


def test_attacks_end_once_and_leave_nothing(fenced: Cluster, inside: Web, outside: Web) -> None:
    inside.redirects = {name: _filled(to, fenced, inside, outside) for name, to in REDIRECTS.items()}
    inside.bodies |= {name: _filled(body, fenced, inside, outside).encode() for name, body in BODIES.items()}
    inputs = [inside.url + path for path in ("/host.mp4", "/metadata.mp4", "/hls-host.m3u8", "/hls-file.m3u8")]
    inputs += ["/etc/passwd", "http://169.254.169.254/latest/meta-data/", f"rtmp://localhost:{outside.port}/live/x"]
    for which in ("ffconcat", "hls-url", "bomb"):
        name, content = FILES[which]
        folder = fenced.media / which
        folder.mkdir()
        (folder / name).write_text(_filled(content, fenced, inside, outside))
        inputs.append(f"{which}/{name}")
    jobs = {
        given: fenced.submit(SCENARIO, "--input", given, "--output", f"attack-{number}.mp4")
        for number, given in enumerate(inputs)
    }
    for given, job_id in jobs.items():
        job = fenced.wait_for(job_id, "failed", "completed")
        assert (job["state"], job["attempt"]) == ("failed", 1), (given, job["reason"])
        assert len(job["reason"]) > 20
    assert outside.asked == []
    assert _unfinished(fenced) == []
    assert list(fenced.media.glob("attack-*")) == []


@pytest.mark.parametrize(
    "options",
    [
        ("--input", "concat:/etc/passwd|/etc/hosts"),
        ("--input", "../../etc/passwd"),
        ("--output", "../escape.mp4"),
        ("--output", "o.mp4.job-000001.1.partial"),
        ("--preset", "medium -f null"),
        ("--label", "a=\x1b[2J"),
    ],
    ids=ascii,
)
def test_name_that_no_node_may_open_is_refused_at_submit(fenced: Cluster, options: tuple[str, str]) -> None:
    before = len(fenced.json("jobs", "list")["jobs"])
    done = fenced.ffrtmp("jobs", "submit", SCENARIO, *options)
    assert done.returncode != 0
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert "\x1b" not in done.stderr
    assert len(fenced.json("jobs", "list")["jobs"]) == before


def test_endless_input_ends_by_its_timeout(fenced: Cluster, inside: Web) -> None:
    source = fenced.media / "one.ts"
    fenced.wait_for(fenced.submit(SCENARIO, "--duration", "1", "--output", str(source)), "completed")
    inside.endless["/endless.ts"] = source.read_bytes()
    url = f"{inside.url}/endless.ts"
    job_id = fenced.submit(SCENARIO, "--input", url, "--timeout", "3", "--max-attempts", "1", "--output", "endless.mp4")
    job = fenced.wait_for(job_id, "failed", "completed")
    assert (job["state"], job["attempt"]) == ("failed", 1)
    assert "3 s" in job["reason"]
    assert _unfinished(fenced) == []


def test_bad_files_end_once_and_leave_nothing(fenced: Cluster) -> None:
    folder: Path = fenced.media / "bad"
    folder.mkdir()
    whole = folder / "whole.mp4"
    fenced.wait_for(fenced.submit(SCENARIO, "--duration", "2", "--output", str(whole)), "completed")
    (folder / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("a letter\n" * 1_000)
    says = {
        "cut.mp4": "cut short",
        "empty.mp4": "is empty",
        "text.mp4": "no MP4",
        "gone.mp4": "no such file",
        ".": "folder",
    }
    jobs = {
        name: fenced.submit(SCENARIO, "--input", f"bad/{name}", "--output", f"bad-{number}.mp4")
        for number, name in enumerate(says)
    }
    for name, job_id in jobs.items():
        job = fenced.wait_for(job_id, "failed", "completed")
        assert (job["state"], job["attempt"]) == ("failed", 1), name
        assert says[name] in job["reason"]
    assert _unfinished(fenced) == []
    assert list(fenced.media.glob("bad-*")) == []
