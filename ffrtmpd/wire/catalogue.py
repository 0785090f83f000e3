"""Who may say what: the message types that each side of each socket accepts.

``PERMISSIONS`` is the one table from operation to the roles that may ask for it.
"""

from typing import Final

from ffrtmpd.wire.codec import Message, catalogue
from ffrtmpd.wire.messages import acts, common, inquiries, jobs, keys, nodes, overview, session
from ffrtmpd.wire.vocabulary import Role

READERS: Final = frozenset({Role.VIEWER, Role.OPERATOR, Role.ADMIN})
ACTORS: Final = frozenset({Role.OPERATOR, Role.ADMIN})
ADMINS: Final = frozenset({Role.ADMIN})
ENROLLING: Final = frozenset({Role.ENROL})

PERMISSIONS: Final[dict[type[Message], frozenset[Role]]] = {
    common.Ping: READERS,
    jobs.Status: READERS,
    jobs.ListJobs: READERS,
    jobs.Changes: READERS,
    inquiries.Logs: READERS,
    inquiries.Explain: READERS,
    inquiries.ListScenarios: READERS,
    overview.Queues: READERS,
    overview.Events: READERS,
    nodes.ListNodes: READERS,
    nodes.DescribeNode: READERS,
    jobs.Submit: ACTORS,
    acts.Cancel: ACTORS,
    acts.Pause: ACTORS,
    acts.Resume: ACTORS,
    acts.Retry: ACTORS,
    acts.ActOnJobs: ACTORS,
    nodes.DrainNode: ACTORS,
    nodes.UndrainNode: ACTORS,
    nodes.RemoveNode: ADMINS,
    keys.Invite: ADMINS,
    keys.ListKeys: ADMINS,
    keys.RevokeKey: ADMINS,
    keys.Enrol: ENROLLING,
}

CLIENT_REQUESTS: Final = catalogue(*PERMISSIONS)
CLIENT_REPLIES: Final = catalogue(
    common.Error,
    common.Pong,
    jobs.Submitted,
    jobs.StatusReply,
    jobs.JobList,
    jobs.ChangesReply,
    acts.Acted,
    acts.ActedOnJobs,
    inquiries.LogsReply,
    inquiries.ScenarioList,
    inquiries.Explanation,
    overview.QueueList,
    overview.EventList,
    nodes.NodeList,
    nodes.NodeReply,
    keys.Invited,
    keys.Enrolled,
    keys.KeyList,
    keys.KeyReply,
)
WORKER_TO_MASTER: Final = catalogue(
    session.Hello,
    session.Ready,
    session.Heartbeat,
    session.Started,
    session.ProgressReport,
    session.Result,
    session.Committed,
    session.LogChunk,
    session.Bye,
)
MASTER_TO_WORKER: Final = catalogue(
    session.Welcome,
    session.HeartbeatAck,
    session.Assign,
    session.PauseAttempt,
    session.ResumeAttempt,
    session.Kill,
    session.Commit,
    session.ResultVerdict,
    session.Reset,
    session.Denied,
    session.FetchLog,
)
