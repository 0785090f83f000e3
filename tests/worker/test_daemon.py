import hashlib
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from ffrtmp_worker import daemon as worker_daemon
from ffrtmp_worker import uplink
from ffrtmp_worker.agent import Agent
from ffrtmp_worker.appraisal import SHA256
from ffrtmp_worker.attempt import Limits
from ffrtmp_worker.daemon import Daemon
from ffrtmp_worker.events import Action, Event, MessageCame, Send, TimeCame
from ffrtmp_worker.ffmpeg import environment
from ffrtmp_worker.forker import SPARES, Forker
from ffrtmp_worker.guard import clock_s
from ffrtmp_worker.hardware import LoadMeter
from ffrtmp_worker.limits import Limiter
from ffrtmp_worker.logbook import Logbook
from ffrtmp_worker.null import NullRecipe
from ffrtmp_worker.places import Places
from ffrtmp_worker.probe import PROBE_AV
from ffrtmp_worker.process import Child, Running, marked
from ffrtmp_worker.recipe import Recipes, Step, StepName
from ffrtmp_worker.sampler import Sampler
from ffrtmp_worker.sources import SourceCache
from ffrtmp_worker.spool import Entry, Fate, Spool
from ffrtmp_worker.staging import PartialNotes
from ffrtmp_worker.steps import Workshop
from ffrtmp_worker.tools import find_tools
from ffrtmpd.base.logs import Logger
from ffrtmpd.base.service import Bell
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.curve import client_socket, new_key_pair
from ffrtmpd.wire.messages.nodes import Hardware
from ffrtmpd.wire.messages.session import (
    Assign,
    Bye,
    Committed,
    Encode,
    FetchLog,
    Heartbeat,
    HeartbeatAck,
    Hello,
    LogChunk,
    ProgressReport,
    Reset,
    Result,
    Started,
)
from ffrtmpd.wire.schema import to_plain
from ffrtmpd.wire.vocabulary import SILENT_BEATS, Codec, Outcome
from tests.worker.bench import ListedRecipe, assign, commit, kill, pause, resume, verdict
from tests.worker.masters import ScriptedMaster
from tests.worker.test_process import until


class ScriptRecipe(ListedRecipe):
    """Each step runs a few lines of Python; the encode's partial lies in a folder of the test."""

    def __init__(self, assignment: Assign, folder: Path, code: dict[StepName, str]) -> None:
        super().__init__(assignment, tuple(code))
        self._folder = folder
        self._code = code

    @property
    def output(self) -> str | None:
        return super().output if self.pushes else str(self._folder / f"{self.assignment.job_id}.mp4")

    @property
    def partial(self) -> str | None:
        return None if super().partial is None else f"{self.output}.partial"

    def _step(self, name: StepName) -> Step:
        step = super()._step(name)
        argv = (sys.executable, "-c", self._code[name], self.partial or "-")
        return replace(step, argv=argv, env={"PATH": os.environ.get("PATH", os.defpath)})


WRITE = "import sys; open(sys.argv[1], 'w').write('media'); print(7, flush=True); print('a log', file=sys.stderr)"
HANG = "import sys, time; open(sys.argv[1], 'w').write('half'); print(3, flush=True); time.sleep(600)"


@dataclass
class Worker:
    """A daemon in a thread, and what it may be asked about."""

    daemon: Daemon
    bell: Bell
    thread: threading.Thread
    log: io.StringIO
    mark: str

    def children(self) -> list[int]:
        return list(marked(self.mark))

    def stop(self) -> None:
        self.bell.stop()
        self.thread.join(20)
        assert not self.thread.is_alive(), self.log.getvalue()


Hire = Callable[..., Worker]


@pytest.fixture
def master() -> Iterator[ScriptedMaster]:
    made = ScriptedMaster()
    made.open()
    yield made
    made.end()


@pytest.fixture
def hire(master: ScriptedMaster, tmp_path: Path) -> Iterator[Hire]:
    hired: list[Worker] = []

    def begin(
        code: dict[StepName, str] | None = None,
        *,
        recipes: Recipes | None = None,
        limits: Limits | None = None,
        limiter: Limiter | None = None,
        forker: Forker | None = None,
        energy: Sampler | None = None,
        slots: int = 1,
    ) -> Worker:
        steps = {StepName.ENCODE: WRITE} if code is None else code
        spool = Spool(tmp_path / "spool")
        agent = Agent(
            boot_id=f"boot-{len(hired)}",
            slots=slots,
            hardware=Hardware(hostname="here"),
            recipes=recipes or (lambda assignment: ScriptRecipe(assignment, tmp_path, steps)),
            load=LoadMeter(tmp_path).read,
            random=lambda: 0.5,
            limits=limits,
            spooled=[(entry, entry.fate()) for entry in spool.load()],
        )
        bell, log = Bell(), io.StringIO()
        mark = f"daemon-{os.getpid()}-{id(bell)}"
        daemon = Daemon(
            agent,
            endpoint=master.endpoint,
            own=new_key_pair(),
            server_public=master.key.public,
            spool=spool,
            notes=PartialNotes(tmp_path / "notes"),
            logbook=Logbook(tmp_path / "logs"),
            work=tmp_path,
            mark=mark,
            log=Logger(stream=log, level="debug"),
            bell=bell,
            limiter=limiter,
            forker=forker,
            energy=energy,
        )
        worker = Worker(daemon, bell, threading.Thread(target=daemon.run), log, mark)
        worker.thread.start()
        hired.append(worker)
        return worker

    yield begin
    for worker in hired:
        worker.bell.stop()
        worker.bell.stop()
        worker.thread.join(20)
        worker.bell.close()
        assert not worker.thread.is_alive()
        assert worker.children() == []


def workshop(folder: Path) -> Workshop:
    """Real media tools, whose jobs may read and write in a folder of the test."""
    return Workshop(
        tools=find_tools(),
        encoders=("libx264",),
        places=Places(input_roots=(folder,), output_roots=(folder / "out",)),
        sources=SourceCache(folder / "sources", 1 << 30),
        render_node=None,
        environment=environment(os.environ),
    )


def stat_of(pid: int) -> tuple[str, str, str]:
    """Return the state of a process and its processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0], fields[11], fields[12]


def test_job_runs_from_assignment_to_verdict(master: ScriptedMaster, hire: Hire, tmp_path: Path) -> None:
    hire()
    assert master.greet().running == ()
    master.say(assign())
    assert master.expect(Started).encoder == "libx264"
    assert master.expect(ProgressReport).progress.frame == 7
    result = master.expect(Result)
    assert (result.outcome, result.report.exit_code) == (Outcome.ENCODED, 0)
    final, partial = tmp_path / "job-000001.mp4", tmp_path / "job-000001.mp4.partial"
    assert partial.exists()
    assert not final.exists()
    master.say(commit())
    assert master.expect(Committed).output == str(final)
    assert final.read_text() == "media"
    master.say(verdict())
    # A beat later the verdict was taken, and nothing is told again.
    master.expect(Heartbeat)
    master.say(FetchLog(fetch_id=5, job_id="job-000001", attempt=1))
    chunk = master.expect(LogChunk)
    assert chunk.text.splitlines()[-1] == "a log"
    assert chunk.end


def test_killed_job_is_gone_with_its_process_and_output(master: ScriptedMaster, hire: Hire, tmp_path: Path) -> None:
    stubborn = "import signal; signal.signal(15, signal.SIG_IGN); " + HANG
    worker = hire({StepName.ENCODE: stubborn})
    master.greet()
    master.say(assign())
    master.expect(ProgressReport)
    assert worker.children() != []
    began = time.monotonic()
    master.say(kill())
    assert master.expect(Result).outcome is Outcome.CANCELED
    # Long before the program would have ended by itself.
    assert time.monotonic() - began < 60
    assert worker.children() == []
    worker.stop()
    assert not (tmp_path / "job-000001.mp4.partial").exists()


def test_program_that_cannot_be_started_fails_the_attempt(master: ScriptedMaster, hire: Hire) -> None:
    class Nothing(ListedRecipe):
        def _step(self, name: StepName) -> Step:
            return replace(super()._step(name), argv=("/nonexistent/ffmpeg",))

    made: list[Nothing] = []

    def recipe(assignment: Assign) -> Nothing:
        made.append(Nothing(assignment, (StepName.PROBE,)))
        return made[-1]

    hire(recipes=recipe)
    master.greet()
    master.say(assign())
    master.expect(Result)
    end = made[0].ends[1]
    assert end is not None
    assert end.exit_code == 127
    assert "cannot be started" in end.log_tail


def test_worker_survives_the_masters_restart_and_shows_what_it_runs(master: ScriptedMaster, hire: Hire) -> None:
    worker = hire({StepName.ENCODE: HANG})
    master.greet()
    master.say(assign())
    master.expect(ProgressReport)
    children = worker.children()
    master.close()
    master.open()
    # It beats on, which a new master cannot place. One that was away for three beats is greeted anew instead.
    heard = master.expect(Message, lambda message: isinstance(message, Heartbeat | Hello))
    if isinstance(heard, Heartbeat):
        master.say(Reset())
        master.expect(Hello)
    ready = master.welcome()
    assert [(held.job_id, held.started) for held in ready.running] == [("job-000001", True)]
    assert worker.children() == children


def test_silent_master_is_left_for_a_fresh_socket(master: ScriptedMaster, hire: Hire) -> None:
    hire()
    master.greet(heartbeat_s=0.05)
    master.acknowledges = False
    # Three beats without a word, and it greets again.
    master.expect(Hello)


def test_push_without_answers_is_fenced(master: ScriptedMaster, hire: Hire) -> None:
    worker = hire({StepName.ENCODE: "import time; print(3, flush=True); time.sleep(600)"})
    master.greet(heartbeat_s=5.0, fence_s=0.5)
    master.acknowledges = False
    master.say(assign(live=True))
    result = master.expect(Result)
    assert (result.outcome, result.report.exit_code) == (Outcome.FAILED, -9)
    assert "silent" in (result.reason or "")
    assert worker.children() == []


def test_unanswered_result_is_told_in_the_next_life(master: ScriptedMaster, hire: Hire, tmp_path: Path) -> None:
    first = hire()
    master.greet()
    master.say(assign())
    token = master.expect(Result).token
    first.stop()
    master.expect(Bye)
    hire()
    ready = master.greet()
    assert [(held.job_id, held.token) for held in ready.finished] == [("job-000001", token)]
    assert master.expect(Result).outcome is Outcome.ENCODED
    master.say(commit())
    master.expect(Committed)
    assert (tmp_path / "job-000001.mp4").read_text() == "media"


def test_publication_cut_short_by_the_restart_is_told_as_committed(
    master: ScriptedMaster, hire: Hire, tmp_path: Path
) -> None:
    first = hire()
    master.greet()
    master.say(assign())
    result = master.expect(Result)
    first.stop()
    (tmp_path / "job-000001.mp4.partial").rename(tmp_path / "job-000001.mp4")
    (entry,) = Spool(tmp_path / "spool").load()
    assert (entry.fate(), isinstance(entry, Entry)) == (Fate.PUBLISHED, True)
    hire()
    master.greet()
    assert master.expect(Committed).token == result.token


def test_stop_ends_children_and_says_goodbye(master: ScriptedMaster, hire: Hire, tmp_path: Path) -> None:
    worker = hire({StepName.ENCODE: HANG})
    master.greet()
    master.say(assign())
    master.expect(ProgressReport)
    worker.bell.stop()
    master.expect(Bye)
    worker.thread.join(20)
    assert worker.children() == []
    assert not (tmp_path / "job-000001.mp4.partial").exists()
    assert not any(isinstance(message, Result) for message in master.heard)


def test_words_that_are_none_of_the_wires_are_passed_over(master: ScriptedMaster, hire: Hire) -> None:
    worker = hire()
    master.greet()
    socket, route = master._socket, master._route
    assert socket is not None
    assert route is not None
    for frames in ([b"1"], [b"1", b"ASSIGN", b"\xc1"], [b"9", b"RESET", b"\x80"], [b"1", b"HELLO", b"\x80"]):
        socket.send_multipart([route, *frames])
    master.say(assign())
    assert master.expect(Result).outcome is Outcome.ENCODED
    assert worker.log.getvalue().count("message_not_understood") == 4


def results(master: ScriptedMaster) -> list[Result]:
    return [message for message in master.heard if isinstance(message, Result)]


def null_job(number: int) -> Assign:
    return assign(f"job-{number:06}")


def nothing(_: Assign) -> NullRecipe:
    return NullRecipe()


def test_thousand_assignments_to_one_worker_are_answered_in_order_and_in_few_parts(
    master: ScriptedMaster, hire: Hire
) -> None:
    worker = hire(recipes=nothing, slots=1_000)
    master.greet(heartbeat_s=5.0)
    parts = len(master.parts)
    master.say(*(null_job(number) for number in range(1, 1_001)))
    told = [master.expect(Result).job_id]
    while len(told) < 1_000:
        told.append(master.expect(Result, lambda result: result.job_id not in told).job_id)
    assert told == [f"job-{number:06}" for number in range(1, 1_001)]
    assert len(master.parts) - parts < 50
    master.say(*(verdict(job=job) for job in told))
    already = len(results(master))
    worker.stop()
    master.expect(Bye)
    # Each verdict was taken: nothing was told again.
    assert len(results(master)) == already


def test_wrong_word_among_several_harms_no_other(master: ScriptedMaster, hire: Hire) -> None:
    worker = hire(recipes=nothing)
    master.greet()
    socket, route = master._socket, master._route
    assert socket is not None
    assert route is not None
    first, last = (to_plain(null_job(number)) for number in (1, 2))
    batch = [["ASSIGN", first], ["ASSIGN", {}], ["HELLO", {}], ["ASSIGN", last]]
    socket.send_multipart([route, b"1", b"BATCH", msgpack.packb(batch)])
    socket.send_multipart([route, b"1", b"BATCH", msgpack.packb([*batch, ["ASSIGN"]])])
    # Until it is answered a result is told again.
    for number in (1, 2):
        master.expect(Result, lambda told, number=number: told.job_id == f"job-{number:06}")  # type: ignore[misc]
    master.expect(Heartbeat)
    assert worker.log.getvalue().count("message_not_understood") == 3


def test_what_is_said_leaves_before_a_program_starts_and_before_the_socket_is_left(
    master: ScriptedMaster, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = hire({StepName.ENCODE: HANG}, slots=2)
    agent, handle = worker.daemon._agent, worker.daemon._agent.handle
    kept: list[list[Message]] = []

    def noted(begin: Callable[..., Any]) -> Callable[..., Any]:
        def note(*args: Any, **kwargs: Any) -> Any:
            kept.append(list(worker.daemon._uplink._unsent))
            return begin(*args, **kwargs)

        return note

    def leave(event: Event, now_s: float) -> list[Action]:
        monkeypatch.setattr(agent, "handle", handle)
        return [Send(Bye()), *agent.session.connect(now_s, busy=True), *handle(event, now_s)]

    master.greet(heartbeat_s=5.0)
    monkeypatch.setattr(worker_daemon, "Child", noted(Child))
    monkeypatch.setattr(uplink, "client_socket", noted(client_socket))
    master.say(null_job(1), null_job(2))
    # Between two programs that one turn starts, it has said that the first has begun.
    assert [master.expect(Started).job_id for _ in range(2)] == ["job-000001", "job-000002"]
    monkeypatch.setattr(agent, "handle", leave)
    master.say(null_job(3))
    master.expect(Hello)
    assert kept == [[], [], []]


def test_time_is_told_when_it_is_due_and_not_at_each_wake(
    master: ScriptedMaster, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = hire()
    worker.stop()
    bell, now_s = Bell(), 100.0
    told: list[Event] = []

    def handle(event: Event, _: float) -> list[Action]:
        told.append(event)
        return []

    daemon, agent = worker.daemon, worker.daemon._agent
    monkeypatch.setattr(daemon, "_bell", bell)
    monkeypatch.setattr(daemon, "_clock", lambda: now_s)
    monkeypatch.setattr(daemon, "_poller", zmq.Poller())
    daemon._poller.register(bell.fileno(), zmq.POLLIN)
    monkeypatch.setattr(daemon._uplink, "_socket", None)
    monkeypatch.setattr(daemon, "_quit", False)
    monkeypatch.setattr(agent, "wakeup", lambda: 101.0)
    monkeypatch.setattr(agent, "handle", handle)
    bell.wake()
    daemon._turn()
    assert told == []
    now_s = 102.0
    daemon._turn()
    assert told == [TimeCame()]
    bell.close()


def test_worker_that_was_held_up_does_not_take_its_master_for_silent(
    master: ScriptedMaster, hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = hire()
    link, send = worker.daemon._uplink, worker.daemon._uplink.send
    agent, handle = worker.daemon._agent, worker.daemon._agent.handle
    events: list[tuple[Event, list[Action]]] = []

    def noted(event: Event, now_s: float) -> list[Action]:
        events.append((event, handle(event, now_s)))
        return events[-1][1]

    def held_up() -> None:
        beats = any(isinstance(message, Heartbeat) for message in link._unsent)
        send()
        if beats:
            monkeypatch.setattr(link, "send", send)
            back_s = clock_s() + SILENT_BEATS * 0.2
            until(lambda: link._socket is not None and link._socket.poll(0) and clock_s() > back_s)
            monkeypatch.setattr(agent, "handle", noted)

    monkeypatch.setattr(link, "send", held_up)
    master.greet(heartbeat_s=0.2)
    # The one that it is held up after, and one that it sends because it is back.
    for _ in range(2):
        master.expect(Heartbeat)
    (first, _), (second, actions) = events[:2]
    assert isinstance(first, MessageCame)
    assert isinstance(first.message, HeartbeatAck)
    assert second == TimeCame()
    assert [type(action) for action in actions] == [Send]


def test_real_encode_goes_through_every_step(master: ScriptedMaster, hire: Hire, tmp_path: Path) -> None:
    hire(recipes=workshop(tmp_path).recipe)
    master.greet()
    order = replace(
        assign(),
        encode=Encode(codec=Codec.H264, width=320, height=180, fps=25.0, bitrate_bps=300_000, preset="ultrafast"),
        duration_s=2.0,
        output="clips/a.mp4",
    )
    master.say(order)
    assert master.expect(Started).encoder == "libx264"
    result = master.expect(Result)
    media = result.report.media
    assert (result.outcome, result.reason) == (Outcome.ENCODED, None)
    assert media is not None
    assert media.video is not None
    assert (media.video.width, media.video.height, media.video.frames) == (320, 180, 50)
    assert result.report.cpu_s
    master.say(commit())
    assert master.expect(Committed).output == str(tmp_path / "out" / "clips" / "a.mp4")
    assert (tmp_path / "out" / "clips" / "a.mp4").stat().st_size == media.size_bytes
    percents = [report.progress.percent for report in master.heard if isinstance(report, ProgressReport)]
    assert percents
    assert all(percent is not None and 0 <= percent < 100 for percent in percents)
    assert percents == sorted(percents)  # type: ignore[type-var]


def test_probe_and_hash_of_a_real_encode_are_copies_of_a_process_that_ends_with_the_worker(
    master: ScriptedMaster, hire: Hire, tmp_path: Path
) -> None:
    shop, mark, copied = workshop(tmp_path), f"copies-{os.getpid()}", list[str]()

    class Noted(Forker):
        def start(self, argv: Sequence[str], *, env: Mapping[str, str]) -> Running | None:
            made = super().start(argv, env=env)
            copied.extend([] if made is None else [Path(argv[2]).name])
            return made

    programs = (*((PROBE_AV,) if shop.tools.ffprobe is None else ()), SHA256)
    forker = Noted(programs, python=shop.tools.python, env=shop.environment, cwd="/", mark=mark)

    def is_ready() -> bool:
        forker.prepare()
        return len(list(marked(mark))) == 1 + SPARES

    until(is_ready)
    worker = hire(recipes=shop.recipe, forker=forker)
    master.greet()
    master.say(replace(assign(), duration_s=0.5, output="a.mp4"))
    result = master.expect(Result)
    assert result.outcome is Outcome.ENCODED
    assert copied == [program.name for program in programs]
    master.say(commit())
    master.expect(Committed)
    provenance = result.report.provenance
    assert provenance is not None
    made = (tmp_path / "out" / "a.mp4").read_bytes()
    assert (provenance.output_bytes, provenance.output_sha256) == (len(made), hashlib.sha256(made).hexdigest())
    worker.stop()
    assert list(marked(mark)) == []


def test_real_encode_that_was_paused_is_whole(master: ScriptedMaster, hire: Hire, tmp_path: Path) -> None:
    worker = hire(recipes=workshop(tmp_path).recipe)
    master.greet()
    encode = Encode(codec=Codec.H264, width=640, height=360, fps=30.0, bitrate_bps=500_000, preset="slow")
    master.say(replace(assign(), encode=encode, duration_s=10.0))
    master.expect(ProgressReport)
    master.say(pause())
    master.expect(Heartbeat, lambda beat: beat.running and beat.running[0].paused)
    (encoder,) = worker.children()
    # The beat leaves with the signal; the threads stand still a moment later.
    while stat_of(encoder)[0] != "T":
        master.expect(Heartbeat)
    master.expect(Heartbeat)
    before = stat_of(encoder)
    master.expect(Heartbeat)
    assert stat_of(encoder) == before
    master.say(resume())
    result = master.expect(Result)
    media = result.report.media
    assert (result.outcome, result.reason) == (Outcome.ENCODED, None)
    assert media is not None
    assert media.video is not None
    assert media.video.frames == 300
    assert result.report.paused_s is not None
    assert 0.1 < result.report.paused_s < (result.report.encode_s or 0)


def test_real_refusal_is_permanent_and_says_why(master: ScriptedMaster, hire: Hire, tmp_path: Path) -> None:
    hire(recipes=workshop(tmp_path).recipe)
    master.greet()
    master.say(replace(assign(), input="/etc/passwd"))
    result = master.expect(Result)
    assert (result.outcome, str(result.failure_class)) == (Outcome.FAILED, "permanent")
    assert "input_roots" in (result.reason or "")
