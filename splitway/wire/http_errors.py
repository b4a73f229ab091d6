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


def install_error_handlers(app: FastAPI, render: Render) -> None:
    """Answer every failure by `render`: ours, the framework's and those nobody thought of."""

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, SplitwayError)
        return render(request, error)

    async def frameworks(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail = f"{error.detail}: {request.method} {request.url.path}"
        response = render(request, _FRAMEWORK_ERRORS.get(error.status_code, InvalidInput)(detail))
        response.headers.update(error.headers or {})
        return response

    async def nobody_thought_of(request: Request, _: Exception) -> Response:
        return render(request, SplitwayError("an internal error; the server's log says more"))

    async def hung_up(request: Request, _: Exception) -> Response:
        return render(request, InvalidInput("the caller hung up before the body was complete"))

    app.add_exception_handler(SplitwayError, ours)
    app.add_exception_handler(HTTPException, frameworks)
    app.add_exception_handler(ClientDisconnect, hung_up)
    app.add_exception_handler(Exception, nobody_thought_of)
