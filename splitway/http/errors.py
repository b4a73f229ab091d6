"""One way for every app to turn what went wrong into an answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeGuard

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from splitway.errors import (
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    OfflineError,
    RequestError,
    SplitwayError,
    TooLarge,
)

Render = Callable[[Request, SplitwayError], Response]
_MOST_OF_A_METHOD, _MOST_OF_A_PATH = 20, 80
_FRAMEWORK_ERRORS: dict[int, type[RequestError]] = {404: NotFound, 405: MethodNotAllowed, 413: TooLarge}


def is_for_callers(error: Exception) -> TypeGuard[SplitwayError]:
    """Whether an error's detail may be told: an offline error's names paths."""
    return isinstance(error, SplitwayError) and not isinstance(error, OfflineError)


def as_ours(error: Exception) -> SplitwayError:
    """What a failure is called towards the caller; one that was not meant for callers gives nothing away."""
    if is_for_callers(error):
        return error
    if isinstance(error, ClientDisconnect):  # never read; it ends the request in an orderly way
        return InvalidInput("the caller disconnected before the answer was ready")
    return SplitwayError("an internal error; the server's log says more")


def install_error_handlers(app: FastAPI, render: Render) -> None:
    """Answer every failure by `render`: ours, the framework's and unexpected ones."""

    async def failed(request: Request, error: Exception) -> Response:
        return render(request, as_ours(error))

    async def frameworks(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        method, path = request.method[:_MOST_OF_A_METHOD], request.scope["path"][:_MOST_OF_A_PATH]
        headers = {name.lower(): value for name, value in (error.headers or {}).items()}
        detail = f"{error.detail}: {method} {path}"
        if allowed := headers.get("allow"):
            methods = {*allowed.split(", "), *(["HEAD"] if allowed == "GET" else [])}
            headers["allow"] = ", ".join(sorted(methods))
            detail += f"; it takes {headers['allow']}"
        response = render(request, _FRAMEWORK_ERRORS.get(error.status_code, InvalidInput)(detail))
        response.headers.update(headers)
        return response

    app.add_exception_handler(HTTPException, frameworks)
    for kind in (SplitwayError, ClientDisconnect, Exception):
        app.add_exception_handler(kind, failed)
