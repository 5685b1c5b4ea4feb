"""The table of calls, for any client: what is asked in which order, and how it is told."""

import functools
import json

import requests


class Refused(Exception):
    """An error, as far as the client knows it: {"code", "reason", "domain", "metadata"}."""


def run(steps, emulator, call):
    """Makes the calls, by call(identity, method, request), and prints what came of each.

    Requests and answers are ProtoJSON; the request is text. Settings are changed at the
    URL of the emulator, whose certificate REQUESTS_CA_BUNDLE holds.
    """
    saved = {}
    for step in steps:
        if "set" in step:
            requests.patch(f"{emulator}/emulator/settings", json=step["set"]).raise_for_status()
            continue
        text = json.dumps(step["request"])
        for name, value in saved.items():
            text = text.replace("{" + name + "}", value)
        try:
            answer = call(step["as"], step["method"], text)
        except Refused as refused:
            print(json.dumps({"id": step["id"], "error": refused.args[0]}))
            continue
        for name, path in step.get("save", {}).items():
            saved[name] = functools.reduce(lambda value, part: value[int(part) if part.isdigit() else part], path.split("/"), answer)
        print(json.dumps({"id": step["id"], "answer": answer}))
