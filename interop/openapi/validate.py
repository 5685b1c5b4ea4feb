"""OpenAPI documents beside the specification, and beside the protos that they are of.

usage: validate.py DESCRIPTOR_SET DOCUMENT COUNT

- The document is valid by the meta-schema of OpenAPI 3.1, and each of its schemas by that of
  the dialect, as the PyPI packages openapi-spec-validator and openapi-schema-validator have them.
- It is valid by openapi-spec-validator.
- What neither looks at: every reference leads somewhere, and no two paths differ in the names
  of their variables alone, which OpenAPI forbids.
- Its operations are the bindings of the descriptor set, none omitted and none more; there are
  COUNT.

The document of Chat is also broken in several ways, each of which must be seen.
"""

import collections
import re
import sys
import time
from pathlib import Path

import jsonschema_rs
import openapi_schema_validator
import openapi_spec_validator
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from broken import VALIDATED, unseen
from document import blank, load, operations, references, schemas, sent

SHOWN = 20


def meta_schemas():
    """Validators of a document and of a schema in it."""
    spec = load(Path(openapi_spec_validator.__file__).parent / "resources/schemas/v3.1/schema.json")
    folder = Path(openapi_schema_validator.__file__).parent / "schemas/oas3.1"
    dialect = [load(folder / name) for name in ("metaschema.json", "vocabularies/base")]
    registry = jsonschema_rs.Registry([(schema["$id"], schema) for schema in [spec, *dialect]])
    made = lambda schema: jsonschema_rs.Draft202012Validator({"$ref": schema["$id"]}, registry=registry)
    return made(spec), made(dialect[0])


class Seen(set):
    """A set for where openapi-spec-validator has a list, in which it takes hours to find
    what it has seen of a document of this size."""

    append = set.add


def spec_validator(document, schema_validator):
    """The faults that openapi-spec-validator finds beside those by the meta-schema."""
    validator = openapi_spec_validator.OpenAPIV31SpecValidator(document)
    registry = validator.keyword_validators_registry
    registry["schema"].visited_schema_ids = Seen()
    registry["schema"].meta_checked_schema_ids = Seen()
    registry["operation"].operation_ids_registry = Seen()
    # The same meta-schema, which it has checked in Python.
    registry["schema"]._get_schema_checker = lambda *_: schema_validator.validate
    yield from validator.root_validator(validator.schema_path)


def unresolved(document):
    for target in {*references(document)}:
        node = document
        for part in target.removeprefix("#/").split("/"):
            part = part.replace("~1", "/").replace("~0", "~")
            node = node.get(part) if isinstance(node, dict) else None
        if node is None or not target.startswith("#/"):
            yield f"{target} leads nowhere"


def alike(document):
    paths = collections.defaultdict(list)
    for path in document["paths"]:
        paths[blank(path)].append(path)
    yield from (f"the same path to OpenAPI: {same}" for same in paths.values() if len(same) > 1)


def bindings(path):
    """The bindings of a descriptor set: the method, the HTTP method, and the path, blank."""
    files = descriptor_pb2.FileDescriptorSet.FromString(Path(path).read_bytes()).file
    for file in files:
        for service in file.service:
            for method in service.method:
                name = f"{file.package}.{service.name}/{method.name}".removeprefix(".")
                if not method.options.HasExtension(annotations_pb2.http):
                    continue
                first = method.options.Extensions[annotations_pb2.http]
                for rule in [first, *first.additional_bindings]:
                    verb = rule.WhichOneof("pattern")
                    template = rule.custom.path if verb == "custom" else getattr(rule, verb)
                    verb = rule.custom.kind if verb == "custom" else verb.upper()
                    yield name, verb, blank(expanded(template))


def expanded(template):
    """A template with a variable for each segment that is not literal."""
    pattern = lambda variable: variable[1] or "*"
    inside = re.sub(r"\{[^=}]*=?([^}]*)\}", pattern, template)
    return re.sub(r"\*\*|\*", "{}", inside)


def omitted(document, descriptor_set):
    """The operations that are missing, and those that are too many."""
    expected = collections.Counter(bindings(descriptor_set))
    found = collections.Counter((one["x-grpc-method"], verb, blank(sent(path))) for verb, path, one in operations(document))
    yield from (f"omitted: {binding}, {count} times" for binding, count in (expected - found).items())
    yield from (f"no such binding: {operation}, {count} times" for operation, count in (found - expected).items())


def faults(document, descriptor_set, took):
    """What is wrong with a document; adds to `took` how long each check took."""
    of_document, of_schema = meta_schemas()
    found = []

    def check(name, some):
        start = time.monotonic()
        found.extend(f"{name}: {one}" for one in some())
        took.append(f"{name} {time.monotonic() - start:.1f} s")

    said = lambda error: f"{'/'.join(map(str, error.instance_path))}: {error.message[:300]}"
    in_schemas = lambda: ((at, error) for at, schema in schemas(document) for error in of_schema.iter_errors(schema))
    check("meta-schema", lambda: map(said, of_document.iter_errors(document)))
    check("dialect", lambda: (f"{at} {said(error)}" for at, error in in_schemas()))
    check("references", lambda: unresolved(document))
    # It takes for granted what these three have looked at.
    if not found:
        check("openapi-spec-validator", lambda: spec_validator(document, of_schema))
    check("paths", lambda: alike(document))
    check("bindings", lambda: omitted(document, descriptor_set))
    return found


def main():
    descriptor_set, path, count = sys.argv[1:]
    document, took = load(path), []
    found = faults(document, descriptor_set, took)
    number = sum(1 for _ in operations(document))
    if number != int(count):
        found.append(f"{number} operations, not {count}")
    if Path(path).name == "chat.json":
        found += unseen(document, VALIDATED, lambda broken: faults(broken, descriptor_set, []))
    size = Path(path).stat().st_size / 1e6
    print(f"{Path(path).name}: {size:.1f} MB, {number} operations, {len(document['components']['schemas'])} schemas; {', '.join(took)}")
    for fault in found[:SHOWN]:
        print("FAIL", fault)
    if found:
        sys.exit(f"{path}: {len(found)} faults")


if __name__ == "__main__":
    main()
