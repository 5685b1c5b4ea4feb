"""What the checks of an OpenAPI document share: its operations, and its schemas as jsonschema takes them."""

import json
import re
from pathlib import Path

VERBS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"]
# Operations of HTTP methods that a path item of 3.1 has no member for.
MORE = "x-additionalOperations"


def load(path):
    return json.loads(Path(path).read_text(encoding="utf-8"))


def blank(template):
    """A path with its variables as {}: what OpenAPI compares, the names of variables left out."""
    return re.sub(r"\{[^}]*\}", "{}", template)


def sent(path):
    """A path without the fragment by which those of several operations differ, and which clients do not send."""
    return path.split("#")[0]


def operations(document):
    """All operations: the HTTP method, the path, and the operation."""
    for path, item in document["paths"].items():
        yield from ((verb.upper(), path, item[verb]) for verb in VERBS if verb in item)
        yield from ((verb, path, operation) for verb, operation in item.get(MORE, {}).items())


def schemas(node, where=""):
    """All schemas outside of components, and the components themselves, by where they are."""
    if isinstance(node, list):
        for at, one in enumerate(node):
            yield from schemas(one, f"{where}/{at}")
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "schemas" and where == "/components":
                yield from ((f"{where}/{key}/{name}", schema) for name, schema in value.items())
            elif key == "schema":
                yield f"{where}/{key}", value
            else:
                yield from schemas(value, f"{where}/{key}")


def references(node):
    """The targets of all references."""
    if isinstance(node, list):
        for one in node:
            yield from references(one)
    elif isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
