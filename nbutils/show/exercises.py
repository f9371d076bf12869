"""Exercises that check themselves."""

from . import figures


def check(answer, is_right, hint):
    """Say whether an answer is right. Whatever the answer is, this raises nothing.

    Args:
        answer: what the reader found, a number or a function; None while there is none.
        is_right: callable of the answer to bool.
        hint: Markdown, shown while it is not right.
    """
    if answer is None:
        figures.say("*Not answered yet.*")
        return
    try:
        right = bool(is_right(answer))
    except Exception as error:  # an answer can be anything, and a function of a reader's can raise anything
        told = figures.plain(f"{type(error).__name__}: {error}")
        figures.say(f"**Not yet:** with this answer the check raises {told}. {hint}")
        return
    figures.say("**Right.**" if right else f"**Not yet.** {hint}")
