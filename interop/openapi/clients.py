"""Clients that are generated from the OpenAPI document, through `gchat gateway`, beside the stub.

usage: clients.py GCHAT NAME=COMMAND..., where each COMMAND starts a client

A client gets the endpoint of a gateway in front of `gchat emulator`, and makes the calls of
STEPS. It makes each when a line comes, and prints what came of it as one line of JSON: the HTTP
status, and the body as its generated types have it. Then the stub makes the same call, or reads
what the call made, by gRPC and straight from the emulator: both must have the same.
"""

import contextlib
import datetime
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2  # noqa: F401: what details are
from grpc_status import rpc_status

sys.path.insert(0, str(Path(__file__).parent.parent))
from servers import Program  # noqa: E402

ALICE, APP = "user:alice@example.com", "app"
TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)")


def main():
    gchat, *clients = sys.argv[1:]
    # Generated from our protos, and in PYTHONPATH.
    from google.chat.v1 import chat_service_pb2_grpc

    faults = []
    for name, command in (client.split("=", 1) for client in clients):
        with contextlib.ExitStack() as stack:
            emulator = Program(gchat, "emulator", "--listen", "127.0.0.1:0", "--shortcuts", "--require-credentials")
            stack.enter_context(emulator)
            flags = ["--backend", emulator.endpoint, "--reflection", "--listen", "127.0.0.1:0"]
            gateway = stack.enter_context(Program(gchat, "gateway", *flags))
            channel = stack.enter_context(grpc.insecure_channel(emulator.endpoint.removeprefix("http://")))
            stub = chat_service_pb2_grpc.ChatServiceStub(channel)
            faults += compare(name, [*shlex.split(command), gateway.endpoint], stub)
    for fault in faults:
        print("FAIL", fault)
    if faults:
        sys.exit(f"{len(faults)} answers are not those of the stub")


def compare(name, command, stub):
    """Runs a client beside the stub. Returns what differs."""
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    faults, made = [], {}
    try:
        for step, same in STEPS.items():
            print(step, file=client.stdin, flush=True)
            line = client.stdout.readline()
            if not line:
                return [f"{name}: ended before {step!r}"]
            found = plain(json.loads(line))
            expected = plain(outcome(lambda: same(stub, found.get("body") or {}, made)))
            if found != expected:
                faults.append(f"{name}, {step}:\n  {json.dumps(found)}\n  not {json.dumps(expected)}")
        client.stdin.close()
        if client.wait(20) != 0:
            faults.append(f"{name}: ended with {client.returncode}")
    finally:
        client.kill()
    print(f"{name}: {len(STEPS) - len(faults)} of {len(STEPS)} calls have what the stub has")
    return faults


def outcome(call):
    """What the gateway has to make of what the stub gets."""
    try:
        return {"status": 200, "body": json_format.MessageToDict(call())}
    except grpc.RpcError as error:
        code = error.code().name
        status = {"NOT_FOUND": 404, "ALREADY_EXISTS": 409, "INVALID_ARGUMENT": 400, "UNAUTHENTICATED": 401}[code]
        body = {"code": status, "message": error.details(), "status": code}
        if rich := rpc_status.from_call(error):
            body["details"] = [json_format.MessageToDict(detail) for detail in rich.details]
        return {"status": status, "body": {"error": body}}


def plain(value):
    """A value in which times are as long as they need to be, in UTC, which languages write in their own ways."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, str) and TIME.fullmatch(value):
        return datetime.datetime.fromisoformat(value).astimezone(datetime.timezone.utc).isoformat()
    return value


def request(kind, **members):
    from google.chat.v1 import chat_service_pb2  # noqa: F401
    from google.protobuf import descriptor_pool, message_factory

    descriptor = descriptor_pool.Default().FindMessageTypeByName(f"google.chat.v1.{kind}")
    return json_format.ParseDict(members, message_factory.GetMessageClass(descriptor)())


def by(identity):
    return {"metadata": [("authorization", f"Bearer {identity}")]}


# What the stub does beside each call, with what the client got and with what was made before.


def create(stub, body, made):
    # A request id that is known gives the space that it made.
    found = stub.CreateSpace(request("CreateSpaceRequest", requestId="clients", space={"displayName": "Another", "spaceType": "SPACE"}), **by(ALICE))
    made["space"] = found.name
    return found


def update(stub, body, made):
    return stub.GetSpace(request("GetSpaceRequest", name=made["space"]), **by(ALICE))


def listing(stub, body, made):
    asked = {"pageSize": 10, "filter": 'spaceType = "SPACE"'}
    return stub.ListSpaces(request("ListSpacesRequest", **asked), **by(ALICE))


def member(stub, body, made):
    return stub.GetMembership(request("GetMembershipRequest", name=f"{made['space']}/members/app"), **by(ALICE))


def post(stub, body, made):
    asked = {"parent": made["space"], "requestId": "a card", "message": {"text": "Another"}}
    return stub.CreateMessage(request("CreateMessageRequest", **asked), **by(APP))


def message(stub, body, made):
    return stub.GetMessage(request("GetMessageRequest", name=f"{made['space']}/messages/client-card"), **by(APP))


def missing(stub, body, made):
    return stub.GetSpace(request("GetSpaceRequest", name="spaces/none"), **by(ALICE))


def taken(stub, body, made):
    space = {"displayName": "Clients & é", "spaceType": "SPACE"}
    return stub.CreateSpace(request("CreateSpaceRequest", space=space), **by(ALICE))


def delete(stub, body, made):
    from google.protobuf import empty_pb2

    name = f"{made['space']}/messages/client-card"
    try:
        stub.GetMessage(request("GetMessageRequest", name=name), **by(APP))
        return request("DeleteMessageRequest", name=f"{name} is still there")
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.NOT_FOUND:
            raise
        return empty_pb2.Empty()


STEPS = {
    "create a space": create,
    "update it": update,
    "get it": update,
    "list spaces": listing,
    "add the app": member,
    "post a card": post,
    "get the message": message,
    "get what is missing": missing,
    "create what is there": taken,
    "delete the message": delete,
}

if __name__ == "__main__":
    main()
