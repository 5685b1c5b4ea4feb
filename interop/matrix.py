"""The matrix: one table of calls, run by every client over every wire.

Usage: matrix.py GCHAT TOOLS [WITH...], where TOOLS is the folder in which the drivers
were installed and WITH what there is (python, node, java, go, envoy).
drivers.json lists {"client", "wire", "command", "env", "without": {field: reason},
"without_methods": {method: reason}, "errors_by_http_status": reason, "enums_by_number": reason}:
fields and methods that a client's newest release may not know yet, errors that it reads by
their HTTP status alone, and answers that it writes with the numbers of enums. "through" is what stands between the client and the emulator's
gRPC: Envoy or grpc-gateway, or our own gateway in front of a service in Go; or our sidecar, in front of the
emulator's REST or of one of the first two. A driver with a list of these is one for each. Each driver
runs table.json against an emulator of its own, through the written credentials or
tokens that those give, and prints what came of each call. The first driver is the
measure: the others must agree with it, resource by resource, code, reason, domain and
metadata, but where a difference is explained. Prints the matrix; ends with 1 on a
difference that is not explained.
"""

import contextlib
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import google.auth.transport.requests
import requests
from google.apps import chat_v1
from google.oauth2 import service_account
from google.protobuf import json_format
from servers import Emulator, Envoy, OnlyHttp1, Program, Sidecar

HERE = pathlib.Path(__file__).parent
# What differs from run to run.
TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
IDS = re.compile(
    r"\b(?:spaces|room|dm|threads|messages|messagePins|reactions|attachments)"
    r"/([\w-]{11}|[\w-]{24})(?:\.([\w-]{11}))?(?![\w-])"
)
OPAQUE = re.compile(r'"(nextPageToken|resourceName)": "[^"]+"')

# What a driver prints where its client has no such method.
MISSING = {"missing": True}

# How a gateway is named that has our sidecar in front.
BEFORE = "gchat sidecar and "


@contextlib.contextmanager
def between(gchat, tools, folder, emulator, through):
    """Where the client goes: to the emulator, or to what stands before its gRPC."""
    go = f"{tools}/go/interop"
    with contextlib.ExitStack() as stack:
        if through is None:
            yield emulator.endpoint
        elif through == "gchat sidecar":
            yield stack.enter_context(Sidecar(gchat, emulator.endpoint, "--backend-ca", emulator.certificate)).endpoint
        elif through.startswith(BEFORE):
            gateway = stack.enter_context(between(gchat, tools, folder, emulator, through.removeprefix(BEFORE)))
            yield stack.enter_context(Sidecar(gchat, gateway)).endpoint
        elif through == "Envoy":
            schema = folder / "chat.bin"
            subprocess.run([gchat, "schema", "--output", schema], check=True)
            server = Envoy(tools, folder, schema, ["google.chat.v1.ChatService"], emulator.endpoint, emulator.certificate)
            yield stack.enter_context(server).endpoint
        elif through == "grpc-gateway":
            yield stack.enter_context(Program(go, "gateway", emulator.endpoint, emulator.certificate)).endpoint
        elif through == "gchat gateway and a Go service":
            service = stack.enter_context(Program(go, "relay", emulator.endpoint, emulator.certificate))
            command = [gchat, "gateway", "--listen", "127.0.0.1:0", "--backend", service.endpoint, "--reflection"]
            yield stack.enter_context(Program(*command)).endpoint
        else:
            raise SystemExit(f"drivers.json: nothing is known of {through}")


def session_with(emulator):
    session = requests.Session()
    # Not the certificates that the environment names.
    session.trust_env = False
    session.verify = str(emulator.certificate)
    return session


def tokens(emulator, identities):
    """A token for each identity, by the flow that service accounts have."""
    session, found = session_with(emulator), {}
    for name, identity in identities.items():
        scopes = ["https://www.googleapis.com/auth/" + scope for scope in identity["scopes"]]
        credentials = service_account.Credentials.from_service_account_file(emulator.key, scopes=scopes)
        if "subject" in identity:
            credentials = credentials.with_subject(identity["subject"])
        credentials.refresh(google.auth.transport.requests.Request(session))
        found[name] = credentials.token
    return found


def uploaded(emulator, token):
    """Uploads a file, which no stub can do. Returns what the table calls the space that has
    it and the token by which a message takes it."""
    session = session_with(emulator)
    session.headers["Authorization"] = f"Bearer {token}"

    def post(path, **body):
        answer = session.post(emulator.endpoint + path, **body)
        answer.raise_for_status()
        return answer.json()

    space = post("/v1/spaces", json={"displayName": "Reports", "spaceType": "SPACE"})["name"]
    # RFC 2387: the metadata, and then the content.
    body = '--part\r\nContent-Type: application/json\r\n\r\n{"filename": "report.txt"}\r\n'
    body += "--part\r\nContent-Type: text/plain\r\n\r\nAll is well.\r\n--part--"
    path = f"/upload/v1/{space}/attachments:upload?uploadType=multipart"
    upload = post(path, data=body, headers={"Content-Type": "multipart/related; boundary=part"})
    return {"{attached}": space, "{upload}": upload["attachmentDataRef"]["attachmentUploadToken"]}


def normal(outcomes):
    """Outcomes without what the server makes anew for each run."""
    text = json.dumps(outcomes, sort_keys=True)
    # Not every client knows which resources an error names; each was in an answer before.
    answers = json.dumps([outcome.get("answer") for outcome in outcomes], sort_keys=True)
    names = {}
    for name in filter(None, itertools.chain.from_iterable(IDS.findall(answers))):
        names.setdefault(name, f"<id {len(names) + 1}>")
    for name, place in names.items():
        text = text.replace(name, place)
    text = OPAQUE.sub(r'"\1": "<\1>"', text)
    return json.loads(TIMES.sub(lambda time: time[0] if time[0].startswith("2020") else "<time>", text))


def by_names(method, answer):
    """An answer that has enums by their numbers, which is ProtoJSON too, with their names."""
    resource = "Space" if method == "FindDirectMessage" else re.sub("^(Create|Get|Update|Delete|SetUp)", "", method)
    kind = getattr(chat_v1, f"{method}Response", None) or getattr(chat_v1, resource)
    return json_format.MessageToDict(json_format.ParseDict(answer, kind.pb(kind())))


def stripped(value, fields):
    """A value without some fields, wherever they are; and whether they were there."""
    if isinstance(value, list):
        parts = [stripped(one, fields) for one in value]
        return [part for part, _ in parts], any(found for _, found in parts)
    if isinstance(value, dict):
        parts = {key: stripped(one, fields) for key, one in value.items() if key not in fields}
        found = len(parts) < len(value) or any(found for _, found in parts.values())
        return {key: part for key, (part, _) in parts.items()}, found
    return value, False


def by_http_status(outcome):
    """An outcome as a client sees it that knows no more of an error than its status."""
    if "error" not in outcome:
        return outcome
    # 400 and 409 stand for several codes, of which the canonical table has another.
    code = {"ALREADY_EXISTS": "ABORTED", "FAILED_PRECONDITION": "INVALID_ARGUMENT"}.get(outcome["error"]["code"], outcome["error"]["code"])
    return {"error": {"code": code, "reason": "", "domain": "", "metadata": {}}}


def run(gchat, tools, driver, identities):
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        emulator = stack.enter_context(Emulator(gchat, folder))
        endpoint = stack.enter_context(between(gchat, tools, folder, emulator, driver.get("through")))
        return drive(tools, driver, identities, folder, emulator, endpoint, driver.get("before", []))


def drive(tools, driver, identities, folder, emulator, endpoint, before=(), known=()):
    """Runs a driver at an endpoint, whatever that is, of an emulator: its outcomes by their ids.
    What is known of the names in braces is filled in."""
    bearers = tokens(emulator, identities)
    (folder / "tokens.json").write_text(json.dumps(bearers))
    table = (HERE / "table.json").read_text(encoding="utf-8")
    for name, value in [*known, *uploaded(emulator, bearers["alice"]).items()]:
        table = table.replace(name, value)
    (folder / "table.json").write_text(table, encoding="utf-8")
    places = {
        "TABLE": folder / "table.json",
        "ENDPOINT": endpoint,
        "KEY": emulator.key,
        "TOKENS": folder / "tokens.json",
        "CERTIFICATE": emulator.certificate,
        "FOLDER": folder,
        "TOOLS": tools,
        "ROOT": HERE.parent,
    }
    filled = lambda text: text.format(**places)
    env = os.environ | {"EMULATOR": emulator.endpoint}
    # Where there is no TLS there is no certificate to be read.
    own = driver.get("env", {}) if emulator.endpoint.startswith("https:") else {"PYTHONPATH": driver.get("env", {}).get("PYTHONPATH", "")}
    env |= {name: filled(value) for name, value in own.items()}
    for command in [*before, driver["command"]]:
        done = subprocess.run([filled(word) for word in command], env=env, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise SystemExit(f"{driver['client']} over {driver['wire']}: {done.stderr[-3000:]}")
    outcomes = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if "enums_by_number" in driver:
        methods = {step["id"]: step["method"] for step in json.loads(table)["steps"] if "id" in step}
        for outcome in outcomes:
            if outcome.get("answer"):
                outcome["answer"] = by_names(methods[outcome["id"]], outcome["answer"])
    return {outcome.pop("id"): outcome for outcome in normal(outcomes)}


def only_http_1(gchat, tools, drivers, identities, measure):
    """Where HTTP/1.1 alone gets through, each stub fails straight and works through our sidecar."""
    failures = []
    for driver in drivers:
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            emulator = stack.enter_context(Emulator(gchat, folder, tls=False))
            network = stack.enter_context(OnlyHttp1(emulator.endpoint))
            # No call gives this time, without which a request cannot be read.
            known = [("{said}", "2020-01-02T03:04:05Z")]
            straight = drive(tools, driver, identities, folder, emulator, network.endpoint, known=known)
            codes = {outcome.get("error", {"code": "OK"})["code"] for outcome in straight.values()}
            # Connect has the others for a connection that is cut off.
            if not codes <= {"UNAVAILABLE", "CANCELLED", "ABORTED"} or not network.cut_off:
                failures.append(f"{driver['client']}, straight: {codes}, where no call was to arrive")
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            emulator = stack.enter_context(Emulator(gchat, folder, tls=False))
            network = stack.enter_context(OnlyHttp1(emulator.endpoint))
            sidecar = stack.enter_context(Sidecar(gchat, network.endpoint))
            through = drive(tools, driver, identities, folder, emulator, sidecar.endpoint)
            failures += [
                f"{driver['client']}, {step}:\n  {json.dumps(through.get(step))}\n  not {json.dumps(expected)}"
                for step, expected in measure.items()
                if through.get(step) != expected
            ]
            if network.cut_off:
                failures.append(f"{driver['client']}: the sidecar tried HTTP/2")
    if failures:
        raise SystemExit("\n".join(failures))
    names = ", ".join(driver["client"] for driver in drivers)
    print(f"where only HTTP/1.1 gets through, these fail straight and agree through the sidecar: {names}")


def expanded(drivers):
    """A driver for each of what may stand in between; and what that needs besides."""
    for driver in drivers:
        throughs = driver.get("through")
        for through in throughs if isinstance(throughs, list) else [throughs]:
            needs = driver["needs"] + [need for word, need in (("Envoy", "envoy"), ("grpc-gateway", "go")) if word in (through or "")]
            one = driver | {"needs": needs, "through": through}
            yield one if through else {name: value for name, value in one.items() if name != "through"}


def main():
    gchat, tools, *present = sys.argv[1:]
    drivers = list(expanded(json.load(open(HERE / "drivers.json", encoding="utf-8"))))
    for driver in drivers:
        if missing := set(driver["needs"]) - set(present):
            print(f"skipped: {driver['client']} over {driver['wire']}, for want of {' '.join(missing)}")
    drivers = [driver for driver in drivers if set(driver["needs"]) <= set(present)]
    table = json.load(open(HERE / "table.json", encoding="utf-8"))
    methods = {step["id"]: step["method"] for step in table["steps"] if "id" in step}
    results = [run(gchat, tools, driver, table["identities"]) for driver in drivers]
    measure, failures, notes = results[0], [], {}
    width = max(map(len, methods))
    heads = [f"{driver['client']} {driver['wire']}" for driver in drivers]
    heads = [head + (f" through {driver['through']}" if "through" in driver else "") for driver, head in zip(drivers, heads)]
    knows = {
        head: {field for field in driver.get("without", {}) if any(stripped(result, [field])[1] for result in results.values())}
        for driver, head, results in zip(drivers, heads, results)
    }
    print(" " * width, *(f"{at + 1:>3}" for at in range(len(heads))), "  outcome")
    for step, method in methods.items():
        marks = []
        for driver, head, result in zip(drivers, heads, results):
            if result.get(step) == MISSING and method in driver.get("without_methods", {}):
                notes.setdefault((head, f"{method}: {driver['without_methods'][method]}"), []).append(step)
                marks.append("  -")
                continue
            # What a newer release knows is compared, too.
            without = {field: why for field, why in driver.get("without", {}).items() if field not in knows[head]}
            expected, known = stripped(measure[step], without)
            if reason := driver.get("errors_by_http_status"):
                less = by_http_status(expected)
                if less != expected:
                    expected = less
                    notes.setdefault((head, reason), []).append(step)
                    known = True
            if result.get(step) == expected:
                marks.append("  ~" if known else "  =")
                for field in without if "answer" in expected and known else ():
                    notes.setdefault((head, f"{field}: {without[field]}"), []).append(step)
            else:
                failures.append(f"{head}, {step}:\n  {json.dumps(result.get(step))}\n  not {json.dumps(expected)}")
                marks.append("  X")
        error = measure[step].get("error", {"code": "OK", "reason": ""})
        print(f"{step:{width}}", *marks, f"  {error['code']} {error['reason']}")
    print()
    for at, head in enumerate(heads):
        print(f"{at + 1:>3} {head}")
    for (head, reason), steps in notes.items():
        print(f"  {'-' if results[heads.index(head)].get(steps[0]) == MISSING else '~'} {head}: {reason} ({len(steps)} calls)")
    for driver, head in zip(drivers, heads):
        for method, reason in driver.get("without_methods", {}).items():
            if (head, f"{method}: {reason}") not in notes:
                print(f"  {head} knows {method} by now: drivers.json need not explain it any more")
        for field, reason in driver.get("without", {}).items():
            if field in knows[head]:
                print(f"  {head} knows {field} by now: drivers.json need not explain it any more")
            elif (head, f"{field}: {reason}") not in notes:
                # An explanation of what does not differ is a claim that nothing shows.
                failures.append(f"{head}: {field} is said to be unknown, but no answer has it")
    if failures:
        raise SystemExit("\n" + "\n".join(failures))
    print(f"{len(methods)} calls of {len(set(methods.values()))} methods, {len(heads)} clients and wires: all agree")
    stubs = [driver for driver in drivers if driver.get("through") == "gchat sidecar"]
    only_http_1(gchat, tools, stubs, table["identities"], measure)


if __name__ == "__main__":
    main()
