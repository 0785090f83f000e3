"""The line to the master: one request, one reply, however often either is lost."""

import os
from types import TracebackType
from typing import Final, TypeVar

from ffrtmp_tui.failures import Exit, Failure, exit_for
from ffrtmpd.wire.ask import TRIES_S, Asker, Cause, NoAddress, NoAnswer
from ffrtmpd.wire.codec import ProtocolError, catalogue, decode, encode
from ffrtmpd.wire.curve import KeyPair, fingerprint
from ffrtmpd.wire.messages.common import Error, Problem, Reply, Request

R = TypeVar("R", bound=Reply)


class Refused(Failure):
    """The master answered that it will not do this; nothing was changed."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(
            exit_for(problem.code),
            problem.message,
            code=str(problem.code),
            hint=problem.hint,
            retryable=problem.retryable,
        )
        self.problem = problem


class Unreachable(Failure):
    """No answer came from the master. ``sent`` when the request may have reached it and been carried out."""

    def __init__(self, message: str, hint: str, *, sent: bool = False) -> None:
        super().__init__(Exit.UNREACHABLE, message, code="unreachable", hint=hint, retryable=True)
        self.sent = sent


class KeyRefused(Failure):
    """The master is there and does not let this key in."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(Exit.NOT_ALLOWED, message, code="key_refused", hint=hint)


def new_id() -> str:
    """Return an id that no other request has: 32 hexadecimal digits."""
    return os.urandom(16).hex()


class Link:
    """Asks the master and waits for its answer.

    Args:
        endpoint: such as ``tcp://host:5571``.
        server_public: the master's public key in Z85.
        own: the key pair that says who asks.
        tries_s: seconds for each try.
    """

    def __init__(
        self, endpoint: str, server_public: str, own: KeyPair, *, tries_s: tuple[float, ...] = TRIES_S
    ) -> None:
        self.endpoint = endpoint
        self._own = own
        self._asker = Asker(endpoint, server_public, own, tries_s=tries_s)

    def __enter__(self) -> "Link":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the sockets."""
        self._asker.close()

    def ask(self, request: Request, *expected: type[R], wait_s: float = 0.0, patient: bool = False) -> R:
        """Return the reply to ``request``, which must be one of ``expected``; for the rest see `Asker.ask`.

        Raises:
            Refused: the master answered with an error.
            KeyRefused: the master does not know the key.
            Unreachable: no answer, after all tries or at once where more tries could change nothing.
            Failure: the answer is not of this protocol.
        """
        try:
            frames = self._asker.ask(encode(request), wait_s=wait_s, patient=patient)
        except NoAnswer as silence:
            raise self._failure(silence) from None
        except NoAddress:
            raise Failure(
                Exit.USAGE,
                f"{self.endpoint!r} is no address of a master",
                code="usage",
                hint="an address looks like tcp://host:5571",
            ) from None
        return self._read(frames, request, expected)

    def _read(self, frames: list[bytes], request: Request, expected: tuple[type[R], ...]) -> R:
        try:
            message = decode(frames, catalogue(Error, *expected))
        except ProtocolError as error:
            self._asker.hang_up()
            raise self._strange(error.message) from None
        if isinstance(message, Error):
            raise Refused(message.problem)
        if not isinstance(message, expected) or message.request_id != request.request_id:
            self._asker.hang_up()
            raise self._strange("an answer to another request")
        return message

    def _strange(self, what: str) -> Failure:
        return Failure(
            Exit.FAILED,
            f"the master at {self.endpoint} answered what this program does not understand: {what}",
            code="protocol",
            hint="compare `ffrtmp --version` with the version of the master",
        )

    def _failure(self, silence: NoAnswer) -> Failure:
        if silence.cause is Cause.KEY_REFUSED:
            name = fingerprint(self._own.public)
            return KeyRefused(
                f"the master at {self.endpoint} does not know this key ({name}): revoked, or of another cluster",
                "clients connect to the clients port, 5571 unless changed; where that is right, ask an admin for "
                "`ffrtmp keys invite NAME --role ROLE`, then run `ffrtmp join LINE`",
            )
        message, hint = _UNREACHABLE[silence.cause]
        tries_s = self._asker.tries_s
        tries = f"{len(tries_s)} tries, {sum(tries_s):g} s"
        return Unreachable(message.format(endpoint=self.endpoint, tries=tries), hint, sent=silence.sent)


_UNREACHABLE: Final[dict[Cause, tuple[str, str]]] = {
    Cause.OTHER_MASTER: (
        "{endpoint} is not the master that this context knows: it does not hold the expected key",
        "check the address, and the context's server_key; a master that was set up anew needs a new invitation",
    ),
    Cause.STRANGER: (
        "what answers at {endpoint} is no ffrtmp master",
        "check host and port; clients connect to the clients port, 5571 unless changed",
    ),
    Cause.NO_HOST: ("cannot find the host of {endpoint}", "check the name and the DNS of this machine"),
    Cause.NOT_LISTENING: (
        "nothing listens at {endpoint}: connection refused",
        "is ffrtmpd running there, and is this its clients port?",
    ),
    Cause.NO_REPLY: (
        "the master at {endpoint} does not answer ({tries})",
        "it is stopped, overloaded, or this key was revoked a moment ago; look at the master's log",
    ),
    Cause.NO_GREETING: (
        "{endpoint} takes connections but does not greet ({tries})",
        "is this the clients port of an ffrtmpd, 5571 unless changed, and does that program run?",
    ),
    Cause.NOTHING: (
        "no answer from {endpoint} ({tries})",
        "check the address, the network and the firewall between here and there",
    ),
}
