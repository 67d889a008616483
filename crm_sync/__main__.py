"""`python -m crm_sync` and the command `crm-sync`."""

from crm_sync.cli import main

if __name__ == "__main__":
    main()
