"""Runs the table of calls with Google's own Python client, google-apps-chat.

Usage: official.py TABLE ENDPOINT KEY grpc|http. Prints a line of JSON for each call:
its id, and the answer or the error. Certificates come from REQUESTS_CA_BUNDLE and
GRPC_DEFAULT_SSL_ROOTS_FILE_PATH.
"""

import json
import sys

import table
from google.api_core import exceptions
from google.apps import chat_v1
from google.oauth2 import service_account
from google.protobuf import json_format

SCOPE = "https://www.googleapis.com/auth/"


def described(error):
    """What the client knows of an error; the code as the server sent it."""
    code = error.grpc_status_code.name if error.grpc_status_code else None
    if code is None and error.response is not None:
        # Over REST the client has no code for most errors, but the answer.
        code = error.response.json()["error"]["status"]
    return {
        "code": code,
        "reason": error.reason or "",
        "domain": error.domain or "",
        "metadata": dict(error.metadata or {}),
    }


def main():
    file, endpoint, key, wire = sys.argv[1:]
    whole = json.load(open(file, encoding="utf-8"))
    clients = {}
    for name, identity in whole["identities"].items():
        scopes = [SCOPE + scope for scope in identity["scopes"]]
        credentials = service_account.Credentials.from_service_account_file(key, scopes=scopes)
        if "subject" in identity:
            credentials = credentials.with_subject(identity["subject"])
        clients[name] = chat_v1.ChatServiceClient(
            credentials=credentials,
            transport="grpc" if wire == "grpc" else "rest",
            client_options={"api_endpoint": endpoint.removeprefix("https://")},
        )

    def call(identity, method, text):
        snake = "".join("_" + c.lower() if c.isupper() else c for c in method)[1:]
        request = getattr(chat_v1, method + "Request").from_json(text)
        try:
            answer = getattr(clients[identity], snake)(request=request, retry=None)
        except exceptions.GoogleAPICallError as error:
            raise table.Refused(described(error)) from error
        # Of a list it gives a pager, which holds the first page.
        answer = getattr(answer, "_response", answer)
        return {} if answer is None else json_format.MessageToDict(type(answer).pb(answer))

    # Whoever gives the tokens is the emulator, whatever stands before it.
    emulator = json.load(open(key, encoding="utf-8"))["token_uri"].rpartition("/")[0]
    table.run(whole["steps"], emulator, call)


if __name__ == "__main__":
    main()
