"""The console: keys and clicks in, a changed state and questions to the master out. Pure."""

from collections.abc import Callable, Sequence
from typing import Final

from ffrtmp_tui.console.acts import Acts
from ffrtmp_tui.console.answers import Answers
from ffrtmp_tui.console.feed import REST_S
from ffrtmp_tui.console.form import Form
from ffrtmp_tui.console.keymap import MOVES, ON_ROWS, WORDS, Page, bindings, pages_of
from ffrtmp_tui.console.looks import Looks
from ffrtmp_tui.console.paste import Paste
from ffrtmp_tui.console.prompts import Asks, Prompt, complete, complete_filter
from ffrtmp_tui.console.query import JOB_FIELDS, NODE_FIELDS, job_values, node_values
from ffrtmp_tui.console.state import Ask, Message, Now, State
from ffrtmp_tui.failures import Failure, did_you_mean
from ffrtmpd.wire.messages.common import Reply
from ffrtmpd.wire.messages.jobs import Status, StatusReply

# A key that was on its way already when an answer came does not take what it told.
READ_S: Final = 1.0


class Console(Looks, Acts):
    """What happens at each key, click and answer."""

    def __init__(self, state: State, new_id: Callable[[], str]) -> None:
        super().__init__(state, new_id)
        self._answers = Answers(self.feed)
        self._paste = Paste()

    # ── events ────────────────────────────────────────────────────────────────────────────────────────────────────

    def tick(self, now: Now) -> list[Ask]:
        """Let time pass; return what is to be asked."""
        return self.feed.tick(now)

    def heard(self, ask: Ask, reply: Reply, now: Now) -> None:
        """Take an answer in."""
        before = self.state.message
        self._answers.heard(ask, reply, now)
        self._keep(before, now)

    def missed(self, ask: Ask, failure: Failure, now: Now) -> None:
        """Take in that a question was not answered, or refused."""
        before = self.state.message
        self._answers.missed(ask, failure, now)
        self._keep(before, now)

    def _keep(self, before: Message | None, now: Now) -> None:
        message = self.state.message
        if message is not None and message is not before:
            message.kept_s = now.mono_s + READ_S

    def key(self, name: str, now: Now) -> None:
        """Take a key, named as urwid names it."""
        self.now = now
        state = self.state
        pasted = self._paste.take(name)
        if pasted is not None:
            if pasted:
                self._pasted(pasted)
            return
        if name.startswith("meta ") and name != "meta esc":
            # Esc and a key after it, closer together than a terminal tells them apart.
            self.key("esc", now)
            name = name.removeprefix("meta ")
        if state.prompt is not None:
            self._prompt_key(state.prompt, name)
        elif state.form is not None:
            self._form_key(state.form, name)
        else:
            if state.message is not None and now.mono_s >= state.message.kept_s:
                state.message = None
            action = bindings(state.place).get(name)
            if action is None:
                return
            if state.overlay is not None and action not in MOVES and action != "back":
                # What is under it is what the key is about.
                was, state.overlay = state.overlay.title, None
                if action == was:
                    return
            self.do(action)

    def click(self, key: str, now: Now) -> None:
        """Select the row of that id, as a mouse does."""
        self.now = now
        if not self._is_typing:
            self.table.select(key)

    def open_page(self, page: Page, now: Now) -> None:
        """Show another page, as a click on its name does."""
        self.now = now
        if not self._is_typing:
            self.open(page)

    def scroll(self, steps: int, now: Now) -> None:
        """Move as a mouse's wheel does."""
        self.now = now
        if not self._is_typing:
            self.move(steps)

    @property
    def _is_typing(self) -> bool:
        """Whether something is typed or asked: it is about this page and this row, and no click changes them."""
        return self.state.prompt is not None or self.state.form is not None

    # ── what is typed ─────────────────────────────────────────────────────────────────────────────────────────────

    def _prompt_key(self, prompt: Prompt, name: str) -> None:
        state = self.state
        if name in ("esc", "ctrl c") or (prompt.asks is Asks.YES and name in ("n", "N")):
            state.prompt = state.plan = None
            if prompt.asks is Asks.FILTER:
                self.filter(prompt.before)
            elif prompt.asks is Asks.SEARCH:
                state.search = prompt.before
        elif prompt.asks is Asks.YES and name not in ("y", "Y") and (name != "enter" or prompt.problem):
            # Enter behind a key that means nothing here ends a word that was typed or pasted, and confirms nothing.
            prompt.problem = "y or Esc"
        elif name == "enter" or prompt.asks is Asks.YES:
            state.prompt = None
            self._entered(prompt)
        elif name == "tab" and prompt.asks in (Asks.COMMAND, Asks.FILTER):
            self._complete(prompt)
        elif prompt.key(name):
            self._edited(prompt)

    def _edited(self, prompt: Prompt) -> None:
        if prompt.asks is Asks.FILTER:
            try:
                self.filter(prompt.text, rest_s=REST_S)
            except ValueError as error:
                # Half a word is no mistake yet; the list stays until the filter is one.
                prompt.problem = str(error)
        elif prompt.asks is Asks.SEARCH:
            self.state.search = prompt.text

    def _pasted(self, text: str) -> None:
        """Put pasted text where text is typed; nowhere else does it mean anything."""
        prompt, form = self.state.prompt, self.state.form
        if prompt is not None and prompt.asks in (Asks.YES, Asks.COUNT):
            prompt.problem = "what is pasted confirms nothing"
        elif prompt is not None:
            prompt.insert(text)
            self._edited(prompt)
        elif form is not None:
            if not form.sent:
                form.insert(text)
        else:
            self.state.say("what is pasted is taken only where text is typed")

    def _entered(self, prompt: Prompt) -> None:
        state = self.state
        try:
            match prompt.asks:
                case Asks.FILTER:
                    self.filter(prompt.text)
                case Asks.COMMAND:
                    self._command(prompt.text)
                case Asks.YES | Asks.COUNT:
                    self.confirmed(prompt.text)
                case Asks.SEARCH:
                    state.search, state.detail.log.hit = prompt.text, None
                    self.find_in_log(1)
        except ValueError as error:
            prompt.problem = str(error)
            state.prompt = prompt

    def _command(self, text: str) -> None:
        name, _, argument = text.strip().partition(" ")
        if not name:
            return
        word = next((word for word in WORDS if word.name == name), None)
        if word is None:
            raise ValueError(f"there is no command {name!r}{did_you_mean(name, [word.name for word in WORDS])}")
        argument = argument.strip()
        if not word.takes:
            if argument:
                raise ValueError(f"{name} takes nothing")
            pages = pages_of(word.action)
            if self.state.page not in pages:
                if word.action in ON_ROWS:
                    raise ValueError(f"{name} is about what is selected on {' or '.join(pages)}: show that first")
                self.open(pages[0])
            self.do(word.action)
        elif name == "filter":
            self.filter(argument)
        elif not argument:
            raise ValueError(f"{name} needs {word.takes}")
        elif name == "sort":
            self.sort(argument)
        elif name == "theme":
            if argument not in self.state.themes:
                raise ValueError(f"there is no theme {argument!r}; there are {', '.join(self.state.themes)}")
            self.use_theme(argument)
        elif self.is_online():
            self.ask("goto", Status(request_id=self.new_id(), job=argument), StatusReply, argument)

    def _complete(self, prompt: Prompt) -> None:
        nodes = self.state.page is Page.NODES
        fields = NODE_FIELDS if nodes else JOB_FIELDS
        values = node_values(self.state.nodes.rows) if nodes else job_values(self.state.nodes.rows)
        command, space, rest = prompt.text.partition("filter ")
        if prompt.asks is Asks.FILTER:
            prompt.text = complete_filter(prompt.text, fields, values)
        elif space and not command:
            prompt.text = space + complete_filter(rest, fields, values)
        else:
            prompt.text = complete(prompt.text, self._arguments())

    def _arguments(self) -> dict[str, Sequence[str]]:
        ids = [job.job_id for job in self.job_table.rows]
        return {"sort": self.query.sorts, "theme": self.state.themes, "job": ids}

    def _form_key(self, form: Form, name: str) -> None:
        if name in ("esc", "ctrl c"):
            self.state.form = None
        elif form.sent:
            # What is on its way is what the form shows; nothing changes it any more.
            return
        elif name == "enter":
            self.send_form(form)
        else:
            form.edit(name, self.state.scenarios)
