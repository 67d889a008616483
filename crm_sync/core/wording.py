"""The words of a mail: the passages of one wording file in one language, and how a language writes.

A wording file holds Jinja blocks, each a passage in plain text. It sees the few values its kind of
mail knows, and two filters: `number` writes a number in the language's digits, `plural` names its
CLDR plural form.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Final

from babel import Locale, UnknownLocaleError
from babel.dates import format_skeleton
from babel.numbers import format_decimal
from jinja2 import Environment, StrictUndefined, Template, TemplateError, pass_context
from jinja2.loaders import BaseLoader
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment
from persiantools.jdatetime import MONTH_NAMES_FA, JalaliDate

from crm_sync.core.errors import ConfigError, Problem

FALLBACK_LANGUAGE: Final = "en"

# Isolates (Unicode Standard Annex 9): a value keeps its own direction. By default its first strong
# character tells which that is.
_ISOLATED: Final = {
    "": "\u2068{}\u2069",
    "ltr": "\u2066{}\u2069",
    "rtl": "\u2067{}\u2069",
}
_STRONG: Final = {"ltr": {"R", "AL"}, "rtl": {"L"}}
_PERSIAN_DIGITS: Final = str.maketrans("0123456789", "۰۱۲۳۴۵۶۷۸۹")

# What a template's own expressions can raise.
_TEMPLATE_ERRORS: Final = (
    TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError
)  # fmt: skip


class Wording:
    """The passages of `template`, in `language` (BCP 47), with the values it may use."""

    def __init__(self, template: Template, language: str, passages: Sequence[str]) -> None:
        self.language = language
        self.locale = locale_of(language)
        self._template = template
        self._passages = passages
        self._values: dict[str, object] = {"locale": self.locale}

    def know(self, **values: object) -> None:
        """Makes `values` known to all passages."""
        self._values |= {name: self.isolated(value) for name, value in values.items()}

    def passage(self, name: str, **values: object) -> str:
        """One passage, in plain text; `values` are known to it alone. Raises ConfigError."""
        path = self._template.name or ""
        block = self._template.blocks.get(name)
        if block is None:
            raise template_error(path, f'the passage "{name}" is missing')
        own = {key: self.isolated(value) for key, value in values.items()}
        try:
            return "".join(block(self._template.new_context(self._values | own))).strip()
        except _TEMPLATE_ERRORS as error:
            raise template_error(
                path, f'the passage "{name}" can\'t be written: {error}'
            ) from error

    def passages(self, *, apart: Sequence[str] = ()) -> dict[str, str]:
        """All passages of this kind of mail but those `apart`. Raises ConfigError."""
        return {name: self.passage(name) for name in self._passages if name not in apart}

    def isolated(self, value: object, language: str = "") -> object:
        """A text that runs the other way somewhere, enclosed so that it can't turn ours around.

        `language` is that of the text, where it is known.
        """
        if not isinstance(value, str):
            return value
        foreign = _STRONG[self.locale.text_direction]
        if not any(unicodedata.bidirectional(character) in foreign for character in value):
            return value
        return _ISOLATED[locale_of(language).text_direction if language else ""].format(value)


def environment(loader: BaseLoader) -> Environment:
    """Jinja as all our templates use it: sandboxed, strict, escaping in ".html" files."""
    templates = SandboxedEnvironment(
        loader=loader,
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
    )
    templates.filters |= {"number": _number, "plural": _plural, "paragraphs": paragraphs}
    return templates


def template_error(path: str, problem: str) -> ConfigError:
    """The error for a template that can't be used."""
    advice = "Correct the template, or remove it to use the one that comes with the program."
    return ConfigError([Problem(f"template {path}", problem, advice)])


def locale_of(language: str) -> Locale:
    """How `language` writes dates and numbers; its base language's way, or English, if unknown."""
    for tag in language_chain(language):
        try:
            return Locale.parse(tag, sep="-")
        except (ValueError, UnknownLocaleError):
            continue
    return Locale(FALLBACK_LANGUAGE)


def language_chain(language: str) -> Iterator[str]:
    """The tags to look under, best first: "zh-Hant-TW", "zh-Hant", "zh", "en"."""
    parts = language.strip().replace("_", "-").split("-")
    for length in range(len(parts), 0, -1):
        yield "-".join(parts[:length])
    yield FALLBACK_LANGUAGE


def write_day(day: date, locale: Locale) -> str:
    """Weekday, day and month; in Persian by its own calendar, with the Gregorian date beside it."""
    if locale.language != "fa":
        return format_skeleton("MMMEd", day, locale=locale)
    persian = JalaliDate.to_jalali(day.year, day.month, day.day)  # type: ignore[no-untyped-call]
    weekday, gregorian = (format_skeleton(s, day, locale=locale) for s in ("EEEE", "MMMd"))
    written = f"{weekday} {persian.day} {MONTH_NAMES_FA[persian.month]} ({gregorian})"
    return _in_digits_of(locale, written)


def write_moment(local: datetime, locale: Locale) -> str:
    """Day and time of day, on the 24-hour clock, of a wall time (its zone, if any, is ignored)."""
    clock = format_skeleton("Hm", local.replace(tzinfo=None), locale=locale)
    joint = str(locale.datetime_formats["long"])
    return joint.format(_in_digits_of(locale, clock), write_day(local.date(), locale))


def paragraphs(text: str) -> list[list[str]]:
    """`text` as paragraphs, which empty lines part, of lines."""
    blocks = (block.strip().splitlines() for block in text.split("\n\n"))
    return [lines for lines in blocks if lines]


def _in_digits_of(locale: Locale, text: str) -> str:
    # Babel knows the numbering system of a language but writes Latin digits all the same.
    return text.translate(_PERSIAN_DIGITS) if locale.language == "fa" else text


@pass_context
def _number(context: Context, number: int) -> str:
    return _in_digits_of(context["locale"], format_decimal(number, locale=context["locale"]))


@pass_context
def _plural(context: Context, number: int) -> str:
    locale: Locale = context["locale"]
    return locale.plural_form(number)
