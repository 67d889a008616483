"""The program itself, in processes of its own as an admin runs it: an import, then a sync.

`prepare CONFIG CUSTOMERS FURTHER` makes the diary and takes in the file of customers, and as many
further customers past the file. `pull CONFIG` then does one pull for each line on standard input,
the names of accounts (none: all), until everything that matched has its text stored, and prints
what that took as a JSON object a line; the first object tells what starting took.
"""

import json
import resource
import sys
import time
from pathlib import Path

STARTED = time.perf_counter()

from crm_sync.app import App, read_settings  # noqa: E402  # its cost is part of starting
from crm_sync.runtime import logs  # noqa: E402  # likewise
from tests.benchmarks.measuring import peak_of_this_process  # noqa: E402  # likewise


def prepare(config: Path, customers: Path, further: int) -> None:
    """A diary with all customers, and nothing else in it."""
    from crm_sync.core.customer_files import parse_customers
    from crm_sync.flow.intake import take_in

    app = App(read_settings(config))
    take_in(app.setup, parse_customers(customers.read_bytes(), ".csv"))
    store_further(app, further)
    app.close()


def store_further(app: App, count: int) -> None:
    """Customers that never write, as rows: an import of so many is not what is measured."""
    from crm_sync.store import directory, tables
    from crm_sync.store.engine import insert_many

    numbers = range(1_000_001, 1_000_001 + count)
    addresses = [f"person{n}@known{n}.example" for n in numbers]
    with app.store.write() as tx:
        insert_many(
            tx,
            tables.customer,
            ("id", "name", "name_key", "is_company", "owner", "source", "address", "website"),
            [(n, f"Known {n} AB", f"known {n} ab", True, "", "", "", "") for n in numbers],
        )
        filled = (
            *("name", "name_key", "language", "timezone", "country", "birthday"),
            *("greeting_basis", "preferred_channel", "phones", "tags", "notes", "custom"),
        )
        rows = [(n, *[""] * (len(filled) - 1), "{}") for n in numbers]
        insert_many(tx, tables.contact, ("id", *filled), rows)
        insert_many(
            tx,
            tables.contact_address,
            ("address", "recorded", "position", "contact_id"),
            [(a, a, 0, n) for n, a in zip(numbers, addresses, strict=True)],
        )
        employed = [(n, n) for n in numbers]
        insert_many(tx, tables.employment, ("contact_id", "customer_id"), employed)
        directory.touch(tx)


def serve(config: Path) -> None:
    """Pulls when told to, until standard input ends."""
    logs.configure(quiet=True)
    app = App(read_settings(config), pulls=True)
    say(start=time.perf_counter() - STARTED)
    for line in sys.stdin:
        pull(app, line.split())
    app.close()


def pull(app: App, names: list[str]) -> None:
    """One pull, measured from before the first connection."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    pulled = app.pull(names)
    say(
        seconds=time.perf_counter() - wall,
        cpu=cpu_seconds() - cpu,
        seen=sum(p.seen for p in pulled),
        logged=sum(p.logged for p in pulled),
        errors=[p.error for p in pulled if p.error],
        peak=peak_of_this_process(),
    )


def cpu_seconds() -> float:
    """Processor time of this process and of the children it has waited for, no worker among them."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def say(**result: object) -> None:
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "prepare":
        prepare(Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
    else:
        serve(Path(sys.argv[2]))
