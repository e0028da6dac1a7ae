"""An OpenAI-compatible endpoint on this machine that our own model answers."""

import contextlib
import functools
import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jax
import numpy as np

from tolman.launchers.probe.batches import power_of_two
from tolman.launchers.probe.haiku_functions import transformed
from tolman.launchers.probe.model import Sampling
from tolman.networks.language import empty_cache

NUM_KEPT = 8  # Texts whose keys and values are there still.


class Reader:
    """Reads texts one by one; what a text shares with one of the last is not read again.

    So do servers (vLLM, llama.cpp). `num_read` counts tokens that went through the model,
    `num_asked` those of all texts.
    """

    def __init__(self, model, num_kept):
        def read(config, model, tokens, cache, num_new):
            reading = model(tokens, cache, num_new)
            return jax.nn.log_softmax(model.logits(reading.hidden[-1])), reading.cache

        self._model, self._max_length = model, model.config.max_length
        self._read = jax.jit(transformed(model.config, read))
        capacity = self._max_length + power_of_two(self._max_length)  # Padding included.
        self._kept = deque([([], [], empty_cache(model.config, 1, capacity))], num_kept)
        self.num_asked = self.num_read = 0

    def read(self, tokens):
        """Log-probabilities of all tokens but the first, and of what may follow them."""
        if len(tokens) > self._max_length:
            raise ValueError(f"{len(tokens)} tokens, at most {self._max_length}")
        shared = [_num_same(tokens, kept) for kept, _, _ in self._kept]
        _, values, cache = self._kept[int(np.argmax(shared))]
        start = max(max(shared) - 1, 0)  # The last one says what follows it.
        new = tokens[start:]
        rows = np.zeros((1, power_of_two(max(len(new), 16))), np.int32)
        rows[0, : len(new)] = new
        cache = cache._replace(length=np.array([start], np.int32))
        num_new = np.array([len(new)], np.int32)
        log_p, cache = self._read(self._model.params, rows, cache, num_new)
        log_p = np.asarray(log_p[0], float)[: len(new)]
        told = [float(row[token]) for row, token in zip(log_p, new[1:], strict=False)]
        values = [*values[:start], *told]
        self._kept.append((tokens, values, cache))
        self.num_asked += len(tokens)
        self.num_read += len(new)
        return values, log_p[-1]


def _num_same(one, other):
    pairs = enumerate(zip(one, other, strict=False))
    differing = (place for place, (a, b) in pairs if a != b)
    return next(differing, min(len(one), len(other)))


class Loopback:
    """What the endpoint tells, what goes wrong next, and what it was asked."""

    def __init__(self, model, has_echo=True, has_logprobs=True, num_kept=NUM_KEPT):
        self.model, self.has_echo, self.has_logprobs = model, has_echo, has_logprobs
        self._num_kept = num_kept
        self.asked, self.faults, self.names = [], [], ["tiny"]

    @functools.cached_property
    def reader(self):
        return Reader(self.model, self._num_kept)

    def answer(self, body):
        prompt, count = body["prompt"], body["max_tokens"]
        is_told = self.has_logprobs and body.get("logprobs")
        if body.get("echo") and self.has_echo and is_told:
            return self._echo(prompt, count)
        told = self._next(prompt, body["logprobs"]) if is_told else None
        drawn = (
            () if "seed" not in body else (Sampling(body["temperature"], [body["seed"]]),)
        )
        text = self.model.generate([prompt], count, *drawn)[0]
        return {"choices": [{"text": text, "logprobs": told}]}

    def _echo(self, prompt, count):
        assert count == 1
        tokens, ends = self.model.tokenizer.encode(prompt)
        values, following = self.reader.read(tokens)
        told = {
            "text_offset": [0, *ends],
            # The token that is generated comes last.
            "token_logprobs": [None, *values, float(following.max())],
        }
        new = self.model.tokenizer.decode([int(following.argmax())], is_start=False)
        return {"choices": [{"text": prompt + new, "logprobs": told}]}

    def _next(self, prompt, count):
        assert count <= 20
        return {"top_logprobs": self.model.first_token([prompt])}


@contextlib.contextmanager
def served(loopback):
    """Its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._send(200, {"data": [{"id": name} for name in loopback.names]})

        def do_POST(self):
            size = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(size))
            loopback.asked.append(body)
            if loopback.faults:
                return self._send(*loopback.faults.pop(0))
            try:
                self._send(200, loopback.answer(body))
            except ValueError as error:
                text = f"maximum context length: {error}"
                self._send(400, {"error": {"message": text}})

        def _send(self, code, content, headers=()):
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(code)
            for name, value in dict(headers).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            with contextlib.suppress(ConnectionError):  # Who asked may be gone.
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()
