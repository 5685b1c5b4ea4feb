//! The filters of the list methods: conditions joined by `OR`, and those groups
//! by `AND`, as far as Google Chat takes them of [AIP-160](https://google.aip.dev/160).

use tonic::Status;

use super::refusal;
use google_chat::proto::google::chat::v1::{
    Membership, Space,
    membership::{MemberType, MembershipRole},
    space::SpaceType,
    user,
};

/// Of each group one condition must hold.
#[derive(Debug)]
pub(super) struct Filter(Vec<Vec<Condition>>);

#[derive(Debug, PartialEq, Eq)]
struct Condition {
    field: &'static str,
    value: i32,
    /// Whether the field must have another value.
    not: bool,
}

/// A field that can be asked for: its names, and the value of a text.
type Fields = [(&'static [&'static str], fn(&str) -> Option<i32>)];

const SPACES: &Fields = &[(&["space_type", "spaceType"], |text| {
    SpaceType::from_str_name(text).filter(|kind| *kind != SpaceType::Unspecified).map(|kind| kind as i32)
})];

const MEMBERS: &Fields = &[
    (&["role"], |text| match MembershipRole::from_str_name(text) {
        Some(MembershipRole::Unspecified) | None => None,
        Some(role) => Some(role as i32),
    }),
    (&["member.type"], |text| match user::Type::from_str_name(text) {
        Some(user::Type::Unspecified) | None => None,
        Some(kind) => Some(kind as i32),
    }),
];

impl Filter {
    /// The filter of ListSpaces.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT.
    pub(super) fn of_spaces(text: &str) -> Result<Self, Status> {
        Self::parse(text, SPACES)
    }

    /// The filter of ListMemberships.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT.
    pub(super) fn of_members(text: &str) -> Result<Self, Status> {
        Self::parse(text, MEMBERS)
    }

    fn parse(text: &str, fields: &Fields) -> Result<Self, Status> {
        let bad = |problem: &str| refusal::invalid_field("filter", &format!("`{text}`: {problem}"));
        let tokens = tokens(text).ok_or_else(|| bad("a text has no end"))?;
        let mut groups: Vec<Vec<Condition>> = Vec::new();
        let mut rest = tokens.as_slice();
        let mut joined = "AND";
        while !rest.is_empty() {
            let [Token::Word(name), Token::Word(operator), Token::Text(value), after @ ..] = rest else {
                return Err(bad("write conditions as field = \"VALUE\""));
            };
            let field = fields.iter().find(|(names, _)| names.contains(&name.as_str()));
            let (names, value_of) = field.ok_or_else(|| bad(&format!("there is no field {name} to filter by")))?;
            let value = value_of(value).ok_or_else(|| bad(&format!("{name} cannot be {value}")))?;
            let not = match operator.as_str() {
                "=" => false,
                "!=" if names[0] == "member.type" => true,
                _ => return Err(bad("only = is known here, and != for member.type")),
            };
            let condition = Condition { field: names[0], value, not };
            let mut group = match joined {
                "OR" => groups.pop().unwrap_or_default(),
                _ => Vec::new(),
            };
            let repeated = groups.iter().flatten().any(|one| one.field == condition.field);
            if repeated {
                return Err(bad("two conditions on one field are joined by OR"));
            }
            group.push(condition);
            groups.push(group);
            rest = match after {
                [] => after,
                [Token::Word(word), after @ ..] if (word == "AND" || word == "OR") && !after.is_empty() => {
                    joined = word;
                    after
                }
                _ => return Err(bad("conditions are joined by AND or OR")),
            };
        }
        Ok(Self(groups))
    }

    pub(super) fn takes_space(&self, space: &Space) -> bool {
        self.takes(|_| space.space_type)
    }

    pub(super) fn takes_member(&self, member: &Membership) -> bool {
        self.takes(|field| match (field, &member.member_type) {
            ("role", _) => member.role,
            (_, Some(MemberType::Member(user))) => user.r#type,
            _ => 0,
        })
    }

    fn takes(&self, value_of: impl Fn(&str) -> i32) -> bool {
        let holds = |one: &Condition| (value_of(one.field) == one.value) != one.not;
        self.0.iter().all(|group| group.iter().any(holds))
    }
}

enum Token {
    Word(String),
    Text(String),
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '"' | '\'' => {
                let (inside, after) = rest[1..].split_once(first)?;
                (Token::Text(inside.to_owned()), after)
            }
            '=' => (Token::Word("=".to_owned()), &rest[1..]),
            '!' if rest.starts_with("!=") => (Token::Word("!=".to_owned()), &rest[2..]),
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "=!\"'".contains(c)).unwrap_or(rest.len()).max(1);
                let end = (end..=rest.len()).find(|end| rest.is_char_boundary(*end)).unwrap_or(rest.len());
                let word = &rest[..end];
                // An enum's name can stand without quotes, after the operator.
                let value = matches!(tokens.last(), Some(Token::Word(last)) if last == "=" || last == "!=");
                (if value { Token::Text(word.to_owned()) } else { Token::Word(word.to_owned()) }, &rest[end..])
            }
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    Some(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_filters_are_read() {
        let of = |text| Filter::of_spaces(text).unwrap().0;
        let choice = |values: &[i32]| -> Vec<_> {
            values.iter().map(|value| Condition { field: "space_type", value: *value, not: false }).collect()
        };
        assert!(of("").is_empty());
        assert_eq!(of("space_type = \"SPACE\""), [choice(&[1])]);
        assert_eq!(of("spaceType=\"GROUP_CHAT\" OR spaceType = \"DIRECT_MESSAGE\""), [choice(&[2, 3])]);
        assert_eq!(of("spaceType = SPACE"), [choice(&[1])]);
        let members = Filter::of_members("member.type != \"BOT\" AND role = \"ROLE_MANAGER\"").unwrap().0;
        assert_eq!(members.len(), 2);
        assert!(members[0][0].not && !members[1][0].not);
        Filter::of_members("role = \"ROLE_MANAGER\" OR member.type = \"BOT\"").unwrap();
        Filter::of_members("role = \"ROLE_MANAGER\" OR role = \"ROLE_MEMBER\"").unwrap();
    }

    #[test]
    fn other_filters_are_refused() {
        for text in [
            "spaceType",
            "spaceType = ",
            "spaceType = \"SPACE",
            "spaceType = \"OTHER\"",
            "spaceType = \"SPACE_TYPE_UNSPECIFIED\"",
            "spaceType != \"SPACE\"",
            "spaceType = \"SPACE\" AND spaceType = \"GROUP_CHAT\"",
            "spaceType = \"SPACE\" OR",
            "displayName = \"a\"",
            "é = \"a\"",
            "=",
            "!",
        ] {
            assert_eq!(Filter::of_spaces(text).unwrap_err().code(), tonic::Code::InvalidArgument, "{text}");
        }
        for text in
            ["member.type = \"HUMAN\" AND member.type = \"BOT\"", "role = \"ROLE_MANAGER\" AND role = \"ROLE_MEMBER\""]
        {
            assert!(Filter::of_members(text).is_err(), "{text}");
        }
    }
}
