"""Everything that can go wrong, as one tree.

    SplitwayError
    ├── RequestError             the caller's to mend: the same request fails again
    │   ├── InvalidInput             invalid_input
    │   │   └── UnfitInput               invalid_input: of the right form, but the model fails on it
    │   ├── Unauthorized             unauthorized
    │   ├── Forbidden                forbidden
    │   ├── NotFound                 not_found
    │   ├── MethodNotAllowed         method_not_allowed
    │   ├── FeatureSpaceMismatch     feature_space_mismatch
    │   ├── TooLarge                 too_large
    │   ├── UnsupportedMediaType     unsupported_media_type
    │   ├── SlowBody                 slow_body (retryable)
    │   └── RateLimited              rate_limited (retryable)
    ├── ServingError             ours: the same request may succeed later or elsewhere
    │   ├── BadStageAnswer           bad_stage_answer
    │   ├── EngineFailed             engine_failed
    │   ├── Unavailable              unavailable
    │   │   └── Unreachable              unavailable: the call never arrived
    │   ├── Overloaded               overloaded
    │   └── DeadlineExceeded         deadline_exceeded
    └── OfflineError             met on the command line, never on the wire
        ├── BundleError              a bundle is missing, damaged or contradicts itself
        ├── ModelError               a model that cannot be cut or converted
        ├── ProofError               the cut model differs from the uncut one
        ├── FetchError               a download is broken or missing
        └── SetupError               settings or the machine stand in the way

No class knows an HTTP status: each edge owns one table from code to its own statuses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pydantic import ValidationError

_MOST_PRIVATE = 500


class SplitwayError(Exception):
    """A failure with a sentence for people and a code for programs.

    Args:
        detail: what was wrong and what to do about it. Of all but offline errors it is what callers are told: it names
            stages, never machines, paths or what a library had to say.
        stage: the stage it happened in, where one is known.
        retry_after_s: seconds after which another try is worthwhile, where that is known.
        private: more for the operators, such as a replica's address: in logs, in `/v1/pipeline` and on the
            command line, never in an answer to a caller.
    """

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False

    def __init__(
        self, detail: str, *, stage: str | None = None, retry_after_s: float | None = None, private: str = ""
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.stage = stage
        self.retry_after_s = retry_after_s
        self.private = private[:_MOST_PRIVATE]

    @property
    def in_full(self) -> str:
        """The detail with what callers are not told."""
        return f"{self.detail} ({self.private})" if self.private else self.detail


class RequestError(SplitwayError):
    """The request itself is at fault."""


class InvalidInput(RequestError):
    code, title = "invalid_input", "Invalid request"


class UnfitInput(InvalidInput):
    """Input of the right form that the model itself cannot answer, in an engine that answers other input.

    Args:
        detail: begins with the tensor's name.
        row: the first row at fault, from 0, within the request.
    """

    def __init__(self, detail: str, *, row: int = 0, **more: Any) -> None:
        super().__init__(detail, **more)
        self.row = row


class Unauthorized(RequestError):
    code, title = "unauthorized", "Authentication required"


class Forbidden(RequestError):
    code, title = "forbidden", "Permission denied"


class NotFound(RequestError):
    code, title = "not_found", "No such model, version or route"


class MethodNotAllowed(RequestError):
    code, title = "method_not_allowed", "Method not allowed"


class FeatureSpaceMismatch(RequestError):
    code, title = "feature_space_mismatch", "The head was trained on other features"


class TooLarge(RequestError):
    code, title = "too_large", "Size limit exceeded"


class UnsupportedMediaType(RequestError):
    code, title = "unsupported_media_type", "Unsupported media type"


class SlowBody(RequestError):
    code, title, retryable = "slow_body", "The request did not arrive in time", True


class RateLimited(RequestError):
    code, title, retryable = "rate_limited", "Rate limit exceeded", True


class ServingError(SplitwayError):
    """The pipeline is at fault; the request may succeed later or elsewhere."""

    retryable = True


class BadStageAnswer(ServingError):
    code, title = "bad_stage_answer", "Invalid answer from a stage"


class EngineFailed(ServingError):
    code, title, retryable = "engine_failed", "The model could not be run", False


class Unavailable(ServingError):
    code, title = "unavailable", "A stage cannot be reached or is not ready"


class Unreachable(Unavailable):
    """A call that provably never arrived: it may be made elsewhere without doing anything twice."""


class Overloaded(ServingError):
    code, title = "overloaded", "Too much work at the moment"


class DeadlineExceeded(ServingError):
    code, title = "deadline_exceeded", "Deadline exceeded"


class OfflineError(SplitwayError):
    """Met while building, checking or starting; printed as one line, with paths."""

    title = "Command failed"


class BundleError(OfflineError):
    code = "bad_bundle"


class ModelError(OfflineError):
    code = "bad_model"


class ProofError(OfflineError):
    code = "proof_failed"


class FetchError(OfflineError):
    code = "fetch_failed"


class SetupError(OfflineError):
    code = "bad_setup"


def reason_of(error: SplitwayError | OSError) -> str:
    """Why something failed: what is ours to say of it, or the system's own words without the path."""
    return error.detail if isinstance(error, SplitwayError) else error.strerror or str(error)


def in_one_line(error: BaseException) -> str:
    """A foreign exception's whole message without colours and line breaks, or its class where it has none."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    return " ".join(plain.split()) or type(error).__name__


def first_line(error: Exception) -> str:
    """The first line of a foreign exception's message, or its class where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def first_mistake(error: ValidationError) -> str:
    """Where something makes no sense, and why: the first of all such places. Never the value, which may be secret."""
    first = error.errors(include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"


def printable(text: str, keep: str = "\n") -> str:
    """Text from elsewhere as a terminal may show it: what would move its cursor or change its colours is spelt out, but
    for what is to be kept."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else f"\\x{ord(c):02x}" for c in text)


def many(count: int, noun: str) -> str:
    """The number of things, and what they are: 1 bundle, 2 bundles."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
