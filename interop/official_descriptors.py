"""Compares our descriptors with the official ones, name by name, in both directions.

usage: official_descriptors.py DESCRIPTOR_SET OFFICIAL_PROTOS

DESCRIPTOR_SET   ours, compiled from proto/ with all imports
OFFICIAL_PROTOS  the folder `protos` of the npm package @google-apps/chat

There are three sources, all of them in the newest release that their registry serves:

- the npm package has the protos of Chat and of cards as files, with their options;
- the PyPI packages google-apps-chat and google-apps-card are often ahead of it, but their
  descriptors carry no options. HTTP rules and scopes are in the code, and what a field's
  documentation begins with ("Output only.") says its behavior;
- the PyPI package googleapis-common-protos has google.api, google.rpc and google.type.

Ours must be all that the sources have of google.chat.v1, with every file that it reaches,
and nothing more: every file, message, enum, service and extension of ours must be as each
source that knows it has it, in the same order, and what a source has must be in ours.
Anything different is printed, and the exit code is 1. What ours lack is what Google has
added since.
"""

import importlib
import importlib.metadata
import inspect
import pkgutil
import re
import sys
import tempfile
import typing
from pathlib import Path

import grpc_tools
import proto
from google.apps.chat_v1.services.chat_service.transports import base, grpc as stubs, rest_base
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_tools import protoc

from discovery import differences

PACKAGES = ["google.apps.chat_v1.types", "google.apps.card_v1.types"]
# What google.chat.v1 does not import, and ours have all the same: what calls are made of.
ROOTS = ["google/api/httpbody.proto", "google/rpc/error_details.proto", "google/rpc/status.proto"]
# What the documentation of a field begins with, and the behavior that it stands for.
BEHAVIORS = {
    "Optional": "OPTIONAL",
    "Required": "REQUIRED",
    "Output only": "OUTPUT_ONLY",
    "Input only": "INPUT_ONLY",
    "Immutable": "IMMUTABLE",
    "Unordered list": "UNORDERED_LIST",
    "Identifier": "IDENTIFIER",
}
BEHAVIOR = "[google.api.field_behavior]"
SCOPES = "[google.api.oauth_scopes]"


def options(element):
    """The options of anything as plain data."""
    found = json_format.MessageToDict(element.options, preserving_proto_field_name=True)
    if BEHAVIOR in found:
        # Google's files have them in either order.
        found[BEHAVIOR].sort()
    if SCOPES in found:
        found[SCOPES] = sorted(found[SCOPES].split(","))
    return found


def field(one, message=None):
    """A field or an extension as plain data."""
    oneof = None
    if message is not None and one.HasField("oneof_index") and not one.proto3_optional:
        oneof = message.oneof_decl[one.oneof_index].name
    return {
        "number": one.number,
        "label": one.label,
        "type": one.type,
        "type name": one.type_name,
        "extendee": one.extendee,
        "optional": one.proto3_optional,
        "default": one.default_value,
        "JSON name": one.json_name,
        "oneof": oneof,
        "options": options(one),
    }


def enum(one):
    return {
        "kind": "enum",
        "values": {value.name: {"number": value.number, "options": options(value)} for value in one.value},
        "reserved": sorted([*one.reserved_name, *((r.start, r.end) for r in one.reserved_range)], key=str),
        "options": options(one),
    }


def message(one):
    return {
        "kind": "message",
        "fields": {each.name: field(each, one) for each in one.field},
        "nested": {each.name: message(each) for each in one.nested_type} | {each.name: enum(each) for each in one.enum_type},
        "extension ranges": sorted((r.start, r.end) for r in one.extension_range),
        "reserved": sorted([*one.reserved_name, *((r.start, r.end) for r in one.reserved_range)], key=str),
        "options": options(one),
    }


def method(one):
    return {
        "input": one.input_type.removeprefix("."),
        "output": one.output_type.removeprefix("."),
        "streams": (one.client_streaming, one.server_streaming),
        "options": options(one),
    }


def service(one):
    return {"kind": "service", "methods": {each.name: method(each) for each in one.method}, "options": options(one)}


def tables(files):
    """What files declare, as plain data by full name."""
    found = {}
    for file in files:
        if file.name.startswith("google/protobuf/"):
            continue
        found[file.name] = {
            "kind": "file",
            "package": file.package,
            "syntax": file.syntax,
            "imports": sorted(file.dependency),
            "options": options(file),
        }
        for read, elements in (
            (message, file.message_type),
            (enum, file.enum_type),
            (service, file.service),
            (lambda one: {"kind": "extension"} | field(one), file.extension),
        ):
            for one in elements:
                found[f"{file.package}.{one.name}"] = read(one) | {"file": file.name}
    return found


def parse_set(data):
    """A descriptor set whose options are read with the extensions in it."""
    plain = descriptor_pb2.FileDescriptorSet.FromString(data)
    pool = descriptor_pool.DescriptorPool()
    if "google/protobuf/descriptor.proto" not in {file.name for file in plain.file}:
        own = descriptor_pb2.FileDescriptorProto()
        descriptor_pb2.DESCRIPTOR.CopyToProto(own)
        pool.Add(own)
    for file in plain.file:
        pool.Add(file)
    whole = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.protobuf.FileDescriptorSet"))
    # Registers the extensions of the options in the pool.
    message_factory.GetMessageClassesForFiles([file.name for file in plain.file], pool)
    return whole.FromString(data).file


def compiled(folder):
    """All of the protos in a folder, with what they import as PyPI has it."""
    common = Path(importlib.import_module("google.rpc").__path__[0]).parent.parent
    known = Path(grpc_tools.__file__).parent / "_proto"
    files = [str(path.relative_to(folder)) for path in Path(folder).rglob("*.proto")]
    with tempfile.NamedTemporaryFile() as out:
        paths = [f"-I{folder}", f"-I{common}", f"-I{known}"]
        whole = ["--include_imports", "--include_source_info", f"--descriptor_set_out={out.name}"]
        if protoc.main(["protoc", *paths, *whole, *files, *ROOTS]):
            sys.exit("the official protos do not compile")
        return parse_set(Path(out.name).read_bytes())


def python_messages():
    """The messages and enums of the PyPI package, without options, and its service."""
    files, documented = {}, {}

    def see(kind):
        descriptor = kind.pb(kind()).DESCRIPTOR
        files[descriptor.file.name] = descriptor.file
        text = inspect.getdoc(kind) or ""
        for name in descriptor.fields_by_name:
            if found := re.search(rf"^ +{name} \([^\n]*\):\n +(.*?)(?:\n\n|\n +\w+ \(|\Z)", text, re.M | re.S):
                documented[f"{descriptor.full_name}.{name.rstrip('_')}"] = " ".join(found[1].split())
        for nested in vars(kind).values():
            if isinstance(nested, type) and issubclass(nested, proto.Message):
                see(nested)

    for types in map(importlib.import_module, PACKAGES):
        for module in pkgutil.iter_modules(types.__path__):
            for kind in vars(importlib.import_module(f"{types.__name__}.{module.name}")).values():
                if isinstance(kind, type) and issubclass(kind, proto.Message) and kind is not proto.Message:
                    see(kind)
    found = {}
    for file in files.values():
        copy = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(copy)
        found |= {name: table for name, table in tables([copy]).items() if table["kind"] != "file"}
        name = f"{copy.package.replace('.', '/')}/{Path(copy.name).name}"
        found[name] = {"kind": "file", "package": copy.package}
    for table in found.values():
        plain(table)
    transport = stubs.ChatServiceGrpcTransport
    methods = {}
    for rule in vars(rest_base._BaseChatServiceRestTransport):
        if not rule.startswith("_Base"):
            continue
        name = rule.removeprefix("_Base")
        snake = re.sub("(?<!^)(?=[A-Z])", "_", name).lower()
        (request,), response = typing.get_args(inspect.getattr_static(transport, snake).fget.__annotations__["return"])
        # Nothing public gives the rules.
        rules = getattr(rest_base._BaseChatServiceRestTransport, rule)._get_http_options()
        methods[name] = {"input": full_name(request), "output": full_name(response), "rules": rules}
    found["google.chat.v1.ChatService"] = {"kind": "service", "methods": methods}
    return found, documented


def full_name(kind):
    return (kind.pb(kind()) if issubclass(kind, proto.Message) else kind).DESCRIPTOR.full_name


def plain(table):
    """Leaves out what a descriptor of the PyPI package does not have.

    It appends an underscore to names that Python reserves.
    """
    for key in ("options", "reserved", "extension ranges", "file"):
        table.pop(key, None)
    for value in table.get("values", {}).values():
        del value["options"]
    for each in table.get("nested", {}).values():
        plain(each)
    fields = {}
    for name, each in table.get("fields", {}).items():
        for key in ("options", "default", "JSON name"):
            del each[key]
        fields[name.rstrip("_")] = each
    if fields:
        table["fields"] = fields


class Comparison:
    """What ours were found to differ in, and how much of them was seen."""

    def __init__(self, official, python, documented):
        self.official, self.python, self.documented = official, python, documented
        self.differences, self.compared, self.notes = [], {}, []

    def differ(self, where, ours, theirs):
        self.differences += differences(where, ours, theirs)

    def lack(self, kind, name):
        self.differences.append(f"{name}: Google has this {kind}, and ours lack it")

    def count(self, what):
        self.compared[what] = self.compared.get(what, 0) + 1

    def definition(self, name, ours, official, python):
        """Compares a definition with what each source has of it; None where it has nothing."""
        if official is None and python is None:
            self.differences.append(f"{name}: no source has it")
            return
        self.count(ours["kind"])
        for source, theirs in (("npm", official), ("PyPI", python)):
            for key in theirs or ():
                if key not in ("fields", "values", "nested", "methods"):
                    self.differ(f"{name} {key} ({source})", ours[key], theirs[key])
        if ours["kind"] == "file" and official is None:
            # The options of all files of a package differ in one name only.
            outer = "".join(word.title() for word in Path(name).stem.split("_")) + "Proto"
            sibling = next(one for one in self.official.values() if one["kind"] == "file" and one["package"] == ours["package"])
            self.differ(f"{name} options", ours["options"], sibling["options"] | {"java_outer_classname": outer})
            self.notes.append(f"the options of {name} are checked against those of its package's other files only")
        parts = {"fields": self.part, "values": self.part, "methods": self.method, "nested": self.definition}
        for kind, compare in parts.items():
            sources = [(theirs or {}).get(kind, {}) for theirs in (official, python)]
            for key in sorted({*ours.get(kind, {}), *sources[0], *sources[1]}):
                known, (here, there) = ours.get(kind, {}).get(key), (source.get(key) for source in sources)
                if known is not None:
                    compare(f"{name}.{key}", known, here, there)
                else:
                    self.lack({"nested": "type"}.get(kind, kind.removesuffix("s")), f"{name}.{key}")
            order = [key for key in sources[0] if key in ours.get(kind, {})]
            self.differ(f"{name} order of {kind}", [key for key in ours.get(kind, {}) if key in order], order)

    def part(self, where, ours, official, python):
        """Compares a field or a value."""
        if official is None and python is None:
            self.differences.append(f"{where}: no source has it")
            return
        self.count("field" if "label" in ours else "value")
        for source, theirs in (("npm", official), ("PyPI", python)):
            for key in theirs or ():
                self.differ(f"{where} {key} ({source})", ours[key], theirs[key])
        if official is None and "label" in ours:
            behavior = documented_behavior(self.documented.get(where, ""))
            expected = {BEHAVIOR: behavior} if behavior else {}
            self.differ(f"{where} options (PyPI's documentation)", ours["options"], expected)
            self.notes.append(f"the options of {where} are checked against PyPI's documentation only: {behavior}")

    def method(self, where, ours, official, python):
        if official is None and python is None:
            self.differences.append(f"{where}: no source has it")
            return
        self.count("method")
        for key in official or ():
            self.differ(f"{where} {key} (npm)", ours[key], official[key])
        if python is not None:
            for key in ("input", "output"):
                self.differ(f"{where} {key} (PyPI)", ours[key], python[key])
            self.differ(f"{where} HTTP rules (PyPI)", bindings(ours["options"].get("[google.api.http]")), python["rules"])


def documented_behavior(text):
    """The behaviors that a field's documentation begins with."""
    found = []
    while known := re.match(rf"({'|'.join(BEHAVIORS)})\. ?", text):
        found.append(BEHAVIORS[known[1]])
        text = text[known.end() :]
    return sorted(found)


def bindings(rule):
    """An HTTP rule as the PyPI package has it: a verb, a template and a body each."""
    found = []
    for one in [rule, *rule.get("additional_bindings", [])] if rule else []:
        verb = next(verb for verb in ("get", "put", "post", "delete", "patch") if verb in one)
        found.append({"method": verb, "uri": one[verb]} | ({"body": one["body"]} if "body" in one else {}))
    return found


def main():
    ours = tables(parse_set(Path(sys.argv[1]).read_bytes()))
    official = tables(compiled(sys.argv[2]))
    python, documented = python_messages()
    comparison = Comparison(official, python, documented)
    for name, definition in ours.items():
        comparison.definition(name, definition, official.get(name), python.get(name))
    scopes = ours["google.chat.v1.ChatService"]["options"][SCOPES]
    comparison.differ("ChatService scopes (PyPI)", scopes, sorted(base.ChatServiceTransport.AUTH_SCOPES))
    for name, definition in sorted({**official, **python}.items()):
        if name not in ours:
            comparison.lack(definition["kind"], name)

    for package in ("google-apps-chat", "google-apps-card", "googleapis-common-protos"):
        print(package, importlib.metadata.version(package))
    for note in comparison.notes:
        print(note)
    print(", ".join(f"{count} {what}s" for what, count in comparison.compared.items()), "compared")
    for kind in ("file", "message", "enum", "field", "value", "service", "method", "extension"):
        if not comparison.compared.get(kind):
            sys.exit(f"no {kind} was compared")
    for difference in comparison.differences:
        print("DIFFERENT", difference)
    print(f"{0 if comparison.differences else 1} passed, {len(comparison.differences)} failed")
    sys.exit(bool(comparison.differences))


if __name__ == "__main__":
    main()
