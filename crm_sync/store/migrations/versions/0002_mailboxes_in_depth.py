"""mailboxes in depth: completeness per folder, notices, breakers, budgets, sending by reps"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "address_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("natural_key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=20), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("until", sa.String(length=10), nullable=True),
        sa.Column("deputy", sa.Text(), nullable=False),
        sa.Column("outbox_id", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_event")),
        sa.UniqueConstraint("natural_key", name=op.f("uq_address_event_natural_key")),
    )
    with op.batch_alter_table("address_event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_address_event_address"), ["address"], unique=False)

    op.create_table(
        "host",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("open_until", sa.String(length=20), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_host")),
    )
    op.create_table(
        "notice",
        sa.Column("sighting_id", sa.Integer(), nullable=False),
        sa.Column("stream_id", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["sighting_id"], ["sighting.id"], name=op.f("fk_notice_sighting_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["stream.id"], name=op.f("fk_notice_stream_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sighting_id", name=op.f("pk_notice")),
    )
    with op.batch_alter_table("notice", schema=None) as batch_op:
        batch_op.create_index("ix_notice_stream_id", ["stream_id"], unique=False)

    with op.batch_alter_table("account", schema=None) as batch_op:
        batch_op.add_column(sa.Column("host", sa.Text(), server_default="", nullable=False))
        batch_op.add_column(sa.Column("trouble", sa.Text(), server_default="", nullable=False))
        batch_op.add_column(sa.Column("fingerprint", sa.LargeBinary(length=16), nullable=True))
        batch_op.add_column(
            sa.Column("octets", sa.BigInteger(), server_default="0", nullable=False)
        )
        batch_op.add_column(sa.Column("octets_day", sa.String(length=10), nullable=True))

    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.add_column(sa.Column("via", sa.Text(), server_default="", nullable=False))
        batch_op.add_column(sa.Column("filed", sa.Boolean(), nullable=True))
        batch_op.create_index("ix_outbox_filed", ["filed"], unique=False)

    with op.batch_alter_table("stream", schema=None) as batch_op:
        batch_op.add_column(sa.Column("name", sa.Text(), server_default="", nullable=False))
        batch_op.add_column(sa.Column("complete_until", sa.String(length=20), nullable=True))
        batch_op.add_column(sa.Column("audited_at", sa.String(length=20), nullable=True))
        batch_op.add_column(sa.Column("gaps", sa.Integer(), server_default="0", nullable=False))

    with op.batch_alter_table("wanted", schema=None) as batch_op:
        batch_op.add_column(sa.Column("next_try", sa.String(length=20), nullable=True))
