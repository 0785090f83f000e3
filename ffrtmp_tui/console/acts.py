"""What keys do that changes something at the master: each is proposed, confirmed and sent. Pure."""

from collections.abc import Callable, Sequence
from typing import Any, Final

from ffrtmp_tui.console.core import Core
from ffrtmp_tui.console.form import Form
from ffrtmp_tui.console.prompts import Plan, Prompt, numbers
from ffrtmp_tui.console.state import Lane
from ffrtmpd.wire.messages.acts import ActOnJobs, Cancel, Pause, Resume, Retry
from ffrtmpd.wire.messages.jobs import Submission, Submit, Submitted
from ffrtmpd.wire.messages.nodes import DrainNode, UndrainNode
from ffrtmpd.wire.vocabulary import JobAct

_ONE_JOB: Final[dict[JobAct, Callable[..., Any]]] = {
    JobAct.CANCEL: Cancel,
    JobAct.PAUSE: Pause,
    JobAct.RESUME: Resume,
    JobAct.RETRY: Retry,
}
# A command line of more is read by nobody.
_COMMAND_MAX: Final = 160


class Acts(Core):
    """Actions on jobs and nodes, and the form."""

    def _do_cancel(self) -> None:
        self._job_action(JobAct.CANCEL)

    def _do_pause(self) -> None:
        self._job_action(JobAct.PAUSE)

    def _do_resume(self) -> None:
        self._job_action(JobAct.RESUME)

    def _do_retry(self) -> None:
        self._job_action(JobAct.RETRY)

    def _do_drain(self) -> None:
        self._node_action("drain", DrainNode)

    def _do_undrain(self) -> None:
        self._node_action("undrain", UndrainNode)

    def _do_submit(self) -> None:
        if self.is_allowed():
            self.state.form = Form(key=self.new_id())

    def _job_action(self, act: JobAct) -> None:
        self.end_range()
        targets = self.job_table.targets()
        if not targets or not self.is_allowed():
            return

        def request(request_id: str, jobs: Sequence[str]) -> Any:
            if len(targets) == 1:
                return _ONE_JOB[act](request_id=request_id, job=jobs[0])
            return ActOnJobs(request_id=request_id, act=act, jobs=tuple(jobs))

        yes = " --yes" if len(targets) > 1 else ""
        named = numbers(targets)
        if len(named) > _COMMAND_MAX:
            # The same jobs by their filter, where that is how they were marked, would be others a moment later.
            named = f"{named[:_COMMAND_MAX].rpartition(',')[0]},..."
        self._propose(act, "job", targets, request, f"ffrtmp jobs {act} {named}{yes}")

    def _node_action(self, verb: str, kind: Callable[..., Any]) -> None:
        targets = self.state.nodes.targets()
        if not targets or not self.is_allowed():
            return

        def request(request_id: str, nodes: Sequence[str]) -> Any:
            return kind(request_id=request_id, node_id=nodes[0])

        self._propose(verb, "node", targets, request, f"ffrtmp nodes {verb} {targets[0]}")

    def _propose(
        self,
        verb: str,
        noun: str,
        targets: Sequence[str],
        request: Callable[[str, Sequence[str]], Any],
        command: str,
    ) -> None:
        plan = Plan(
            verb=verb, noun=noun, targets=tuple(targets), cluster=self.state.cluster, request=request, command=command
        )
        self.state.plan, self.state.prompt = plan, Prompt(plan.asks)

    def confirmed(self, typed: str) -> None:
        """Do what was proposed.

        Raises:
            ValueError: what was typed does not confirm it.
        """
        plan = self.state.plan
        if plan is None:
            return
        if not plan.fits(*self.state.size):
            raise ValueError("needs 80x24")
        if len(plan.targets) > 1 and typed.strip() != plan.count:
            raise ValueError(f"type {plan.count}, or Esc")
        self.state.plan = None
        if self.is_allowed():
            self.feed.begin(plan)

    def send_form(self, form: Form) -> None:
        """Submit what the form describes, unless something is wrong with it."""
        if reason := self.state.may_act:
            form.problem = reason
            return
        try:
            spec = form.spec(self.now.wall_s)
        except ValueError as error:
            form.problem = str(error)
            return
        form.problem, form.sent = "", True
        request = Submit(request_id=self.new_id(), jobs=(Submission(key=form.key, spec=spec),))
        self.ask("submit", request, Submitted, form.command(), lane=Lane.ACT)
