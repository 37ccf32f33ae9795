"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "attestation",
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("round", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("member", sa.SmallInteger(), nullable=False),
        sa.Column("result", sa.LargeBinary(length=32), nullable=False),
        sa.Column("report", sa.LargeBinary(length=32), nullable=False),
        sa.Column("previous", sa.LargeBinary(length=32), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("replaced", sa.Boolean(), nullable=False),
        sa.Column("dispute", sa.Boolean(), nullable=False),
        sa.Column("attested_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run", "round", "block", "log_index"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "attestation_dispute",
        "attestation",
        ["run", "round", "block", "log_index"],
        unique=False,
        sqlite_where=sa.text("dispute = 1"),
        postgresql_where=sa.text("dispute"),
    )
    op.create_index("attestation_report", "attestation", ["report"], unique=False)
    op.create_table(
        "block",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sqlite_with_rowid=False,
    )
    op.create_index("block_hash", "block", ["hash"], unique=False)
    op.create_table(
        "consortium_event",
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("member", sa.SmallInteger(), nullable=True),
        sa.Column("account", sa.LargeBinary(length=20), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("accumulator", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("block", "log_index"),
        sqlite_with_rowid=False,
    )
    op.create_index("consortium_event_account", "consortium_event", ["account"], unique=False)
    op.create_index(
        "consortium_event_member", "consortium_event", ["member", "block", "log_index"], unique=False
    )
    op.create_table(
        "contribution",
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("round", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("member", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("commitment", sa.LargeBinary(length=32), nullable=True),
        sa.Column("committed_at", sa.BigInteger(), nullable=True),
        sa.Column("leaf", sa.LargeBinary(length=32), nullable=True),
        sa.Column("payload", sa.LargeBinary(length=32), nullable=True),
        sa.Column("update", sa.LargeBinary(length=32), nullable=True),
        sa.Column("byte_length", sa.LargeBinary(length=32), nullable=True),
        sa.Column("num_examples", sa.LargeBinary(length=32), nullable=True),
        sa.Column("revealed_at", sa.BigInteger(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("check", sa.SmallInteger(), nullable=True),
        sa.Column("weight", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("run", "round", "member"),
        sqlite_with_rowid=False,
    )
    op.create_index("contribution_commitment", "contribution", ["commitment"], unique=False)
    op.create_index("contribution_leaf", "contribution", ["leaf"], unique=False)
    op.create_index("contribution_member", "contribution", ["run", "member", "round"], unique=False)
    op.create_index("contribution_payload", "contribution", ["payload"], unique=False)
    op.create_index(
        "contribution_update",
        "contribution",
        ["update"],
        unique=False,
        sqlite_where=sa.text('"update" IS NOT NULL AND "update" != payload'),
        postgresql_where=sa.text('"update" IS NOT NULL AND "update" != payload'),
    )
    op.create_index(
        "contribution_verdict", "contribution", ["run", "verdict", "round", "member"], unique=False
    )
    op.create_table(
        "cursor",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("consortium", sa.LargeBinary(length=20), nullable=False),
        sa.Column("round_ledger", sa.LargeBinary(length=20), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("documents", sa.LargeBinary(length=32), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "document",
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("round", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("member", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), autoincrement=False, nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run", "round", "kind", "member", "digest"),
        sqlite_with_rowid=False,
    )
    op.create_index("document_digest", "document", ["digest"], unique=False)
    op.create_index(
        "document_missing",
        "document",
        ["block", "log_index", "digest"],
        unique=False,
        sqlite_where=sa.text("state = 'missing'"),
        postgresql_where=sa.text("state = 'missing'"),
    )
    op.create_index(
        "document_wanted",
        "document",
        ["block", "log_index", "digest"],
        unique=False,
        sqlite_where=sa.text("state = 'wanted'"),
        postgresql_where=sa.text("state = 'wanted'"),
    )
    op.create_table(
        "event",
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("transaction", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sender", sa.LargeBinary(length=20), nullable=False),
        sa.Column("contract", sa.LargeBinary(length=20), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("run", sa.BigInteger(), nullable=True),
        sa.Column("round", sa.BigInteger(), nullable=True),
        sa.Column("member", sa.SmallInteger(), nullable=True),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("block", "log_index"),
        sqlite_with_rowid=False,
    )
    op.create_index("event_run", "event", ["run", "block", "log_index"], unique=False)
    op.create_index("event_transaction", "event", ["transaction"], unique=False)
    op.create_table(
        "member",
        sa.Column("member", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("account", sa.LargeBinary(length=20), nullable=False),
        sa.Column("encryption_key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("metadata", sa.LargeBinary(length=32), nullable=False),
        sa.Column("admitted_at", sa.BigInteger(), nullable=False),
        sa.Column("admitted_epoch", sa.BigInteger(), nullable=False),
        sa.Column("removed_at", sa.BigInteger(), nullable=True),
        sa.Column("removed_epoch", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("member"),
        sqlite_with_rowid=False,
    )
    op.create_index("member_account", "member", ["account"], unique=False)
    op.create_table(
        "metric",
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("round", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("member", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=True),
        sa.Column("num_examples", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run", "round", "member", "name"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "proposal",
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("round", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("proposer", sa.LargeBinary(length=20), nullable=False),
        sa.Column("result", sa.LargeBinary(length=32), nullable=False),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run", "round", "block", "log_index"),
        sqlite_with_rowid=False,
    )
    op.create_index("proposal_result", "proposal", ["result"], unique=False)
    op.create_table(
        "role",
        sa.Column("account", sa.LargeBinary(length=20), autoincrement=False, nullable=False),
        sa.Column("roles", sa.SmallInteger(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "round",
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("round", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("opener", sa.LargeBinary(length=20), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("eligible", sa.LargeBinary(length=32), nullable=False),
        sa.Column("parent_head", sa.LargeBinary(length=32), nullable=False),
        sa.Column("base", sa.LargeBinary(length=32), nullable=False),
        sa.Column("consortium_accumulator", sa.LargeBinary(length=32), nullable=False),
        sa.Column("late_accumulator", sa.LargeBinary(length=32), nullable=False),
        sa.Column("accumulator", sa.LargeBinary(length=32), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=32), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("commit_end", sa.BigInteger(), nullable=False),
        sa.Column("reveal_end", sa.BigInteger(), nullable=False),
        sa.Column("propose_end", sa.BigInteger(), nullable=False),
        sa.Column("commits", sa.BigInteger(), nullable=False),
        sa.Column("reveals", sa.BigInteger(), nullable=False),
        sa.Column("proposals", sa.BigInteger(), nullable=False),
        sa.Column("attestations", sa.BigInteger(), nullable=False),
        sa.Column("disputes", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("result", sa.LargeBinary(length=32), nullable=True),
        sa.Column("head", sa.LargeBinary(length=32), nullable=True),
        sa.Column("model", sa.LargeBinary(length=32), nullable=True),
        sa.Column("model_length", sa.BigInteger(), nullable=True),
        sa.Column("base_model", sa.LargeBinary(length=32), nullable=True),
        sa.Column("base_model_length", sa.BigInteger(), nullable=True),
        sa.Column("void", sa.Boolean(), nullable=True),
        sa.Column("verdicts_root", sa.LargeBinary(length=32), nullable=True),
        sa.Column("accepted", sa.BigInteger(), nullable=True),
        sa.Column("weight", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("run", "round"),
        sqlite_with_rowid=False,
    )
    op.create_index("round_head", "round", ["head"], unique=False)
    op.create_index("round_model", "round", ["model"], unique=False)
    op.create_index("round_result", "round", ["result"], unique=False)
    op.create_table(
        "run",
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("terms", sa.LargeBinary(length=32), nullable=False),
        sa.Column("plan", sa.LargeBinary(length=32), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("starter", sa.LargeBinary(length=20), nullable=False),
        sa.Column("first_head", sa.LargeBinary(length=32), nullable=False),
        sa.Column("head", sa.LargeBinary(length=32), nullable=False),
        sa.Column("late", sa.LargeBinary(length=32), nullable=False),
        sa.Column("base", sa.LargeBinary(length=32), nullable=False),
        sa.Column("joined", sa.LargeBinary(length=32), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("rounds", sa.BigInteger(), nullable=False),
        sa.Column("certified", sa.BigInteger(), nullable=False),
        sa.Column("aborted", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run"),
        sqlite_with_rowid=False,
    )
    op.create_index("run_head", "run", ["head"], unique=False)
    op.create_index("run_terms", "run", ["terms", "run"], unique=False)
    op.create_table(
        "run_member",
        sa.Column("run", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("member", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("joined", sa.Boolean(), nullable=False),
        sa.Column("eligible", sa.BigInteger(), nullable=False),
        sa.Column("committed", sa.BigInteger(), nullable=False),
        sa.Column("revealed", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), nullable=False),
        sa.Column("weight", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run", "member"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "terms",
        sa.Column("digest", sa.LargeBinary(length=32), autoincrement=False, nullable=False),
        sa.Column("block", sa.BigInteger(), nullable=False),
        sa.Column("log_index", sa.BigInteger(), nullable=False),
        sa.Column("ballot", sa.LargeBinary(length=32), nullable=False),
        sa.Column("plan", sa.LargeBinary(length=32), nullable=False),
        sa.Column("quorum", sa.BigInteger(), nullable=False),
        sa.Column("min_reveals", sa.BigInteger(), nullable=False),
        sa.Column("commit_duration", sa.BigInteger(), nullable=False),
        sa.Column("reveal_duration", sa.BigInteger(), nullable=False),
        sa.Column("propose_duration", sa.BigInteger(), nullable=False),
        sa.Column("grace", sa.BigInteger(), nullable=False),
        sa.Column("max_rounds", sa.BigInteger(), nullable=False),
        sa.Column("aggregators", sa.Text(), nullable=False),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False),
        sa.Column("approved_at", sa.BigInteger(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True),
        sa.Column("strategy", sa.Text(), nullable=True),
        sa.Column("rounds", sa.BigInteger(), nullable=True),
        sa.Column("model", sa.LargeBinary(length=32), nullable=True),
        sa.Column("model_length", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("digest"),
        sqlite_with_rowid=False,
    )
    op.create_index("terms_ballot", "terms", ["ballot"], unique=False)
    op.create_index("terms_model", "terms", ["model"], unique=False)
    op.create_index("terms_order", "terms", ["block", "log_index"], unique=False)
    op.create_index("terms_plan", "terms", ["plan"], unique=False)
    op.create_table(
        "vote",
        sa.Column("block", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("log_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ballot", sa.LargeBinary(length=32), nullable=False),
        sa.Column("member", sa.SmallInteger(), nullable=False),
        sa.Column("cast_at", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("block", "log_index"),
        sqlite_with_rowid=False,
    )
    op.create_index("vote_ballot", "vote", ["ballot", "block", "log_index"], unique=False)


def downgrade() -> None:
    """Drop the tables."""
    for name in (
        "attestation",
        "block",
        "consortium_event",
        "contribution",
        "cursor",
        "document",
        "event",
        "member",
        "metric",
        "proposal",
        "role",
        "round",
        "run",
        "run_member",
        "terms",
        "vote",
    ):
        op.drop_table(name)
