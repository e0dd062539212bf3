"""Stands between lens and a mock of the providers, and lets through only what the providers' own SDKs would send.

A request is checked against the types of the SDK (openai, anthropic, google-genai) or the service's model (botocore);
a wrong one is answered with 400 and the reason, and never reaches the mock, which would take nearly anything. Paths that
no provider has are answered with 404. The rest is forwarded as it is, and the mock's answer comes back as it is.

usage: validate_proxy.py MOCK…

MOCK… is the command of the mock, which says where it listens, as this does: `MOCK address`, `PROXY address`. Both end when
the input does, so whoever started them cannot leave them behind.
"""

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import typing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import botocore.session
import typing_extensions
from anthropic.lib._parse._transform import transform_schema
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming as AnthropicMessage
from botocore.validate import ParamValidator
from google.genai import types as google
from openai.lib._pydantic import _ensure_strict_json_schema
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming as OpenAiCompletion
from pydantic import ConfigDict, TypeAdapter


class Wrong(Exception):
    """Why a request is none that the SDK would send."""


def closed(kind, seen):
    """Forbids unknown fields in a TypedDict and in all that it is made of."""
    if id(kind) in seen:
        return
    seen[id(kind)] = kind
    if typing_extensions.is_typeddict(kind):
        kind.__pydantic_config__ = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
        for field in typing_extensions.get_type_hints(kind, include_extras=True).values():
            closed(field, seen)
    for part in typing.get_args(kind):
        closed(part, seen)


def adapter(kind):
    closed(kind, {})
    return TypeAdapter(kind)


OPENAI = adapter(OpenAiCompletion)
ANTHROPIC = adapter(AnthropicMessage)
# The request's body on the wire; the SDK makes it of these.
GOOGLE = {
    "contents": TypeAdapter(list[google.Content]),
    "systemInstruction": TypeAdapter(google.Content),
    "generationConfig": TypeAdapter(google.GenerationConfig),
}
CONVERSE = botocore.session.get_session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape


def want(claim, what):
    if not claim:
        raise Wrong(what)


def exhaust(value):
    """Looks at every item: pydantic validates those of an Iterable only when they are taken."""
    items = value.values() if isinstance(value, dict) else value
    if isinstance(items, typing.Iterable) and not isinstance(items, str):
        for item in items:
            exhaust(item)


def bearer(headers):
    want(re.fullmatch(r"Bearer \S+", headers.get("authorization", "")), "no bearer token")


def openai_body(body):
    exhaust(OPENAI.validate_python(body))
    form = body.get("response_format", {}).get("json_schema", {})
    want("stream" not in body or body["stream"] is False, "a stream")
    if form.get("strict"):
        schema = json.loads(json.dumps(form["schema"]))
        strict = _ensure_strict_json_schema(json.loads(json.dumps(schema)), path=(), root=schema)
        want(ordered(strict) == ordered(schema), f"called strict, and is not: the SDK makes {json.dumps(strict)} of it")


def ordered(schema):
    """The same with required fields in one order."""
    if isinstance(schema, dict):
        return {k: sorted(v) if k == "required" else ordered(v) for k, v in schema.items()}
    return [ordered(item) for item in schema] if isinstance(schema, list) else schema


def openai(match, query, headers, body):
    bearer(headers)
    openai_body(body)


def azure_old(match, query, headers, body):
    want(headers.get("api-key"), "no api-key")
    want(query.get("api-version"), "no api-version")
    openai_body(body)


def azure(match, query, headers, body):
    want(headers.get("api-key"), "no api-key")
    openai_body(body)


def anthropic_body(body):
    exhaust(ANTHROPIC.validate_python(body))
    schema = body.get("output_config", {}).get("format", {}).get("schema")
    if schema is not None:
        taken = transform_schema(json.loads(json.dumps(schema)))
        want(taken == schema, f"the schema has what is refused: the SDK makes {json.dumps(taken)} of it")


def anthropic(match, query, headers, body):
    want(headers.get("x-api-key"), "no x-api-key")
    want(re.fullmatch(r"\d{4}-\d\d-\d\d", headers.get("anthropic-version", "")), "no anthropic-version")
    anthropic_body(body)


def anthropic_on_vertex(match, query, headers, body):
    bearer(headers)
    body = dict(body)
    want(body.pop("anthropic_version", None) == "vertex-2023-10-16", "no anthropic_version")
    want("model" not in body, "the model is in the path")
    anthropic_body({**body, "model": match["model"]})


def gemini_body(body):
    unknown = set(body) - set(GOOGLE)
    want(not unknown, f"unknown fields {unknown}")
    want(body.get("contents"), "no contents")
    for field, value in body.items():
        GOOGLE[field].validate_python(value)
    roles = [content.get("role") for content in body["contents"]]
    want(set(roles) <= {"user", "model"}, f"roles {roles}")


def gemini(match, query, headers, body):
    want(headers.get("x-goog-api-key"), "no x-goog-api-key")
    want("key" not in query, "the key is in the URL")
    gemini_body(body)


def gemini_on_vertex(match, query, headers, body):
    bearer(headers)
    gemini_body(body)


def bedrock(match, query, headers, body):
    bearer(headers)
    unknown = set(body) - set(CONVERSE.members)
    report = ParamValidator().validate({**body, "modelId": unquote(match["model"])}, CONVERSE)
    want(not report.has_errors() and not unknown, f"{report.generate_report()} {unknown or ''}")
    roles = [message["role"] for message in body["messages"]]
    turns = ["user" if number % 2 == 0 else "assistant" for number in range(len(roles))]
    want(roles == turns, f"roles do not take turns: {roles}")


VERTEX = r"/v1/projects/[^/]+/locations/[^/]+/publishers"
# The path, who checks it, and where the mock has it if that is elsewhere.
ROUTES = [
    (r"(/api)?/v1/chat/completions", openai, "/v1/chat/completions"),
    (r"/openai/v1/chat/completions", azure, "/v1/chat/completions"),
    (r"/openai/deployments/(?P<model>[^/]+)/chat/completions", azure_old, None),
    (r"/v1/messages", anthropic, None),
    (VERTEX + r"/anthropic/models/(?P<model>[^/:]+):rawPredict", anthropic_on_vertex, "/v1/messages"),
    (r"/v1beta/models/(?P<model>[^/:]+):generateContent", gemini, None),
    (VERTEX + r"/google/models/(?P<model>[^/:]+):generateContent", gemini_on_vertex, None),
    (r"/model/(?P<model>[^/]+)/converse", bedrock, None),
]


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("content-length", 0)))
        at = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        for pattern, check, mocked in ROUTES:
            match = re.fullmatch(pattern, at.path)
            if match is None:
                continue
            try:
                body = json.loads(raw)
                want(headers.get("content-type", "").startswith("application/json"), "no JSON by its content type")
                check(match, parse_qs(at.query), headers, body)
            except Exception as wrong:
                return self.refuse(400, f"INVALID {check.__name__}: {re.sub(chr(92) + 's+', ' ', str(wrong))}")
            if check is anthropic_on_vertex:
                raw = json.dumps({**body, "model": match["model"]}).encode()
            return self.forward(mocked or self.path, raw, headers)
        return self.refuse(404, f"no provider has {at.path}")

    def forward(self, path, raw, headers):
        kept = {name: value for name, value in headers.items() if name not in ("host", "connection", "content-length")}
        upstream = http.client.HTTPConnection(self.server.mock, timeout=30)
        try:
            upstream.request("POST", path, raw, kept)
            answer = upstream.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            # The mock broke off, and so does this.
            self.close_connection = True
            return
        finally:
            upstream.close()
        self.reply(answer.status, body, {"retry-after": answer.getheader("retry-after")})

    def refuse(self, status, message):
        self.reply(status, json.dumps({"error": {"message": message[:400]}}).encode(), {})

    def reply(self, status, body, headers):
        self.send_response(status)
        for name, value in {**headers, "content-type": "application/json", "content-length": str(len(body))}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def start_mock(command):
    """The mock, and where it listens."""
    mock = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    for line in mock.stdout:
        if found := re.search(r"listening on http://(\S+)", line):
            # Nobody must wait for a full pipe.
            threading.Thread(target=lambda: [None for _ in mock.stdout], daemon=True).start()
            return mock, found[1]
    sys.exit("the mock ended before it listened")


def end_with_input(mock):
    sys.stdin.read()
    mock.kill()
    os._exit(0)


if __name__ == "__main__":
    mock, address = start_mock(sys.argv[1:])
    threading.Thread(target=end_with_input, args=(mock,), daemon=True).start()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.mock = address
    print("MOCK", address, flush=True)
    print("PROXY", f"127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
