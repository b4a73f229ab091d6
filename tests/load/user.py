"""What the Locust users share. Importing Locust patches the process, so the driver and the tests do not import this."""

from __future__ import annotations

from typing import Any, ClassVar

from locust import FastHttpUser, task

from splitway.wire.v2_json import HEADER_LENGTH
from tests.load.inputs import Question, question


class CheckedUser(FastHttpUser):
    """Asks its service again as soon as it has the answer, and looks at every answer."""

    abstract = True
    service: ClassVar[str]
    network_timeout = connection_timeout = 11.0  # a little more than a service's own limit
    _question: Question

    def on_start(self) -> None:
        self._question = question(self.service, str(self.host).rstrip("/"))

    @task
    def ask(self) -> None:
        asked = self._question
        body: Any = asked.body  # Locust takes bytes, its types do not
        with self.client.post(
            asked.path, data=body, headers=dict(asked.headers), catch_response=True, name=self.service
        ) as reply:
            length = reply.headers.get(HEADER_LENGTH) if reply.headers else None
            if fault := asked.fault(reply.status_code, reply.content or b"", length):
                reply.failure(fault)
