"""Compares proto/discovery.json with Google's discovery document of chat.v1, or writes it.

usage: discovery.py DESCRIPTOR_SET
       discovery.py --write

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

DESCRIPTOR_SET is compiled from proto/. The schemas that the document has and no proto has are
printed, too, and are no difference: Google publishes no protos of them.
"""

import importlib.metadata
import json
import sys
from pathlib import Path

import googleapiclient
from google.protobuf import descriptor_pb2

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
        # Only what differs, unless that is the order.
        few = [one for one in ours if one not in theirs], [one for one in theirs if one not in ours]
        ours, theirs = few if any(few) else (ours, theirs)
    yield f"{where}: ours {ours!r}, theirs {theirs!r}"


def messages(descriptors, package):
    """All messages, nested ones too: the name without its scope, the package, and the JSON names."""
    for one in descriptors:
        yield one.name, package, {field.json_name for field in one.field}
        yield from messages(one.nested_type, package)


def unpublished(document, files):
    """The schemas, and the properties of known ones, that no proto has."""
    known = [one for file in files for one in messages(file.message_type, file.package)]
    prefixes = {"GoogleAppsCardV1": "google.apps.card.v1", "GoogleChatV1": "google.chat.v1"}
    for schema, definition in sorted(document["schemas"].items()):
        name, packages = schema, {"google.chat.v1", "google.protobuf", "google.rpc", "google.type"}
        for prefix, package in prefixes.items():
            if schema.startswith(prefix):
                name, packages = schema.removeprefix(prefix), {package}
        properties = set(definition.get("properties", {}))
        # Nested messages of the same name differ in what they have.
        lacking = [properties - fields for one, package, fields in known if one == name and package in packages]
        if not lacking:
            yield schema
        yield from (f"{schema}.{one}" for one in sorted(min(lacking, key=len, default=[])))


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
    files = descriptor_pb2.FileDescriptorSet.FromString(Path(sys.argv[1]).read_bytes()).file
    print("No proto has", ", ".join(unpublished(document, files)))
    print(f"{len(theirs)} methods compared, {len(found)} differences")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
