"""Random values that the schemas of an OpenAPI document allow, as a client would send them."""

import base64
import datetime
import math

DEPTH = 4
TEXTS = ["a", "ü €", "a b", "x/y", "%2F", "🎉", "-1", "null", "."]


class RandomValues:
    """Values for parameters and bodies, by a random generator."""

    def __init__(self, document, chance):
        self.components, self.chance = document["components"]["schemas"], chance

    def texts(self, schema):
        """What stands for a parameter in the query: a text for each value."""
        if schema.get("type") == "array":
            return [self.text(schema["items"]) for _ in range(self.chance.randrange(3))]
        return [self.text(schema)]

    def text(self, schema):
        value = self.value(schema)
        if isinstance(value, bool) or value is None:
            return str(value).lower().replace("none", "null")
        return str(value)

    def value(self, schema, depth=0):
        chance = self.chance
        if "$ref" in schema:
            name = schema["$ref"].removeprefix("#/components/schemas/")
            # A required sibling is of the body as a whole.
            return self.value(self.components[name] | {key: schema[key] for key in ("required",) if key in schema}, depth)
        if "allOf" in schema:
            return self.value({key: value for one in schema["allOf"] for key, value in self.resolved(one).items()}, depth)
        for key in ("anyOf", "oneOf"):
            if key in schema:
                return self.value(chance.choice(schema[key]), depth)
        if "enum" in schema:
            return chance.choice(schema["enum"])
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = chance.choice(kind)
        if kind == "array":
            return [] if depth > DEPTH else [self.value(schema["items"], depth + 1) for _ in range(chance.randrange(3))]
        if kind is None:
            return chance.choice([None, True, 1.5, "a", [], {"a": [None]}])
        return getattr(self, kind)(schema, depth)

    def resolved(self, schema):
        return self.components[schema["$ref"].removeprefix("#/components/schemas/")] if "$ref" in schema else schema

    def object(self, schema, depth):
        chance, properties, found = self.chance, schema.get("properties", {}), {}
        required = set(schema.get("required", []))
        # Of a oneof, one member.
        barred = set()
        for members in schema.get("x-oneofs", {}).values():
            barred |= {*members} - {chance.choice(members)}
        for name, one in properties.items():
            if name in required or (name not in barred and depth < DEPTH and chance.random() < 0.4 / 2**depth):
                found[name] = self.value(one, depth + 1)
        if "@type" in properties:
            return {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1s"}
        extra = schema.get("additionalProperties")
        if extra and not properties:
            keys = self.keys(schema.get("propertyNames", {}))
            found |= {key: self.value(extra if extra is not True else {}, depth + 1) for key in keys[: chance.randrange(3)]}
        return found

    def keys(self, schema):
        if "enum" in schema:
            return schema["enum"]
        return ["0", "7"] if "pattern" in schema else ["a", "ü"]

    def string(self, schema, _):
        chance, form = self.chance, schema.get("format")
        match form:
            case "int64":
                return str(chance.choice([0, 1, -1, 2**63 - 1, -(2**63)]))
            case "uint64":
                return str(chance.choice([0, 1, 2**64 - 1]))
            case "date-time":
                moment = datetime.datetime(2026, 1, 2, 3, 4, 5, chance.choice([0, 6, 700_000]))
                return moment.isoformat() + chance.choice(["Z", "+02:00", "-11:30"])
            case "google-duration":
                return chance.choice(["0s", "1.5s", "-3.000000001s", "315576000000s"])
            case "google-fieldmask":
                return chance.choice(["", "a", "fooBar,one.twoThree"])
            case "byte":
                return base64.b64encode(chance.randbytes(chance.randrange(5))).decode()
            case "binary":
                return "raw"
        if form is not None:
            raise SystemExit(f"nothing is known of the format {form!r}")
        if schema.get("pattern") not in (None, "^[^/]+$"):
            raise SystemExit(f"nothing is known of the pattern {schema['pattern']!r}")
        return chance.choice(TEXTS)

    def integer(self, schema, _):
        low, high = schema.get("minimum", 0), schema.get("maximum", 2**31 - 1)
        return self.chance.choice([low, high, 0, 1])

    def number(self, schema, _):
        value = self.chance.choice([0.0, 0.5, -2.25, 1e10])
        return int(value) if value == math.floor(value) and self.chance.random() < 0.5 else value

    def boolean(self, *_):
        return self.chance.random() < 0.5

    def null(self, *_):
        return None
