"""Checks what the comments of our protos say, beside the protos of Google.

usage: official_comments.py DESCRIPTOR_SET OFFICIAL_PROTOS

The arguments are those of official_descriptors.py; the set has source positions. The
comments become the documentation of generated code, so that

- everything has one;
- of a field of google.chat.v1, it begins with the behavior that the field's options have:
  "Required.", "Output only.", "Input only." or "Immutable.";
- of a method, it names the scopes that proto/discovery.json has, and no others;
- it is in words of our own: no sentence of six words or more is one of Google's.

What does not hold is printed, and the exit code is then 1.
"""

import json
import re
import sys
from pathlib import Path

from google.protobuf import descriptor_pb2

from discovery import FILE
from official_descriptors import BEHAVIOR, bindings, compiled, options, parse_set

BEGINNINGS = {
    "REQUIRED": "Required.",
    "OUTPUT_ONLY": "Output only.",
    "INPUT_ONLY": "Input only.",
    "IMMUTABLE": "Immutable.",
}
# The lists of a file, and of what is in it, by the numbers that source positions have.
LISTS = {
    "FileDescriptorProto": {4: "message_type", 5: "enum_type", 6: "service", 7: "extension"},
    "DescriptorProto": {2: "field", 3: "nested_type", 4: "enum_type", 6: "extension", 8: "oneof_decl"},
    "EnumDescriptorProto": {2: "value"},
    "ServiceDescriptorProto": {2: "method"},
}


def elements(file):
    """All that a file declares: its full name, its descriptor, and its comment."""
    for location in file.source_code_info.location:
        path, element, name = list(location.path), file, file.package
        while len(path) > 1 and (field := LISTS.get(element.DESCRIPTOR.name, {}).get(path[0])):
            element = getattr(element, field)[path[1]]
            name, path = f"{name}.{element.name}", path[2:]
        if location.path and not path:
            yield name, element, location.leading_comments
        elif path == [descriptor_pb2.FileDescriptorProto.SYNTAX_FIELD_NUMBER]:
            yield file.name, element, "".join(location.leading_detached_comments)


def sentences(comment):
    """The sentences of a comment as words, without what AIP-203 begins it with."""
    for one in re.split(r"[.:;]\s|\n\s*\n|\n\s*[-*] ", comment):
        yield " ".join(re.findall(r"[\w{}/-]+", one.lower()))


def scopes():
    """The scopes of each pair of a verb and a path, whose variables are stars."""
    methods = json.loads(FILE.read_text()).values()
    return {(one["httpMethod"], re.sub(r"{\w+}", "*", one["flatPath"])): one["scopes"] for one in methods}


def problems(ours, official):
    """What does not hold, one line each."""
    theirs = {one for file in official for _, _, comment in elements(file) for one in sentences(comment)}
    known = scopes()
    for file in ours:
        if file.name.startswith("google/protobuf/"):
            continue
        for name, element, comment in elements(file):
            if not comment.strip():
                yield f"{name}: no comment"
            copied = [one for one in sentences(comment) if one in theirs and one.count(" ") >= 5]
            yield from (f"{name}: a sentence is Google's: {one}" for one in copied)
            if element.DESCRIPTOR.name == "FieldDescriptorProto" and file.package == "google.chat.v1":
                behaviors = options(element).get(BEHAVIOR, [])
                expected = [text for behavior, text in BEGINNINGS.items() if behavior in behaviors]
                found = re.match(rf"\s*((?:(?:{'|'.join(BEGINNINGS.values())})\s+)*)", comment)[1]
                if " ".join(found.split()) != " ".join(expected):
                    yield f"{name}: begins with {found!r} instead of {expected}"
            if element.DESCRIPTOR.name == "MethodDescriptorProto":
                found = sorted(set(re.findall(r"`(chat\.[a-z.]+)`", comment)))
                for rule in bindings(options(element).get("[google.api.http]")):
                    path = re.sub(r"{[\w.]+=(.*?)}", r"\1", rule["uri"]).removeprefix("/")
                    expected = known.get((rule["method"].upper(), path))
                    if found != expected:
                        yield f"{name}: names the scopes {found} instead of {expected}"


def main():
    ours, official = parse_set(Path(sys.argv[1]).read_bytes()), compiled(sys.argv[2])
    found = list(problems(ours, official))
    for problem in found:
        print("COMMENT", problem)
    count = sum(1 for file in ours for _ in elements(file))
    print(f"{count} comments read, {len(found)} problems")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
