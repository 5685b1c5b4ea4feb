"""Every answer of random calls, by the schema that the OpenAPI document has for it.

usage: answers.py GCHAT COUNT

`gchat gateway` stands in front of a server in Python that answers each call with a random
message or, at times, with a random error. The calls are made from the document: its operations
in turn, with values that it allows for parameters and bodies. So a call that the gateway refuses
is a fault of the document, and so is an answer that its schema does not allow; for that, no schema
allows a member that it does not name. All of it once more with the flags that change the JSON. The
document is also broken in several ways, each of which must be seen.
"""

import collections
import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import urllib.parse

import grpc
import grpc_tools
import jsonschema_rs
from google.protobuf import descriptor_pb2, descriptor_pool
from google.rpc import code_pb2, status_pb2
from grpc_status import rpc_status

from broken import ANSWERED, unseen
from document import operations, sent
from random_messages import RandomMessages
from random_values import RandomValues

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
from servers import Program  # noqa: E402

SEED = 20261128
PROTOS = ["google/chat/v1/chat_service.proto", "google/rpc/error_details.proto", "shelf.proto", "kinds.proto", "answers.proto"]
INCLUDES = [
    ROOT / "proto", ROOT / "crates/grpc-transcoding/tests/proto", ROOT / "crates/protojson/tests/proto", HERE.parent, HERE,
]
# What the gateway answers to a call that is not as the schema has it.
REFUSED = {400, 404, 405, 415, 501}


def main():
    gchat, count = sys.argv[1], int(sys.argv[2])
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        schema = folder / "schema.bin"
        well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
        command = [sys.executable, "-m", "grpc_tools.protoc", "--include_imports", f"--descriptor_set_out={schema}"]
        subprocess.run([*command, *(f"-I{path}" for path in [*INCLUDES, well_known]), *PROTOS], check=True)
        backend = Backend(schema, random.Random(SEED))
        stack.callback(backend.server.stop, None)
        served = ["gateway", "--backend", f"http://127.0.0.1:{backend.port}", "--descriptor-set", schema, "--listen", "127.0.0.1:0"]
        faults = []
        for flags in [], ["--enums-as-integers", "--proto-field-names", "--print-defaults"]:
            with Program(gchat, *served, *flags) as gateway:
                found, said = answers(gateway.endpoint, count // 2, not flags)
            print(*flags, said)
            faults += found
    for fault in faults[:20]:
        print("FAIL", fault)
    if faults:
        sys.exit(f"{len(faults)} faults")


def answers(endpoint, count, breaks):
    """What is wrong with the answers to so many calls, and what they were like; if it `breaks` the
    document, what is not seen then, too."""
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"))
    connection.request("GET", "/openapi.json")
    document = json.loads(connection.getresponse().read())
    # The calls are those of the document itself, whatever the answers are held against.
    calls = lambda one: Calls(one, RandomValues(document, random.Random(SEED)), connection)
    faults, said = calls(document).run(count)
    if breaks:
        faults += unseen(document, ANSWERED, lambda broken: calls(broken).run(count // 5)[0])
    return faults, said


class Backend(grpc.GenericRpcHandler):
    """A gRPC server with all methods of a descriptor set. Each call gets a random message or a
    random error."""

    def __init__(self, schema, chance):
        pool = descriptor_pool.DescriptorPool()
        files = descriptor_pb2.FileDescriptorSet.FromString(schema.read_bytes()).file
        for file in files:
            pool.Add(file)
        services = [f"{file.package}.{service.name}" for file in files for service in file.service]
        self.methods = {
            f"/{name}/{method.name}": method for name in services for method in pool.FindServiceByName(name).methods
        }
        self.messages, self.chance = RandomMessages(pool, chance), chance
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(1), handlers=[self])
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def service(self, details):
        method = self.methods[details.method]
        shapes = {
            (False, False): grpc.unary_unary_rpc_method_handler,
            (False, True): grpc.unary_stream_rpc_method_handler,
            (True, False): grpc.stream_unary_rpc_method_handler,
            (True, True): grpc.stream_stream_rpc_method_handler,
        }
        answer = self.stream if method.server_streaming else self.unary
        shape = shapes[method.client_streaming, method.server_streaming]
        return shape(lambda request, context: answer(method, context))

    def unary(self, method, context):
        self.fail(context)
        return self.message(method)

    def stream(self, method, context):
        for _ in range(self.chance.randrange(4)):
            yield self.message(method)
        # Bytes have no place for an error: there the body would break off.
        if method.output_type.full_name != "google.api.HttpBody":
            self.fail(context)

    def message(self, method):
        if method.output_type.full_name == "google.api.HttpBody":
            body = self.messages.message("google.api.HttpBody")
            body.content_type = self.chance.choice(["text/plain", "application/pdf", "image/png"])
            return body.SerializeToString()
        return self.messages.message(method.output_type.full_name).SerializeToString()

    def fail(self, context):
        if self.chance.random() < 0.15:
            # Those that the gateway has no use for itself.
            codes = ["ABORTED", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "INTERNAL", "DATA_LOSS"]
            code = code_pb2.Code.Value(self.chance.choice(codes))
            status = status_pb2.Status(code=code, message=self.chance.choice(["", "no ü", "a" * 300]))
            for _ in range(self.chance.randrange(3)):
                self.messages.any(status.details.add(), 0)
            context.abort_with_status(rpc_status.to_status(status))


class Calls:
    """Random calls that a document allows, and what their answers must be."""

    def __init__(self, document, values, connection):
        self.document, self.values, self.chance = closed(document), values, values.chance
        self.connection, self.validators, self.faults = connection, {}, []

    def run(self, count):
        all_of_them = [one for one in operations(self.document) if not {"x-grpc-unserved", "x-hidden-by"} & {*one[2]}]
        statuses, kinds = collections.Counter(), collections.Counter()
        for at in range(count):
            verb, path, operation = all_of_them[at % len(all_of_them)]
            status, kind = self.call("ANY" if verb == "*" else verb, sent(path), operation)
            statuses[status] += 1
            kinds[kind] += 1
        if len(statuses) < 5 or statuses[200] < count / 2:
            self.faults.append(f"too few kinds of answers: {statuses}")
        said = f"{count} random calls of {len(all_of_them)} operations (seed {SEED}), each answer by its schema:\n"
        return self.faults, f"{said}  status {dict(sorted(statuses.items()))}, content type {dict(kinds.most_common(6))}"

    def call(self, verb, path, operation):
        target, headers, body = self.request(path, operation)
        self.connection.request(verb, target, body=body, headers=headers)
        response = self.connection.getresponse()
        content = response.read()
        kind = (response.headers.get("content-type") or "").split(";")[0]
        said = f"{verb} {target} {headers} {body!r}: {response.status} {kind} {content[:1500]!r}"
        if response.status in REFUSED:
            self.faults.append(f"the gateway refuses what the document allows: {said}")
        responses = operation["responses"]
        content_types = responses.get(str(response.status), responses["default"]).get("content", {})
        if kind not in content_types and "*/*" not in content_types:
            self.faults.append(f"no such content type in the document, which has {list(content_types)}: {said}")
        else:
            media = content_types.get(kind, content_types.get("*/*"))
            for one in parts(kind, content):
                faults = self.errors(media.get("x-itemSchema", media["schema"]), one)
                self.faults += [f"{fault}: {said}" for fault in faults]
        return response.status, kind

    def request(self, path, operation):
        headers, query, members = {}, [], {}
        for one in operation.get("parameters", []):
            if one["in"] == "path":
                text = self.values.text(one["schema"])
                path = path.replace("{%s}" % one["name"], urllib.parse.quote(text, safe=""))
                continue
            # Of a oneof, all parameters are of the one member.
            oneofs = one.get("x-oneofs", {})
            fits = all(members.get(oneof, member) == member for oneof, member in oneofs.items())
            if fits and self.chance.random() < 0.3:
                members |= oneofs
                query += [(one["name"], text) for text in self.values.texts(one["schema"])]
        body = None
        if "requestBody" in operation:
            kinds = list(operation["requestBody"]["content"])
            kind = "application/json" if "application/json" in kinds else "application/octet-stream"
            value = self.values.value(operation["requestBody"]["content"][kind]["schema"])
            body = json.dumps(value) if kind == "application/json" else b"\x00raw"
            headers["content-type"] = kind
        accepted = [kind for kind in operation["responses"]["200"]["content"] if kind != "*/*"]
        if accepted:
            headers["accept"] = self.chance.choice(accepted)
        return path + ("?" + urllib.parse.urlencode(query) if query else ""), headers, body

    def errors(self, schema, text):
        if schema.get("format") == "binary":
            return
        key = json.dumps(schema)
        if key not in self.validators:
            whole = {"$id": "urn:document", "components": self.document["components"], **schema}
            self.validators[key] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        try:
            value = json.loads(text)
        except ValueError as error:
            yield f"no JSON: {error}"
            return
        for error in self.validators[key].iter_errors(value):
            yield f"{'/'.join(map(str, error.instance_path))}: {error.message[:300]}"


def closed(document):
    """The document, in which no component allows a member that it does not name; and an enum
    allows other numbers, which open enums may have and the document says in words alone."""
    document = json.loads(json.dumps(document))
    for name, schema in document["components"]["schemas"].items():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
        if "enum" in schema and (schema["type"] == "integer" or "is written as its number" in schema.get("description", "")):
            document["components"]["schemas"][name] = {"anyOf": [schema, {"type": "integer"}]}
    return document


def parts(kind, content):
    """The JSON texts that an answer has."""
    text = content.decode(errors="replace")
    if kind == "application/x-ndjson":
        return text.splitlines()
    if kind == "text/event-stream":
        return [line.removeprefix("data:") for line in text.splitlines() if line.startswith("data:")]
    return [text]


if __name__ == "__main__":
    main()
