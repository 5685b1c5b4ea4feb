"""Compares our descriptors with the official ones, name by name.

usage: official_descriptors.py DESCRIPTOR_SET OFFICIAL_PROTOS

DESCRIPTOR_SET   ours, compiled from proto/ with all imports
OFFICIAL_PROTOS  the folder `protos` of the npm package @google-apps/chat

The PyPI package google-apps-chat has the newest messages, but its descriptors
carry no options; googleapis-common-protos has google.api and google.rpc with
their options, and the npm package has the Chat protos with theirs. Ours may be a
subset of what they have. Anything different is printed, and the exit code is 1.
"""

import importlib
import sys
import tempfile
from pathlib import Path

import grpc_tools
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

# Messages of Chat that the PyPI package has, by full name.
import google.apps.chat_v1 as chat

differences = []
compared = {"messages": 0, "fields": 0, "enums": 0, "options": 0, "methods": 0}


def differ(where, ours, theirs):
    if ours != theirs:
        differences.append(f"{where}: ours {ours!r}, theirs {theirs!r}")


def json_name(field):
    return field.json_name or camel(field.name)


def camel(name):
    head, *rest = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def walk(package, messages, enums):
    """All messages and enums of a file by full name."""
    found = {}

    def go(scope, messages, enums):
        for enum in enums:
            found[f"{scope}.{enum.name}"] = enum
        for message in messages:
            name = f"{scope}.{message.name}"
            found[name] = message
            go(name, message.nested_type, message.enum_type)

    go(package, messages, enums)
    return found


def compare_enum(name, ours, theirs, options):
    compared["enums"] += 1
    official = {value.name: value.number for value in theirs.value}
    for value in ours.value:
        differ(f"{name}.{value.name}", value.number, official.get(value.name))
    differ(f"{name}: values that are missing", sorted(set(official) - {v.name for v in ours.value}), [])


def compare_message(name, ours, theirs, options):
    compared["messages"] += 1
    # proto-plus appends an underscore to names that Python reserves.
    official = {field.name.rstrip("_"): field for field in theirs.field}
    for field in ours.field:
        where = f"{name}.{field.name}"
        other = official.get(field.name)
        if other is None:
            differ(where, "a field", "none")
            continue
        compared["fields"] += 1
        differ(f"{where} number", field.number, other.number)
        differ(f"{where} label", field.label, other.label)
        differ(f"{where} type", field.type, other.type)
        differ(f"{where} type name", field.type_name, other.type_name)
        differ(f"{where} optional", field.proto3_optional, other.proto3_optional)
        if json_name(other).rstrip("_") != json_name(field):
            differ(f"{where} JSON name", json_name(field), json_name(other))

        def real_oneof(message, f):
            return message.oneof_decl[f.oneof_index].name if f.HasField("oneof_index") and not f.proto3_optional else None

        differ(f"{where} oneof", real_oneof(ours, field), real_oneof(theirs, other))
        if options:
            compare_options(where, field.options, other.options)
    differ(f"{name}: fields that are missing", sorted(set(official) - {f.name for f in ours.field}), [])
    if options:
        compare_options(name, ours.options, theirs.options)


def compare_options(where, ours, theirs):
    compared["options"] += 1
    differ(f"{where} options", str(ours), str(theirs))


def parse_set(data):
    """A descriptor set whose options are read with the extensions in it."""
    plain = descriptor_pb2.FileDescriptorSet.FromString(data)
    pool = descriptor_pool.DescriptorPool()
    names = {file.name for file in plain.file}
    if "google/protobuf/descriptor.proto" not in names:
        file = descriptor_pb2.FileDescriptorProto()
        descriptor_pb2.DESCRIPTOR.CopyToProto(file)
        pool.Add(file)
    for file in plain.file:
        pool.Add(file)
    factory = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.protobuf.FileDescriptorSet"))
    # Registers the extensions of the options in the pool.
    message_factory.GetMessageClassesForFiles([file.name for file in plain.file], pool)
    return factory.FromString(data)


def compile_official(folder, files):
    common = Path(importlib.import_module("google.rpc").__path__[0]).parent.parent
    wkt = Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.NamedTemporaryFile() as out:
        args = ["protoc", f"-I{folder}", f"-I{common}", f"-I{wkt}", "--include_imports", f"--descriptor_set_out={out.name}"]
        if protoc.main(args + files):
            sys.exit("the official protos do not compile")
        return parse_set(Path(out.name).read_bytes())


def main():
    ours = parse_set(Path(sys.argv[1]).read_bytes())
    official = compile_official(
        sys.argv[2],
        [
            "google/chat/v1/chat_service.proto",
            "google/api/httpbody.proto",
            "google/rpc/error_details.proto",
            "google/rpc/status.proto",
        ],
    )
    theirs, files, services, extensions = {}, {}, {}, {}
    for file in official.file:
        theirs.update(walk(file.package, file.message_type, file.enum_type))
        files[file.name] = file
        for service in file.service:
            services[f"{file.package}.{service.name}"] = service
        for extension in file.extension:
            extensions[f"{file.package}.{extension.name}"] = extension

    newest = {}
    for module in ("Space", "Audience"):
        file = descriptor_pb2.FileDescriptorProto()
        kind = getattr(chat, module)
        kind.pb(kind()).DESCRIPTOR.file.CopyToProto(file)
        newest.update(walk(file.package, file.message_type, file.enum_type))

    for file in ours.file:
        if file.name.startswith("google/protobuf/"):
            continue
        for name, definition in walk(file.package, file.message_type, file.enum_type).items():
            compare = compare_message if hasattr(definition, "field") else compare_enum
            latest, published = newest.get(name), theirs.get(name)
            if latest is None and published is None:
                differ(name, "a definition", "none")
            if latest is not None:
                compare(name, definition, latest, options=False)
                if published is not None and compare is compare_message:
                    # The options, field by field, as far as the older package goes.
                    known = {field.name: field for field in published.field}
                    for field in definition.field:
                        if field.name in known:
                            compare_options(f"{name}.{field.name}", field.options, known[field.name].options)
                    compare_options(name, definition.options, published.options)
            elif published is not None:
                compare(name, definition, published, options=True)
        if file.name in files:
            compare_options(file.name, file.options, files[file.name].options)
        for extension in file.extension:
            name = f"{file.package}.{extension.name}"
            differ(f"{name} number", extension.number, getattr(extensions.get(name), "number", None))
            differ(f"{name} extendee", extension.extendee, getattr(extensions.get(name), "extendee", None))
            differ(f"{name} label", extension.label, getattr(extensions.get(name), "label", None))
            differ(f"{name} type", extension.type, getattr(extensions.get(name), "type", None))
        for service in file.service:
            published = services[f"{file.package}.{service.name}"]
            methods = {method.name: method for method in published.method}
            for method in service.method:
                compared["methods"] += 1
                other = methods[method.name]
                where = f"{service.name}.{method.name}"
                differ(f"{where} input", method.input_type, other.input_type)
                differ(f"{where} output", method.output_type, other.output_type)
                differ(f"{where} streams", (method.client_streaming, method.server_streaming), (other.client_streaming, other.server_streaming))
                compare_options(where, method.options, other.options)
            # The scopes of the newest package; the rest as published.
            from google.apps.chat_v1.services.chat_service.transports import base

            scopes = [line.split('"')[1] for line in str(service.options).splitlines() if "oauth_scopes" in line]
            differ("ChatService scopes", sorted(scopes[0].split(",")), sorted(base.ChatServiceTransport.AUTH_SCOPES))

    print(", ".join(f"{count} {what}" for what, count in compared.items()), "compared")
    if not compared["fields"] or not compared["options"]:
        sys.exit("nothing was compared")
    for difference in differences:
        print("DIFFERENT", difference)
    print(f"{1 if not differences else 0} passed, {len(differences)} failed")
    sys.exit(bool(differences))


main()
