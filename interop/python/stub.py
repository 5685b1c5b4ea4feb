"""Runs the table of calls with the stub that grpcio-tools generates from our protos.

Usage: stub.py TABLE ENDPOINT TOKENS, by a file with a token for each identity; the
generated code is in PYTHONPATH. Prints a line of JSON for each call: its id, and the
answer or the error. Certificates come from REQUESTS_CA_BUNDLE, and the emulator's URL,
whatever stands before it, from EMULATOR.
"""

import json
import os
import sys

import grpc
import table
from google.chat.v1 import chat_service_pb2, chat_service_pb2_grpc
from google.protobuf import json_format, message_factory
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def described(error):
    info = error_details_pb2.ErrorInfo()
    if status := rpc_status.from_call(error):
        for detail in status.details:
            detail.Unpack(info)
    return {
        "code": error.code().name,
        "reason": info.reason,
        "domain": info.domain,
        "metadata": dict(info.metadata),
    }


def connect(endpoint):
    scheme, address = endpoint.split("://")
    if scheme == "http":
        return grpc.insecure_channel(address)
    certificate = open(os.environ["REQUESTS_CA_BUNDLE"], "rb").read()
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(certificate))


def main():
    file, endpoint, tokens = sys.argv[1:]
    steps = json.load(open(file, encoding="utf-8"))["steps"]
    bearers = json.load(open(tokens, encoding="utf-8"))
    with connect(endpoint) as channel:
        stub = chat_service_pb2_grpc.ChatServiceStub(channel)
        methods = chat_service_pb2.DESCRIPTOR.services_by_name["ChatService"].methods_by_name

        def call(identity, method, text):
            request = json_format.Parse(text, message_factory.GetMessageClass(methods[method].input_type)())
            try:
                metadata = [("authorization", f"Bearer {bearers[identity]}")]
                return json_format.MessageToDict(getattr(stub, method)(request, metadata=metadata))
            except grpc.RpcError as error:
                raise table.Refused(described(error)) from error

        table.run(steps, os.environ["EMULATOR"], call)


if __name__ == "__main__":
    main()
