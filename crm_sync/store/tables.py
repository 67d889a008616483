"""The diary's tables. Names are the words of the house; every time is ISO 8601 text in UTC.

Text times sort as they compare, read well in any database tool and cost nothing to bind.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Alembic's own table, read here without Alembic; its migrations leave it alone.
alembic_version = Table("alembic_version", MetaData(), Column("version_num", String(32)))

_Time = String(20)
_Hash = LargeBinary(16)


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _of(name: str, table: str, *, nullable: bool = False, primary: bool = False) -> Column[int]:
    reference = ForeignKey(f"{table}.id", ondelete="CASCADE")
    return Column(name, Integer, reference, nullable=nullable, primary_key=primary)


def _texts(*names: str) -> list[Column[str]]:
    return [Column(name, Text, nullable=False, default="") for name in names]


# What the program remembers about itself: key id, version of the directory, counters of ids.
memo = Table("memo", metadata, Column("name", String(60), primary_key=True), Column("value", Text))

customer = Table(
    "customer",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False, index=True),
    Column("is_company", Boolean, nullable=False),
    *_texts("owner", "source", "address", "website"),
    Column("customer_since", String(10)),
    Column("last_purchase", String(10)),
)
customer_domain = Table(
    "customer_domain",
    metadata,
    _of("customer_id", "customer", primary=True),
    Column("domain", Text, primary_key=True, index=True),
)
contact = Table(
    "contact",
    metadata,
    _id(),
    Column("name", Text, nullable=False, default=""),
    Column("name_key", Text, nullable=False, default="", index=True),
    *_texts("language", "timezone", "country", "birthday", "greeting_basis", "preferred_channel"),
    *_texts("phones", "tags", "notes"),
    Column("custom", Text, nullable=False, default="{}"),
)
contact_address = Table(
    "contact_address",
    metadata,
    Column("address", Text, primary_key=True),
    Column("recorded", Text, nullable=False),
    Column("position", Integer, nullable=False),
    _of("contact_id", "contact"),
    Index("ix_contact_address_contact_id", "contact_id"),
)
employment = Table(
    "employment",
    metadata,
    _of("contact_id", "contact", primary=True),
    _of("customer_id", "customer", primary=True),
    Column("since", String(10)),
    Column("until", String(10)),
    Index("ix_employment_customer_id", "customer_id"),
)

account = Table(
    "account",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("connector", Text, nullable=False),
    Column("rep", Text),
    Column("state", Text, nullable=False, default="new"),
    Column("first_complete_at", _Time),
    Column("last_success", _Time),
    Column("failing_since", _Time),
    Column("last_error", Text),
    Column("failures", Integer, nullable=False, default=0),
    Column("next_pull", _Time),
    Column("complete_until", _Time),
    # The server it is on, lower case with its port: hosts have a circuit breaker of their own.
    Column("host", Text, nullable=False, default="", server_default=""),
    # What the last failure was, in a word of `core.errors`; empty while all is well.
    Column("trouble", Text, nullable=False, default="", server_default=""),
    # Of its options, secrets included: where it differs, somebody has changed something.
    Column("fingerprint", _Hash),
    # Octets received on that day (UTC), for accounts with a daily budget.
    Column("octets", BigInteger, nullable=False, default=0, server_default="0"),
    Column("octets_day", String(10)),
)
# OAuth tokens, encrypted (law 13).
token = Table(
    "token",
    metadata,
    Column("account", Text, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("saved_at", _Time, nullable=False),
)
stream = Table(
    "stream",
    metadata,
    _id(),
    _of("account_id", "account"),
    Column("key", Text, nullable=False),
    Column("cursor", Text),
    # As people know it; empty while the account does not list it.
    Column("name", Text, nullable=False, default="", server_default=""),
    # All that had arrived by then is known to be here; null until it was proved.
    Column("complete_until", _Time),
    # When server and diary were compared last, and how much was found missing and is so still.
    Column("audited_at", _Time),
    Column("gaps", Integer, nullable=False, default=0, server_default="0"),
    UniqueConstraint("account_id", "key"),
)
# Hosts that answer nobody: their accounts wait together (a circuit breaker).
host = Table(
    "host",
    metadata,
    Column("name", Text, primary_key=True),
    Column("failures", Integer, nullable=False, default=0),
    Column("open_until", _Time),
)

interaction = Table(
    "interaction",
    metadata,
    _id(),
    Column("natural_key", _Hash, nullable=False, unique=True),
    Column("name_hash", _Hash, nullable=False, index=True),
    Column("author_hash", _Hash, nullable=False),
    Column("kind", Text, nullable=False),
    Column("direction", Text),
    Column("occurred_at", _Time, nullable=False, index=True),
    Column("arrived_at", _Time),
    Column("ends_at", _Time),
    Column("all_day", Boolean, nullable=False, default=False),
    Column("subject", Text, nullable=False, default=""),
    Column("message_id", Text),
    Column("uid", Text),
    Column("recurrence_id", Text),
    Column("thread_id", Integer, index=True),
    Column("status", Text),
    Column("attachments", Text, nullable=False, default="[]"),
    # Whether a reminder may follow: newer than its account's first complete sync.
    Column("fresh", Boolean, nullable=False, default=False),
    # A meeting's SEQUENCE (RFC 5545 section 3.8.7.4): older copies change nothing.
    Column("sequence", Integer, nullable=False, default=0),
    # When a meeting was newly planned; null for those that the first sync brought.
    Column("planned_at", _Time),
    # Few are: what is over is looked for again and again.
    Index("ix_interaction_planned", "ends_at", sqlite_where=text("status = 'planned'")),
)
# In tables without a rowid the columns of the key come first and in its order: SQLite 3.40, which
# Debian 12 ships, takes others for damaged when it checks them.
interaction_customer = Table(
    "interaction_customer",
    metadata,
    _of("customer_id", "customer"),
    _of("interaction_id", "interaction"),
    PrimaryKeyConstraint("customer_id", "interaction_id"),
    Index("ix_interaction_customer_interaction_id", "interaction_id"),
    sqlite_with_rowid=False,
)
interaction_contact = Table(
    "interaction_contact",
    metadata,
    # "contact:ID" or "address:CANONICAL": whom reminders are about.
    Column("who", Text, nullable=False),
    _of("interaction_id", "interaction"),
    Column("address", Text, nullable=False),
    _of("contact_id", "contact", nullable=True),
    Column("customer_id", Integer),
    Column("role", Text, nullable=False),
    PrimaryKeyConstraint("who", "interaction_id", "address"),
    Index("ix_interaction_contact_interaction_id", "interaction_id"),
    sqlite_with_rowid=False,
)
interaction_rep = Table(
    "interaction_rep",
    metadata,
    _of("interaction_id", "interaction"),
    Column("rep", Text, nullable=False),
    Column("position", Integer, nullable=False),
    PrimaryKeyConstraint("interaction_id", "rep"),
    sqlite_with_rowid=False,
)
# Hashes of a logged item's addresses that matched nobody: a later customer is joined by them.
interaction_trace = Table(
    "interaction_trace",
    metadata,
    Column("hash", _Hash, nullable=False),
    _of("interaction_id", "interaction"),
    PrimaryKeyConstraint("hash", "interaction_id"),
    Index("ix_interaction_trace_interaction_id", "interaction_id"),
    sqlite_with_rowid=False,
)
body = Table(
    "body", metadata, _of("interaction_id", "interaction", primary=True), Column("text", Text)
)
# Which thread a Message-ID belongs to, for messages logged and for those they refer to.
thread_reference = Table(
    "thread_reference",
    metadata,
    Column("hash", _Hash, primary_key=True),
    Column("thread_id", Integer, nullable=False, index=True),
    sqlite_with_rowid=False,
)

sighting = Table(
    "sighting",
    metadata,
    _id(),
    Column("natural_key", _Hash, nullable=False, unique=True),
    Column("name_hash", _Hash, nullable=False, index=True),
    Column("author_hash", _Hash, nullable=False),
    Column("kind", Text, nullable=False),
    Column("direction", Text),
    Column("occurred_at", _Time, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
sighting_trace = Table(
    "sighting_trace",
    metadata,
    Column("hash", _Hash, nullable=False),
    _of("sighting_id", "sighting"),
    PrimaryKeyConstraint("hash", "sighting_id"),
    Index("ix_sighting_trace_sighting_id", "sighting_id"),
    sqlite_with_rowid=False,
)
# Sightings that an import matched: the next pull of an account that holds them fetches them.
recall = Table(
    "recall",
    metadata,
    _of("sighting_id", "sighting", primary=True),
    Column("tries", Integer, nullable=False, default=0),
)

# Where an item was seen. `slot` is empty for mail and single events, "-" for an event with nothing
# in the window. `sealed` is the encrypted key.
witness = Table(
    "witness",
    metadata,
    _of("stream_id", "stream"),
    Column("key_hash", _Hash, nullable=False),
    Column("slot", Text, nullable=False, default=""),
    _of("interaction_id", "interaction", nullable=True),
    _of("sighting_id", "sighting", nullable=True),
    Column("version", Text, nullable=False, default=""),
    Column("sealed", LargeBinary, nullable=False),
    PrimaryKeyConstraint("stream_id", "key_hash", "slot"),
    Index("ix_witness_interaction_id", "interaction_id"),
    Index("ix_witness_sighting_id", "sighting_id"),
    sqlite_with_rowid=False,
)
wanted = Table(
    "wanted",
    metadata,
    _of("interaction_id", "interaction", primary=True),
    _of("stream_id", "stream"),
    Column("sealed", LargeBinary, nullable=False),
    Column("hint", Text, nullable=False, default=""),
    # What the header said of a first mail from outside, until its text was looked at too.
    Column("header", Text),
    Column("tries", Integer, nullable=False, default=0),
    Column("next_try", _Time),
    Index("ix_wanted_stream_id", "stream_id"),
)
quarantine = Table(
    "quarantine",
    metadata,
    _id(),
    _of("stream_id", "stream"),
    Column("key_hash", _Hash, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("version", Text, nullable=False, default=""),
    Column("reason", Text, nullable=False),
    Column("tries", Integer, nullable=False, default=1),
    Column("since", _Time, nullable=False),
    Column("state", Text, nullable=False, default="held"),  # held | retry | dropped
    UniqueConstraint("stream_id", "key_hash"),
)

# Bounces, complaints and automatic answers that are still to be read for what they say about an
# address: the sighting stays as it is.
notice = Table(
    "notice",
    metadata,
    _of("sighting_id", "sighting", primary=True),
    _of("stream_id", "stream"),
    Column("sealed", LargeBinary, nullable=False),
    Column("tries", Integer, nullable=False, default=0),
    Index("ix_notice_stream_id", "stream_id"),
)
# What became known about an address of a contact; nothing of the words that said it.
address_event = Table(
    "address_event",
    metadata,
    _id(),
    Column("natural_key", _Hash, nullable=False, unique=True),
    Column("address", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),  # hard_bounce | soft_bounce | complaint | absence
    Column("at", _Time, nullable=False),
    # RFC 3463 status code of a bounce.
    Column("status", Text, nullable=False, default=""),
    # Of an absence: the first day back, and the address of the deputy.
    Column("until", String(10)),
    Column("deputy", Text, nullable=False, default=""),
    # The mail of ours that a bounce or complaint is about, where the outbox sent it.
    Column("outbox_id", Integer),
)

reminder = Table(
    "reminder",
    metadata,
    _id(),
    Column("rule", Text, nullable=False),
    Column("who", Text, nullable=False),
    _of("cause_id", "interaction"),
    _of("customer_id", "customer"),
    _of("contact_id", "contact", nullable=True),
    Column("rep", Text, nullable=False),
    Column("since", _Time, nullable=False),
    Column("due_at", _Time, nullable=False),
    Column("snoozed_until", _Time),
    Column("state", Text, nullable=False, default="open"),  # open | closed (by facts) | done
    UniqueConstraint("rule", "who", "cause_id"),
    Index("ix_reminder_state_due_at", "state", "due_at"),
)
outbox = Table(
    "outbox",
    metadata,
    _id(),
    Column("key", Text, nullable=False, unique=True),
    Column("action", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False, index=True),
    Column("recipient", Text, nullable=False),
    Column("recipient_name", Text, nullable=False, default=""),
    Column("sender", Text, nullable=False),
    Column("reply_to", Text, nullable=False, default=""),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("html", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("due_at", _Time, nullable=False),
    Column("expires_at", _Time),
    Column("message_id", Text, nullable=False, unique=True),
    Column("contact_id", Integer),
    Column("customer_id", Integer),
    Column("rep", Text, nullable=False, default=""),
    Column("tries", Integer, nullable=False, default=0),
    Column("next_try", _Time),
    Column("claimed_at", _Time),
    Column("doubted_at", _Time),
    Column("sent_at", _Time),
    Column("error", Text),
    # The sender it leaves by; empty for the team's.
    Column("via", Text, nullable=False, default="", server_default=""),
    # Whether its copy in Sent is there: null where none is wanted.
    Column("filed", Boolean, index=True),
)
