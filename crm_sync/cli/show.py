"""The command that shows one interaction whole, with its text."""

from typing import Annotated, Any

import typer

from crm_sync.cli.common import Config, Json, Number, local, opened, print_object, shown
from crm_sync.core.errors import UsageError


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(show)


def show(
    number: Number,
    full: Annotated[
        bool, typer.Option("--full", help="Show quoted text and signature too.")
    ] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Show one interaction with its text: what was written anew, quotes folded.

    Example: crm-sync show 17
    """
    from crm_sync.core.quotes import split_reply
    from crm_sync.store import diary

    with opened(config) as app:
        with app.store.read() as tx:
            found = diary.one(tx, number, rep_today=app.setup.rep)
            text = diary.text_of(tx, number)
        if found is None:
            advice = "`crm-sync timeline` and `interactions` show the ids."
            raise UsageError(f"there is no interaction {number}", advice=advice)
        new, rest = split_reply(text or "")
        if as_json:
            print_object({**found, "text": text, "new_text": None if text is None else new})
            return
        _print_head(app, found)
        if text is None:
            typer.echo("\nThere is no text here (yet).")
            return
        typer.echo("\n" + _lines(text if full else new))
        if rest and not full:
            count = len(rest.splitlines())
            lines = "1 line" if count == 1 else f"{count} lines"
            typer.echo(f"\n[{lines} of quoted text and signature: crm-sync show {number} --full]")


def _print_head(app: Any, found: dict[str, Any]) -> None:
    whole_day = found["all_day"]
    ends = "" if whole_day or not found["ends_at"] else f" until {local(app, found['ends_at'])}"
    what = " ".join(w for w in (found["direction"], found["kind"], found["status"]) if w)
    facts = {
        "what": what,
        "when": local(app, found["occurred_at"]) + ends + (" (all day)" if whole_day else ""),
        "subject": found["subject"],
        "customers": found["customers"],
        "contacts": found["contacts"],
        "reps": found["reps"],
        "attachments": found["attachments"],
        "message id": found["message_id"],
        "uid": found["uid"],
    }
    for name, value in facts.items():
        if value:
            typer.echo(f"{name:12} {shown(value)}")


def _lines(text: str) -> str:
    return "\n".join("" if not line else shown(line) for line in text.splitlines())
