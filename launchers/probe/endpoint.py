"""A language model behind an OpenAI-compatible endpoint, by the standard library alone.

At the start it is found out what the endpoint tells: of a whole prompt ("score"), of the
next token alone ("first token"), or nothing but text.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tolman.launchers.probe.model import (
    Ability,
    BlackBoxModel,
    Sampling,
    Scores,
    TextTooLongError,
    check_sampling,
)
from tolman.launchers.probe.tokenizer import brief, pairs_of

KEY_VARIABLE = "TOLMAN_ENDPOINT_KEY"  # Sent as a bearer token where it is set.
NUM_ATTEMPTS = 6
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
NUM_TOLD = 20
QUESTIONS_AT_ONCE = 1  # What one request asks: an answer is on disk before the next.
PROBE_TEXT = "The sky is blue today"
NO_KEY = 401
RETRIED = (408, 409, 429, 500, 502, 503, 504)
TOO_LONG = ("context length", "context_length", "maximum context", "too long")


class RequestLimit:
    """Lets so many requests through in a minute, evenly."""

    def __init__(
        self,
        max_per_minute: int | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._between = 60.0 / max_per_minute if max_per_minute else 0.0
        self._clock, self._sleep, self._next = clock, sleep, -math.inf

    def wait(self) -> None:
        """Returns when the next request may be sent."""
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._between


class Connection:
    """Sends JSON to an endpoint, again where that may help."""

    def __init__(
        self,
        url: str,
        timeout_s: float,
        limit: RequestLimit,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Takes the address that ends before `/completions`, such as http://host/v1."""
        self.url = url.rstrip("/")
        self._timeout_s, self._limit, self._sleep = timeout_s, limit, sleep

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """What the endpoint answers to `body`, or to a GET where that is None.

        Raises:
          ForbiddenError: if it does not let this user ask.
          RefusedError: if it refuses the request.
          ValueError: if it is not there, too slow, or answers something else than JSON.
        """
        reason = ""
        for attempt in range(NUM_ATTEMPTS):
            self._limit.wait()
            wait = min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S)
            try:
                return json.loads(self._send(path, body))
            except urllib.error.HTTPError as error:
                text = _message(error)
                if error.code == NO_KEY:
                    raise ForbiddenError(
                        f"{self.url}{path}: {error.code} {text}. Set {KEY_VARIABLE} to a "
                        "key that it takes, and go on: what was answered is kept."
                    ) from None
                if error.code not in RETRIED:
                    raise RefusedError(f"{self.url}{path}: {error.code} {text}.") from None
                reason = f"{error.code} {text}"
                wait = _asked_wait(error.headers.get("Retry-After"), wait)
            except TimeoutError:
                reason = f"no answer in {self._timeout_s:g} s"
            except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
                cause = getattr(error, "reason", error)
                is_slow = isinstance(cause, TimeoutError)
                reason = f"no answer in {self._timeout_s:g} s" if is_slow else str(cause)
            except ValueError:
                raise ValueError(
                    f"{self.url}{path}: the answer is not JSON. Give the address of an "
                    "OpenAI-compatible endpoint, such as http://localhost:8000/v1."
                ) from None
            if attempt + 1 < NUM_ATTEMPTS:
                self._sleep(wait)
        raise ValueError(
            f"{self.url}{path}: {reason}, {NUM_ATTEMPTS} times. What was answered is kept: "
            "start the endpoint, set --timeout-s or --max-requests-per-minute, and go on."
        )

    def _send(self, path: str, body: dict[str, Any] | None) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key := os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers)
        with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
            content: bytes = answer.read()
        return content


class RefusedError(ValueError):
    """An endpoint says that a request is wrong."""


class ForbiddenError(ValueError):
    """An endpoint does not take the key, or asks for one."""


class NoLogProbabilitiesError(ValueError):
    """An endpoint answers with text, but does not tell how probable it is."""


class Told(NamedTuple):
    """What an endpoint tells of the tokens of one text.

    Attributes:
      log_probability: of each; None of the first.
      offset: of each, its first character in the text.
    """

    log_probability: list[float | None]
    offset: list[int]


class Endpoint(BlackBoxModel):
    """A model that is asked over HTTP; the methods are those of `ProbedModel`."""

    questions_at_once = QUESTIONS_AT_ONCE

    def __init__(
        self, connection: Connection, name: str, abilities: frozenset[Ability]
    ) -> None:
        """Takes what the endpoint was found to tell; see `open_endpoint`."""
        self._connection, self.name, self.abilities = connection, name, abilities

    def num_tokens(self, text: str) -> None:
        del text

    def score(self, prompts: Sequence[str], continuations: Sequence[str]) -> Scores:
        self._must_have("score")
        found = [self._score(*pair) for pair in pairs_of(prompts, continuations)]
        return Scores(
            np.array([value for value, _ in found], float),
            np.array([count for _, count in found], np.int64),
        )

    def first_token(self, prompts: Sequence[str]) -> list[dict[str, float]]:
        self._must_have("first token")
        return [self._first(prompt) for prompt in prompts]

    def generate(
        self,
        prompts: Sequence[str],
        max_new_tokens: int,
        sampling: Sampling | None = None,
    ) -> list[str]:
        self._must_have("generate")
        drawn: list[dict[str, Any]] = [{} for _ in prompts]
        if sampling is not None:
            check_sampling(prompts, sampling)
            drawn = [
                {"temperature": sampling.temperature, "seed": seed}
                for seed in sampling.seeds
            ]
        answers = [
            self._complete(prompt, max_tokens=max_new_tokens, **own)
            for prompt, own in zip(prompts, drawn, strict=True)
        ]
        return [str(answer["text"]) for answer in answers]

    def _score(self, prompt: str, continuation: str) -> tuple[float, int]:
        """The sum over the tokens from the boundary on, and their number.

        As in `encode_pair`: white space that ends the prompt counts as the continuation's,
        and so does a token that reaches across the boundary.
        """
        if not continuation:
            raise ValueError(f"the continuation of {brief(prompt)} is empty: must be text.")
        text, size = prompt + continuation, len(prompt.rstrip())
        told = _told(self._complete(text, max_tokens=1, echo=True, logprobs=1), text)
        ends = [*told.offset[1:], len(text)]
        own = [index for index, end in enumerate(ends) if end > size]
        if not own or own[0] == 0:
            raise ValueError(
                f"no token stands before {brief(continuation)}: must be at least one. Give "
                "a longer prompt."
            )
        values = [told.log_probability[index] for index in own]
        total = sum(math.nan if value is None else value for value in values)
        if not math.isfinite(total):
            raise ValueError(
                f"the log-probability of {brief(continuation)} after {brief(prompt)} is "
                f"{total}: must be finite. The model of the endpoint is at fault."
            )
        return total, len(own)

    def _first(self, prompt: str) -> dict[str, float]:
        answer = self._complete(prompt, max_tokens=1, logprobs=NUM_TOLD)
        try:
            told = answer["logprobs"]["top_logprobs"][0]
            likeliest = {str(token): float(value) for token, value in told.items()}
        except (KeyError, IndexError, TypeError, AttributeError, ValueError):
            raise NoLogProbabilitiesError(
                f"{self._connection.url}: tells no likeliest tokens. Ask another endpoint."
            ) from None
        for token, value in likeliest.items():
            if not math.isfinite(value):
                raise ValueError(
                    f"the log-probability of {brief(token)} after {brief(prompt)} is "
                    f"{value}: must be finite. The model of the endpoint is at fault."
                )
        return likeliest

    def _complete(self, prompt: str, **asked: Any) -> dict[str, Any]:
        body = {"model": self.name, "prompt": prompt, "temperature": 0, **asked}
        try:
            answer = self._connection.ask("/completions", body)
        except RefusedError as error:
            if any(word in str(error).lower() for word in TOO_LONG):
                raise TextTooLongError(f"{brief(prompt)}: {error}") from None
            raise
        try:
            choice: dict[str, Any] = answer["choices"][0]
            # Where log-probabilities are asked for, nobody reads the text.
            is_there = asked.get("logprobs") or isinstance(choice["text"], str)
        except (KeyError, IndexError, TypeError):
            is_there = False
        if not is_there:
            raise ValueError(
                f"{self._connection.url}/completions: the answer has no choices with text. "
                "Give the address of an OpenAI-compatible endpoint."
            )
        return choice

    def _must_have(self, ability: Ability) -> None:
        if ability not in self.abilities:
            raise self._lacks(ability)

    def _lacks(self, ability: Ability) -> ValueError:
        has = ", ".join(sorted(self.abilities)) or "nothing"
        return ValueError(f"{self._connection.url}: has no {ability}, but {has}.")


def open_endpoint(
    url: str, name: str | None, timeout_s: float, max_requests_per_minute: int | None
) -> Endpoint:
    """Finds out which models an endpoint has, and what it tells of the one that is asked.

    Raises:
      ValueError: if it is not there, has no such model, or several and none was named.
    """
    limit = RequestLimit(max_requests_per_minute)
    connection = Connection(url, timeout_s, limit)
    endpoint = Endpoint(
        connection,
        name or _only_model(connection),
        frozenset({"score", "first token", "generate"}),
    )
    abilities: set[Ability] = set()
    try:
        endpoint.generate([PROBE_TEXT], 1)
        abilities.add("generate")
    except RefusedError as error:
        raise ValueError(f"{error} Set --endpoint-model, or the address.") from None
    for ability, ask in (
        ("score", lambda: endpoint.score([PROBE_TEXT], [" and"])),
        ("first token", lambda: endpoint.first_token([PROBE_TEXT])),
    ):
        try:
            ask()
            abilities.add(ability)  # type: ignore[arg-type]
        except (NoLogProbabilitiesError, RefusedError):
            continue
    return Endpoint(connection, endpoint.name, frozenset(abilities))


def _only_model(connection: Connection) -> str:
    try:
        found = [str(one["id"]) for one in connection.ask("/models")["data"]]
    except (RefusedError, KeyError, TypeError):
        found = []
    if len(found) != 1:
        names = ", ".join(found) or "none that it names"
        raise ValueError(
            f"{connection.url}: has the models {names}. Set --endpoint-model to one."
        )
    return found[0]


def _told(choice: dict[str, Any], text: str) -> Told:
    """What is told of the tokens of the text itself, without the one after it.

    Raises:
      NoLogProbabilitiesError: if that is nothing.
    """
    try:
        told = choice["logprobs"]
        offsets = [int(one) for one in told["text_offset"]]
        values = [None if one is None else float(one) for one in told["token_logprobs"]]
        is_told = len(offsets) == len(values) and str(choice["text"]).startswith(text)
    except (KeyError, TypeError, ValueError):
        is_told = False
    if is_told:
        count = sum(offset < len(text) for offset in offsets)
        known = [value is not None for value in values[1:count]]
        is_in_order = offsets[:count] == sorted(offsets[:count])
        is_told = bool(known) and all(known) and is_in_order
    if not is_told:
        raise NoLogProbabilitiesError(
            f"the endpoint does not tell how probable the tokens of {brief(text)} are. Ask "
            "one that takes echo with logprobs."
        )
    return Told(values[:count], offsets[:count])


def _message(error: urllib.error.HTTPError) -> str:
    """What an endpoint says of an error, in one line."""
    try:
        content = error.read()
    except (OSError, http.client.HTTPException):
        content = b""
    try:
        told = json.loads(content)
        told = told.get("error", told)
        text = str(told.get("message", told) if isinstance(told, dict) else told)
    except (ValueError, AttributeError):
        text = content.decode("utf-8", "replace") or str(error.reason)
    return " ".join(text.split())[:200].rstrip(".")


def _asked_wait(header: str | None, otherwise: float) -> float:
    """Seconds that an endpoint asks to wait, at most `LONGEST_WAIT_S`."""
    if header is None:
        return otherwise
    try:
        seconds = float(header)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(header)
        except ValueError:
            return otherwise
        seconds = date.timestamp() - time.time()
    return min(max(seconds, 0.0), LONGEST_WAIT_S) if seconds == seconds else otherwise
