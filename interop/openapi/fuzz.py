"""schemathesis against `gchat gateway` in front of `gchat emulator`.

usage: fuzz.py GCHAT TOOLS

It makes calls of what the document allows and of what it does not, from a fixed seed, and must
find no answer that the document does not allow, by status, content type, headers and schema:
once with any names in the paths, and once with those of a space and of a message that are there.
In two documents that are wrong, it must find something.
"""

import copy
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

from broken import a_type_is_wrong, an_error_has_no_details

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
from servers import Program  # noqa: E402

SEED = 20261128
# How many calls of each operation the fuzzing makes.
EXAMPLES = 12
# Not whether `Allow` has what the path item has: `/v1/spaces/a:search` is a space, too, if nothing
# else takes the method, which OpenAPI has no way to say.
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]
# The methods of Google Chat that the emulator does not have are 501. The coverage of messages,
# with all that cards may have, would take minutes.
CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 501]

[[operations]]
include-path-regex = "/messages"
phases.coverage.enabled = false
"""
ALICE = "Bearer user:alice@example.com"


def main():
    gchat, tools = sys.argv[1], pathlib.Path(sys.argv[2])
    with Program(gchat, "emulator", "--listen", "127.0.0.1:0", "--shortcuts", "--require-credentials") as emulator:
        flags = ["--backend", emulator.endpoint, "--reflection", "--listen", "127.0.0.1:0"]
        with Program(gchat, "gateway", *flags) as gateway:
            endpoint = gateway.endpoint
            for phases, names in (("coverage,fuzzing", {}), ("fuzzing", made(endpoint, "Fuzz"))):
                found, said = faults(tools, endpoint, f"{endpoint}/openapi.json", names, "--phases", phases)
                if found:
                    sys.exit(said)
                print(*said.strip().splitlines()[-6:], sep="\n")
            with urllib.request.urlopen(f"{endpoint}/openapi.json") as response:
                document = json.load(response)
            names = made(endpoint, "Broken")
            for way in (a_type_is_wrong, an_error_has_no_details):
                broken = copy.deepcopy(document)
                way(broken)
                (tools / "broken.json").write_text(json.dumps(broken))
                flags = ["--phases", "fuzzing", "--include-method", "GET", "--include-path-regex", "^/v1/spaces/"]
                if not faults(tools, endpoint, tools / "broken.json", names, *flags)[0]:
                    sys.exit(f"not seen by schemathesis: {way.__name__.replace('_', ' ')}")


def faults(tools, endpoint, document, names, *flags):
    """Whether schemathesis finds something, and what it says."""
    config = tools / "schemathesis.toml"
    parameters = "".join(f"{name} = {json.dumps(value)}\n" for name, value in names.items())
    config.write_text(f"[parameters]\n{parameters}{CONFIG}")
    command = [tools / "venv/bin/schemathesis", "--config-file", config, "--no-color", "run", document, *flags]
    command += ["--url", endpoint, "--checks", ",".join(CHECKS), "--warnings", "off"]
    command += ["--seed", str(SEED), "--max-examples", str(EXAMPLES), "--header", f"Authorization: {ALICE}"]
    # It keeps what it found in the folder where it runs, and begins with that when it runs there again.
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=folder)
    # 1 is for what it finds, and 2 for what it cannot do.
    if done.returncode > 1:
        sys.exit(done.stdout)
    return done.returncode == 1, done.stdout


def made(endpoint, name):
    """A space of this name, and a message in it."""

    def post(path, **body):
        headers = {"Authorization": ALICE, "Content-Type": "application/json"}
        request = urllib.request.Request(endpoint + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as response:
            return json.load(response)["name"]

    space = post("/v1/spaces", displayName=name, spaceType="SPACE")
    message = post(f"/v1/{space}/messages?messageId=client-made", text=name)
    return {"space": space.split("/")[1], "message": message.split("/")[3], "user": "me"}


if __name__ == "__main__":
    main()
