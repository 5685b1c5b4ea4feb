"""The OpenAPI document of chat.v1 beside Google's discovery document, but for differences.json.

usage: discovery.py DOCUMENT

Google's document is that of the PyPI package google-api-python-client, which has the newest of
every API. Compared are:

- of each method, found by its HTTP method and path: what the fields of its path may hold, each
  by the last part of its name; the query parameters, the schemas of both bodies, and the scopes;
- of each schema, its properties; and of each of these and of each parameter: type, format, enum
  values, what a list, a map or an object has, whether it is only for output, and deprecation.

Each difference is a line: where it is, what ours is, and what theirs is. An entry of
differences.json has a reason, `why`, and takes all lines whose place fits one of its patterns,
`where`, and, if it has these, with its `ours` and `theirs`; null means that there is none. A
difference without an entry is an error, and so is a pattern without a difference. The document
is also broken in several ways, each of which must be seen.
"""

import fnmatch
import importlib.metadata
import json
import re
import sys
from pathlib import Path

import googleapiclient

from broken import COMPARED, unseen
from document import blank, load, operations

HERE = Path(__file__).parent
# The message that a body is of which is no component.
MESSAGE = "x-grpc-message"
# What is only for people.
PROSE = {"description", "enumDescriptions", "id", "location", "required", "pattern", "repeated"}


def main():
    document = load(sys.argv[1])
    package = "google-api-python-client"
    google = load(Path(googleapiclient.__file__).parent / "discovery_cache/documents/chat.v1.json")
    theirs = Theirs(google).facts()
    explained, found = faults(document, theirs)
    found += unseen(document, COMPARED, lambda broken: faults(broken, theirs)[1])
    print(f"{package} {importlib.metadata.version(package)} with the discovery document of {google['revision']}:")
    print(f"  {len(theirs['methods'])} methods and {len(theirs['schemas'])} schemas, {explained} differences with a reason, {len(found)} faults")
    for fault in found:
        print("FAIL", fault)
    if found:
        sys.exit("the document of chat.v1 is not what discovery and differences.json say")


def faults(document, theirs):
    """The number of differences that have their reason; the others, and reasons that are not needed."""
    ours = Ours(document, set(theirs["schemas"])).facts()
    reasons = [Reason(entry, where) for entry in load(HERE / "differences.json") for where in entry["where"]]
    found = []
    for line in differences("", ours, theirs):
        fitting = [reason for reason in reasons if reason.fits(*line)]
        for reason in fitting:
            reason.used += 1
        if not fitting:
            found.append("{}: ours {}, theirs {}".format(line[0], *map(json.dumps, line[1:])))
    found += [f"differences.json: no difference is at {reason.where!r}" for reason in reasons if not reason.used]
    return sum(reason.used for reason in reasons), found


def differences(where, ours, theirs):
    """The places where two plain values differ, and what is there; None where there is nothing."""
    if ours == theirs:
        return
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            yield from differences(f"{where} > {key}".removeprefix(" > "), ours.get(key), theirs.get(key))
    else:
        yield where, ours, theirs


class Reason:
    """A place where ours may differ, and how."""

    def __init__(self, entry, where):
        self.entry, self.where, self.used = entry, where, 0

    def fits(self, where, ours, theirs):
        entry = self.entry
        same = entry.get("ours", ours) == ours and entry.get("theirs", theirs) == theirs
        return same and fnmatch.fnmatchcase(where, self.where)


class Theirs:
    """The facts of a discovery document."""

    def __init__(self, document):
        self.document = document

    def facts(self):
        methods = {}
        for method in self.methods(self.document):
            methods[f"{method['httpMethod']} /{blank(method['flatPath'])}"] = self.method(method)
        schemas = {name: self.properties(one) for name, one in self.document["schemas"].items()}
        return {"methods": methods, "schemas": schemas, "scopes": sorted(self.document["auth"]["oauth2"]["scopes"])}

    def methods(self, resource):
        yield from resource.get("methods", {}).values()
        for child in resource.get("resources", {}).values():
            yield from self.methods(child)

    def method(self, method):
        found = {"path": {}, "query": {}, "scopes": sorted(method["scopes"])}
        for name, one in method["parameters"].items():
            if one["location"] == "path":
                found["path"][name] = one["pattern"]
            else:
                found["query"][name] = self.value(one) | {key: one[key] for key in ("required",) if key in one}
        for key in ("request", "response"):
            if key in method:
                found[key] = method[key]["$ref"]
        found |= {key: True for key in ("mediaUpload", "supportsMediaDownload", "deprecated") if method.get(key)}
        return found

    def properties(self, schema):
        return {name: self.value(one) for name, one in schema.get("properties", {}).items()}

    def value(self, schema):
        found = {key: value for key, value in schema.items() if key not in PROSE}
        if "enum" in found:
            found["enum"] = sorted(found["enum"])
        for key in ("items", "additionalProperties"):
            if key in found:
                found[key] = self.value(found[key])
        if "$ref" in found:
            found["type"] = found.pop("$ref")
        if schema.get("repeated"):
            found = {"type": "array", "items": found}
        return found


class Ours:
    """The facts of an OpenAPI document, in the form of Theirs."""

    def __init__(self, document, names):
        self.document = document
        self.components = document["components"]["schemas"]
        self.names = names

    def facts(self):
        methods, schemas = {}, {}
        for verb, path, operation in operations(self.document):
            methods[f"{verb} {blank(path)}"] = self.method(operation)
        for component, schema in [*self.components.items(), *self.bodies()]:
            if self.is_object(schema):
                name = self.name(component)
                if name in schemas:
                    sys.exit(f"two messages are {name} in discovery: {component} is one of them")
                schemas[name] = {key: self.value(one) for key, one in schema.get("properties", {}).items()}
        scopes = {
            scope
            for scheme in self.document["components"]["securitySchemes"].values()
            for flow in scheme.get("flows", {}).values()
            for scope in flow["scopes"]
        }
        return {"methods": methods, "schemas": schemas, "scopes": sorted(scopes)}

    def bodies(self):
        """The bodies that are whole requests without the fields of the path, and so no components."""
        for _, _, operation in operations(self.document):
            if MESSAGE in (schema := self.body(operation)):
                yield schema[MESSAGE], schema

    def body(self, operation):
        return operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})

    def is_object(self, schema):
        """Whether a component is a message, which discovery has as a schema, too."""
        return schema.get("type") == "object"

    def name(self, component):
        """A message's name in discovery: its own, after those of the package where others have it, too."""
        *packages, own = re.split(r"\.(?=[A-Z])", component)
        package, *scopes = packages or [""]
        full = "".join(part[:1].upper() + part[1:] for part in package.split(".")) + own
        is_taken = scopes and f"{package}.{own}" in self.components
        return full if full in self.names and not is_taken else own

    def method(self, operation):
        found = {"path": {}, "query": {}, "response": None}
        for one in operation.get("parameters", []):
            if "$ref" in one:
                one = self.document["components"]["parameters"][one["$ref"].rsplit("/", 1)[1]]
            if one["in"] == "query":
                found["query"][one["name"]] = self.value(one["schema"] | {key: one[key] for key in ("deprecated",) if key in one}) | {
                    key: True for key in ("required",) if one.get(key)
                }
        found["path"] = self.variables(operation)
        scopes = operation.get("security", self.document.get("security", []))
        # One of a list is enough; of those in one element, all are needed.
        found["scopes"] = sorted(" and ".join(scopes) for one in scopes for scopes in one.values())
        if body := self.body(operation):
            found["request"] = self.name(body[MESSAGE]) if MESSAGE in body else self.value(body)["type"]
        found["response"] = self.value(operation["responses"]["200"]["content"]["application/json"]["schema"])["type"]
        if operation.get("deprecated"):
            found["deprecated"] = True
        return found

    def variables(self, operation):
        """The fields of the path, each with its pattern."""
        many = [one["name"] for one in operation.get("parameters", []) if one.get("x-multi-segment")]
        segment = lambda name: ".*" if name[1] in many else "[^/]+"
        fields = operation.get("x-grpc-path-fields", {})
        last = lambda field: re.sub(r"_(.)", lambda match: match[1].upper(), field.split(".")[-1])
        return {last(field): f"^{re.sub(r'{([^}]*)}', segment, value)}$" for field, value in fields.items()}

    def value(self, schema):
        """A schema in the words of discovery: scalars and enums in place, messages by their names."""
        also = {key: schema[key] for key in ("readOnly", "deprecated") if schema.get(key)}
        if "$ref" in schema:
            component = schema["$ref"].removeprefix("#/components/schemas/")
            target = self.components[component]
            if self.is_object(target):
                return {"type": self.name(component)} | also
            return self.value(target) | also
        # A float may be the text NaN, and an enum may be a number; the first is what it mostly is.
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self.value(schema[key][0]) | also
        kind = schema.get("type", "any")
        if isinstance(kind, list):
            kind = next(one for one in kind if one != "null")
        found = {"type": kind} | {key: schema[key] for key in ("format",) if key in schema} | also
        if "enum" in schema:
            found["enum"] = sorted(schema["enum"])
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                found[key] = self.value(schema[key])
        return found


if __name__ == "__main__":
    main()
