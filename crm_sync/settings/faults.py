"""Collects all that is wrong with a configuration, in words an admin can act on."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from crm_sync.core.errors import Problem
from crm_sync.settings import checks
from crm_sync.settings.annotations import fields_by_key, models_in
from crm_sync.settings.document import Document, KeyPath, value_at

_EXPECTED = {
    "bool": "true or false",
    "dict": "a table",
    "float": "a number",
    "int": "a whole number",
    "list": "a list in square brackets",
    "model": "a table",
    "string": "text in quotes",
    "tuple": "a list in square brackets",
}
_TYPE = re.compile(rf"({'|'.join(_EXPECTED)})_(?:type|parsing|from_float|attributes_type)")
_RULE = re.compile(r"^\w+ should")
_NAMING_KEYS = {"reps": "email", "greetings": "occasion", "reminders": "kind"}


class Faults:
    """The problems found so far.

    A value is named by its key, "mailboxes[karin@acme.example/imap].password", with the line in
    the file; one that the environment set is named by its variable. Where a table of a list has
    no name of its own, or shares it, its number counts from 1.
    """

    def __init__(
        self, document: Document, data: Mapping[str, Any], variables: Mapping[KeyPath, str]
    ) -> None:
        self.problems: list[Problem] = []
        self._document = document
        self._data = data
        self._variables = variables

    def add(self, path: KeyPath, problem: str, advice: str = "") -> None:
        """Notes what is wrong with the value at `path`; a key is named once only."""
        variable = self._variables.get(path)
        line = None if variable else self._document.line(path)
        key = variable or self.key(path)
        if all((known.key, known.line) != (key, line) for known in self.problems):
            self.problems.append(Problem(key, problem, advice, line))

    def add_invalid(
        self,
        error: ValidationError,
        model: type[BaseModel],
        at: KeyPath = (),
        secrets: frozenset[str] = frozenset(),
    ) -> None:
        """Notes what pydantic found in the table `at`; values of `secrets` are never shown."""
        for details in error.errors(include_url=False):
            path = self._existing(at, details["loc"])
            is_secret = not secrets.isdisjoint(str(part) for part in details["loc"])
            known = _keys_at(model, details["loc"])
            brackets = None if at else _brackets(details)
            self.add(path, *(brackets or _sentences(details, known, is_secret=is_secret)))

    def key(self, path: KeyPath) -> str:
        """The name of the value at `path`, for a person."""
        name = ""
        for depth, part in enumerate(path):
            if isinstance(part, int):
                name += f"[{self._element(path[:depth], part)}]"
            else:
                name += f".{part}" if name else part
        return name

    def _element(self, of: KeyPath, number: int) -> str:
        siblings = value_at(self._data, of)
        names = [_name(str(of[0]), table) for table in siblings or []]
        name = names[number] if number < len(names) else ""
        return name if name and names.count(name) == 1 else str(number + 1)

    def _existing(self, at: KeyPath, location: tuple[int | str, ...]) -> KeyPath:
        """The path without what pydantic adds to tell members of a union apart."""
        path = at
        for part in location:
            parent = value_at(self._data, path)
            if isinstance(parent, dict) or (isinstance(parent, list) and isinstance(part, int)):
                path = (*path, part)
            else:
                break
        return path


def _sentences(error: ErrorDetails, known: Iterable[str], *, is_secret: bool) -> tuple[str, str]:
    """What was found, and what to do."""
    kind, context = error["type"], error.get("ctx", {})
    match kind:
        case checks.FAULT:
            return context["problem"], context["advice"]
        case "missing":
            return "is missing", ""
        case "extra_forbidden":
            return "is not a known key", checks.did_you_mean(str(error["loc"][-1]), known)
        case "value_error" if not is_secret:
            return checks.in_two(str(context["error"]))
        case "literal_error" if isinstance(error["input"], str) and not is_secret:
            return _not_one_of(error["input"], context["expected"])
        case _:
            return _not_as_expected(error, is_secret=is_secret), ""


def _brackets(error: ErrorDetails) -> tuple[str, str] | None:
    """What to say of [x] in place of [[x]] and the other way round; None for another fault."""
    section, *inside = error["loc"]
    if inside:
        return None
    if error["type"] == "list_type" and isinstance(error["input"], dict):
        advice = f"Write [[{section}]] for each, with two brackets on either side."
        return "is one table, and there may be several", advice
    if error["type"] == "model_type" and isinstance(error["input"], list):
        advice = f"Write [{section}], with one bracket on either side."
        return "is a list, and there is only one table", advice
    return None


def _not_as_expected(error: ErrorDetails, *, is_secret: bool) -> str:
    found = "found a value" if is_secret else f"found {described(error['input'])}"
    if wrong_type := _TYPE.fullmatch(error["type"]):
        return f"{found}, expected {_EXPECTED[wrong_type[1]]}"
    if is_secret and error["type"] == "value_error":
        return f"{found} that the connector does not take"
    return f"{found}, {_RULE.sub('it should', error['msg'])}"


def _not_one_of(found: str, expected: str) -> tuple[str, str]:
    names = re.findall(r"'([^']*)'", expected)
    near = checks.did_you_mean(found, names)
    choice = f"{checks.quoted(found)} is none of {checks.one_of(names)}"
    return choice, near


def described(value: object) -> str:
    """What a value is, for a sentence: the kind and, where it helps, what it says."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"the text {checks.quoted(value)}"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time without quotes"


def _keys_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that are known in the table around `location`."""
    for part in location[:-1]:
        field = fields_by_key(model).get(str(part))
        inner = models_in(field.annotation) if field else []
        model = inner[0] if inner else model
    return list(fields_by_key(model))


def _name(section: str, table: object) -> str:
    """What people call a table of a list: an account's name, a rep's address, an occasion."""
    if not isinstance(table, dict):
        return ""
    own = table.get(_NAMING_KEYS.get(section, "name"))
    if section not in _NAMING_KEYS and not own:
        own = f"{table.get('rep', 'team')}/{table.get('connector', '?')}"
    return own[:100] if isinstance(own, str) else ""
