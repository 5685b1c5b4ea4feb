"""`gchat gateway --reflection` in front of a gRPC server that is not ours.

Usage: gateway.py GCHAT PROTO_DIR, with curl, grpcio, grpcio-reflection and
grpcio-tools installed. Generates Python stubs from our protos, unmodified,
serves them with reflection, and sends the gateway what REST clients send;
streams of requests are sent by curl.
"""

import concurrent.futures
import http.client
import json
import pathlib
import queue
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import grpc
import grpc_tools
from grpc_reflection.v1alpha import reflection
from grpc_tools import protoc


def stubs(protos):
    out = tempfile.mkdtemp()
    files = [str(path.relative_to(protos)) for path in pathlib.Path(protos).rglob("*.proto")]
    # google.api, google.rpc and google.type come with Python's own packages.
    files = [name for name in files if name.startswith(("google/apps/", "google/chat/"))]
    known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    own = pathlib.Path(__file__).parent
    files.append("requests.proto")
    if protoc.main(["", f"-I{protos}", f"-I{own}", f"-I{known}", f"--python_out={out}", f"--grpc_python_out={out}", *files]) != 0:
        raise SystemExit("the protos do not compile")
    # The package google-apps-card, where it is installed, would hide the cards without this.
    pathlib.Path(out, "google/apps/card/__init__.py").touch()
    sys.path.insert(0, out)
    from google.chat.v1 import chat_service_pb2, chat_service_pb2_grpc

    return chat_service_pb2, chat_service_pb2_grpc


# How each stream of requests ended for the server.
ends = queue.Queue()


def serve(pb2, pb2_grpc):
    class Chat(pb2_grpc.ChatServiceServicer):
        def CreateSpace(self, request, context):
            if request.space.display_name == "taken":
                context.abort(grpc.StatusCode.ALREADY_EXISTS, "100 % taken: ü")
            space = request.space
            space.name = f"spaces/{request.request_id}"
            return space

        def GetSpace(self, request, context):
            from google.chat.v1 import space_pb2

            metadata = dict(context.invocation_metadata())
            if "x-trace-bin" in metadata:
                return space_pb2.Space(display_name=metadata["x-trace-bin"].decode())
            # Nothing was sent before: trailers only.
            context.abort(grpc.StatusCode.NOT_FOUND, f"no {request.name}")

    import requests_pb2
    import requests_pb2_grpc

    class Requests(requests_pb2_grpc.RequestsServicer):
        def Add(self, requests, context):
            books = []
            try:
                for request in requests:
                    books.append(f"{request.shelf} {request.book.title} {request.note}")
            except Exception:
                ends.put(f"{len(books)} books, then a reset")
                raise
            ends.put(f"{len(books)} books")
            return requests_pb2.AddResponse(books=books)

        def Chat(self, lines, context):
            for line in lines:
                if line.text == "fail":
                    context.abort(grpc.StatusCode.ABORTED, "failed as asked")
                yield line

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    pb2_grpc.add_ChatServiceServicer_to_server(Chat(), server)
    requests_pb2_grpc.add_RequestsServicer_to_server(Requests(), server)
    names = (pb2.DESCRIPTOR.services_by_name["ChatService"].full_name, "requests.Requests", reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def send(url, method="POST", body=None, headers=None):
    request = urllib.request.Request(url, method=method, data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def curl(url, *options, body, kind="application/x-ndjson"):
    command = ["curl", "--silent", "--show-error", "--max-time", "60", "--header", f"content-type: {kind}"]
    command += ["--write-out", "\n%{http_code}", "--data-binary", "@-", *options, url]
    run = subprocess.run(command, input=body, stdout=subprocess.PIPE, check=True)
    text, _, status = run.stdout.decode().rpartition("\n")
    return int(status), text


def streams(base, check):
    add = f"{base}/v1/shelves/a/books:add?note=n"
    books = {"books": ["shelves/a ü n", "shelves/a b n"]}
    for version in ("--http1.1", "--http2-prior-knowledge"):
        for what, kind, body in [
            ("lines", "application/x-ndjson", '{"title":"ü"}\n{"title":"b"}\n'),
            ("an array", "application/json", '[{"title":"ü"},\n {"title":"b"}]'),
            ("values", "application/json", '{"title":"ü"}{"title":"b"}'),
        ]:
            status, text = curl(add, version, body=body.encode(), kind=kind)
            check(f"a stream of requests as {what}, {version}", (status, json.loads(text), ends.get()), (200, books, "2 books"))
        status, text = curl(add, version, body=b"")
        check(f"a stream of no requests, {version}", (status, json.loads(text), ends.get()), (200, {}, "0 books"))
        many = b'{"title":"b"}\n' * 20_000
        status, text = curl(add, version, body=many)
        check(f"many requests, {version}", (status, len(json.loads(text)["books"]), ends.get()), (200, 20_000, "20000 books"))
        # Over HTTP/2 curl 7 takes no response that comes before it has sent everything.
        rest = many if version == "--http1.1" else b""
        status, text = curl(add, version, body=many + b'{"title":1}\n' + rest)
        error = json.loads(text)["error"]
        check(f"an element that is no message, {version}", (status, error["status"]), (400, "INVALID_ARGUMENT"))
        check("its number and place", ("element 20001: " in error["message"], "(line 20001, column 10)" in error["message"]), (True, True))
        check("what the server gets of it", ends.get().endswith("a reset"), True)
        lines = [{"text": "a"}, {"text": "ü"}]
        failed = {"error": {"code": 409, "message": "failed as asked", "status": "ABORTED"}}
        body = "".join(json.dumps(line) for line in [*lines, {"text": "fail"}])
        for accept, read in [
            ("application/json", json.loads),
            ("application/x-ndjson", lambda text: [json.loads(line) for line in text.splitlines()]),
        ]:
            status, text = curl(f"{base}/v1/chat", version, "--header", f"accept: {accept}", body=body.encode())
            check(f"messages in return as {accept}, {version}", (status, read(text)), (200, [*lines, failed]))
    # Each message is sent once the one before has come back.
    chat = http.client.HTTPConnection(base.removeprefix("http://"), timeout=60)
    chat.putrequest("POST", "/v1/chat")
    for name, value in [("content-type", "application/x-ndjson"), ("accept", "application/x-ndjson"), ("transfer-encoding", "chunked")]:
        chat.putheader(name, value)
    chat.endheaders()
    answer = None
    for line in lines:
        text = json.dumps(line).encode() + b"\n"
        chat.send(b"%x\r\n%s\r\n" % (len(text), text))
        answer = answer or chat.getresponse()
        check("a message in return for each", json.loads(answer.readline()), line)
    chat.send(b"0\r\n\r\n")
    check("the end of both streams", (answer.status, answer.read()), (200, b""))
    chat.request("GET", "/healthz")
    check("the next request on the connection", chat.getresponse().status, 200)
    chat.close()


def main():
    gchat, protos = sys.argv[1:]
    server, port = serve(*stubs(protos))
    command = [gchat, "gateway", "--backend", f"http://127.0.0.1:{port}", "--reflection"]
    command += ["--listen", "127.0.0.1:0", "--cors-origin", "https://app.example.com", "--lame-duck", "60", "--passthrough"]
    gateway = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    faults = []

    def check(what, found, expected):
        print("ok  " if found == expected else "FAIL", what)
        if found != expected:
            faults.append(f"{what}: found {found!r}, expected {expected!r}")

    try:
        base = gateway.stdout.readline().strip().removeprefix("listening at ")
        kind = {"content-type": "application/json"}
        body = json.dumps({"displayName": "Launch ü", "spaceType": 1}).encode()
        status, _, text = send(f"{base}/v1/spaces?requestId=a%20b", body=body, headers=kind)
        check("create", (status, json.loads(text)), (
            200, {"name": "spaces/a b", "displayName": "Launch ü", "spaceType": "SPACE"}))
        status, _, text = send(f"{base}/v1/spaces", body=b'{"displayName":"taken"}', headers=kind)
        check("status", (status, json.loads(text)), (
            409, {"error": {"code": 409, "message": "100 % taken: ü", "status": "ALREADY_EXISTS"}}))
        status, _, text = send(f"{base}/v1/spaces", body=b'{"foo":1}', headers=kind)
        check("unknown field", (status, "space.foo" in text), (400, True))
        status, headers, _ = send(f"{base}/v1/spaces", "DELETE")
        check("wrong verb", (status, sorted(headers.get_all("allow"))), (405, ["GET", "POST"]))
        asked = {"origin": "https://app.example.com", "access-control-request-method": "POST"}
        status, headers, _ = send(f"{base}/v1/spaces", "OPTIONS", headers=asked)
        check("preflight", (status, headers.get("access-control-allow-origin")), (200, "https://app.example.com"))
        check("health", send(f"{base}/healthz", "GET")[0], 200)
        streams(base, check)
        # Python sends head and body apart, so that the answer is there before the body; and it
        # uses the connection again unless it is told not to.
        kept = http.client.HTTPConnection(base.removeprefix("http://"))
        for path, verb, expected in [("/nowhere", "POST", 404), ("/v1/spaces", "PUT", 405), ("/v1/spaces?x=1", "POST", 400)]:
            for size in (10, 100_000, 2_000_000):
                kept.request(verb, path, body=b"{" + b" " * size + b"}", headers=kind)
                answer = kept.getresponse()
                answer.read()
                check(f"{verb} {path} with {size} bytes, and the next on its connection", answer.status, expected)
        kept.close()
        with grpc.insecure_channel(base.removeprefix("http://")) as channel:
            from google.chat.v1 import chat_service_pb2_grpc, space_pb2
            stub = chat_service_pb2_grpc.ChatServiceStub(channel)
            made = stub.CreateSpace(space_pb2.CreateSpaceRequest(request_id="x"))
            check("gRPC passes through", made.name, "spaces/x")
            missing = space_pb2.GetSpaceRequest(name="spaces/none")
            for deadline in (None, 20):
                call = stub.GetSpace.future(missing, timeout=deadline)
                found = (call.code(), call.details())
                check(f"trailers only, deadline {deadline}", found, (grpc.StatusCode.NOT_FOUND, "no spaces/none"))
            traced = {"x-trace-bin": "!!!"}
            status, _, text = send(f"{base}/v1/spaces/a", "GET", headers=traced)
            check("metadata that is no base64", (status, "x-trace-bin is not base64" in text), (400, True))
            # The server's table of headers is that of the one connection.
            space = stub.GetSpace(missing, metadata=[("x-trace-bin", b"a")])
            check("the same name from another caller", space.display_name, "a")
            status, _, text = send(f"{base}/v1/spaces/a", "GET", headers={"x-trace-bin": "Yg=="})
            check("metadata in base64", (status, json.loads(text)["displayName"]), (200, "b"))
        server.stop(0).wait()
        status, _, text = send(f"{base}/v1/spaces", body=body, headers=kind)
        check("backend down", (status, json.loads(text)["error"]["status"]), (503, "UNAVAILABLE"))
        gateway.send_signal(signal.SIGTERM)
        while (health := send(f"{base}/healthz", "GET")[0]) == 200:
            pass
        check("health on a new connection of a lame duck", health, 503)
        gateway.send_signal(signal.SIGTERM)
        check("ends when asked to", gateway.wait(20), 0)
    finally:
        gateway.kill()
    for fault in faults:
        print(fault, file=sys.stderr)
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
