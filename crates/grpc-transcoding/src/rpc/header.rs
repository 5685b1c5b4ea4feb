//! Values of HTTP headers that are lists, with weights and parameters.
//!
//! Source: RFC 9110, sections 5.6.1 (lists), 8.3.1 (media types), 8.4.1 (content
//! codings) and 12.4.2 (weights). Names of all of these ignore case.

use std::cmp::Reverse;

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE},
};

/// How many content codings of one body are undone at most.
const CODINGS: usize = 4;

/// The elements of a header's list, over all lines of that header, in order.
pub(crate) fn elements(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(|line| split(line.as_bytes(), b',')).filter(|element| !element.is_empty())
}

/// An element, or a header's only value, without its parameters: `text/html` of
/// `text/html; charset=utf-8`.
pub(crate) fn essence(element: &[u8]) -> &[u8] {
    split(element, b';').next().unwrap_or_default()
}

/// Whether a request or a response is one of gRPC, by its content type: `application/grpc`,
/// or that with the name of a codec after a plus. gRPC-Web (`application/grpc-web`) is another protocol.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    after_kind(headers, GRPC).is_some_and(|codec| matches!(codec.first(), None | Some(b'+')))
}

/// Whether a request is one of gRPC-Web, by its content type: `application/grpc-web`, or one
/// that begins so, such as `application/grpc-web-text+proto`.
///
/// Source: [gRPC-Web](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md).
pub fn is_grpc_web(headers: &HeaderMap) -> bool {
    const GRPC_WEB: &[u8] = b"application/grpc-web";
    after_kind(headers, GRPC_WEB).is_some_and(|form| matches!(form.first(), None | Some(b'+' | b'-')))
}

/// What follows `kind` in a content type that begins so, without its parameters. Most do not,
/// and are not looked at further.
fn after_kind<'h>(headers: &'h HeaderMap, kind: &[u8]) -> Option<&'h [u8]> {
    let value = headers.get(CONTENT_TYPE)?.as_bytes().trim_ascii_start();
    let (begin, rest) = value.split_at_checked(kind.len())?;
    begin.eq_ignore_ascii_case(kind).then(|| essence(rest))
}

/// Whether a content type is that of JSON.
pub(crate) fn is_json(kind: &HeaderValue) -> bool {
    // The usual one is known without being taken apart.
    if kind == "application/json" {
        return true;
    }
    let kind = essence(kind.as_bytes());
    let suffix = kind.len().checked_sub(5).and_then(|at| kind.get(at..)).unwrap_or_default();
    kind.eq_ignore_ascii_case(b"application/json") || suffix.eq_ignore_ascii_case(b"+json")
}

/// How many times a body is packed with gzip, which is the only content coding that is
/// known besides `identity`.
///
/// # Errors
///
/// What is wrong, as the beginning of a sentence: a coding that is not known, by its
/// name, or too many of them.
pub(crate) fn times_packed(headers: &HeaderMap) -> Result<usize, String> {
    let mut times = 0;
    for coding in elements(headers, CONTENT_ENCODING) {
        match () {
            () if is_gzip(coding) => times += 1,
            () if coding.eq_ignore_ascii_case(b"identity") => {}
            () => {
                let name = coding[..coding.len().min(40)].escape_ascii();
                return Err(format!("the content encoding `{name}` is not known"));
            }
        }
    }
    if times > CODINGS { Err(format!("the body has more than {CODINGS} content encodings")) } else { Ok(times) }
}

fn is_gzip(coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip")
}

/// Whether a client would rather have a body packed with gzip, by `Accept-Encoding`.
pub(crate) fn prefers_gzip(headers: &HeaderMap) -> bool {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for element in elements(headers, ACCEPT_ENCODING) {
        let place = match essence(element) {
            b"*" => &mut any,
            coding if is_gzip(coding) => &mut gzip,
            coding if coding.eq_ignore_ascii_case(b"identity") => &mut identity,
            _ => continue,
        };
        place.get_or_insert(weight(element));
    }
    let gzip = gzip.or(any).unwrap_or_default();
    gzip > 0 && gzip >= identity.or(any).unwrap_or_default()
}

/// Which of some media types a client prefers by `Accept`: of those with the highest
/// weight the one that is named most exactly, then the one that the client names first,
/// then the first on offer. `None` if it accepts none, or does not say.
pub(crate) fn preferred(headers: &HeaderMap, offers: &[&str]) -> Option<usize> {
    let rank = |(offer, media_type): (usize, &&str)| {
        // The most exact range that fits decides the weight of a media type.
        let ranges = elements(headers, ACCEPT).enumerate();
        let fits = ranges.filter_map(|(place, range)| Some((exactness(essence(range), media_type)?, place, range)));
        let (exact, place, range) = fits.max_by_key(|(exact, place, _)| (*exact, Reverse(*place)))?;
        Some((weight(range), exact, Reverse(place), Reverse(offer))).filter(|(weight, ..)| *weight > 0)
    };
    let (.., Reverse(offer)) = offers.iter().enumerate().filter_map(rank).max()?;
    Some(offer)
}

/// How exactly a media range names a media type: as itself, by its type, or among all;
/// `None` if it does not.
fn exactness(range: &[u8], media_type: &str) -> Option<u8> {
    if range == b"*/*" {
        return Some(0);
    }
    if let Some(kind) = range.strip_suffix(b"/*") {
        let (own, _) = media_type.split_once('/')?;
        return kind.eq_ignore_ascii_case(own.as_bytes()).then_some(1);
    }
    range.eq_ignore_ascii_case(media_type.as_bytes()).then_some(2)
}

/// The weight of an element in thousandths; one that cannot be read counts as none.
fn weight(element: &[u8]) -> u16 {
    let parameter = |part: &[u8]| {
        let (name, value) = part.split_at_checked(2)?;
        let value = name.eq_ignore_ascii_case(b"q=").then_some(value)?;
        std::str::from_utf8(value).ok()?.parse::<f32>().ok().filter(|weight| weight.is_finite())
    };
    let weight = split(element, b';').skip(1).find_map(parameter);
    weight.map_or(1000, |weight| (weight.clamp(0.0, 1.0) * 1000.0) as u16)
}

/// The parts of a value between separators that are not within quotes, without the white
/// space around them.
fn split(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = value.split(move |&byte| {
        let literal = std::mem::take(&mut escaped);
        match byte {
            _ if literal => false,
            b'\\' if quoted => {
                escaped = true;
                false
            }
            b'"' => {
                quoted = !quoted;
                false
            }
            byte => byte == separator && !quoted,
        }
    });
    parts.map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: HeaderName, lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (name.clone(), HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn coding_names_ignore_case_and_an_unknown_one_is_named() {
        for (lines, times) in [
            (&[][..], Ok(0)),
            (&["gzip"], Ok(1)),
            (&["GZIP"], Ok(1)),
            (&["x-gzip"], Ok(1)),
            (&["identity"], Ok(0)),
            (&["gzip, X-Gzip"], Ok(2)),
            (&["Gzip", "identity,gzip"], Ok(2)),
            (&["", " , gzip ,"], Ok(1)),
            (&["br"], Err("the content encoding `br` is not known")),
            (&["gzip, zstd"], Err("the content encoding `zstd` is not known")),
            (&["gzip,gzip", "gzip,gzip,gzip"], Err("the body has more than 4 content encodings")),
        ] {
            let found = times_packed(&headers(CONTENT_ENCODING, lines));
            assert_eq!(found.as_ref().map_err(String::as_str), times.as_ref().map_err(|text| *text), "{lines:?}");
        }
    }

    #[test]
    fn accept_encoding_weights_decide() {
        for (lines, packed) in [
            (&[][..], false),
            (&["gzip"], true),
            (&["GZip;Q=0.5"], true),
            (&["x-gzip"], true),
            (&["deflate", "br, gzip ; q=0.001"], true),
            (&["gzip;q=0"], false),
            (&["gzip;q=0.000, *"], false),
            (&["*"], true),
            (&["*;q=0"], false),
            (&["identity, gzip;q=0.5"], false),
            (&["identity;q=0.5, gzip"], true),
            (&["br, deflate"], false),
        ] {
            assert_eq!(prefers_gzip(&headers(ACCEPT_ENCODING, lines)), packed, "{lines:?}");
        }
    }

    #[test]
    fn accept_weights_decide() {
        const OFFERS: [&str; 3] = ["application/json", "application/x-ndjson", "text/event-stream"];
        for (lines, offer) in [
            (&[][..], None),
            (&["*/*"], Some(0)),
            (&["text/event-stream"], Some(2)),
            (&["Text/Event-Stream; charset=utf-8"], Some(2)),
            (&["text/event-stream;q=0"], None),
            (&["text/event-stream;q=0, */*"], Some(0)),
            (&["application/json;q=0.5, application/x-ndjson"], Some(1)),
            (&["application/json;q=0.5", "application/x-ndjson;q=0.6"], Some(1)),
            (&["text/event-stream, application/json"], Some(2)),
            (&["application/json, text/event-stream"], Some(0)),
            (&["*/*, text/event-stream"], Some(2)),
            (&["text/*"], Some(2)),
            (&["text/html, application/xhtml+xml, */*;q=0.8"], Some(0)),
            (&["*/*, application/json;q=0"], Some(1)),
            (&["application/*;q=0.2, text/*;q=0.3"], Some(2)),
            (&["application/json; a=\"x, text/event-stream;q=1\";q=0.1, application/x-ndjson;q=0.2"], Some(1)),
            (&["image/png"], None),
            (&["application/json;q=x"], Some(0)),
        ] {
            assert_eq!(preferred(&headers(ACCEPT, lines), &OFFERS), offer, "{lines:?}");
        }
    }

    #[test]
    fn grpc_web_is_no_grpc() {
        for (kind, grpc) in [
            ("application/grpc", true),
            ("Application/gRPC", true),
            ("application/grpc+proto", true),
            ("application/grpc; a=b", true),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("application/grpc-web-text", false),
            ("application/json", false),
            ("", false),
        ] {
            let headers = headers(CONTENT_TYPE, &[kind]);
            assert_eq!((is_grpc(&headers), is_grpc_web(&headers)), (grpc, kind.contains("-web")), "{kind}");
        }
        assert!(!is_grpc(&HeaderMap::new()) && !is_grpc_web(&HeaderMap::new()));
        for (kind, web) in
            [("application/grpc-web+json; a=b", true), ("Application/gRPC-Web", true), ("application/grpc-webs", false)]
        {
            assert_eq!(is_grpc_web(&headers(CONTENT_TYPE, &[kind])), web, "{kind}");
        }
    }
}
