//! Filters and queries: conditions joined by `AND` and `OR`, as far as Google Chat's
//! methods take them of [AIP-160](https://google.aip.dev/160).
//!
//! ```text
//! all       = any { "AND" any }
//! any       = one { "OR" one }
//! one       = "(" all ")" | field operator value
//! operator  = "=" | "!=" | "<" | "<=" | ">" | ">=" | ":"
//! ```

use std::cmp::Ordering;

use google_chat::proto::google::chat::v1::{HistoryState, membership::MembershipRole, space::SpaceType, user};
use prost_types::Timestamp;
use tonic::Status;

use super::refusal;

/// How long a filter may be, in bytes.
const LENGTH: usize = 8 * 1024;
/// How deep parentheses may be nested.
const DEPTH: usize = 16;

/// A filter that a method takes.
#[derive(Debug, PartialEq)]
pub(super) enum Filter {
    All(Vec<Filter>),
    Any(Vec<Filter>),
    Condition(Condition),
}

/// What is asked of one field.
#[derive(Debug, PartialEq)]
pub(super) struct Condition {
    /// The first of the field's names.
    pub(super) field: &'static str,
    operator: &'static str,
    value: Value,
}

/// What a field is compared with.
#[derive(Debug, PartialEq)]
enum Value {
    /// A value of an enum, or whether something is so.
    Number(i32),
    Text(String),
    Time(Timestamp),
}

/// A field that can be asked for.
struct Field {
    names: &'static [&'static str],
    operators: &'static [&'static str],
    value: fn(&str) -> Option<Value>,
    /// Conditions can be joined by OR if this is the same, and not empty.
    any: &'static str,
    /// Conditions cannot be joined by AND if this is the same, and not empty.
    all: &'static str,
}

/// What a method takes.
pub(super) struct Grammar {
    /// The name of the argument.
    argument: &'static str,
    fields: &'static [Field],
    /// Whether AND and OR can be mixed without parentheses.
    mixed: bool,
}

fn text(text: &str) -> Option<Value> {
    Some(Value::Text(text.to_owned()))
}

fn time(text: &str) -> Option<Value> {
    text.parse().ok().map(Value::Time)
}

fn space_type(text: &str) -> Option<Value> {
    let kind = SpaceType::from_str_name(text).filter(|kind| *kind != SpaceType::Unspecified);
    kind.map(|kind| Value::Number(kind as i32))
}

const EQUAL: &[&str] = &["="];
const TIMES: &[&str] = &["=", "<", ">", "<=", ">="];

/// The filter of ListSpaces.
pub(super) const SPACES: Grammar = Grammar {
    argument: "filter",
    fields: &[Field {
        names: &["space_type", "spaceType"],
        operators: EQUAL,
        value: space_type,
        any: "space_type",
        all: "space_type",
    }],
    mixed: true,
};

/// The filter of ListMemberships.
pub(super) const MEMBERS: Grammar = Grammar {
    argument: "filter",
    fields: &[
        Field {
            names: &["role"],
            operators: EQUAL,
            value: |text| match MembershipRole::from_str_name(text) {
                Some(MembershipRole::Unspecified) | None => None,
                Some(role) => Some(Value::Number(role as i32)),
            },
            any: "member",
            all: "role",
        },
        Field {
            names: &["member.type"],
            operators: &["=", "!="],
            value: |text| match user::Type::from_str_name(text) {
                Some(user::Type::Unspecified) | None => None,
                Some(kind) => Some(Value::Number(kind as i32)),
            },
            any: "member",
            all: "member.type",
        },
    ],
    mixed: true,
};

/// The filter of ListMessages.
pub(super) const MESSAGES: Grammar = Grammar {
    argument: "filter",
    fields: &[
        Field { names: &["create_time", "createTime"], operators: &[">", "<"], value: time, any: "", all: "" },
        Field { names: &["thread.name"], operators: EQUAL, value: text, any: "", all: "thread.name" },
    ],
    mixed: true,
};

/// The filter of ListReactions.
pub(super) const REACTIONS: Grammar = Grammar {
    argument: "filter",
    fields: &[
        Field { names: &["emoji.unicode"], operators: EQUAL, value: text, any: "emoji", all: "emoji" },
        Field {
            names: &["emoji.custom_emoji.uid", "emoji.customEmoji.uid"],
            operators: EQUAL,
            value: text,
            any: "emoji",
            all: "emoji",
        },
        Field { names: &["user.name"], operators: EQUAL, value: text, any: "user", all: "user" },
    ],
    mixed: false,
};

/// The fields of SearchSpaces' query that all callers can ask for.
macro_rules! search_fields {
    ($($more:expr),*) => {
        &[
            Field {
                names: &["space_type", "spaceType"],
                operators: EQUAL,
                value: |text| space_type(text).filter(|kind| *kind == Value::Number(SpaceType::Space as i32)),
                any: "",
                all: "space_type",
            },
            Field {
                names: &["display_name", "displayName"],
                operators: &[":"],
                value: text,
                any: "display_name",
                all: "display_name",
            },
            Field {
                names: &["external_user_allowed", "externalUserAllowed"],
                operators: EQUAL,
                value: |text| text.parse::<bool>().ok().map(|so| Value::Number(so.into())),
                any: "external_user_allowed",
                all: "external_user_allowed",
            },
            $($more),*
        ]
    };
}

/// The query of SearchSpaces.
pub(super) const SEARCH: Grammar = Grammar { argument: "query", fields: search_fields!(), mixed: false };

/// The query of SearchSpaces for administrators.
pub(super) const ADMIN_SEARCH: Grammar = Grammar {
    argument: "query",
    fields: search_fields!(
        Field {
            names: &["customer"],
            operators: EQUAL,
            value: |name| (name == "customers/my_customer").then(|| Value::Text(name.to_owned())),
            any: "",
            all: "customer",
        },
        Field {
            names: &["space_history_state", "spaceHistoryState"],
            operators: EQUAL,
            value: |text| match HistoryState::from_str_name(text) {
                Some(HistoryState::Unspecified) | None => None,
                Some(state) => Some(Value::Number(state as i32)),
            },
            any: "space_history_state",
            all: "space_history_state",
        },
        Field { names: &["create_time", "createTime"], operators: TIMES, value: time, any: "create_time", all: "" },
        Field {
            names: &["last_active_time", "lastActiveTime"],
            operators: TIMES,
            value: time,
            any: "last_active_time",
            all: "",
        }
    ),
    mixed: false,
};

impl Grammar {
    /// Reads a filter. An empty text is a filter that takes everything.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT, which says what is wrong with it.
    pub(super) fn parse(&self, text: &str) -> Result<Filter, Status> {
        let bad = |problem: String| {
            let shown = refusal::quoted(text);
            refusal::invalid_field(self.argument, &format!("`{shown}`: {problem}"))
        };
        if text.len() > LENGTH {
            return Err(bad(format!("has more than {LENGTH} bytes")));
        }
        let tokens = tokens(text).ok_or_else(|| bad("a text has no end".to_owned()))?;
        if tokens.is_empty() {
            return Ok(Filter::All(Vec::new()));
        }
        let mut rest = tokens.as_slice();
        let filter = self.all(&mut rest, 0).map_err(bad)?;
        match rest {
            [] => Ok(filter),
            _ => Err(bad("conditions are joined by AND or OR".to_owned())),
        }
    }

    fn all(&self, rest: &mut &[Token], depth: usize) -> Result<Filter, String> {
        if depth > DEPTH {
            return Err(format!("parentheses are nested more than {DEPTH} deep"));
        }
        let (mut parts, mut bare) = (Vec::new(), false);
        loop {
            let part = self.any(rest, depth)?;
            // What is in parentheses is in a list of its own.
            bare |= matches!(part, Filter::Any(_));
            match part.unwrapped() {
                Filter::All(more) => parts.extend(more),
                one => parts.push(one),
            }
            if !word(rest, "AND") {
                break;
            }
        }
        if parts.len() > 1 && bare && !self.mixed {
            return Err("AND and OR are mixed; group them by parentheses".to_owned());
        }
        let mut seen: Vec<&str> = Vec::new();
        for part in &parts {
            let mut groups = Vec::new();
            part.visit(&mut |condition| groups.push(self.field(condition.field).map_or("", |field| field.all)));
            groups.sort_unstable();
            groups.dedup();
            if let Some(group) = groups.iter().find(|group| !group.is_empty() && seen.contains(*group)) {
                return Err(format!("two conditions on {group} are joined by AND"));
            }
            seen.extend(groups);
        }
        Ok(Filter::All(parts).unwrapped())
    }

    fn any(&self, rest: &mut &[Token], depth: usize) -> Result<Filter, String> {
        let mut parts = vec![self.one(rest, depth)?];
        while word(rest, "OR") {
            parts.push(self.one(rest, depth)?);
        }
        if parts.len() == 1 {
            return Ok(parts.remove(0));
        }
        let mut groups = Vec::new();
        for part in &parts {
            part.visit(&mut |condition| groups.push(self.field(condition.field).map_or("", |field| field.any)));
        }
        if groups.contains(&"") || groups.iter().any(|group| *group != groups[0]) {
            return Err("these fields cannot be joined by OR".to_owned());
        }
        Ok(Filter::Any(parts.into_iter().map(Filter::unwrapped).collect()))
    }

    fn one(&self, rest: &mut &[Token], depth: usize) -> Result<Filter, String> {
        if let [Token::Sign("("), after @ ..] = *rest {
            *rest = after;
            let inner = self.all(rest, depth + 1)?;
            let [Token::Sign(")"), after @ ..] = *rest else { return Err("a parenthesis is not closed".to_owned()) };
            *rest = after;
            return Ok(Filter::All(vec![inner]));
        }
        let [Token::Word(name), Token::Sign(operator), Token::Text(value), after @ ..] = *rest else {
            return Err("write conditions as field = \"VALUE\"".to_owned());
        };
        let field =
            self.field(name).ok_or_else(|| format!("there is no field {} to filter by", refusal::quoted(name)))?;
        if !field.operators.contains(operator) {
            return Err(format!("{name} takes {} and no other operator", field.operators.join(", ")));
        }
        let value = (field.value)(value).ok_or_else(|| format!("{name} cannot be {}", refusal::quoted(value)))?;
        *rest = after;
        Ok(Filter::Condition(Condition { field: field.names[0], operator, value }))
    }

    fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.names.contains(&name))
    }
}

impl Filter {
    /// Without the parentheses around one part.
    fn unwrapped(self) -> Self {
        match self {
            Self::All(mut parts) if parts.len() == 1 => parts.remove(0).unwrapped(),
            other => other,
        }
    }

    /// Calls a function with every condition.
    pub(super) fn visit(&self, with: &mut impl FnMut(&Condition)) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.visit(with)),
            Self::Condition(condition) => with(condition),
        }
    }

    /// Whether something is as the filter says, of which the function tells whether it is as a
    /// condition says.
    pub(super) fn takes(&self, holds: &impl Fn(&Condition) -> bool) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.takes(holds)),
            Self::Any(parts) => parts.iter().any(|part| part.takes(holds)),
            Self::Condition(condition) => holds(condition),
        }
    }
}

impl Condition {
    /// Whether a number is as the condition says.
    pub(super) fn holds_for(&self, number: i32) -> bool {
        (self.value == Value::Number(number)) == (self.operator == "=")
    }

    /// Whether a text is what the condition asks for.
    pub(super) fn holds_for_text(&self, text: &str) -> bool {
        self.text() == Some(text)
    }

    /// The text that is asked for.
    pub(super) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// Whether a time is as the condition says.
    pub(super) fn holds_for_time(&self, time: Option<&Timestamp>) -> bool {
        let (Value::Time(value), Some(time)) = (&self.value, time) else { return false };
        let order = (time.seconds, time.nanos).cmp(&(value.seconds, value.nanos));
        match self.operator {
            "<" => order == Ordering::Less,
            "<=" => order != Ordering::Greater,
            ">" => order == Ordering::Greater,
            ">=" => order != Ordering::Less,
            _ => order == Ordering::Equal,
        }
    }
}

/// Takes a word, if it comes next.
fn word(rest: &mut &[Token], expected: &str) -> bool {
    match rest {
        [Token::Word(word), after @ ..] if word == expected => {
            *rest = after;
            true
        }
        _ => false,
    }
}

enum Token {
    Word(String),
    Text(String),
    /// An operator or a parenthesis.
    Sign(&'static str),
}

const SIGNS: [&str; 9] = ["!=", "<=", ">=", "=", "<", ">", ":", "(", ")"];

/// The tokens of a filter; `None` if a quoted text has no end.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let after_operator = matches!(tokens.last(), Some(Token::Sign(sign)) if !["(", ")"].contains(sign));
        let token = if first == '"' || first == '\'' {
            let (inside, after) = quoted(rest, first)?;
            rest = after;
            Token::Text(inside)
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            rest = &rest[sign.len()..];
            Token::Sign(sign)
        } else {
            // A value can stand without quotes, after the operator, and hold what signs do.
            let ends = |c: char| c.is_whitespace() || if after_operator { c == ')' } else { "=!<>:()\"'".contains(c) };
            let end = rest.char_indices().skip(1).find(|(_, c)| ends(*c)).map_or(rest.len(), |(at, _)| at);
            let (word, after) = rest.split_at(end);
            rest = after;
            if after_operator { Token::Text(word.to_owned()) } else { Token::Word(word.to_owned()) }
        };
        tokens.push(token);
        rest = rest.trim_start();
    }
    Some(tokens)
}

/// A text in quotes, and what is after it. A backslash stands before a quote that is part of
/// the text.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut inside = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => inside.push(chars.next()?.1),
            c if c == quote => return Some((inside, &text[at + 1..])),
            c => inside.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(field: &'static str, operator: &'static str, value: Value) -> Filter {
        Filter::Condition(Condition { field, operator, value })
    }

    #[test]
    fn a_filter_is_what_its_parts_say() {
        let kind = |value: i32| condition("space_type", "=", Value::Number(value));
        for (text, expected) in [
            ("", Filter::All(Vec::new())),
            ("space_type = \"SPACE\"", kind(1)),
            ("spaceType = SPACE", kind(1)),
            ("((spaceType=\"SPACE\"))", kind(1)),
            ("spaceType=\"GROUP_CHAT\" OR spaceType = 'DIRECT_MESSAGE'", Filter::Any(vec![kind(2), kind(3)])),
        ] {
            assert_eq!(SPACES.parse(text).unwrap(), expected, "{text}");
        }
        let text = "(display_name:\"say \\\"hi\\\"\" OR displayName:b) AND create_time >= \"2020-01-01T00:00:00Z\"";
        let name = |name: &str| condition("display_name", ":", Value::Text(name.to_owned()));
        let time = Value::Time(Timestamp { seconds: 1_577_836_800, nanos: 0 });
        let expected = [Filter::Any(vec![name("say \"hi\""), name("b")]), condition("create_time", ">=", time)];
        assert_eq!(ADMIN_SEARCH.parse(text).unwrap(), Filter::All(expected.into()));
    }

    #[test]
    fn the_documented_filters_are_taken() {
        let time = "\"2012-04-21T11:30:00-04:00\"";
        let mine = "customer = \"customers/my_customer\" AND space_type = \"SPACE\"";
        for (grammar, text) in [
            (&MEMBERS, "role = \"ROLE_MANAGER\" OR role = \"ROLE_MEMBER\""),
            (&MEMBERS, "member.type = \"HUMAN\" AND role = \"ROLE_MANAGER\""),
            (&MEMBERS, "member.type != \"BOT\""),
            (&MEMBERS, "role = \"ROLE_MANAGER\" OR member.type = \"BOT\""),
            (&MESSAGES, &format!("create_time > {time}")),
            (&MESSAGES, &format!("create_time > {time} AND create_time < {time} AND thread.name = spaces/A/threads/1")),
            (&MESSAGES, "thread.name = \"spaces/A/threads/1\""),
            (&REACTIONS, "emoji.unicode = \"🙂\" OR emoji.custom_emoji.uid = \"u\""),
            (&REACTIONS, "(emoji.unicode = \"🙂\" OR emoji.unicode = \"👍\") AND user.name = \"users/1\""),
            (&REACTIONS, "emoji.unicode = \"🙂\" AND user.name = \"users/1\""),
            (&SEARCH, "(external_user_allowed = \"true\" AND display_name:\"Hello\" AND space_type = \"SPACE\")"),
            (&SEARCH, "(display_name:\"Hello\" OR display_name:\"Fun\") AND space_type = \"SPACE\""),
            (&ADMIN_SEARCH, mine),
            (&ADMIN_SEARCH, &format!("{mine} AND (last_active_time < {time} OR last_active_time > {time})")),
            (
                &ADMIN_SEARCH,
                &format!(
                    "{mine} AND (create_time > {time} AND create_time < {time}) AND (external_user_allowed = \"true\") \
                     AND (space_history_state = \"HISTORY_ON\" OR space_history_state = \"HISTORY_OFF\")"
                ),
            ),
        ] {
            grammar.parse(text).unwrap_or_else(|status| panic!("{status}"));
        }
    }

    #[test]
    fn other_filters_are_refused_with_what_is_wrong() {
        let emoji = "emoji.unicode = \"🙂\"";
        for (grammar, text, problem) in [
            (&SPACES, "spaceType", "write conditions as field = \"VALUE\""),
            (&SPACES, "spaceType = ", "write conditions as field = \"VALUE\""),
            (&SPACES, "spaceType = \"SPACE", "a text has no end"),
            (&SPACES, "spaceType = \"OTHER\"", "spaceType cannot be OTHER"),
            (&SPACES, "spaceType = \"SPACE_TYPE_UNSPECIFIED\"", "spaceType cannot be SPACE_TYPE_UNSPECIFIED"),
            (&SPACES, "spaceType != \"SPACE\"", "spaceType takes = and no other operator"),
            (&SPACES, "spaceType = SPACE AND spaceType = GROUP_CHAT", "two conditions on space_type are joined by AND"),
            (&SPACES, "spaceType = \"SPACE\" OR", "write conditions as field = \"VALUE\""),
            (&SPACES, "spaceType = SPACE spaceType = SPACE", "conditions are joined by AND or OR"),
            (&SPACES, "displayName = \"a\"", "there is no field displayName to filter by"),
            (&SPACES, "é = \"a\"", "there is no field é to filter by"),
            (&SPACES, "=", "write conditions as field = \"VALUE\""),
            (&SPACES, "!", "write conditions as field = \"VALUE\""),
            (&SPACES, "(spaceType = SPACE", "a parenthesis is not closed"),
            (&SPACES, &"(".repeat(100), "parentheses are nested more than 16 deep"),
            (&MEMBERS, "member.type = HUMAN AND member.type = BOT", "two conditions on member.type are joined by AND"),
            (&MEMBERS, "role = ROLE_MANAGER AND role = ROLE_MEMBER", "two conditions on role are joined by AND"),
            (&MESSAGES, "create_time > yesterday", "create_time cannot be yesterday"),
            (&MESSAGES, "thread.name = a OR thread.name = b", "these fields cannot be joined by OR"),
            (&MESSAGES, "thread.name = a AND thread.name = b", "two conditions on thread.name are joined by AND"),
            (&REACTIONS, &format!("{emoji} AND {emoji}"), "two conditions on emoji are joined by AND"),
            (&REACTIONS, &format!("{emoji} OR user.name = users/1"), "these fields cannot be joined by OR"),
            (
                &REACTIONS,
                &format!("{emoji} OR {emoji} AND user.name = users/1"),
                "AND and OR are mixed; group them by parentheses",
            ),
            (&SEARCH, "space_type = \"SPACE\" OR display_name:\"Hello\"", "these fields cannot be joined by OR"),
            (&SEARCH, "space_type = \"GROUP_CHAT\"", "space_type cannot be GROUP_CHAT"),
            (&SEARCH, "customer = \"customers/my_customer\"", "there is no field customer to filter by"),
            (&ADMIN_SEARCH, "customer = \"customers/C1\"", "customer cannot be customers/C1"),
        ] {
            let status = grammar.parse(text).unwrap_err();
            assert!(status.message().ends_with(&format!(": {problem}.")), "{text}: {status}");
        }
        assert!(SPACES.parse(&"x".repeat(9_000)).unwrap_err().message().ends_with("has more than 8192 bytes."));
    }
}
