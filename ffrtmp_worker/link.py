"""One request of an invitation's key to the master."""

from typing import Final

from ffrtmpd.wire.ask import TRIES_S, Asker, Cause, NoAddress, NoAnswer
from ffrtmpd.wire.codec import ProtocolError, catalogue, decode, encode
from ffrtmpd.wire.curve import Invitation, one_time_pair
from ffrtmpd.wire.messages.common import Error
from ffrtmpd.wire.messages.keys import Enrol, Enrolled


class EnrolError(Exception):
    """There is no enrolment; the message says why."""


class Unreachable(EnrolError):
    """No master answered."""


class Refused(EnrolError):
    """The master does not take the invitation, or not any more."""


_WHY: Final[dict[Cause, str]] = {
    Cause.OTHER_MASTER: "what is there does not hold the key that the invitation names",
    Cause.STRANGER: "what is there is no ffrtmp master",
    Cause.NO_HOST: "the host's name has no address",
    Cause.NOT_LISTENING: "nothing listens there; is the master running?",
}
_ELSE: Final = "is it running, and does a firewall let this host in?"


def ask_to_enrol(request: Enrol, invitation: Invitation, *, tries_s: tuple[float, ...] = TRIES_S) -> Enrolled:
    """Return the master's answer; each try has a fresh socket and repeats the same request.

    Raises:
        Refused: the master knows no such invitation, or refuses it.
        Unreachable: no answer after all tries, or more could change nothing.
    """
    asker = Asker(invitation.endpoint, invitation.server_public, one_time_pair(invitation), tries_s=tries_s)
    try:
        return _read(asker.ask(encode(request)))
    except NoAddress:
        raise EnrolError(f"{invitation.endpoint} is no address: ask for a new invitation") from None
    except NoAnswer as silence:
        if silence.cause is Cause.KEY_REFUSED:
            raise Refused(
                "the master does not take this invitation: it was used, has run out, or was revoked"
            ) from None
        why = _WHY.get(silence.cause, _ELSE)
        raise Unreachable(f"no answer from the master at {invitation.endpoint}: {why}") from None
    finally:
        asker.close()


def _read(frames: list[bytes]) -> Enrolled:
    try:
        reply = decode(frames, catalogue(Enrolled, Error))
    except ProtocolError as error:
        raise EnrolError(f"the master's answer is not understood: {error.message}") from None
    if isinstance(reply, Error):
        raise Refused(reply.problem.message)
    if not isinstance(reply, Enrolled):
        raise EnrolError(f"the master answered {reply.TYPE}")
    return reply
