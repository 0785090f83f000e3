"""What has arrived at the two sockets, taken in bounded portions, and whose turn it is."""

from collections.abc import Set
from typing import Final

from ffrtmpd.base import faults
from ffrtmpd.base.logs import Logger
from ffrtmpd.events import Event, MessageCame, Side
from ffrtmpd.listener import Listener, receive, understand
from ffrtmpd.wire.codec import MESSAGE_MAX

# Taken from one socket in one turn. Enough for a burst to share an fsync, few enough that a turn stays short, and that
# submits do not run ahead of results while slots are free: a job that is assigned in the turn of its submit is written
# once and not read again.
MESSAGES_MAX: Final = 96
# So many requests have a turn to themselves: more are cheaper together with what workers say.
FEW: Final = 8
# Bodies held in memory at once: a thousand messages of a mebibyte each would be a gibibyte.
BYTES_MAX: Final = 8 * MESSAGE_MAX


class Inbox:
    """Takes what waits.

    Args:
        listener: bound sockets.
        log: where a message without a sender is noted.
    """

    def __init__(self, listener: Listener, log: Logger) -> None:
        self._listener = listener
        self._log = log
        # Whether workers were heard to the end, and whether everybody was.
        self.workers_heard = self.all_heard = True
        self._passed_over = False

    def take(self, waiting: Set[Side], *, clients_first: bool) -> list[Event]:
        """Return what the next turn is about; only the sides that are ``waiting`` are listened to.

        Workers first: their results free slots, and submits must not starve them. But while nobody waits for what
        workers say (``clients_first``), a few requests have a turn to themselves, and the workers the next. So who
        sends one request after the other does not wait for the end of the job before: that is decided while the answer
        is on its way, and shares the sync of the next request.
        """
        from_workers: list[Event] = []
        from_clients: list[Event] = []
        if clients_first and not self._passed_over:
            clients_heard = self._drain(Side.CLIENTS, waiting, from_clients)
            if 0 < sum(map(_weight, from_clients)) <= FEW:
                self._passed_over, self.workers_heard, self.all_heard = True, False, False
                return from_clients
            self.workers_heard = self._drain(Side.WORKERS, waiting, from_workers)
        else:
            self.workers_heard = self._drain(Side.WORKERS, waiting, from_workers)
            clients_heard = self._drain(Side.CLIENTS, waiting, from_clients)
        self._passed_over = False
        self.all_heard = clients_heard and self.workers_heard
        return from_workers + from_clients

    def _drain(self, side: Side, waiting: Set[Side], events: list[Event]) -> bool:
        """Take what waits at one socket, within bounds; return whether that was all."""
        if side not in waiting:
            # To ask in vain takes as long as to read a small message.
            return True
        socket = self._listener.sockets[side]
        taken = taken_bytes = 0
        while taken < MESSAGES_MAX:
            received = receive(socket, side)
            if received is None:
                return True
            if not received.user_id:
                taken += 1
                self._log.warning("no_user_id", side=side.value, address=received.address)
                continue
            for event in understand(received):
                taken += _weight(event)
                if isinstance(event, MessageCame):
                    faults.point("receive", event.message.TYPE)
                events.append(event)
            taken_bytes += sum(map(len, received.frames))
            if taken_bytes >= BYTES_MAX:
                break
        return False


def _weight(event: Event) -> int:
    """Return how many messages it counts as: one about many jobs as many."""
    return max(1, len(getattr(event.message, "jobs", ()))) if isinstance(event, MessageCame) else 1
