"""The pure core: no database, no network, no clock."""
