"""One way for every app to turn what went wrong into an answer."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from splitway.errors import InvalidInput, MethodNotAllowed, NotFound, RequestError, SplitwayError, TooLarge

Render = Callable[[Request, SplitwayError], Response]
_FRAMEWORK_ERRORS: dict[int, type[RequestError]] = {404: NotFound, 405: MethodNotAllowed, 413: TooLarge}


def as_ours(error: Exception) -> SplitwayError:
    """What a failure is called towards the caller; one that nobody thought of gives nothing away."""
    if isinstance(error, SplitwayError):
        return error
    if isinstance(error, ClientDisconnect):  # nobody reads it; it ends the request in an orderly way
        return InvalidInput("the caller hung up before the answer was ready")
    return SplitwayError("an internal error; the server's log says more")


def install_error_handlers(app: FastAPI, render: Render) -> None:
    """Answer every failure by `render`: ours, the framework's and those nobody thought of."""

    async def failed(request: Request, error: Exception) -> Response:
        return render(request, as_ours(error))

    async def frameworks(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail = f"{error.detail}: {request.method} {request.url.path}"
        response = render(request, _FRAMEWORK_ERRORS.get(error.status_code, InvalidInput)(detail))
        response.headers.update(error.headers or {})
        return response

    app.add_exception_handler(HTTPException, frameworks)
    for kind in (SplitwayError, ClientDisconnect, Exception):
        app.add_exception_handler(kind, failed)
