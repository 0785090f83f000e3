"""A worker's machine: the real agent in a shell of virtual time, and its children."""

from collections import deque
from random import Random
from typing import Final

from ffrtmp_worker.agent import Agent
from ffrtmp_worker.events import (
    Action,
    ChildExited,
    ChildId,
    Event,
    Forget,
    KillChild,
    LinkUp,
    MessageCame,
    Note,
    PauseChild,
    Publish,
    Quit,
    ReadLog,
    Reconnect,
    Remove,
    ResumeChild,
    Seal,
    Send,
    Spawn,
    StopAsked,
    TerminateChild,
    TimeCame,
)
from ffrtmp_worker.recipe import Recipe
from ffrtmpd.events import Side
from ffrtmpd.wire.codec import Message
from ffrtmpd.wire.messages.nodes import Hardware, Load
from ffrtmpd.wire.messages.session import Assign, LogChunk
from ffrtmpd.wire.vocabulary import Engine
from tests.simulator.clockwork import Alarm, Clockwork
from tests.simulator.disk import Deed, Disk, Outputs
from tests.simulator.media import LIMITS, PAUSED, Child, Script, ScriptedRecipe
from tests.simulator.network import Connection, Network
from tests.simulator.plan import CrashPoint, Plan
from tests.simulator.referee import Referee, Run

RECONNECT_S: Final = 0.25
FROZEN: Final = "frozen"


class Worker:
    """One node."""

    def __init__(
        self,
        name: str,
        user_id: str,
        *,
        twin_of: str | None = None,
        slots: int,
        plan: Plan,
        clock: Clockwork,
        random: Random,
        network: Network,
        outputs: Outputs,
        referee: Referee,
    ) -> None:
        self.name, self.slots = name, slots
        self.user_id = user_id
        self._plan, self._clock, self._random = plan, clock, random
        self._network, self._referee = network, referee
        self._offset_s = random.random() * 1e6
        self._rate = 1.0 + (random.random() - 0.5) * 0.004
        self._alarm = Alarm(clock, self._wake)
        self.disk = Disk(
            twin_of or name,
            clock=clock,
            random=random,
            outputs=outputs,
            referee=referee,
            fails=not plan.thrifty,
            still=lambda: bool(self._frozen),
            deed=self._deed,
            tell=self._tell,
        )
        self.agent: Agent | None = None
        self.children: dict[ChildId, Child] = {}
        self.life = 0
        self._frozen: set[str] = set()
        self._doom: CrashPoint | None = None
        self._events: deque[Event] = deque()
        self._inbox: list[Message] = []
        self._link: Connection | None = None
        self._socket = 0
        self._greeted = False

    # ── the machine ───────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def now_s(self) -> float:
        """Its own clock, which shares neither zero nor rate with the others."""
        return self._offset_s + self._clock.now_s * self._rate

    @property
    def idle(self) -> bool:
        """Whether nothing is left to do."""
        return self.agent is not None and not (
            self.agent._attempts or self.agent._finished or self.children or self._events or self.disk.busy
        )

    def start(self) -> None:
        """Start the process, unless it runs."""
        if self.agent is not None:
            return
        self.life += 1
        entries = self.disk.recall()
        self._referee.say(self.name, "starts", spooled=len(entries))
        self.agent = Agent(
            boot_id=f"{self.name}/{self.life}",
            slots=self.slots,
            hardware=Hardware(hostname=self.name, encoders=("libx264",), engines=(Engine.FFMPEG,)),
            recipes=self._recipe,
            load=Load,
            random=self._random.random,
            limits=LIMITS,
            spooled=entries,
        )
        self._perform(self.agent.open(self.now_s))
        self._set_alarm()

    def kill(self, point: CrashPoint) -> None:
        """End the process with signal 9, at once or at that point; its children die with it."""
        if self.agent is None:
            return
        if point is CrashPoint.AT_ONCE:
            self._referee.say(self.name, "is killed")
            self._leave()
        else:
            self._doom = point

    @property
    def doomed(self) -> bool:
        """Whether it is to die at a point that it has not come to yet."""
        return self._doom is not None

    def _leave(self) -> None:
        self.agent = None
        for child in self.children.values():
            child.vanish()
            self._referee.ended(child)
        self.children.clear()
        self.disk.drop_errands()
        self._events.clear()
        self._frozen.clear()
        self._doom = None
        self._alarm.stop()
        self._drop_socket()

    def wipe(self) -> None:
        """Take the machine away, with all that it has begun."""
        self.kill(CrashPoint.AT_ONCE)
        self.disk.wipe()

    def stop(self) -> None:
        """Ask the process to end."""
        if self.agent is not None:
            self._referee.say(self.name, "is asked to stop")
            self._events.append(StopAsked())
            self._wake()

    def freeze(self, why: str, *, children: bool) -> None:
        """Let the process stand still, with or without its children."""
        if self.agent is None:
            return
        self._referee.say(self.name, "freezes", children=children)
        self._frozen.add(why)
        if children:
            for child in self.children.values():
                child.hold(FROZEN)
        else:
            # Nobody is left who could fence them.
            self._referee.excuse(self.name)

    def thaw(self, why: str) -> None:
        """Let it go on. The agent runs first: a scheduler that let the children run longer would be another fault."""
        if why not in self._frozen:
            return
        self._frozen.discard(why)
        if self._frozen:
            return
        self._referee.say(self.name, "thaws")
        if self._random.random() < 0.5:
            self.disk.go_on()
        self._wake()
        for child in self.children.values():
            child.release(FROZEN)
        self.disk.go_on()
        self._referee.unexcuse(self.name)

    def thaw_all(self) -> None:
        """Let it go on, whatever it stood still for."""
        for why in list(self._frozen):
            self.thaw(why)

    # ── the turn ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _wake(self) -> None:
        """Take a turn, in the order in which the real shell takes it."""
        if self.agent is None or self._frozen:
            return
        events, self._events = self._events, deque()
        socket = self._socket
        self._handle(TimeCame())
        for event in events:
            self._handle(event)
        if self._socket == socket:
            heard, self._inbox = self._inbox, []
            for message in heard:
                self._handle(MessageCame(message))
        self._set_alarm()

    def _set_alarm(self) -> None:
        if self.agent is not None:
            wakeup_s = self.agent.wakeup()
            if wakeup_s is not None:
                self._alarm.by((wakeup_s - self._offset_s) / self._rate + 0.001)

    def _handle(self, event: Event) -> None:
        if self.agent is not None:
            if isinstance(event, ChildExited):
                child = self.children.pop(event.child, None)
                if child is None:
                    return
                self._referee.ended(child)
            self._perform(self.agent.handle(event, self.now_s))

    def _tell(self, event: Event) -> None:
        self._events.append(event)
        self._wake()

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case Send(message):
                if self._link is not None:
                    self._referee.say(self.name, "→", message)
                    self._network.up(self._link, message)
            case Reconnect():
                self._drop_socket()
                self._clock.after(self._random.random() * 0.05, self._connect, self._socket)
            case Spawn():
                self._spawn(action)
            case PauseChild(child) if child in self.children:
                self.children[child].hold(PAUSED)
            case ResumeChild(child) if child in self.children:
                self.children[child].release(PAUSED)
            case TerminateChild(child) if child in self.children:
                self.children[child].terminate()
            case KillChild(child) if child in self.children:
                self.children[child].kill()
                self._referee.ended(self.children[child])
            case Seal(entry):
                self.disk.ask(lambda: self.disk.seal(entry))
            case Publish(entry):
                self.disk.ask(lambda: self.disk.publish(entry))
            case Forget(attempt):
                self.disk.ask(lambda: self.disk.forget(attempt))
            case Remove(path):
                self.disk.ask(lambda: self.disk.remove(path))
            case ReadLog(request=request):
                self._do(Send(LogChunk(fetch_id=request.fetch_id, missing=True)))
            case Note(_, event, fields):
                self._referee.noted(self.name, event, fields)
            case Quit():
                # The real shell lets the helper thread finish what it has been given.
                self.disk.finish()
                self._referee.say(self.name, "quits")
                self._leave()

    # ── children ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _recipe(self, assign: Assign) -> Recipe:
        self._referee.begun(self.name, assign)
        return ScriptedRecipe(assign, self._script(assign.job_id, assign.attempt))

    def _script(self, job_id: str, attempt: int) -> Script:
        return Script.of(self._plan, job_id, attempt)

    def _spawn(self, action: Spawn) -> None:
        if action.partial is not None:
            self.disk.begin(action.partial, action.attempt)
        script = self._script(*action.attempt)
        child = Child(self._clock, action, script, random=self._random, tell=self._tell)
        self.children[action.child] = child
        busy = {one.spawn.attempt for one in self.children.values() if not one.asked_to_end and not one.is_paused}
        self._referee.spawned(Run(self.name, child), busy=len(busy), slots=self.slots)

    def _deed(self, do: Deed) -> Event | None:
        """Let the disk do something, unless this is where the process dies."""
        doom = self._doom
        event = None if doom is CrashPoint.BEFORE_DEED else do()
        if doom is not None:
            self.kill(CrashPoint.AT_ONCE)
            return None
        return event

    # ── the socket ────────────────────────────────────────────────────────────────────────────────────────────────

    def _drop_socket(self) -> None:
        self._socket += 1
        self._greeted = False
        self._inbox.clear()
        if self._link is not None:
            self._network.close(self._link)
            self._link = None

    def _connect(self, socket: int) -> None:
        """Shake hands, now or as soon as it works."""
        if socket != self._socket or self.agent is None:
            return
        link = None
        if not self._frozen:
            link = self._network.connect(
                Side.WORKERS, self.name, self.user_id, deliver=self._heard, broken=lambda: self._lost(socket)
            )
        if link is None:
            self._clock.after(RECONNECT_S * (1 + 7 * self._random.random()), self._connect, socket)
            return
        self._link = link
        if not self._greeted:
            self._greeted = True
            self._tell(LinkUp())

    def _lost(self, socket: int) -> None:
        """The connection under the socket broke: the library makes a new one, and the agent is not told."""
        if socket == self._socket and self._link is not None:
            self._link = None
            self._clock.after(RECONNECT_S, self._connect, socket)

    def _heard(self, message: Message) -> None:
        self._referee.say(self.name, "←", message)
        self._inbox.append(message)
        self._wake()
