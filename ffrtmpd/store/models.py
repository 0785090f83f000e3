"""The tables as Peewee models. No database is bound here: a store binds each query to its own."""

from typing import Any, Final

import peewee

# A Peewee query object costs 0.2 ms, a constant statement 4 µs: these serve what does not happen for every job.


class Job(peewee.Model):
    """A job."""

    seq = peewee.AutoField()
    key = peewee.TextField(unique=True)
    digest = peewee.BlobField()
    spec_json = peewee.TextField()
    encode_json = peewee.TextField()
    requires = peewee.TextField()
    rank = peewee.IntegerField()
    queue = peewee.TextField()
    priority = peewee.TextField()
    scenario = peewee.TextField()
    state = peewee.TextField()
    phase = peewee.TextField(null=True)
    attempt = peewee.IntegerField()
    token = peewee.BlobField(null=True)
    node_id = peewee.TextField(null=True)
    max_attempts = peewee.IntegerField()
    losses = peewee.IntegerField()
    failures = peewee.IntegerField()
    created_at = peewee.DoubleField()
    started_at = peewee.DoubleField(null=True)
    finished_at = peewee.DoubleField(null=True)
    due_at = peewee.DoubleField(null=True)
    failure_class = peewee.TextField(null=True)
    exit_code = peewee.IntegerField(null=True)
    reason = peewee.TextField(null=True)
    output = peewee.TextField(null=True)
    resuming = peewee.BooleanField(default=False)
    lost_node = peewee.TextField(null=True)
    lost_token = peewee.BlobField(null=True)
    progress_json = peewee.TextField(null=True)
    report_json = peewee.TextField(null=True)
    state_at = peewee.DoubleField()
    waited_s = peewee.DoubleField(default=0)
    processed_s = peewee.DoubleField(default=0)
    vmaf = peewee.DoubleField(null=True)
    qoe = peewee.DoubleField(null=True)
    energy_j = peewee.DoubleField(null=True)
    joules_per_minute = peewee.DoubleField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "jobs"


class Audit(peewee.Model):
    """A transition of a job; with ``job_seq`` 0, what happened to a node or a key."""

    id = peewee.AutoField()
    job_seq = peewee.IntegerField()
    at = peewee.DoubleField()
    from_state = peewee.TextField(null=True)
    to_state = peewee.TextField()
    event = peewee.TextField()
    who = peewee.TextField()
    why = peewee.TextField(null=True)
    attempt = peewee.IntegerField()
    node_id = peewee.TextField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "audit"


class Node(peewee.Model):
    """A node."""

    node_id = peewee.TextField(primary_key=True)
    address = peewee.TextField(null=True)
    hardware_json = peewee.TextField(null=True)
    slots = peewee.IntegerField()
    draining = peewee.BooleanField()
    drain_until = peewee.DoubleField(null=True)
    first_seen_at = peewee.DoubleField(null=True)
    last_seen_at = peewee.DoubleField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "nodes"


class Principal(peewee.Model):
    """A key and what is bound to it."""

    id = peewee.AutoField()
    name = peewee.TextField()
    role = peewee.TextField()
    public = peewee.TextField(unique=True)
    created_at = peewee.DoubleField()
    grants = peewee.TextField(null=True)
    expires_at = peewee.DoubleField(null=True)
    revoked_at = peewee.DoubleField(null=True)
    enrolled = peewee.TextField(null=True)

    class Meta:
        """Where it is stored."""

        table_name = "principals"


class Figure(peewee.Model):
    """A counter of what happened."""

    name = peewee.TextField(primary_key=True)
    value = peewee.DoubleField()

    class Meta:
        """Where it is stored."""

        table_name = "figures"


class Fact(peewee.Model):
    """What is true of the whole database: schema version, cluster id, epoch."""

    name = peewee.TextField(primary_key=True)
    value = peewee.TextField()

    class Meta:
        """Where it is stored."""

        table_name = "meta"


TABLES: Final[tuple[Any, ...]] = (Job, Audit, Node, Principal, Figure, Fact)
