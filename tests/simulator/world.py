"""A whole cluster in virtual time, and what goes wrong in it."""

from dataclasses import dataclass
from random import Random
from typing import Final

from ffrtmpd.lifecycle import IllegalTransition
from ffrtmpd.store import StoreError, job_id
from ffrtmpd.wire.vocabulary import JobState
from tests.simulator.clients import Users
from tests.simulator.clockwork import Clockwork
from tests.simulator.disk import Outputs
from tests.simulator.master import ADMIN, OPERATOR, Master
from tests.simulator.media import Course, Script
from tests.simulator.network import Network
from tests.simulator.plan import CrashPoint, Cut, Fault, Mishap, Plan
from tests.simulator.referee import Referee
from tests.simulator.worker import Worker

# Longer than any lease, back-off and retry that may follow the last fault.
HEALING_S: Final = 400.0
NURSE_S: Final = 4.0
# What a fault of a program raises; a violation is none of them.
FAULTS: Final = (
    ArithmeticError,
    AttributeError,
    IllegalTransition,
    LookupError,
    RuntimeError,
    StoreError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a world did."""

    jobs: int
    attempts: int
    virtual_s: float
    calls: int


class World:
    """Everything that a plan names. ``trace`` takes a line for everything that happens."""

    def __init__(self, plan: Plan, trace: list[str] | None = None) -> None:
        self.plan = plan
        self.clock = Clockwork()
        random = Random(f"world {plan.seed}")
        self.referee = Referee(plan, self.clock, trace)
        self.network = Network(self.clock, random, plan)
        self.master = Master(plan, self.clock, random, self.network, self.referee)
        self.outputs = Outputs()
        self.workers = {
            name: Worker(
                name,
                self.master.users[name],
                slots=slots,
                plan=plan,
                clock=self.clock,
                random=random,
                network=self.network,
                outputs=self.outputs,
                referee=self.referee,
            )
            for name, slots in zip(plan.names, plan.slots, strict=True)
        }
        self.users = Users(
            plan,
            self.master.users[OPERATOR],
            self.master.users[ADMIN],
            clock=self.clock,
            random=random,
            network=self.network,
            referee=self.referee,
        )
        self._twins: dict[Mishap, Worker] = {}
        self._random = random

    def run(self) -> Summary:
        """Run to the end.

        Raises:
            Violation: a rule was broken.
        """
        try:
            return self._run()
        except FAULTS as fault:
            raise self.referee.fell(repr(fault)) from fault
        finally:
            self.master.store.close()

    def _run(self) -> Summary:
        self.master.start()
        for worker in self.workers.values():
            self.clock.after(self._random.random(), worker.start)
        for mishap in self.plan.mishaps:
            self.clock.at(mishap.at_s, self._befall, mishap)
            if mishap.fault is Fault.RESTORE:
                self.clock.at(mishap.at_s - mishap.age_s, self.master.copy)
        self.clock.run_until(self.plan.chaos_s)
        self._heal()
        self._nurse()
        in_order = self.clock.run_until(self.plan.chaos_s + HEALING_S, lambda: self._all_done() and not self._left())
        self.referee.check_end(self._course, self.outputs.files)
        if not in_order:
            raise self.referee.nothing_left("; ".join(self._left()) or "a submit without an answer")
        attempts = sum(trail.attempt for trail in self.referee.trails.values())
        return Summary(len(self.referee.trails), attempts, self.clock.now_s, self.clock.calls)

    def _course(self, job: str, attempt: int) -> Course:
        return Script.of(self.plan, job, attempt).course

    # ── what goes wrong ───────────────────────────────────────────────────────────────────────────────────────────

    def _befall(self, mishap: Mishap) -> None:
        self.referee.say("FAULT", str(mishap)[9:])
        worker = self.workers.get(mishap.target)
        match mishap.fault:
            case Fault.WORKER_KILL if worker is not None:
                worker.kill(mishap.point or CrashPoint.AT_ONCE)
            case Fault.WORKER_STOP if worker is not None:
                worker.stop()
            case Fault.WORKER_FREEZE if worker is not None:
                worker.freeze(str(mishap.at_s), children=True)
            case Fault.AGENT_FREEZE if worker is not None:
                worker.freeze(str(mishap.at_s), children=False)
            case Fault.CUT:
                self.network.cut(mishap.target, mishap.cut or Cut.BOTH)
            case Fault.BREAK:
                self.network.sever_cable(mishap.target)
            case Fault.SLOW:
                self.network.slow = True
            case Fault.MASTER_KILL:
                self.master.kill(mishap.point or CrashPoint.AT_ONCE)
            case Fault.MASTER_FREEZE:
                self.master.freeze()
            case Fault.MASTER_DISK_FULL:
                self.master.disk_full = True
            case Fault.WALL_JUMP:
                self.master.wall_jump_s += self._random.choice((-30.0, -3.0, 3.0, 30.0))
            case Fault.KEY_REVOKED:
                key = self.master.fingerprint(mishap.target)
                if key is not None:
                    self.users.revoke(key)
            case Fault.NODE_REMOVED:
                if self._random.random() < 0.5:
                    self.network.sever_cable(mishap.target)
                self.network.cut(mishap.target, Cut.BOTH)
                for _ in range(3):
                    self.clock.after(self._random.random() * mishap.lasts_s, self.users.remove, mishap.target)
            case Fault.TWIN if worker is not None:
                self._twins[mishap] = twin = self._twin_of(worker)
                twin.start()
            case Fault.RESTORE:
                self.master.restore()
        self.clock.after(mishap.lasts_s, self._pass_over, mishap)

    def _pass_over(self, mishap: Mishap) -> None:
        self.referee.say("FAULT", f"{mishap.fault} {mishap.target} is over")
        worker = self.workers.get(mishap.target)
        match mishap.fault:
            case Fault.WORKER_KILL | Fault.WORKER_STOP if worker is not None:
                # One that no deed had come to yet is carried out now.
                if worker.doomed:
                    worker.kill(CrashPoint.AT_ONCE)
                worker.start()
            case Fault.WORKER_FREEZE | Fault.AGENT_FREEZE if worker is not None:
                worker.thaw(str(mishap.at_s))
            case Fault.CUT | Fault.NODE_REMOVED:
                self.network.heal(mishap.target)
                self._let_in()
            case Fault.KEY_REVOKED:
                self._let_in()
            case Fault.TWIN:
                self._twins.pop(mishap).wipe()
            case Fault.RESTORE:
                self.master.start()
            case Fault.SLOW:
                self.network.slow = False
            case Fault.MASTER_KILL:
                # One that no turn had come to yet is carried out now.
                if self.master.doomed:
                    self.master.kill(CrashPoint.AT_ONCE)
                self.master.start()
            case Fault.MASTER_FREEZE:
                self.master.thaw()
            case Fault.MASTER_DISK_FULL:
                self.master.disk_full = False

    def _twin_of(self, worker: Worker) -> Worker:
        return Worker(
            f"{worker.name}'",
            worker.user_id,
            twin_of=worker.name,
            slots=worker.slots,
            plan=self.plan,
            clock=self.clock,
            random=self._random,
            network=self.network,
            outputs=self.outputs,
            referee=self.referee,
        )

    def _let_in(self) -> None:
        """Give whoever has lost its key a new one; its process starts anew with it."""
        for name, worker in self.workers.items():
            if self.master.enrol_again(name):
                worker.kill(CrashPoint.AT_ONCE)
                worker.user_id = self.master.users[name]
                worker.start()

    def _heal(self) -> None:
        """End every fault that is not over yet; what has been stopped is started."""
        self.referee.say("FAULT", "everything is over")
        self.network.calm_down()
        self.master.disk_full = False
        self.master.thaw()
        self.master.start()
        for twin in self._twins.values():
            twin.wipe()
        self._twins.clear()
        for worker in self.workers.values():
            worker.thaw_all()
            worker.start()

    def _nurse(self) -> None:
        """Start what has stopped by itself, let in who was shut out, and let paused jobs go on."""
        self._let_in()
        for worker in self.workers.values():
            worker.start()
        for name in self.master.draining():
            self.users.undrain(name)
        for seq, trail in self.referee.trails.items():
            if trail.state is JobState.PAUSED:
                self.users.resume(job_id(seq))
        self.clock.after(NURSE_S, self._nurse)

    # ── the end ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _all_done(self) -> bool:
        return self.users.submitted and self.referee.all_terminal()

    def _left(self) -> list[str]:
        left = [f"{name} is not idle" for name, worker in self.workers.items() if not worker.idle]
        left += [f"file {path}" for path in self.outputs.files if path.endswith(".partial")]
        broker = self.master.broker
        if broker is None:
            left.append("no master")
        else:
            left += [f"{node.node_id} holds {list(node.holds)}" for node in broker.cluster.roster if node.holds]
            left += [f"live {seq}" for seq in broker.cluster.live]
        return left
