//! What a path template does with a path: [`PathTemplate::expand`] writes one,
//! [`PathTemplate::matches`] reads it back.

use std::fmt;

use crate::{
    PathTemplate,
    percent::{decode, encode},
    template::{Literal, Segment},
};

/// Why a variable's value does not fit into a path template.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExpandError {
    /// The field path of the variable.
    pub variable: String,
    /// What is wrong with its value.
    pub problem: String,
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "field `{}` {}", self.variable, self.problem)
    }
}

impl std::error::Error for ExpandError {}

/// A path that a template matches but that cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchError {
    problem: &'static str,
}

impl fmt::Display for MatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the path cannot be decoded: {}", self.problem)
    }
}

impl std::error::Error for MatchError {}

impl PathTemplate {
    /// Writes the path for the values of the variables, in the order of
    /// [`PathTemplate::variables`], percent-encoded as it is sent.
    ///
    /// # Errors
    ///
    /// Names the variable whose value the template cannot hold: it has too many
    /// or too few segments, differs from a literal, or has a segment `.` or
    /// `..`, which a URL would not keep.
    pub fn expand<V: AsRef<str>>(&self, values: &[V]) -> Result<String, ExpandError> {
        // Room for the query, too.
        let mut path = String::with_capacity(128);
        let mut at = 0;
        let mut variables = self.variables.iter().zip(values).peekable();
        while at < self.segments.len() {
            if let Some((variable, value)) = variables.next_if(|(variable, _)| variable.segments.start == at) {
                let segments = &self.segments[variable.segments.clone()];
                put_value(&mut path, segments, value.as_ref(), self.decode_all)
                    .map_err(|problem| ExpandError { variable: variable.path.to_string(), problem })?;
                at = variable.segments.end;
                continue;
            }
            match &self.segments[at] {
                Segment::Literal(literal) => {
                    path.push('/');
                    path.push_str(&literal.encoded);
                }
                Segment::Star | Segment::DoubleStar => {
                    return Err(ExpandError {
                        variable: self.segments.get(at).map_or_else(String::new, |_| "*".to_owned()),
                        problem: "stands outside of a variable, so that no field says what goes there".to_owned(),
                    });
                }
            }
            at += 1;
        }
        if path.is_empty() {
            path.push('/');
        }
        if let Some(verb) = &self.verb {
            path.push(':');
            path.push_str(verb);
        }
        Ok(path)
    }

    /// Reads the values of the variables from a path as it was received,
    /// percent-encoded and without the query. `None` if the path is another.
    ///
    /// # Errors
    ///
    /// If the path matches, but a value has a malformed percent-escape or is
    /// not UTF-8.
    pub fn matches(&self, path: &str) -> Result<Option<Vec<String>>, MatchError> {
        let path = match &self.verb {
            Some(verb) => match path.strip_suffix(&**verb).and_then(|path| path.strip_suffix(':')) {
                Some(path) => path,
                None => return Ok(None),
            },
            None => path,
        };
        let Some(parts) = split(path) else { return Ok(None) };
        match align(&self.segments, &parts, same_text) {
            Some(taken) => self.values(&parts, taken).map(Some),
            None => Ok(None),
        }
    }

    /// The values of the variables in the parts of a path that the template matches, of
    /// which its `**` takes `taken`.
    pub(super) fn values(&self, parts: &[&str], taken: usize) -> Result<Vec<String>, MatchError> {
        // Where the part is that a segment of the template stands for.
        let stars = self.segments.iter().position(|segment| *segment == Segment::DoubleStar);
        let part_at = |segment: usize| if stars.is_some_and(|at| segment > at) { segment - 1 + taken } else { segment };
        let mut values = Vec::with_capacity(self.variables.len());
        for variable in &self.variables {
            let single = variable.segments.len() == 1 && self.segments[variable.segments.start] == Segment::Star;
            let raw = parts[part_at(variable.segments.start)..part_at(variable.segments.end)].join("/");
            let value = decode(&raw, !single && !self.decode_all).map_err(|problem| MatchError { problem })?;
            values.push(value.into_owned());
        }
        Ok(values)
    }

    /// How many parts of a path of `parts` parts the `**` takes, if the template matches it.
    pub(super) fn taken(&self, parts: usize) -> usize {
        match self.segments.contains(&Segment::DoubleStar) {
            true => (parts + 1).saturating_sub(self.segments.len()),
            false => 0,
        }
    }
}

/// The parts of a path, without its leading slash: none for the root. `None` for what is
/// no path.
pub(super) fn split(path: &str) -> Option<Vec<&str>> {
    let path = path.strip_prefix('/')?;
    Some(if path.is_empty() { Vec::new() } else { path.split('/').collect() })
}

/// How many parts of a path the `**` among the segments takes, of which there
/// is at most one; 0 if there is none. `None` if the parts do not fit.
fn align(segments: &[Segment], parts: &[&str], same: impl Fn(&Literal, &str) -> bool) -> Option<usize> {
    let stars = segments.iter().position(|segment| *segment == Segment::DoubleStar);
    let fixed = segments.len() - usize::from(stars.is_some());
    let taken = parts.len().checked_sub(fixed)?;
    let (before, after) = match stars {
        Some(at) => (&segments[..at], &segments[at + 1..]),
        None if taken > 0 => return None,
        None => (segments, &segments[..0]),
    };
    let fits = |(segment, part): (&Segment, &&str)| match segment {
        Segment::Literal(literal) => same(literal, part),
        _ => !part.is_empty(),
    };
    // A variable never begins with a slash.
    let clean = taken == 0 || !parts[before.len()].is_empty();
    let fit = before.iter().zip(parts).all(fits) && after.iter().zip(&parts[before.len() + taken..]).all(fits);
    (fit && clean).then_some(taken)
}

/// Whether a literal of a template and a part of a path are the same text, however the
/// part is percent-encoded.
fn same_text(literal: &Literal, part: &str) -> bool {
    decode(part, false).is_ok_and(|part| *part == *literal.decoded)
}

/// Appends a variable's value, segment by segment.
fn put_value(path: &mut String, segments: &[Segment], value: &str, decode_all: bool) -> Result<(), String> {
    let single = segments == [Segment::Star];
    if value.is_empty() && segments != [Segment::DoubleStar] {
        return Err("is empty".to_owned());
    }
    if value.starts_with('/') {
        return Err(format!("is {value:?}, which begins with a slash"));
    }
    if single && value.contains('/') {
        return Err(format!("is {value:?}, which has a slash where one segment is expected"));
    }
    if value.split('/').any(|part| part == "." || part == "..") {
        return Err(format!("is {value:?}, which has a segment `.` or `..`"));
    }
    let parts: Vec<&str> = if value.is_empty() { Vec::new() } else { value.split('/').collect() };
    // A value has a literal as `matches` gives it, not as it is sent.
    let same = |literal: &Literal, part: &str| decode(&literal.encoded, !decode_all).is_ok_and(|text| text == part);
    let Some(taken) = align(segments, &parts, same) else {
        let expected = segments.iter().map(Segment::to_string).collect::<Vec<_>>().join("/");
        return Err(format!("is {value:?}, which is not of the form `{expected}`"));
    };
    let mut parts = parts.into_iter();
    for segment in segments {
        let covered = if *segment == Segment::DoubleStar { taken } else { 1 };
        for part in parts.by_ref().take(covered) {
            path.push('/');
            match segment {
                Segment::Literal(literal) => path.push_str(&literal.encoded),
                _ => encode(path, part),
            }
        }
    }
    Ok(())
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(literal) => f.write_str(&literal.encoded),
            Self::Star => f.write_str("*"),
            Self::DoubleStar => f.write_str("**"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> PathTemplate {
        PathTemplate::parse(source).unwrap()
    }

    fn expand(source: &str, values: &[&str]) -> Result<String, String> {
        template(source).expand(values).map_err(|error| error.to_string())
    }

    fn matches(source: &str, path: &str) -> Option<Vec<String>> {
        template(source).matches(path).unwrap()
    }

    #[test]
    fn single_segment_encodes_all_but_unreserved() {
        assert_eq!(expand("/v1/{v}", &["aZ0-_.~"]).unwrap(), "/v1/aZ0-_.~");
        assert_eq!(expand("/v1/{v}", &["a:b c+d%é\\\t"]).unwrap(), "/v1/a%3Ab%20c%2Bd%25%C3%A9%5C%09");
    }

    #[test]
    fn multi_segment_keeps_slashes() {
        assert_eq!(expand("/v1/{v=spaces/*/x/**}:go", &["spaces/a b/x/c/d"]).unwrap(), "/v1/spaces/a%20b/x/c/d:go");
        assert_eq!(matches("/v1/{v=**}", "/v1/a%2Fb/c%20d"), Some(vec!["a%2Fb/c d".to_owned()]));
        assert_eq!(matches("/v1/{v}", "/v1/a%2Fb"), Some(vec!["a/b".to_owned()]));
    }

    #[test]
    fn double_star_matches_zero_segments() {
        assert_eq!(expand("/v1/{v=**}", &[""]).unwrap(), "/v1");
        assert_eq!(matches("/v1/{v=**}", "/v1"), Some(vec![String::new()]));
        assert_eq!(matches("/v1/{v=a/**}", "/v1/a"), Some(vec!["a".to_owned()]));
        assert_eq!(matches("/v1/{v=**}", "/v1/"), None);
        assert_eq!(matches("/v1/{v=a/**}/b/{w}:go", "/v1/a/b/c:go"), Some(vec!["a".to_owned(), "c".to_owned()]));
    }

    #[test]
    fn the_root_is_a_path_without_segments() {
        assert_eq!(matches("/", "/"), Some(Vec::new()));
        assert_eq!(expand("/", &[]).unwrap(), "/");
        for (source, value, path) in [
            ("/{v=**}", "", "/"),
            ("/{v=**}:go", "", "/:go"),
            ("/{v=**}", "a/b", "/a/b"),
            ("/v1/{v=**}:go", "", "/v1:go"),
            ("/{v=**}/a", "", "/a"),
        ] {
            assert_eq!(expand(source, &[value]).unwrap(), path);
            assert_eq!(matches(source, path), Some(vec![value.to_owned()]), "{source}");
        }
        for (source, path) in [("/", "/a"), ("/", ""), ("/", "//"), ("/{v}", "/"), ("/a", "/"), ("/{v=**}", "//")] {
            assert_eq!(matches(source, path), None, "{source} {path}");
        }
    }

    #[test]
    fn literals_of_a_pattern_are_encoded_once() {
        for (source, value, path) in [
            ("/{v=a%20b/*}", "a b/c", "/a%20b/c"),
            ("/{v=a b/*}", "a b/c d", "/a%20b/c%20d"),
            // What stands for a slash stays, in a variable of several segments.
            ("/{v=a%2Fb/*}", "a%2Fb/c", "/a%2Fb/c"),
            ("/{v=100%/**}", "100%/x", "/100%25/x"),
            ("/{v=a:b/*}", "a:b/c:d", "/a:b/c%3Ad"),
        ] {
            assert_eq!(expand(source, &[value]).as_deref(), Ok(path), "{source}");
            assert_eq!(matches(source, path), Some(vec![value.to_owned()]), "{source}");
        }
        assert!(expand("/{v=a%20b/*}", &["a%20b/c"]).is_err());
    }

    #[test]
    fn double_star_may_stand_before_other_segments() {
        const RULE: &str = "/v1/{parent=dataStores/**}/entries/{id}:purge";
        assert_eq!(expand(RULE, &["dataStores/a/b", "c"]).unwrap(), "/v1/dataStores/a/b/entries/c:purge");
        let values = vec!["dataStores/entries/entries".to_owned(), "c".to_owned()];
        assert_eq!(matches(RULE, "/v1/dataStores/entries/entries/entries/c:purge"), Some(values));
        assert_eq!(matches(RULE, "/v1/dataStores/entries:purge"), None);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (source, value, problem) in [
            ("/v1/{v}", "", "is empty"),
            ("/v1/{v}", "a/b", "is \"a/b\", which has a slash where one segment is expected"),
            ("/v1/{v}", "..", "is \"..\", which has a segment `.` or `..`"),
            ("/v1/{v=**}", "a/./b", "is \"a/./b\", which has a segment `.` or `..`"),
            ("/v1/{v=**}", "/a", "is \"/a\", which begins with a slash"),
            ("/v1/{v=spaces/*}", "rooms/a", "is \"rooms/a\", which is not of the form `spaces/*`"),
            ("/v1/{v=spaces/*}", "spaces/", "is \"spaces/\", which is not of the form `spaces/*`"),
        ] {
            assert_eq!(expand(source, &[value]), Err(format!("field `v` {problem}")));
        }
    }

    #[test]
    fn paths_of_other_forms_do_not_match() {
        for (source, path) in [
            ("/v1/spaces", "/v1/spaces/"),
            ("/v1/spaces", "/v1/rooms"),
            ("/v1/{v}", "/v1/"),
            ("/v1/{v}", "/v1/a/b"),
            ("/v1/{v}:go", "/v1/a"),
            ("/v1/{v}:go", "/v1/a:stop"),
            ("/v1/{v=spaces/*}", "/v1/spaces"),
            ("/v1", "v1"),
        ] {
            assert_eq!(matches(source, path), None, "{source} {path}");
        }
        // A colon that begins no verb of the template is part of the value.
        assert_eq!(matches("/v1/{v}", "/v1/a:b"), Some(vec!["a:b".to_owned()]));
        assert!(template("/v1/{v}").matches("/v1/%zz").is_err());
        assert!(template("/v1/{v}").matches("/v1/%ff").is_err());
    }
}
