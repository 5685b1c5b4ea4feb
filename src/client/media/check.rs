//! What is certain to fail, found before anything is sent; and what content is by its name.

/// Endings of names that Google Chat takes no files of: those that its help page "File types blocked
/// by Google Chat" has always had. The page grows, so that the server may refuse more.
const BLOCKED: [&str; 36] = [
    "ade", "adp", "bat", "chm", "cmd", "com", "cpl", "dll", "dmg", "exe", "hta", "ins", "isp", "jar", "js", "jse",
    "lib", "lnk", "mde", "msc", "msi", "msp", "mst", "nsh", "pif", "scr", "sct", "shb", "sys", "vb", "vbe", "vbs",
    "vxd", "wsc", "wsf", "wsh",
];

/// The content types of everyday files, by the endings of their names.
const TYPES: [(&str, &str); 32] = [
    ("avif", "image/avif"),
    ("bmp", "image/bmp"),
    ("css", "text/css"),
    ("csv", "text/csv"),
    ("doc", "application/msword"),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    ("gif", "image/gif"),
    ("gz", "application/gzip"),
    ("heic", "image/heic"),
    ("htm", "text/html"),
    ("html", "text/html"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("json", "application/json"),
    ("log", "text/plain"),
    ("m4a", "audio/mp4"),
    ("md", "text/markdown"),
    ("mov", "video/quicktime"),
    ("mp3", "audio/mpeg"),
    ("mp4", "video/mp4"),
    ("pdf", "application/pdf"),
    ("png", "image/png"),
    ("ppt", "application/vnd.ms-powerpoint"),
    ("pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
    ("svg", "image/svg+xml"),
    ("txt", "text/plain"),
    ("wav", "audio/wav"),
    ("webm", "video/webm"),
    ("webp", "image/webp"),
    ("xls", "application/vnd.ms-excel"),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("zip", "application/zip"),
];

fn ending(filename: &str) -> String {
    filename.rsplit_once('.').unwrap_or_default().1.to_ascii_lowercase()
}

/// The content type of a file by its name; that of any bytes if the name does not tell.
pub(super) fn content_type(filename: &str) -> &'static str {
    let ending = ending(filename);
    TYPES.iter().find(|(known, _)| *known == ending).map_or("application/octet-stream", |(_, kind)| kind)
}

/// What is wrong with the name of a file that is to be uploaded.
pub(super) fn filename(name: &str) -> Option<String> {
    let ending = ending(name);
    if name.trim().is_empty() {
        Some("is required: the file's name with its ending, such as report.pdf".to_owned())
    } else if name.contains(char::is_control) {
        Some("has a control character".to_owned())
    } else if BLOCKED.contains(&&*ending) {
        Some(format!(
            "ends in .{ending}, and Google Chat takes no such files; put the file into Google Drive and link it"
        ))
    } else {
        None
    }
}

/// Whether a text is a media type: type, subtype and perhaps parameters, as RFC 9110 has them in
/// section 8.3.1. Whatever it holds, it is one header's value.
pub(super) fn is_media_type(text: &str) -> bool {
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let (kind, subtype) = essence.trim_end().split_once('/').unwrap_or_default();
    let fine = |byte: u8| byte == b'\t' || (b' '..0x7f).contains(&byte);
    is_token(kind) && is_token(subtype) && parameters.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_the_content_type() {
        for (name, kind) in [
            ("photo.PNG", "image/png"),
            ("a.tar.gz", "application/gzip"),
            ("png", "application/octet-stream"),
            ("a.", "application/octet-stream"),
            (".txt", "text/plain"),
        ] {
            assert_eq!(content_type(name), kind, "{name}");
        }
        assert!(TYPES.is_sorted() && BLOCKED.is_sorted());
        assert!(TYPES.iter().all(|(ending, kind)| is_media_type(kind) && !BLOCKED.contains(ending)));
    }

    #[test]
    fn names_that_cannot_be_taken_are_refused() {
        for (name, problem) in [
            ("a b é.pdf", None),
            ("exe", None),
            ("", Some("is required")),
            ("  ", Some("is required")),
            ("a\nb", Some("has a control character")),
            ("setup.EXE", Some("ends in .exe")),
        ] {
            let found = filename(name);
            assert_eq!(found.is_some(), problem.is_some(), "{name:?}: {found:?}");
            assert!(found.unwrap_or_default().starts_with(problem.unwrap_or_default()), "{name:?}");
        }
    }

    #[test]
    fn a_media_type_has_a_type_and_a_subtype() {
        for text in ["image/png", "text/plain; charset=utf-8", "application/vnd.a+b", "a/b;c=\"d e\""] {
            assert!(is_media_type(text), "{text}");
        }
        for text in ["", "png", "image/", "/png", "a/b/c", "a /b", "a/b\r\nx: y", "a/b; c=\nd", "é/b"] {
            assert!(!is_media_type(text), "{text:?}");
        }
    }
}
