"""The venue's own error answers.

VenueError
├── NoSuchSymbol      2001, HTTP 400
├── NoSuchCurrency    2002, HTTP 400
├── BadParameter      10001, HTTP 400
├── NothingFound      404
├── TooManyRequests   429
└── OutOfService      500, 503, 504
"""


class VenueError(Exception):
    """An answer with an error body; `status` is the HTTP status that goes with it on REST."""

    code = 500
    status = 500
    message = "Internal Server Error"

    def __init__(self, description: str = "", *, message: str | None = None) -> None:
        self.description = description
        if message is not None:
            self.message = message
        super().__init__(f"{self.code} {self.message}: {description}")

    def body(self) -> dict[str, object]:
        """Give the value of the answer's `error` key."""
        body: dict[str, object] = {"code": self.code, "message": self.message}
        if self.description:
            body["description"] = self.description
        return body


class NoSuchSymbol(VenueError):  # noqa: N818  named as the venue names it
    code, status = 2001, 400

    def __init__(self, symbol: str) -> None:
        super().__init__(
            "Try get /public/symbol, to get list of all available symbols.", message=f"No such symbol: {symbol}"
        )


class NoSuchCurrency(VenueError):  # noqa: N818
    code, status = 2002, 400

    def __init__(self, currency: str) -> None:
        super().__init__(
            "Try get /public/currency, to get list of all available currencies.",
            message=f"No such currency: {currency}",
        )


class BadParameter(VenueError):  # noqa: N818
    code, status, message = 10001, 400, "Validation error"


class NothingFound(VenueError):  # noqa: N818
    code, status, message = 404, 404, "Not Found"


class TooManyRequests(VenueError):  # noqa: N818
    code, status, message = 429, 429, "Too many requests"

    def __init__(self) -> None:
        super().__init__("Requests are limited per address in a sliding window of one second.")


class OutOfService(VenueError):  # noqa: N818
    def __init__(self, status: int) -> None:
        self.code = self.status = status
        names = {500: "Internal Server Error", 503: "Service Unavailable", 504: "Gateway Timeout"}
        super().__init__("Try it again later.", message=names.get(status, "Server Error"))
