"""Clients of gRPC-Web that are not ours, through `gchat gateway --grpc-web`.

Usage: web.py GCHAT PROTO_DIR NODE_DIR, with grpcio, grpcio-reflection and grpcio-tools
installed, and in NODE_DIR what web.mjs needs. Serves streams.proto from Python, with
reflection, and compares what each client gets with what the server has sent.
"""

import concurrent.futures
import json
import pathlib
import subprocess
import sys
import tempfile

import grpc
import grpc_tools
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection
from grpc_tools import protoc

HERE = pathlib.Path(__file__).parent
NOT_FOUND = grpc.StatusCode.NOT_FOUND.value[0]


def serve(protos):
    out = tempfile.mkdtemp()
    known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    arguments = [f"-I{HERE}", f"-I{protos}", f"-I{known}", f"--python_out={out}", f"--grpc_python_out={out}", "streams.proto"]
    if protoc.main(["", *arguments]) != 0:
        raise SystemExit("streams.proto does not compile")
    sys.path.insert(0, out)
    import streams_pb2
    import streams_pb2_grpc

    class Streams(streams_pb2_grpc.StreamsServicer):
        def Count(self, request, context):
            for value in range(1, request.to + 1):
                if value == request.fails_at:
                    reason = any_pb2.Any()
                    reason.Pack(error_details_pb2.ErrorInfo(reason="NO_NUMBER", domain="streams"))
                    status = status_pb2.Status(code=NOT_FOUND, message="100 % weg: ü", details=[reason])
                    context.set_trailing_metadata([("grpc-status-details-bin", status.SerializeToString())])
                    context.abort(grpc.StatusCode.NOT_FOUND, status.message)
                yield streams_pb2.Number(value=value)

        def Release(self, request, context):
            return streams_pb2.ReleaseResponse()

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    streams_pb2_grpc.add_StreamsServicer_to_server(Streams(), server)
    reflection.enable_server_reflection(("streams.Streams", reflection.SERVICE_NAME), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def main():
    gchat, protos, node = sys.argv[1:]
    server, port = serve(protos)
    command = [gchat, "gateway", "--backend", f"http://127.0.0.1:{port}", "--reflection", "--listen", "127.0.0.1:0"]
    gateway = subprocess.Popen([*command, "--grpc-web"], stdout=subprocess.PIPE, text=True)
    try:
        url = gateway.stdout.readline().strip().removeprefix("listening at ")
        ran = subprocess.run(["node", "web.mjs", url], cwd=node, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    finally:
        gateway.kill()
        server.stop(0)
    failed = {"code": NOT_FOUND, "message": "100 % weg: ü", "reasons": ["NO_NUMBER"]}
    expected = {
        "unary": {"values": [], "code": 0},
        "stream": {"values": [1, 2, 3], "code": 0},
        "error": {"values": [1, 2], **failed},
    }
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    calls = [(one.pop("client"), one.pop("call"), one) for one in found]
    faults = 0
    for client, call, outcome in calls:
        print("ok  " if outcome == expected[call] else "FAIL", client, call)
        if outcome != expected[call]:
            faults += 1
            print(f"{client} {call}: found {outcome}, expected {expected[call]}", file=sys.stderr)
    if len(calls) != 9:
        raise SystemExit(f"{len(calls)} calls of 9 were made")
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
