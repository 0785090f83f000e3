"""Jobs that ended long ago are removed, with their history, in steps too small to be noticed."""

from typing import Final

from ffrtmpd.broker.cluster import Cluster
from ffrtmpd.wire.vocabulary import TERMINAL_STATES

# How soon the next step follows one that removed something, and how soon it is looked again after one that did not.
STEP_S: Final = 0.05
LOOK_S: Final = 3_600.0
# A wall clock that was set ahead by more than this since the last look may be wrong. Then nothing is removed for a day,
# in which somebody may notice.
JUMP_S: Final = 3_600.0
PAUSE_S: Final = 86_400.0
TIMER: Final = ("retention", None)
_STATES: Final = sorted(TERMINAL_STATES)


def arm(cluster: Cluster) -> None:
    """Look for what may go soon after a start, once workers have had their turn."""
    cluster.clock_offset_s = cluster.now.wall_s - cluster.now.mono_s
    cluster.timers.set(TIMER, cluster.now.mono_s + cluster.settings.lost_after_s)


def step(cluster: Cluster) -> None:
    """Remove a little of what has been kept long enough, and come back for the rest."""
    if _clock_jumped(cluster):
        cluster.timers.set(TIMER, cluster.now.mono_s + PAUSE_S)
        return
    if _remove(cluster):
        cluster.timers.set(TIMER, cluster.now.mono_s + STEP_S)
        return
    cluster.timers.set(TIMER, cluster.now.mono_s + LOOK_S)
    if cluster.purged.total():
        cluster.note("info", "purged", jobs=cluster.purged["jobs"], events=cluster.purged["events"])
        cluster.purged.clear()


def _clock_jumped(cluster: Cluster) -> bool:
    """Tell whether the wall clock was set far ahead since the last step: that alone would make every job old."""
    offset_s = cluster.now.wall_s - cluster.now.mono_s
    ahead_s, cluster.clock_offset_s = offset_s - cluster.clock_offset_s, offset_s
    if ahead_s <= JUMP_S:
        return False
    cluster.note("warning", "clock_set_ahead", ahead_s=round(ahead_s), nothing_purged_s=PAUSE_S)
    return True


def _remove(cluster: Cluster) -> bool:
    """Remove a little of one kind; return whether there was anything."""
    kept, wall_s = cluster.settings.retention, cluster.now.wall_s
    for state in _STATES:
        if kept.of(state):
            purged = cluster.store.purge(state, wall_s - kept.of(state))
            if purged.jobs or purged.more:
                cluster.purged["jobs"] += len(purged.jobs)
                return True
    if kept.events_s:
        events = cluster.store.purge_events(wall_s - kept.events_s)
        cluster.purged["events"] += events
        return bool(events)
    return False
