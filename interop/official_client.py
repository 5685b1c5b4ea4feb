"""Google's own Python client against `gchat emulator`, by the real token flow.

Usage: official_client.py GCHAT, with google-apps-chat installed. The emulator
writes a service account's key; google-auth exchanges what it signs for tokens
at the emulator's token endpoint; the client creates spaces over REST and over
gRPC.
"""

import pathlib
import signal
import subprocess
import sys
import tempfile

import google.auth.transport.requests
import grpc
from google.api_core import exceptions
from google.apps import chat_v1
from google.apps.chat_v1.services.chat_service.transports import ChatServiceGrpcTransport, ChatServiceRestTransport
from google.auth.exceptions import RefreshError
from google.oauth2 import service_account

SCOPE = "https://www.googleapis.com/auth/"


def emulator(gchat, key, *flags):
    command = [gchat, "emulator", "--listen", "127.0.0.1:0", "--require-credentials", "--write-credentials", key, *flags]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    return process, line.split("http://")[1].strip()


class Details(grpc.ClientCallDetails):
    def __init__(self, method, timeout, metadata):
        self.method, self.timeout, self.metadata = method, timeout, metadata
        self.credentials = self.wait_for_ready = self.compression = None


class Authorized(grpc.UnaryUnaryClientInterceptor):
    """google-auth's token on a channel without TLS, which gRPC's own call
    credentials refuse."""

    def __init__(self, credentials):
        self.credentials = credentials
        self.transport = google.auth.transport.requests.Request()

    def intercept_unary_unary(self, call, details, request):
        headers = {}
        self.credentials.before_request(self.transport, "POST", details.method, headers)
        metadata = [*(details.metadata or []), ("authorization", headers["authorization"])]
        return call(Details(details.method, details.timeout, metadata), request)


def clients(address, credentials):
    rest = ChatServiceRestTransport(host=address, credentials=credentials, url_scheme="http")
    channel = grpc.intercept_channel(grpc.insecure_channel(address), Authorized(credentials))
    return {
        "REST": chat_v1.ChatServiceClient(transport=rest),
        "gRPC": chat_v1.ChatServiceClient(transport=ChatServiceGrpcTransport(channel=channel)),
    }


def main():
    (gchat,) = sys.argv[1:]
    key = str(pathlib.Path(tempfile.mkdtemp()) / "key.json")
    process, address = emulator(gchat, key, "--delegated-scopes", "chat.spaces.create,chat.import")
    checks = 0

    def check(what, found, expected):
        nonlocal checks
        checks += 1
        if found != expected:
            raise SystemExit(f"{what}: {found!r} instead of {expected!r}")

    def fails(what, call, kind, reason=None):
        try:
            call()
        except kind as error:
            found = getattr(error, "reason", None)
            check(what, found, reason)
            return
        raise SystemExit(f"{what}: no {kind.__name__}")

    def credentials(scope, subject=None):
        made = service_account.Credentials.from_service_account_file(key, scopes=[SCOPE + scope])
        return made.with_subject(subject) if subject else made

    try:
        named = chat_v1.Space.SpaceType.SPACE
        alice = clients(address, credentials("chat.spaces.create", "alice@example.com"))
        bob = clients(address, credentials("chat.spaces.create", "bob@example.com"))
        app = clients(address, credentials("chat.app.spaces.create"))
        importing = clients(address, credentials("chat.import", "alice@example.com"))
        for wire in ("REST", "gRPC"):
            create = lambda who, request_id="", **space: who[wire].create_space(
                chat_v1.CreateSpaceRequest(space=chat_v1.Space(**space), request_id=request_id), retry=None
            )
            name = f"Room {wire}"
            space = create(alice, f"id {wire}", display_name=name, space_type=named)
            check(f"{wire}: name", space.name.startswith("spaces/") and space.display_name, name)
            check(f"{wire}: history", space.space_history_state, chat_v1.HistoryState.HISTORY_ON)
            check(f"{wire}: members", space.membership_count.joined_direct_human_user_count, 1)
            check(f"{wire}: managers", space.permission_settings.manage_apps.managers_allowed, True)
            again = create(alice, f"id {wire}", display_name="another", space_type=named)
            check(f"{wire}: replay", again, space)
            fails(
                f"{wire}: another's request id",
                lambda: create(bob, f"id {wire}", display_name="x", space_type=named),
                exceptions.InvalidArgument if wire == "gRPC" else exceptions.BadRequest,
                "REQUEST_ID_OF_ANOTHER_USER",
            )
            fails(
                f"{wire}: conflict",
                lambda: create(alice, display_name=name, space_type=named),
                exceptions.AlreadyExists if wire == "gRPC" else exceptions.Conflict,
                "SPACE_DISPLAY_NAME_TAKEN",
            )
            space = create(app, display_name=f"App {wire}", space_type=named, customer="customers/my_customer")
            check(f"{wire}: app", (space.membership_count.joined_direct_human_user_count, space.space_type), (0, named))
            fails(
                f"{wire}: app without customer",
                lambda: create(app, display_name="y", space_type=named),
                exceptions.InvalidArgument if wire == "gRPC" else exceptions.BadRequest,
            )
            group = chat_v1.Space.SpaceType.GROUP_CHAT
            space = create(importing, space_type=group, import_mode=True)
            check(f"{wire}: import", (space.import_mode, "import_mode_expire_time" in space), (True, True))
            fails(
                f"{wire}: scope",
                lambda: create(importing, display_name="z", space_type=named),
                exceptions.PermissionDenied if wire == "gRPC" else exceptions.Forbidden,
                "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
            )
        refused = clients(address, credentials("chat.spaces", "alice@example.com"))["REST"]
        try:
            refused.create_space(chat_v1.CreateSpaceRequest(space=chat_v1.Space()), retry=None)
            raise SystemExit("delegation: not refused")
        except RefreshError as error:
            check("delegation", "unauthorized_client" in str(error), True)
        print(f"google-apps-chat against the emulator: {checks} checks hold, over REST and gRPC")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(10)


if __name__ == "__main__":
    main()
