//! The rules of ProtoJSON, one by one. Where a rule leaves a choice, the test says which was
//! made.
//!
//! Source: <https://protobuf.dev/programming-guides/json/>.

mod common;

use common::{again, become_json, every, fail, message};
use protojson::{MessageDescriptor, ReadOptions, WriteOptions};

fn value_message() -> MessageDescriptor {
    message("google.protobuf.Value")
}

#[test]
fn output_lower_camel_or_json_name() {
    become_json(&[(r#"{"int64_value":"1","custom":"c"}"#, r#"{"int64Value":"1","its own name":"c"}"#)]);
}

#[test]
fn input_accepts_json_name_and_proto_name() {
    let both = r#"{"boolValue":true,"its own name":"c"}"#;
    become_json(&[(both, both), (r#"{"bool_value":true,"custom":"c"}"#, both)]);
    fail(&[r#"{"Bool_value":true}"#, r#"{"boolvalue":true}"#]);
}

#[test]
fn extension_key() {
    become_json(&[(r#"{"[every.extended]":7}"#, r#"{"[every.extended]":7}"#)]);
}

#[test]
fn int64_out_is_string() {
    let ten = r#"{"int64Value":"10"}"#;
    for json in
        [r#"{"int64Value":10}"#, ten, r#"{"int64Value":1e1}"#, r#"{"int64Value":"1e1"}"#, r#"{"int64Value":10.0}"#]
    {
        assert_eq!(again(&every(), json).as_deref(), Ok(ten), "{json}");
    }
    fail(&[
        r#"{"int64Value":1.5}"#,
        r#"{"int64Value":""}"#,
        r#"{"int64Value":"9223372036854775808"}"#,
        r#"{"int32Value":01}"#,
        r#"{"int32Value":"+1"}"#,
        r#"{"int32Value":" 1"}"#,
        r#"{"int32Value":2147483648}"#,
    ]);
}

#[test]
fn nan_inf_quoted_only() {
    for name in ["NaN", "Infinity", "-Infinity"] {
        let quoted = format!(r#"{{"doubleValue":"{name}"}}"#);
        assert_eq!(again(&every(), &quoted), Ok(quoted));
        fail(&[&format!(r#"{{"doubleValue":{name}}}"#)]);
    }
}

#[test]
fn double_overflow_fails() {
    fail(&[r#"{"doubleValue":1e309}"#, r#"{"doubleValue":"-1e309"}"#, r#"{"floatValue":3.5e38}"#]);
}

#[test]
fn bool_only_true_false() {
    fail(&[r#"{"boolValue":1}"#, r#"{"boolValue":"true"}"#, r#"{"boolValue":"false"}"#]);
}

#[test]
fn bytes_out_std_padded() {
    let out = r#"{"bytesValue":"/+8="}"#;
    for json in
        [r#"{"bytesValue":"/+8="}"#, r#"{"bytesValue":"/+8"}"#, r#"{"bytesValue":"_-8="}"#, r#"{"bytesValue":"_-8"}"#]
    {
        assert_eq!(again(&every(), json).as_deref(), Ok(out));
    }
}

#[test]
fn timestamp_out_z_0_3_6_9_digits() {
    let time = |text: &str| format!(r#"{{"timestamp":"{text}"}}"#);
    for (json, expected) in [
        ("2026-11-24T10:30:00+01:00", "2026-11-24T09:30:00Z"),
        ("2026-11-24T09:30:00.5Z", "2026-11-24T09:30:00.500Z"),
        ("2026-11-24T09:30:00.000100Z", "2026-11-24T09:30:00.000100Z"),
        ("0001-01-01T00:00:00.000000001Z", "0001-01-01T00:00:00.000000001Z"),
    ] {
        assert_eq!(again(&every(), &time(json)), Ok(time(expected)));
    }
    for text in [
        "0000-12-31T23:59:59Z",
        "2026-11-24t09:30:00Z",
        "2026-11-24T09:30:00z",
        "2026-11-24T09:30:00",
        "2025-02-29T00:00:00Z",
        "2026-11-24T09:30:60Z",
    ] {
        fail(&[&time(text)]);
    }
}

#[test]
fn duration_limits_and_sign() {
    let span = |text: &str| format!(r#"{{"duration":"{text}"}}"#);
    for text in ["315576000000s", "-315576000000s", "-0.500s", "1.000000001s"] {
        assert_eq!(again(&every(), &span(text)), Ok(span(text)));
    }
    fail(&[&span("315576000001s"), &span("1"), &span("1 s")]);
    // 1 s and -1 ns.
    assert!(every().to_json(b"\xf2\x03\x0d\x08\x01\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").is_err());
}

#[test]
fn any_wkt_uses_value_key() {
    let any = message("google.protobuf.Any");
    let json = r#"{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1.500s"}"#;
    assert_eq!(any.to_json(&any.from_json(json).unwrap()).unwrap(), json);
    // The type may come later, and none is an empty Any.
    let late = r#"{"value":"1.500s","@type":"type.googleapis.com/google.protobuf.Duration"}"#;
    assert_eq!(any.to_json(&any.from_json(late).unwrap()).unwrap(), json);
    assert_eq!(any.from_json("{}").unwrap(), b"");
    assert!(any.from_json(r#"{"@type":"type.googleapis.com/google.protobuf.Duration","value":{}}"#).is_err());
}

#[test]
fn struct_value_listvalue() {
    let json = r#"{"struct":{"a":[null,1.5,"b",{"c":true}]},"value":null,"list":[[]]}"#;
    become_json(&[(json, json)]);
    // A Value that is NaN.
    assert!(every().to_json(b"\x8a\x04\x09\x11\0\0\0\0\0\0\xf8\x7f").is_err());
}

#[test]
fn null_leaves_unset() {
    become_json(&[(r#"{"int32Value":null,"every":null,"strings":null,"int64Wrapper":null,"timestamp":null}"#, "{}")]);
}

#[test]
fn null_in_repeated_fails() {
    fail(&[r#"{"strings":[null]}"#, r#"{"everies":[null]}"#, r#"{"byString":{"a":null}}"#, "null"]);
}

/// Also across spellings; the last could win as well.
#[test]
fn duplicate_key_rejected() {
    fail(&[
        r#"{"int32Value":1,"int32Value":2}"#,
        r#"{"int32Value":1,"int32_value":2}"#,
        r#"{"byString":{"a":1,"a":1}}"#,
        r#"{"byString":{"b":1,"a":1,"\u0062":1}}"#,
        r#"{"byInt64":{"1":"a","1e0":"b"}}"#,
        r#"{"byInt64":{"0":"a","-0":"b"}}"#,
        r#"{"byBool":{"true":"","\u0074rue":""}}"#,
        r#"{"struct":{"a":1,"b":2,"a":3}}"#,
        r#"{"struct":{"c":[{"a":1,"a":1}]}}"#,
    ]);
    let both = r#"{"byInt64":{"-1":"a","1":"b"},"struct":{"a":{"a":1},"b":{"a":1}}}"#;
    become_json(&[(both, both)]);
}

#[test]
fn type_url_twice_fails() {
    let any = message("google.protobuf.Any");
    const EVERY_URL: &str = r#""@type":"type.googleapis.com/every.Every""#;
    const EMPTY: &str = r#""@type":"type.googleapis.com/google.protobuf.Empty""#;
    const SPAN: &str = r#""@type":"type.googleapis.com/google.protobuf.Duration""#;
    for json in [
        format!(r#"{{{EVERY_URL},"int32Value":1,{EVERY_URL}}}"#),
        format!(r#"{{{EVERY_URL},"int32Value":1,{EMPTY}}}"#),
        format!(r#"{{"int32Value":1,{EVERY_URL},{EMPTY}}}"#),
        format!(r#"{{{SPAN},"value":"1s",{EVERY_URL}}}"#),
        format!(r#"{{"value":"1s",{EVERY_URL},{SPAN}}}"#),
        format!(r#"{{{EMPTY},{EMPTY}}}"#),
        format!(r#"{{"\u0040type":"type.googleapis.com/every.Every",{EVERY_URL}}}"#),
    ] {
        let error = any.from_json(&json).unwrap_err();
        assert_eq!(error.problem(), "`@type` comes twice", "{json}");
    }
    // An Any within one has its own.
    let nested = format!(r#"{{{},"value":{{{EVERY_URL},"int32Value":1}}}}"#, EMPTY.replace("Empty", "Any"));
    assert_eq!(any.to_json(&any.from_json(&nested).unwrap()).unwrap(), nested);
}

#[test]
fn oneof_duplicate_fails() {
    fail(&[r#"{"chosenInt32":1,"chosenString":"a"}"#]);
}

#[test]
fn oneof_null_then_value() {
    become_json(&[(r#"{"chosenInt32":null,"chosenString":"a"}"#, r#"{"chosenString":"a"}"#)]);
}

#[test]
fn enum_unknown_number_kept_open_enum() {
    let open = r#"{"open":{"color":7,"colors":[1000001]}}"#;
    become_json(&[(open, open), (r#"{"open":{"color":"COLOR_ROUGE"}}"#, r#"{"open":{"color":"COLOR_RED"}}"#)]);
    fail(&[r#"{"open":{"color":"COLOR_NONE"}}"#]);
    let options = ReadOptions::default().with_ignore_unknown(true);
    let json = br#"{"open":{"color":"NO","colors":["NO","COLOR_RED"],"palette":{"a":"NO","b":"COLOR_RED"}}}"#;
    let mut wire = Vec::new();
    every().read_json(json, &mut wire, &options).unwrap();
    assert_eq!(every().to_json(&wire).unwrap(), r#"{"open":{"colors":["COLOR_RED"],"palette":{"b":"COLOR_RED"}}}"#);
}

#[test]
fn map_keys_are_strings() {
    let json = r#"{"byInt64":{"-1":"a"},"byBool":{"false":"","true":"YQ=="}}"#;
    become_json(&[(json, json), (r#"{"byBool":{"\u0074rue":"YQ=="}}"#, r#"{"byBool":{"true":"YQ=="}}"#)]);
    fail(&[r#"{"byInt64":{"a":"b"}}"#, r#"{"byBool":{"1":""}}"#]);
}

#[test]
fn presence_fields_emitted_iff_set() {
    let set = r#"{"open":{"maybeFlag":false,"maybeText":"","maybeColor":"COLOR_UNSPECIFIED"}}"#;
    become_json(&[(set, set), (r#"{"open":{"flag":false,"text":"","color":0}}"#, r#"{"open":{}}"#)]);
}

#[test]
fn unknown_field_rejected_by_default() {
    fail(&[r#"{"nope":1}"#, r#"{"nope":null}"#]);
    let options = ReadOptions::default().with_ignore_unknown(true);
    let mut wire = Vec::new();
    every().read_json(br#"{"nope":{"a":[1]},"int32Value":1}"#, &mut wire, &options).unwrap();
    assert_eq!(wire, b"\x28\x01");
}

#[test]
fn unpaired_surrogate_fails() {
    fail(&[r#"{"stringValue":"\ud800"}"#, r#"{"stringValue":"\udc00"}"#, r#"{"stringValue":"\udc00\ud800"}"#]);
    become_json(&[(r#"{"stringValue":"\ud83d\ude80\u0000"}"#, "{\"stringValue\":\"\u{1F680}\\u0000\"}")]);
}

#[test]
fn what_is_no_json_fails() {
    fail(&["{}}", "{} //", r#"{"int32Value":1,}"#, "{'int32Value':1}", r#"{"strings":["a",]}"#, ""]);
}

#[test]
fn map_keys_come_sorted_and_once() {
    let sorted = r#"{"byString":{"":3,"a":2,"b":1}}"#;
    assert_eq!(again(&every(), r#"{"byString":{"b":1,"a":2,"":3}}"#).as_deref(), Ok(sorted));
    let error = again(&every(), "{\"byString\":{\"b\":1,\"a\":1,\n \"b\":2}}").unwrap_err();
    assert_eq!(error, "byString: the key \"b\" comes twice (line 2, column 2)");
    // Of all sizes, sorted and not, with one key again anywhere.
    for count in [2_usize, 7, 8, 9, 100, 5_000] {
        let keys: Vec<usize> = (0..count).map(|i| i * 7 % count.next_power_of_two() + 10_000).collect();
        let mut orders = [keys.clone(), keys];
        orders[1].sort_unstable();
        for keys in orders {
            let json = |keys: &[usize]| {
                let members: Vec<String> = keys.iter().map(|key| format!("\"{key}\":{key}")).collect();
                format!("{{\"byString\":{{{}}}}}", members.join(","))
            };
            assert!(every().from_json(json(&keys)).is_ok(), "{count}");
            for (again, at) in [(0, count), (count - 1, 0), (count / 2, count)] {
                let mut keys = keys.clone();
                keys.insert(at, keys[again]);
                let error = every().from_json(json(&keys)).unwrap_err();
                assert!(error.problem().ends_with("comes twice"), "{count}: {error}");
            }
        }
    }
    // On the wire the last of them holds.
    let twice = b"\xca\x02\x05\x0a\x01a\x10\x01\xca\x02\x05\x0a\x01a\x10\x02";
    assert_eq!(every().to_json(twice).unwrap(), r#"{"byString":{"a":2}}"#);
}

#[test]
fn uint64_quoted_exponent_field_too_large() {
    let error = again(&every(), r#"{"uint64Value":"1.8446744073709551616e19"}"#).unwrap_err();
    assert!(error.contains("uint64Value"), "{error}");
    let largest = r#"{"uint64Value":"18446744073709551615"}"#;
    assert_eq!(again(&every(), r#"{"uint64Value":"1.8446744073709551615e19"}"#).as_deref(), Ok(largest));
}

#[test]
fn minus_zero_is_no_default() {
    assert_eq!(again(&every(), r#"{"open":{"ratio":-0.0}}"#).as_deref(), Ok(r#"{"open":{"ratio":-0}}"#));
    assert_eq!(again(&every(), r#"{"open":{"ratio":0.0}}"#).as_deref(), Ok(r#"{"open":{}}"#));
}

#[test]
fn empty_in_any_has_no_value_message() {
    // Its JSON form is an ordinary object, so that its fields, none, stand beside
    // the type.
    let empty = r#"{"@type":"type.googleapis.com/google.protobuf.Empty"}"#;
    let any = message("google.protobuf.Any");
    assert_eq!(again(&any, empty).as_deref(), Ok(empty));
}

#[test]
fn list_value_deep_nesting_25() {
    let json = format!("{}1{}", "[".repeat(25), "]".repeat(25));
    assert_eq!(again(&value_message(), &json), Ok(json));
}

#[test]
fn a_message_set_has_items_however_the_text_is_spaced() {
    let set = message("every.Set");
    let expected = [0x0b, 0x10, 0xe8, 0x07, 0x1a, 0x02, 0x08, 0x01, 0x0c];
    for json in [
        r#"{"[every.InSet.in_set]":{"number":1}}"#,
        r#"{"[every.InSet.in_set]": {"number": 1}}"#,
        r#"{ "[every.InSet.in_set]" : {"number":1                                    } }"#,
    ] {
        assert_eq!(set.from_json(json).unwrap(), expected, "{json}");
    }
    assert_eq!(set.to_json(&expected).unwrap(), r#"{"[every.InSet.in_set]":{"number":1}}"#);
}

/// What is selected of the message of every kind of field, beside what there is.
#[test]
fn a_selector_goes_through_whatever_has_members() {
    const EVERY: &str = r#"{"int32Value":1,"stringValue":"a","every":{"int32Value":2,"stringValue":"b"},"everies":[{"int32Value":3},{"stringValue":"c"}],"byString":{"a.b":4,"c":5},"bySint32":{"-5":{"int32Value":6,"stringValue":"d"}},"timestamp":"2026-11-24T09:30:00Z","struct":{"a":[{"b":1,"c":2},3],"d":null}}"#;
    for (fields, json) in [
        ("int32Value", r#"{"int32Value":1}"#),
        ("int32_value", r#"{"int32Value":1}"#),
        ("every", r#"{"every":{"int32Value":2,"stringValue":"b"}}"#),
        ("every/int32Value,every.string_value", r#"{"every":{"int32Value":2,"stringValue":"b"}}"#),
        ("every(int64Value)", r#"{"every":{}}"#),
        ("everies/int32Value", r#"{"everies":[{"int32Value":3},{}]}"#),
        ("byString/`a.b`", r#"{"byString":{"a.b":4}}"#),
        ("bySint32/-5/int32Value", r#"{"bySint32":{"-5":{"int32Value":6}}}"#),
        ("bySint32/*/stringValue", r#"{"bySint32":{"-5":{"stringValue":"d"}}}"#),
        ("*/c", r#"{"every":{},"everies":[{},{}],"byString":{"c":5},"bySint32":{},"struct":{}}"#),
        ("struct/a/b", r#"{"struct":{"a":[{"b":1},3]}}"#),
        ("struct.d,timestamp", r#"{"timestamp":"2026-11-24T09:30:00Z","struct":{"d":null}}"#),
        ("*", EVERY),
    ] {
        assert_eq!(selected("every.Every", EVERY, fields).as_deref(), Ok(json), "{fields}");
    }
    for (fields, problem) in [
        ("every/nothing", "`every.nothing`: every.Every has no field `nothing`"),
        ("int32Value/a", "`int32Value.a`: the value before it has no fields"),
        ("int32Value/*", "`int32Value.*`: the value before it has no fields"),
        ("byString/a/b", "`byString.a.b`: the value before it has no fields"),
        ("timestamp/seconds", "`timestamp.seconds`: the value before it has no fields"),
        ("grouped/*/nothing", "`grouped.*.nothing`: nothing there has such a field"),
        ("everies(int32Value,(", "expected the name of a field at character 20"),
    ] {
        assert_eq!(selected("every.Every", EVERY, fields), Err(problem.to_owned()), "{fields}");
    }
}

#[test]
fn an_any_keeps_its_type_whatever_is_selected() {
    const EVERY: &str = r#"{"@type":"type.googleapis.com/every.Every","int32Value":1,"stringValue":"a"}"#;
    const TIME: &str = r#"{"@type":"type.googleapis.com/google.protobuf.Timestamp","value":"2026-11-24T09:30:00Z"}"#;
    for (json, fields, expected) in [
        (EVERY, "int32Value", r#"{"@type":"type.googleapis.com/every.Every","int32Value":1}"#),
        (EVERY, "nothing", r#"{"@type":"type.googleapis.com/every.Every"}"#),
        (TIME, "value", TIME),
        (TIME, "nothing", r#"{"@type":"type.googleapis.com/google.protobuf.Timestamp"}"#),
    ] {
        assert_eq!(selected("google.protobuf.Any", json, fields).as_deref(), Ok(expected), "{fields} of {json}");
    }
}

/// Two fields of one name: each is selected by what the reader finds it by.
#[test]
fn a_selector_finds_fields_as_the_reader_does() {
    const BOTH: &str = r#"{"second_one":"first","secondOne":"second"}"#;
    for (fields, json) in [
        ("second_one", r#"{"second_one":"first"}"#),
        ("first", r#"{"second_one":"first"}"#),
        ("secondOne", r#"{"secondOne":"second"}"#),
    ] {
        assert_eq!(selected("carried.Carried", BOTH, fields).as_deref(), Ok(json), "{fields}");
    }
}

/// The value of a field by itself, as a response body is.
#[test]
fn a_selector_of_a_field_is_about_its_value() {
    let every = message("every.Every");
    let wire = every.from_json(r#"{"everies":[{"int32Value":1,"boolValue":true}],"byString":{"a":1,"b":2}}"#).unwrap();
    for (name, fields, expected) in [
        ("everies", "int32Value", Ok(r#"[{"int32Value":1}]"#)),
        ("byString", "b", Ok(r#"{"b":2}"#)),
        ("every", "*", Ok("null")),
        ("int32Value", "*", Err("`*`: the value before it has no fields")),
    ] {
        let field = every.field_named(name).unwrap();
        let json = field.select(fields).map_err(|error| error.to_string()).map(|selector| {
            let mut json = Vec::new();
            field.write_json(&wire, &mut json, &WriteOptions::default().with_fields(Some(selector))).unwrap();
            String::from_utf8(json).unwrap()
        });
        assert_eq!(json.as_deref().map_err(String::as_str), expected, "{fields} of {name}");
    }
}

/// The JSON of a message again, with what is selected of it.
fn selected(name: &str, json: &str, fields: &str) -> Result<String, String> {
    let message = message(name);
    let selector = message.select(fields).map_err(|error| error.to_string())?;
    let wire = message.from_json(json).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    let options = WriteOptions::default().with_fields(Some(selector));
    message.write_json(&wire, &mut out, &options).map_err(|error| error.to_string())?;
    String::from_utf8(out).map_err(|error| error.to_string())
}

/// Many paths lead to each field of a message that holds itself, and each is followed once.
#[test]
fn many_paths_to_one_field_are_followed_in_time() {
    let every = message("every.Every");
    let wide = format!("{}int32Value{}", "every/every/int64Value,*(".repeat(30), ")".repeat(30));
    let selector = every.select(&wide).unwrap();
    let mut wire = Vec::new();
    for _ in 0..40 {
        let mut around = every.from_json(r#"{"int32Value":1,"everies":[{}]}"#).unwrap();
        every.field_named("every").unwrap().put_message(&mut around, &wire);
        wire = around;
    }
    let mut json = Vec::new();
    every.write_json(&wire, &mut json, &WriteOptions::default().with_fields(Some(selector))).unwrap();
    // At the end of the stars alone.
    assert_eq!(String::from_utf8(json).unwrap().matches("int32Value").count(), 1);
}
