"""The diary: tables, migrations, queries, transactions."""
