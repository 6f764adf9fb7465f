"""A request that is not served, and why."""


class Refusal(Exception):
    """One sentence for the user, and the HTTP status that says the same.

    Attributes:
        status: 413 too large, 415 not a picture, 422 a damaged picture or an unknown
            option, 429 too many requests, 503 stopping or out of memory, 504 too slow.
    """

    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status = status
