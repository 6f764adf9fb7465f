"""What is said to a user: why a request is not served, and how far a job is."""

import html


class Refusal(Exception):
    """A request that is not served: a sentence for the user, and its HTTP status.

    Attributes:
        status: 413 too large, 415 not a picture, 422 a damaged picture or an unknown
            option, 429 too many requests, 503 stopping or out of memory, 504 too slow.
    """

    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status = status


def refusal_html(refusal: Refusal) -> str:
    """Return a refusal as it is shown on the page."""
    text = str(refusal)
    return f'<p class="refusal">{html.escape(text[:1].upper() + text[1:])}.</p>'


def progress_html(done: int, total: int, seconds: float, what: str) -> str:
    """Return how far a job is: a bar, percent, speed and the time left.

    `lost_job.js` takes the bar for the sign that a job runs.

    Args:
        done, total: of the things the job is made of.
        seconds: since it began.
        what: these things are called.
    """
    share = min(1.0, done / max(total, 1))
    text = f"{100 * share:.0f} %: {done} of {total} {what}"
    if done and seconds > 0:
        rate = done / seconds
        left = _duration(max(0, total - done) / rate)
        text += f", {rate:.1f} a second, {left} left"
    return (
        f'<p>{text}</p><progress aria-label="{what} done" value="{done}" '
        f'max="{max(total, 1)}"></progress>'
    )


def _duration(seconds: float) -> str:
    """Return 42 s, or 3 min 05 s."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02} s"
