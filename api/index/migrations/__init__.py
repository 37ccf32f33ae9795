"""The tables' versions, for Alembic."""
