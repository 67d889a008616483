"""an index of planned meetings, which each tick looks for"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Some databases got it with 0002.
    op.create_index(
        "ix_interaction_planned",
        "interaction",
        ["ends_at"],
        unique=False,
        if_not_exists=True,
        sqlite_where=sa.text("status = 'planned'"),
    )
