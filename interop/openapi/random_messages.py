"""Random messages of any descriptor: with the edges of every scalar, well-known types that
ProtoJSON can write, extensions, and numbers that their enums do not know."""

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor as F

EDGES = {
    F.CPPTYPE_INT32: [0, 1, -1, 2**31 - 1, -(2**31)],
    F.CPPTYPE_INT64: [0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63)],
    F.CPPTYPE_UINT32: [0, 1, 2**32 - 1],
    F.CPPTYPE_UINT64: [0, 1, 2**53 + 1, 2**64 - 1],
    F.CPPTYPE_DOUBLE: [0.0, -0.0, 0.1, 1e300, -5e-324, float("nan"), float("inf"), float("-inf")],
    F.CPPTYPE_FLOAT: [0.0, -0.0, 0.5, 3.4028234663852886e38, float("nan"), float("inf"), float("-inf")],
    F.CPPTYPE_BOOL: [False, True],
}
TEXTS = ["", "a", "ü €", "\u0000\u001f\"\\/", "🎉", "a\nb", "x" * 200, "null", "1"]
FINITE = [0.0, 1.0, -2.5, 1e20]


class RandomMessages:
    """Messages of the types of a pool, by a random generator."""

    def __init__(self, pool, chance):
        self.pool, self.chance = pool, chance
        # What an Any may hold: a plain message, and one with a JSON form of its own.
        self.in_any = ["google.rpc.ErrorInfo", "google.rpc.BadRequest", "google.protobuf.Timestamp", "google.protobuf.Duration"]

    def message(self, name, depth=0):
        message = message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))()
        self.fill(message, depth)
        return message

    def fill(self, message, depth):
        """Sets some fields of an empty message."""
        descriptor, chance = message.DESCRIPTOR, self.chance
        if well_known := getattr(self, descriptor.full_name.rsplit(".", 1)[-1].lower(), None):
            if descriptor.full_name.startswith("google.protobuf."):
                return well_known(message, depth)
        # Deep messages get small, so that there is an end to recursive types.
        share = 0.35 / 2**depth
        for field in descriptor.fields:
            if field.is_required or chance.random() < max(share, 0.8 if len(descriptor.fields) < 4 and depth < 3 else 0):
                self.set(message, field, depth)
        for extension in self.pool.FindAllExtensions(descriptor):
            if depth < 2 and chance.random() < share:
                self.set_extension(message, extension, depth)

    def set(self, message, field, depth):
        if field.message_type and field.message_type.GetOptions().map_entry:
            entries, (key, value) = getattr(message, field.name), field.message_type.fields
            for _ in range(self.chance.randrange(3)):
                if value.message_type:
                    self.fill(entries[self.scalar(key)], depth + 1)
                else:
                    entries[self.scalar(key)] = self.scalar(value)
        elif field.is_repeated:
            for _ in range(self.chance.randrange(3)):
                self.add(getattr(message, field.name), field, depth)
        elif field.message_type:
            one = getattr(message, field.name)
            one.SetInParent()
            self.fill(one, depth + 1)
        else:
            setattr(message, field.name, self.scalar(field))

    def set_extension(self, message, extension, depth):
        if extension.is_repeated:
            self.add(message.Extensions[extension], extension, depth)
        elif extension.message_type:
            message.Extensions[extension].SetInParent()
            self.fill(message.Extensions[extension], depth + 1)
        else:
            message.Extensions[extension] = self.scalar(extension)

    def add(self, values, field, depth):
        if field.message_type:
            self.fill(values.add(), depth + 1)
        else:
            values.append(self.scalar(field))

    def scalar(self, field):
        chance = self.chance
        if field.type == F.TYPE_BYTES:
            return chance.randbytes(chance.choice([0, 1, 2, 3, 50]))
        if field.type == F.TYPE_STRING:
            return chance.choice(TEXTS)
        if field.enum_type:
            if field.enum_type.is_closed or chance.random() < 0.9:
                return chance.choice(field.enum_type.values).number
            return chance.choice([4711, -4711])
        return chance.choice(EDGES[field.cpp_type])

    # The well-known types, by their names in lower case.

    def timestamp(self, message, depth):
        message.seconds = self.chance.choice([0, -62135596800, 253402300799, 1_700_000_000])
        message.nanos = self.chance.choice([0, 1, 120_000_000, 123_456_000, 999_999_999])

    def duration(self, message, depth):
        sign = self.chance.choice([1, -1])
        message.seconds = sign * self.chance.choice([0, 1, 315_576_000_000])
        message.nanos = 0 if abs(message.seconds) == 315_576_000_000 else sign * self.chance.choice([0, 1, 500_000_000])

    def fieldmask(self, message, depth):
        message.paths.extend(self.chance.sample(["a", "foo_bar", "one.two_three", "x9"], self.chance.randrange(4)))

    def any(self, message, depth):
        inner = self.message(self.chance.choice(self.in_any), depth + 1)
        message.type_url = f"type.googleapis.com/{inner.DESCRIPTOR.full_name}"
        message.value = inner.SerializeToString()

    def struct(self, message, depth):
        for _ in range(self.chance.randrange(3)):
            self.value(message.fields[self.chance.choice(TEXTS)], depth + 1)

    def listvalue(self, message, depth):
        for _ in range(self.chance.randrange(3)):
            self.value(message.values.add(), depth + 1)

    def value(self, message, depth):
        # A Value without a kind has no JSON form.
        kinds = ["null_value", "number_value", "string_value", "bool_value", *(["struct_value", "list_value"] if depth < 4 else [])]
        kind = self.chance.choice(kinds)
        if kind == "struct_value":
            message.struct_value.SetInParent()
            self.struct(message.struct_value, depth)
        elif kind == "list_value":
            message.list_value.SetInParent()
            self.listvalue(message.list_value, depth)
        else:
            # JSON has no NaN.
            values = {"null_value": [0], "number_value": FINITE, "string_value": TEXTS, "bool_value": [False, True]}
            setattr(message, kind, self.chance.choice(values[kind]))
