"""Compares proto/discovery.json with Google's discovery document of chat.v1, or writes it.

usage: discovery.py [--write]

The document is that of the PyPI package google-api-python-client, which has the newest of
every API. Of each method, by its id, the file has what tests need to know:

- `httpMethod`, `path` (with its templates' names) and `flatPath` (with all segments);
- `parameters`, by name: their `location` (path or query) and `type`, and whether they are
  `required` or `repeated`; those that all methods have, as `alt`, are not among them;
- `request` and `response`: the names of the schemas of the two bodies;
- `scopes`, any one of which is enough, without `https://www.googleapis.com/auth/`;
- `mediaUpload`, where it takes a file: the paths to send it to, and the size that it may have;
  `supportsMediaDownload`, where it gives one.

Descriptions are left out. Differences are printed, and the exit code is then 1.
"""

import importlib.metadata
import json
import sys
from pathlib import Path

import googleapiclient

FILE = Path(__file__).parent.parent / "proto/discovery.json"
SCOPE = "https://www.googleapis.com/auth/"


def methods(resource):
    """All methods under a resource."""
    yield from resource.get("methods", {}).values()
    for child in resource.get("resources", {}).values():
        yield from methods(child)


def facts(method):
    """A method without its id and its descriptions."""
    found = {key: value for key, value in method.items() if key not in ("id", "description", "parameterOrder")}
    found["parameters"] = {
        name: {key: value for key, value in one.items() if key not in ("description", "enumDescriptions")}
        for name, one in sorted(method["parameters"].items())
    }
    for key in ("request", "response"):
        if key in found:
            found[key] = found[key]["$ref"]
    if foreign := [scope for scope in method["scopes"] if not scope.startswith(SCOPE)]:
        sys.exit(f"{method['id']} has scopes of another form: {foreign}")
    found["scopes"] = sorted(scope.removeprefix(SCOPE) for scope in method["scopes"])
    return found


def differences(where, ours, theirs):
    """What differs between two plain values, one line each."""
    if ours == theirs:
        return
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            yield from differences(f"{where} {key}".lstrip(), ours.get(key), theirs.get(key))
        return
    if isinstance(ours, list) and isinstance(theirs, list):
        ours, theirs = [one for one in ours if one not in theirs], [one for one in theirs if one not in ours]
    yield f"{where}: ours {ours!r}, theirs {theirs!r}"


def main():
    document = json.loads((Path(googleapiclient.__file__).parent / "discovery_cache/documents/chat.v1.json").read_text())
    theirs = {method["id"].removeprefix("chat."): facts(method) for method in methods(document)}
    if sys.argv[1:] == ["--write"]:
        FILE.write_text(json.dumps(theirs, indent=2, sort_keys=True) + "\n")
        return
    package = "google-api-python-client"
    print(package, importlib.metadata.version(package), "with the discovery document of", document["revision"])
    found = list(differences("", json.loads(FILE.read_text()), theirs))
    for difference in found:
        print("DIFFERENT", difference)
    print(f"{len(theirs)} methods compared, {len(found)} differences")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
