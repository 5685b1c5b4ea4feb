"""The spans of `gchat gateway`, as OpenTelemetry's own messages have them.

Usage: tracing.py GCHAT, with grpcio and opentelemetry-proto installed. Serves OTLP's
TraceService and a gRPC backend by grpcio, has the gateway answer a request that belongs to a
trace, and says what does not reach the collector as the conventions have it.
"""

import concurrent.futures
import queue
import signal
import subprocess
import sys
import tempfile
import urllib.request

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
METHOD = "google.chat.v1.ChatService/GetSpace"


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self):
        self.taken = queue.Queue()

    def Export(self, request, context):
        self.taken.put(request)
        return trace_service_pb2.ExportTraceServiceResponse()


class Backend(grpc.GenericRpcHandler):
    """Answers all calls with an empty message."""

    def __init__(self):
        self.metadata = queue.Queue()

    def service(self, details):
        self.metadata.put(dict(details.invocation_metadata))
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"")


def attributes(of):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of.attributes}


def main():
    (gchat,) = sys.argv[1:]
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    collector, backend = Collector(), Backend()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    server.add_generic_rpc_handlers((backend,))
    at = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    faults = []

    def check(what, found, expected):
        print("ok  " if found == expected else "FAIL", what)
        if found != expected:
            faults.append(f"{what}: found {found!r}, expected {expected!r}")

    with tempfile.NamedTemporaryFile() as schema:
        subprocess.run([gchat, "schema", "--output", schema.name], check=True)
        command = [gchat, "gateway", "--backend", at, "--descriptor-set", schema.name, "--listen", "127.0.0.1:0"]
        gateway = subprocess.Popen([*command, "--otlp-endpoint", at], stdout=subprocess.PIPE, text=True)
        try:
            base = gateway.stdout.readline().strip().removeprefix("listening at ")
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=1"}
            request = urllib.request.Request(f"{base}/v1/spaces/a?access_token=secret", headers=headers)
            check("the request", urllib.request.urlopen(request).status, 200)
            gateway.send_signal(signal.SIGTERM)
            check("its end", gateway.wait(20), 0)
        finally:
            gateway.kill()
    taken = collector.taken.get(timeout=20)
    check("nothing secret", b"secret" in taken.SerializeToString(), False)
    (of_resource,) = taken.resource_spans
    check("service.name", attributes(of_resource.resource)["service.name"], "gchat")
    spans = sorted((span for scope in of_resource.scope_spans for span in scope.spans), key=lambda span: span.kind)
    request, call = spans
    check("kinds", (request.kind, call.kind), (trace_pb2.Span.SPAN_KIND_SERVER, trace_pb2.Span.SPAN_KIND_CLIENT))
    check("names", (request.name, call.name), ("GET /v1/{name=spaces/*}", METHOD))
    check("trace", (request.trace_id.hex(), request.parent_span_id.hex(), request.trace_state), (TRACE, PARENT, "a=1"))
    check("parent of the call", (call.trace_id, call.parent_span_id), (request.trace_id, request.span_id))
    remote = trace_pb2.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK | trace_pb2.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
    check("a parent elsewhere", (request.flags & remote, call.flags & remote), (remote, remote & 0x100))
    found = attributes(request)
    for key, value in {"http.request.method": "GET", "http.response.status_code": 200, "url.path": "/v1/spaces/a"}.items():
        check(key, found.get(key), value)
    found = attributes(call)
    for key, value in {"rpc.system.name": "grpc", "rpc.method": METHOD, "rpc.response.status_code": "OK"}.items():
        check(key, found.get(key), value)
    check("what the backend is told", backend.metadata.get(timeout=20)["traceparent"], f"00-{TRACE}-{call.span_id.hex()}-01")
    server.stop(0).wait()
    for fault in faults:
        print(fault, file=sys.stderr)
    raise SystemExit(1 if faults else 0)


if __name__ == "__main__":
    main()
