"""The one boundary between strangers' text and ours."""

from hypothesis import given
from hypothesis import strategies as st

from crm_sync.core.clean import HEADER_LIMIT, clean, clean_text

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()))


def test_line_breaks_in_a_subject_cannot_start_a_new_header():
    assert clean("Offer\r\nBcc: everybody@acme.example") == "Offer Bcc: everybody@acme.example"


def test_nul_and_control_characters_disappear():
    assert clean("a\x00b\x07c\x1b[31md\x9fe") == "abc[31mde"


def test_a_tab_becomes_one_space():
    assert clean("a\t\t\nb") == "a b"


def test_lone_surrogates_disappear_so_that_the_text_can_be_encoded():
    assert clean("a\ud800b\udfffc").encode() == b"abc"


def test_controls_that_turn_the_writing_direction_disappear():
    assert clean("invoice\u202efdp.exe\u2066!\u2069") == "invoicefdp.exe!"


def test_persian_keeps_its_zero_width_non_joiner_and_emoji_their_joiner():
    assert clean("می‌خواهم 👩‍💻") == "می‌خواهم 👩‍💻"


def test_text_is_cut_at_the_limit():
    assert clean("x" * 2000) == "x" * HEADER_LIMIT
    assert clean("\x00" + "å" * 50, 10) == "å" * 10


def test_a_body_keeps_its_lines_whatever_ended_them():
    assert clean_text("a\r\nb\rc\u2028d\n\te\x00", 100) == "a\nb\nc\nd\n\te"


@given(ANY_TEXT)
def test_clean_text_is_harmless_and_cleaning_again_changes_nothing(text):
    once = clean(text)
    once.encode()
    assert not set(once) & set("\r\n\t\0\x85\u2028\u2029\u202e")
    assert clean(once) == once


@given(ANY_TEXT)
def test_clean_bodies_are_harmless_and_cleaning_again_changes_nothing(text):
    once = clean_text(text, 1000)
    once.encode()
    assert not set(once) & set("\r\0\x85\u2028\u202e")
    assert clean_text(once, 1000) == once
