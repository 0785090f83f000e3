"""Requests, replies and the error that answers any of them."""

from typing import Annotated

from ffrtmpd.wire.codec import REQUEST_ID_MAX, Message
from ffrtmpd.wire.record import record
from ffrtmpd.wire.schema import Size
from ffrtmpd.wire.vocabulary import ErrorCode


@record
class Request(Message):
    """What a client asks; answered by one message with the same ``request_id``."""

    request_id: Annotated[str, "chosen by the client, repeated in the reply", Size(1, REQUEST_ID_MAX)]


@record
class Reply(Message):
    """What the master answers."""

    request_id: Annotated[str, "of the request that this answers", Size(0, REQUEST_ID_MAX)]


@record
class Problem:
    """Why something was refused."""

    code: Annotated[ErrorCode, "stable reason"]
    message: Annotated[str, "what is wrong, in one line", Size(0, 2_048)]
    hint: Annotated[str | None, "what to do about it", Size(0, 2_048)] = None
    retryable: Annotated[bool, "the same request may succeed later"] = False


@record
class Error(Reply):
    """The request was refused and changed nothing."""

    TYPE = "ERROR"
    problem: Annotated[Problem, "why"]


@record
class Ping(Request):
    """Ask who the master is and who it takes the asker for."""

    TYPE = "PING"


@record
class Pong(Reply):
    """The master as it is now."""

    TYPE = "PONG"
    version: Annotated[str, "of the master's program"]
    cluster: Annotated[str, "its name"]
    epoch: Annotated[int, "grows by one at each start of the master"]
    uptime_s: Annotated[float, "seconds since the start"]
    principal: Annotated[str, "name bound to the key that asked"]
    role: Annotated[str, "role bound to the key that asked"]
    workers_port: Annotated[int, "port on which workers connect"]
