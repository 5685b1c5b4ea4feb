"""Documents that are wrong: a check that says nothing of one of them shows nothing.

Each function breaks a document of Chat, for the checks of the list that it is in.
"""

import copy


def space(document, name):
    return document["components"]["schemas"]["google.chat.v1.Space"]["properties"][name]


def operation(document, method):
    item = {"get": "/v1/spaces/{space}", "post": "/v1/spaces"}[method]
    return document["paths"][item][method]


def an_operation_is_left_out(document):
    del document["paths"]["/v1/spaces/{space}"]["delete"]


def an_operation_id_comes_twice(document):
    operation(document, "get")["operationId"] = operation(document, "post")["operationId"]


def a_reference_leads_nowhere(document):
    space(document, "accessSettings")["$ref"] += "2"


def a_variable_is_not_declared(document):
    del operation(document, "get")["parameters"][0]


def a_type_is_unknown(document):
    space(document, "displayName")["type"] = "text"


def a_response_has_no_description(document):
    del operation(document, "get")["responses"]["200"]["description"]


def a_path_comes_twice(document):
    document["paths"]["/v1/spaces/{other}"] = {}


def a_format_is_wrong(document):
    space(document, "createTime")["format"] = "date"


def enum_values_are_missing(document):
    del document["components"]["schemas"]["google.chat.v1.Space.SpaceType"]["enum"][1:]


def a_scope_is_missing(document):
    del operation(document, "get")["security"][0]


def a_scope_is_too_many(document):
    operation(document, "get")["security"].append({"oauth2": ["https://www.googleapis.com/auth/chat.delete"]})


def a_query_parameter_is_missing(document):
    parameters = operation(document, "post")["parameters"]
    parameters.remove(next(one for one in parameters if one["name"] == "requestId"))


def a_field_of_the_path_is_wrong(document):
    operation(document, "get")["x-grpc-path-fields"] = {"name": "rooms/{space}"}


def a_property_is_missing(document):
    del document["components"]["schemas"]["google.chat.v1.Space"]["properties"]["displayName"]


def a_property_is_not_for_output(document):
    del space(document, "lastActiveTime")["readOnly"]


def a_type_is_wrong(document):
    space(document, "displayName")["type"] = "integer"


def a_response_is_of_another_type(document):
    content = operation(document, "get")["responses"]["200"]["content"]
    content["application/json"]["schema"]["$ref"] = "#/components/schemas/google.chat.v1.ListSpacesResponse"


def an_error_has_no_details(document):
    del document["components"]["schemas"]["http-error"]["properties"]["error"]["properties"]["details"]
    document["components"]["schemas"]["http-error"]["properties"]["error"]["additionalProperties"] = False


VALIDATED = [
    an_operation_is_left_out,
    an_operation_id_comes_twice,
    a_reference_leads_nowhere,
    a_variable_is_not_declared,
    a_type_is_unknown,
    a_response_has_no_description,
    a_path_comes_twice,
]
COMPARED = [
    an_operation_is_left_out,
    a_format_is_wrong,
    enum_values_are_missing,
    a_scope_is_missing,
    a_scope_is_too_many,
    a_query_parameter_is_missing,
    a_field_of_the_path_is_wrong,
    a_property_is_missing,
    a_property_is_not_for_output,
    a_type_is_wrong,
    a_response_is_of_another_type,
]
ANSWERED = [
    a_format_is_wrong,
    enum_values_are_missing,
    a_property_is_missing,
    a_type_is_wrong,
    a_response_is_of_another_type,
    an_error_has_no_details,
]


def unseen(document, ways, faults):
    """The ways to break a document for which a check, which gives faults, has none more."""
    known = {*faults(document)}
    for way in ways:
        broken = copy.deepcopy(document)
        way(broken)
        if {*faults(broken)} <= known:
            yield f"not seen: {way.__name__.replace('_', ' ')}"
