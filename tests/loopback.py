"""An OpenAI-compatible endpoint on this machine that our own model answers."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from tolman.launchers.probe.model import Sampling


class Loopback:
    """What the endpoint tells, what goes wrong next, and what it was asked."""

    def __init__(self, model, has_echo=True, has_logprobs=True):
        self.model, self.has_echo, self.has_logprobs = model, has_echo, has_logprobs
        self.asked, self.faults, self.names = [], [], ["tiny"]

    def answer(self, body):
        prompt, count = body["prompt"], body["max_tokens"]
        told = None
        has_echo = body.get("echo") and self.has_echo
        if self.has_logprobs and body.get("logprobs"):
            told = self._echo(prompt) if has_echo else self._next(prompt, body["logprobs"])
        drawn = (
            () if "seed" not in body else (Sampling(body["temperature"], [body["seed"]]),)
        )
        new = self.model.generate([prompt], count, *drawn)[0]
        text = prompt + new if has_echo else new
        return {"choices": [{"text": text, "logprobs": told}]}

    def _log_p(self, prompt):
        (hidden,) = self.model.hidden_states([prompt])
        own = self.model.params["language_model"]
        logits = hidden[-1] @ np.asarray(own.get("unembedding", own["embeddings"])).T
        logits = logits.astype(float) - logits.max(-1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(-1, keepdims=True))

    def _echo(self, prompt):
        tokens, ends = self.model.tokenizer.encode(prompt)
        log_p = self._log_p(prompt)
        values = [None, *(log_p[i, token] for i, token in enumerate(tokens[1:]))]
        # The token that is generated comes last.
        return {
            "text_offset": [0, *ends],
            "token_logprobs": [*values, float(log_p[-1].max())],
        }

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
