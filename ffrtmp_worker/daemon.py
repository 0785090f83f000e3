"""The shell around the agent: one poller over the socket, the children's pipes and exits, and the bell.

It feeds events to the agent and performs its actions. What may take long on a disk is done by one helper thread.
"""

import math
import queue
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Final

import zmq

from ffrtmp_worker.agent import Agent
from ffrtmp_worker.events import (
    Action,
    ChildExited,
    ChildId,
    ChildOutput,
    CloseLog,
    Event,
    Forget,
    KillChild,
    Note,
    PauseChild,
    Publish,
    Published,
    Quit,
    ReadLog,
    Reconnect,
    Remove,
    ResumeChild,
    RoomRead,
    Seal,
    Sealed,
    Send,
    Spawn,
    StopAsked,
    TerminateChild,
    TimeCame,
)
from ffrtmp_worker.forker import Forker
from ffrtmp_worker.guard import Guard, clock_s
from ffrtmp_worker.limits import Limiter
from ffrtmp_worker.logbook import Log, Logbook
from ffrtmp_worker.process import EXIT_NOT_FOUND, Child, Running
from ffrtmp_worker.recorder import Recorder
from ffrtmp_worker.room import RoomWatch
from ffrtmp_worker.sampler import Sampler
from ffrtmp_worker.spool import Spool
from ffrtmp_worker.staging import PartialNotes, publish
from ffrtmp_worker.uplink import Uplink
from ffrtmpd.base import faults
from ffrtmpd.base.logs import Logger
from ffrtmpd.base.service import Bell, Watchdog
from ffrtmpd.wire.curve import KeyPair

# What a full pipe can hold, many times over: a child that has ended cannot have left more.
READS_AT_END: Final = 256
TRIM_EVERY: Final = 64
# After the start of a program, copies are made for what follows it. Not at once: while the kernel moves a process into
# a control group nobody starts a thread, and an encoder starts many.
PREPARE_AFTER_S: Final = 1.0


class Daemon:
    """Runs an agent until it quits.

    Args:
        endpoint, own, server_public: the master, and who this is.
        work: working folder of children.
        mark: what all children of this worker carry, so that a later life finds them.
        limiter: puts children under limits; it is closed at the end.
        forker: has copies ready of small programs; it is closed at the end; nothing: all are started.
        energy: meters children; nothing: nothing is metered.
        recorder: publishes metrics; nothing: none are.
        watchdog: is told that turns come to their end.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        endpoint: str,
        own: KeyPair,
        server_public: str,
        spool: Spool,
        notes: PartialNotes,
        logbook: Logbook,
        work: Path,
        mark: str,
        log: Logger,
        bell: Bell,
        limiter: Limiter | None = None,
        forker: Forker | None = None,
        energy: Sampler | None = None,
        recorder: Recorder | None = None,
        watchdog: Watchdog | None = None,
        clock: Callable[[], float] = clock_s,
    ) -> None:
        self._agent = agent
        self._spool, self._notes, self._logbook = spool, notes, logbook
        self._work, self._mark = str(work), mark
        self._log = log
        self._bell = bell
        self._limiter = limiter or Limiter()
        self._forker = forker
        self._prepare_at_s = math.inf if forker is None else clock() + PREPARE_AFTER_S
        self._energy = energy or Sampler()
        self._recorder = recorder
        self._watchdog = watchdog or Watchdog({})
        self._clock = clock
        self._poller = zmq.Poller()
        self._uplink = Uplink(endpoint=endpoint, own=own, server_public=server_public, poller=self._poller, log=log)
        self._children: dict[ChildId, Running] = {}
        self._logs: dict[ChildId, Log] = {}
        self._watched: dict[int, Callable[[], object]] = {}
        self._events: deque[Event] = deque()
        self._helper = ThreadPoolExecutor(1, thread_name_prefix="disk")
        self._done: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._room = RoomWatch()
        self._guard = Guard()
        self._closed_logs = 0
        self._wakeup_s = -math.inf
        self._fault: BaseException | None = None
        self._quit = False

    def run(self) -> None:
        """Run until the agent quits; nothing of it is left running then."""
        self._poller.register(self._bell.fileno(), zmq.POLLIN)
        try:
            self._perform(self._agent.open(self._clock()))
            self._watchdog.ready()
            while not self._quit:
                self._turn()
        finally:
            self._close()

    def _turn(self) -> None:
        ready = dict(self._poller.poll(self._patience_ms()))
        # One write a turn: a line for each of hundreds of results would cost as much as the results.
        self._log.hold()
        try:
            self._take_up(ready)
        finally:
            self._log.release()

    def _take_up(self, ready: Mapping[Any, int]) -> None:
        """Do what follows from what the poller found."""
        if self._bell.fileno() in ready:
            self._heed_bell()
        for key in ready:
            watched = self._watched.get(key) if isinstance(key, int) else None
            if watched is not None:
                watched()
        self._drain()
        self._events.extend(self._uplink.hear(ready))
        self._drain()
        # After all that has come was read: a worker that was held up must not take its own absence for its master's
        # silence, or a child's. The fence is no part of it, the agent looks at it with every event.
        if self._clock() >= self._wakeup_s:
            self._events.append(TimeCame())
            self._drain()
        self._uplink.send()
        self._guard.keep(
            {self._children[child].pid: at_s for child, at_s in self._agent.fences().items() if child in self._children}
        )
        now_s = self._clock()
        look = self._room.due(now_s)
        if look is not None:
            self._on_disk(look)
        self._energy.tick(now_s)
        self._watchdog.turned(now_s)
        # No turn is made for it: progress and beats bring some.
        if self._forker is not None and now_s >= self._prepare_at_s:
            self._prepare_at_s = math.inf
            self._forker.prepare()

    def _heed_bell(self) -> None:
        """Take up what signals and the helper thread rang for."""
        for _ in range(self._bell.stops_heard()):
            self._watchdog.stopping()
            self._events.append(StopAsked())
        if self._fault is not None:
            raise self._fault
        while not self._done.empty():
            self._done_on_disk(self._done.get())

    def _patience_ms(self) -> int | None:
        agent_s, energy_s = self._agent.wakeup(), self._energy.due_at()
        self._wakeup_s = math.inf if agent_s is None else agent_s
        due_s = min(self._wakeup_s, math.inf if energy_s is None else energy_s, self._watchdog.due_s())
        # Rounded up, or the last millisecond would be spent in empty turns.
        return None if due_s == math.inf else max(0, int((due_s - self._clock()) * 1000) + 1)

    def _drain(self) -> None:
        while self._events and not self._quit:
            self._perform(self._agent.handle(self._events.popleft(), self._clock()))

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            self._ACTIONS[type(action)](self, action)

    def _close(self) -> None:
        for child in self._children.values():
            child.close()
        self._guard.close()
        if self._forker is not None:
            self._forker.close()
        self._limiter.close()
        self._helper.shutdown()
        self._logbook.close_all()
        self._uplink.close()

    # ── children ──────────────────────────────────────────────────────────────────────────────────────────────

    def _watch(self, descriptor: int, call: Callable[[], object]) -> None:
        self._watched[descriptor] = call
        self._poller.register(descriptor, zmq.POLLIN)

    def _unwatch(self, descriptor: int) -> None:
        if self._watched.pop(descriptor, None) is not None:
            self._poller.unregister(descriptor)

    def _spawn(self, action: Spawn) -> None:
        # It takes milliseconds, and a turn may start many.
        self._uplink.send()
        # The disk may hold us up here: what led to it stands in the log.
        self._log.release()
        try:
            log = self._logbook.log(action.attempt)
            log.begin_step(action.argv)
            if action.partial is not None:
                self._notes.note(Path(action.partial))
            child = self._start(action)
        except OSError as error:
            reason = f"{action.argv[0]} cannot be started: {error.strerror or error}"
            self._events.append(ChildExited(child=action.child, exit_code=EXIT_NOT_FOUND, log_tail=reason))
            return
        number = action.child
        self._energy.begin(number, child.pid, child.confined.group, self._clock())
        self._children[number] = child
        self._logs[number] = log
        if action.partial is not None:
            self._room.begin(number, action.attempt, action.partial)
        self._watch(child.stdout, lambda: self._read_output(number))
        self._watch(child.stderr, lambda: self._read_log(number))
        self._watch(child.pidfd, lambda: self._reap(number))

    def _start(self, action: Spawn) -> Running:
        argv, env = action.argv, action.env
        if self._forker is not None:
            forked = self._forker.start(argv, env=env)
            if forked is not None:
                return forked
            self._prepare_at_s = min(self._prepare_at_s, self._clock() + PREPARE_AFTER_S)
        return Child(argv, env=env, cwd=self._work, mark=self._mark, limiter=self._limiter)

    def _read_output(self, number: ChildId) -> bool:
        """Take what the child wrote; tell whether there may be more."""
        child = self._children.get(number)
        data = None if child is None else child.read(child.stdout)
        if child is None or data is None:
            return False
        if not data:
            self._unwatch(child.stdout)
            return False
        self._events.append(ChildOutput(number, data))
        return True

    def _read_log(self, number: ChildId) -> bool:
        child = self._children.get(number)
        data = None if child is None else child.read(child.stderr)
        if child is None or data is None:
            return False
        if not data:
            self._unwatch(child.stderr)
            return False
        self._logs[number].write(data)
        return True

    def _reap(self, number: ChildId) -> None:
        child = self._children.get(number)
        # Its processes, and their control group, can be read only as long as it is not waited for.
        self._energy.settle(number)
        ended = None if child is None else child.reap()
        if child is None or ended is None:
            return
        for read in (self._read_output, self._read_log):
            for _ in range(READS_AT_END):
                if not read(number):
                    break
        for descriptor in (child.stdout, child.stderr, child.pidfd):
            self._unwatch(descriptor)
        del self._children[number]
        child.close()
        self._room.end(number)
        self._events.append(
            ChildExited(
                child=number,
                exit_code=ended.exit_code,
                cpu_s=ended.cpu_s,
                log_tail=self._logs.pop(number).recent(),
                limits=ended.limits,
                over_limit=ended.over_limit,
                joules=self._energy.end(number, ended.cpu_s, self._clock()),
            )
        )

    # ── actions ───────────────────────────────────────────────────────────────────────────────────────────────

    def _do_send(self, action: Send) -> None:
        self._uplink.say(action.message)
        if self._recorder is not None:
            self._recorder.sent(action.message)

    def _do_reconnect(self, _: Reconnect) -> None:
        if self._recorder is not None:
            self._recorder.disconnected()
        self._uplink.connect()

    def _do_spawn(self, action: Spawn) -> None:
        self._spawn(action)

    def _do_pause(self, action: PauseChild) -> None:
        if action.child in self._children:
            self._children[action.child].pause()
            self._energy.pause(action.child, self._clock(), paused=True)

    def _do_resume(self, action: ResumeChild) -> None:
        if action.child in self._children:
            self._children[action.child].resume()
            self._energy.pause(action.child, self._clock(), paused=False)

    def _do_terminate(self, action: TerminateChild) -> None:
        if action.child in self._children:
            self._children[action.child].terminate()

    def _do_kill(self, action: KillChild) -> None:
        if action.child in self._children:
            self._children[action.child].kill()

    def _do_seal(self, action: Seal) -> None:
        entry = action.entry

        def seal() -> Event:
            return Sealed(attempt=entry.attempt, error=_error_of(lambda: self._spool.seal(entry)))

        self._on_disk(seal)

    def _do_publish(self, action: Publish) -> None:
        entry = action.entry

        def give_name() -> None:
            faults.point("rename")
            partial, media = Path(entry.partial or ""), entry.result.report.media
            publish(partial, Path(entry.final or ""), size_bytes=None if media is None else media.size_bytes)
            self._notes.forget(partial)

        self._on_disk(lambda: Published(attempt=entry.attempt, error=_error_of(give_name)))

    def _do_forget(self, action: Forget) -> None:
        self._on_disk(lambda: self._noted(f"spool {action.attempt}", lambda: self._spool.drop(action.attempt)))

    def _do_remove(self, action: Remove) -> None:
        def remove() -> None:
            path = Path(action.path)
            path.unlink(missing_ok=True)
            self._notes.forget(path)

        self._on_disk(lambda: self._noted(action.path, remove))

    def _do_read_log(self, action: ReadLog) -> None:
        # Nothing that is said already waits for the disk.
        self._uplink.send()
        self._uplink.say(self._logbook.fetch(action.request, running=action.running))

    def _do_close_log(self, action: CloseLog) -> None:
        if not self._logbook.close(action.attempt):
            return
        self._closed_logs += 1
        if self._closed_logs % TRIM_EVERY == 0:
            self._on_disk(lambda: self._noted("logs", self._logbook.trim))

    def _do_note(self, action: Note) -> None:
        self._log.log(action.level, action.event, action.fields)

    def _do_quit(self, _: Quit) -> None:
        self._quit = True

    # ── the disk ──────────────────────────────────────────────────────────────────────────────────────────────

    def _on_disk(self, work: Callable[[], Event | None]) -> None:
        """Do ``work`` in the helper thread, one after the other; the event it returns comes back."""

        def done(future: Future[Event | None]) -> None:
            # Not an error of the disk, which is an event, but a fault of ours: the main thread raises it.
            self._fault = self._fault or future.exception()
            event = None if future.exception() else future.result()
            if event is not None:
                self._done.put(event)
            self._bell.wake()

        self._helper.submit(work).add_done_callback(done)

    def _done_on_disk(self, event: Event) -> None:
        if isinstance(event, RoomRead):
            self._room.looked(event)
        self._events.append(event)

    def _noted(self, what: str, work: Callable[[], object]) -> None:
        error = _error_of(work)
        if error is not None:
            self._log.warning("file_not_removed", path=what, reason=error)

    # A table, since a dispatch by annotations costs as much as what it leads to.
    _ACTIONS: ClassVar[Mapping[type, Callable[[Any, Any], None]]] = {
        Send: _do_send,
        Reconnect: _do_reconnect,
        Spawn: _do_spawn,
        PauseChild: _do_pause,
        ResumeChild: _do_resume,
        TerminateChild: _do_terminate,
        KillChild: _do_kill,
        Seal: _do_seal,
        Publish: _do_publish,
        Forget: _do_forget,
        Remove: _do_remove,
        ReadLog: _do_read_log,
        CloseLog: _do_close_log,
        Note: _do_note,
        Quit: _do_quit,
    }


def _error_of(work: Callable[[], object]) -> str | None:
    try:
        work()
    except OSError as error:
        return f"{error.strerror or error}" if error.filename is None else f"{error.filename}: {error.strerror}"
    return None
