"""Runs the table of calls with Google's own Python client, google-apps-chat.

Usage: official.py TABLE ENDPOINT KEY grpc|http. Prints a line of JSON for each call:
its id, and the answer or the error. Certificates come from REQUESTS_CA_BUNDLE and
GRPC_DEFAULT_SSL_ROOTS_FILE_PATH.
"""

import json
import sys

import requests
from google.api_core import exceptions
from google.apps import chat_v1
from google.apps.chat_v1.services.chat_service import pagers
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
    table, endpoint, key, wire = sys.argv[1:]
    table = json.load(open(table, encoding="utf-8"))
    clients = {}
    for name, identity in table["identities"].items():
        scopes = [SCOPE + scope for scope in identity["scopes"]]
        credentials = service_account.Credentials.from_service_account_file(key, scopes=scopes)
        if "subject" in identity:
            credentials = credentials.with_subject(identity["subject"])
        clients[name] = chat_v1.ChatServiceClient(
            credentials=credentials,
            transport="grpc" if wire == "grpc" else "rest",
            client_options={"api_endpoint": endpoint.removeprefix("https://")},
        )
    saved = {}
    for step in table["steps"]:
        if "set" in step:
            requests.patch(f"{endpoint}/emulator/settings", json=step["set"]).raise_for_status()
            continue
        text = json.dumps(step["request"])
        for name, value in saved.items():
            text = text.replace("{" + name + "}", value)
        client, method = clients[step["as"]], step["method"]
        snake = "".join("_" + c.lower() if c.isupper() else c for c in method)[1:]
        request = getattr(chat_v1, method + "Request")
        try:
            answer = getattr(client, snake)(request=request.from_json(text), retry=None)
        except exceptions.GoogleAPICallError as error:
            print(json.dumps({"id": step["id"], "error": described(error)}))
            continue
        if isinstance(answer, (pagers.ListSpacesPager, pagers.ListMembershipsPager)):
            answer = answer._response
        answer = {} if answer is None else json_format.MessageToDict(type(answer).pb(answer))
        for name, field in step.get("save", {}).items():
            saved[name] = answer[field]
        print(json.dumps({"id": step["id"], "answer": answer}))


if __name__ == "__main__":
    main()
