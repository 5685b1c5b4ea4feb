"""Random calls of HttpJson through gateways that are not ours, against the same over gRPC.

Usage: foreign.py TOOLS [envoy] [go]. Compiles the protos of Google Chat and kinds.proto
for both sides; what a gateway itself gets wrong is in flaws.json, and everything else
must be the same. Then streams of grpc-gateway's, message by message. All of it once by
HttpJson, and once by gRPC to gchat sidecar in front of the gateway.
"""

import contextlib
import pathlib
import subprocess
import sys
import tempfile

from servers import HERE, Envoy, Program, Sidecar

CALLS = 6000
GCHAT = HERE.parent / "target/checks/gchat"
SERVICES = ["google.chat.v1.ChatService", "kinds.Kinds"]


def main():
    tools, *present = sys.argv[1:]
    interop = HERE.parent / "target/checks/interop"
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        schema = folder / "schema.bin"
        protoc = [sys.executable, "-m", "grpc_tools.protoc", "--include_imports", f"--descriptor_set_out={schema}"]
        sources = ["google/chat/v1/chat_service.proto", "google/rpc/error_details.proto", "kinds.proto", "streams.proto"]
        subprocess.run([*protoc, f"-I{HERE.parent}/proto", f"-I{HERE}", *sources], check=True)
        for needs, name in (("envoy", "Envoy"), ("go", "grpc-gateway")):
            if needs not in present:
                print(f"skipped: random calls through {name}")
                continue
            for sidecar in ([], ["sidecar"]):
                command = [interop, "random", schema, HERE / "flaws.json", name, str(CALLS), *sidecar]
                calls = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                backend = calls.stdout.readline().split(" at ")[1].strip()
                with contextlib.ExitStack() as stack:
                    if needs == "envoy":
                        gateway = stack.enter_context(Envoy(tools, folder, schema, SERVICES, backend))
                    else:
                        gateway = stack.enter_context(Program(f"{tools}/go/interop", "gateway", backend))
                    if sidecar:
                        gateway = stack.enter_context(Sidecar(GCHAT, gateway.endpoint, "--descriptor-set", schema))
                    print(calls.communicate(gateway.endpoint + "\n")[0], end="")
                failed |= calls.returncode != 0
        if "go" in present:
            with Program(f"{tools}/go/interop", "streams") as gateway:
                failed |= subprocess.run([interop, "streams", schema, gateway.endpoint]).returncode != 0
                with Sidecar(GCHAT, gateway.endpoint, "--descriptor-set", schema) as sidecar:
                    command = [interop, "streams", schema, sidecar.endpoint, "sidecar"]
                    failed |= subprocess.run(command).returncode != 0
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
