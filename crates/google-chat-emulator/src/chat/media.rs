//! Uploads that are under way, what comes of them, and who gets it.
//!
//! Everything is uploaded in a session: what comes is added to it, and when that is all, it becomes
//! an [`Upload`]. What is uploaded in one request has a session that nobody is told of.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::{Bytes, BytesMut};
use google_chat::proto::google::chat::v1::AttachmentDataRef;
use http::HeaderMap;
use ring::rand::{SecureRandom, SystemRandom};
use tonic::{Response, Status, metadata::MetadataMap};

use super::{Chat, access, refusal, uploads::Upload};
use crate::lock;

/// The method of uploads.
const UPLOAD: &str = "UploadAttachment";

/// The largest attachment, in bytes. Source: the discovery document of the API.
pub(crate) const LARGEST: u64 = 200 * 1024 * 1024;

/// What is kept of a part that is not the last ends at a multiple of this.
const GRAIN: u64 = 256 * 1024;

/// How long a session lives: a week.
const LIFETIME: Duration = Duration::from_secs(7 * 86_400);

/// What a session takes beside its content, about.
const OVERHEAD: u64 = 1024;

/// Endings of names that Google Chat takes no files of: some of those that its help page "File
/// types blocked by Google Chat" has.
const BLOCKED: [&str; 8] = ["bat", "cmd", "com", "dll", "exe", "jar", "msi", "vbs"];

/// Bytes in the pieces in which they came: to join them would take their memory twice.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    closed: Vec<Bytes>,
    /// The last piece, as long as it has less than [`PIECE`] bytes.
    open: BytesMut,
    len: u64,
}

const PIECE: usize = 64 * 1024;

impl Pieces {
    /// Adds bytes. They are copied, so that no buffer of a connection is kept with them.
    fn push(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len() as u64;
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.open.len()));
            self.open.extend_from_slice(now);
            if self.open.len() == PIECE {
                self.closed.push(std::mem::take(&mut self.open).freeze());
            }
            bytes = later;
        }
    }

    /// Forgets what comes behind `len` bytes.
    fn truncate(&mut self, len: u64) {
        while self.len > len {
            let over = self.len - len;
            if self.open.is_empty() {
                self.open = self.closed.pop().unwrap_or_default().into();
            }
            let left = (self.open.len() as u64).saturating_sub(over);
            self.len -= self.open.len() as u64 - left;
            self.open.truncate(left as usize);
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        if !self.open.is_empty() {
            self.closed.push(self.open.freeze());
        }
        self.closed
    }
}

/// The bytes of pieces from one place to another.
pub(crate) fn slice(pieces: &[Bytes], from: u64, to: u64) -> Vec<Bytes> {
    let mut at = 0;
    let mut found = Vec::new();
    for piece in pieces {
        let end = at + piece.len() as u64;
        let (first, last) = (from.clamp(at, end), to.clamp(at, end));
        if first < last {
            found.push(piece.slice((first - at) as usize..(last - at) as usize));
        }
        at = end;
    }
    found
}

/// The uploads that are under way, by their ids.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    sessions: HashMap<String, Session>,
    bytes: u64,
}

#[derive(Debug)]
struct Session {
    /// What it is to become, without its content.
    upload: Upload,
    begun: SystemTime,
    /// How many bytes there are to be, if that was said.
    total: Option<u64>,
    content: Pieces,
    /// Whether its upload is on the way to the store.
    finishing: bool,
    /// What it became. The last answer may have been lost, so that it is given again.
    done: Option<AttachmentDataRef>,
}

/// How far an upload is.
pub(crate) enum Progress {
    /// So many bytes are there.
    At(u64),
    Done(AttachmentDataRef),
}

/// A session that is forgotten when this is dropped, which happens with a request that ends early,
/// too.
pub(crate) struct Fleeting<'c> {
    chat: &'c Chat,
    pub(crate) id: String,
    stays: bool,
}

impl<'c> Fleeting<'c> {
    pub(crate) fn new(chat: &'c Chat, id: String) -> Self {
        Self { chat, id, stays: false }
    }
}

impl Drop for Fleeting<'_> {
    fn drop(&mut self) {
        if !self.stays {
            self.chat.forget_upload(&self.id);
        }
    }
}

impl Sessions {
    fn find(&mut self, id: &str, now: SystemTime) -> Result<&mut Session, Status> {
        let lives = |session: &Session| now.duration_since(session.begun).is_ok_and(|age| age < LIFETIME);
        let session = self.sessions.get_mut(id).filter(|session| lives(session));
        match session {
            Some(session) if session.finishing => {
                Err(Status::unavailable("The upload is whole and is not kept yet; ask again."))
            }
            Some(session) => Ok(session),
            None => Err(Status::not_found("There is no such upload session, or no more; begin a new one.")),
        }
    }

    /// Forgets the sessions that `keep` does not.
    fn retain(&mut self, keep: impl Fn(&Session) -> bool) {
        self.sessions.retain(|_, session| keep(session));
        self.bytes = self.sessions.values().map(|session| OVERHEAD + session.content.len).sum();
    }
}

/// What a download gives.
pub(crate) struct Download {
    pub(crate) content_type: String,
    pub(crate) etag: String,
    pub(crate) content: Vec<Bytes>,
}

impl Chat {
    /// Begins to upload a file to a space. Returns the session's id.
    ///
    /// # Errors
    ///
    /// What a call of UploadAttachment is refused for, or INVALID_ARGUMENT.
    pub(crate) async fn begin_upload(
        &self,
        headers: &HeaderMap,
        space: &str,
        content_type: &str,
        total: Option<u64>,
    ) -> Result<String, Status> {
        let metadata = MetadataMap::from_headers(headers.clone());
        let (caller, settings) = self.admit(&metadata, UPLOAD, false)?;
        self.run(|store, now| store.find("parent", space, &caller, now).map(drop)).await?;
        let now = self.0.organization.now();
        let upload = Upload {
            token: random()?,
            space: space.to_owned(),
            creator: caller.key(),
            content_type: content_type.to_owned(),
            ..Upload::default()
        };
        let mut sessions = lock(&self.0.sessions);
        sessions.retain(|session| now.duration_since(session.begun).is_ok_and(|age| age < LIFETIME));
        self.check_room(&sessions, OVERHEAD, settings.attachment_bytes)?;
        let id = random()?;
        sessions.bytes += OVERHEAD;
        let session = Session { upload, begun: now, total, content: Pieces::default(), finishing: false, done: None };
        sessions.sessions.insert(id.clone(), session);
        Ok(id)
    }

    /// Sets the name of the file, which may come after its content.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if there is none, or files of such a name are not taken.
    pub(crate) fn name_upload(&self, id: &str, filename: &str) -> Result<(), Status> {
        let ending = filename.rsplit_once('.').unwrap_or_default().1.to_ascii_lowercase();
        if filename.is_empty() {
            let problem = "is required: send it as JSON, in a multipart upload or when a resumable one is begun";
            return Err(refusal::invalid_field("filename", problem));
        }
        if BLOCKED.contains(&&*ending) {
            return Err(refusal::invalid_field("filename", "is that of a file type which is blocked"));
        }
        self.session(id, |session| filename.clone_into(&mut session.upload.filename))
    }

    /// How far a session is.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no session, UNAUTHENTICATED if there is a token that is none. The id
    /// is as good as a token.
    pub(crate) fn upload_progress(&self, headers: &HeaderMap, id: &str) -> Result<(Progress, Option<u64>), Status> {
        if let Some(authorization) = headers.get("authorization") {
            let refused = |refused| refusal::unauthenticated(refused, UPLOAD);
            self.0.issuer.grant(Some(authorization.as_bytes())).map_err(refused)?;
        }
        self.session(id, |session| {
            let progress = match &session.done {
                Some(done) => Progress::Done(done.clone()),
                None => Progress::At(session.content.len),
            };
            (progress, session.total)
        })
    }

    /// Adds bytes to a session that are to stand at `place`; what of them is there already is
    /// passed over.
    ///
    /// # Errors
    ///
    /// If the session is gone, or there is no room.
    pub(crate) fn add_to_upload(&self, id: &str, place: u64, bytes: &[u8]) -> Result<(), Status> {
        let (settings, now) = (self.0.organization.settings(), self.0.organization.now());
        let mut sessions = lock(&self.0.sessions);
        let len = sessions.find(id, now)?.content.len;
        let there = len.checked_sub(place).ok_or_else(|| Status::aborted("Two requests send the same upload."))?;
        let new = bytes.get(usize::try_from(there).unwrap_or(usize::MAX)..).unwrap_or_default();
        self.check_room(&sessions, new.len() as u64, settings.attachment_bytes)?;
        sessions.find(id, now)?.content.push(new);
        sessions.bytes += new.len() as u64;
        Ok(())
    }

    /// Forgets what was added to a session and is not a whole number of grains, since the content
    /// is to go on. Returns how far it is.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no session.
    pub(crate) fn pause_upload(&self, id: &str) -> Result<u64, Status> {
        let now = self.0.organization.now();
        let mut sessions = lock(&self.0.sessions);
        let content = &mut sessions.find(id, now)?.content;
        let before = content.len;
        content.truncate(before / GRAIN * GRAIN);
        let len = content.len;
        sessions.bytes -= before - len;
        Ok(len)
    }

    /// Makes an upload of a session, whose content is there from one place to another. The session
    /// says that it is done when the upload is kept; if that fails, the session is gone.
    ///
    /// # Errors
    ///
    /// If the session is gone, or the store does not take the upload.
    pub(crate) async fn finish_upload(&self, id: &str, from: u64, to: u64) -> Result<AttachmentDataRef, Status> {
        let now = self.0.organization.now();
        let upload = {
            let mut sessions = lock(&self.0.sessions);
            let session = sessions.find(id, now)?;
            if let Some(done) = &session.done {
                return Ok(done.clone());
            }
            session.finishing = true;
            let content = std::mem::take(&mut session.content);
            let (len, upload) = (content.len, session.upload.clone());
            sessions.bytes -= len;
            Upload { content: slice(&content.finish(), from, to), ..upload }
        };
        let mut fleeting = Fleeting::new(self, id.to_owned());
        let data_ref = upload.data_ref();
        self.run(|store, _| store.put_upload(upload)).await?;
        fleeting.stays = true;
        if let Some(session) = lock(&self.0.sessions).sessions.get_mut(id) {
            (session.finishing, session.done) = (false, Some(data_ref.clone()));
        }
        Ok(data_ref)
    }

    /// The first or last bytes of a session's content.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no session.
    pub(crate) fn peek_upload(&self, id: &str, from: u64, to: u64) -> Result<Vec<u8>, Status> {
        self.session(id, |session| {
            let open = Bytes::copy_from_slice(&session.content.open);
            let pieces: Vec<Bytes> = session.content.closed.iter().cloned().chain([open]).collect();
            slice(&pieces, from, to).concat()
        })
    }

    /// Sets the content type of what is uploaded.
    ///
    /// # Errors
    ///
    /// NOT_FOUND if there is no session.
    pub(crate) fn type_upload(&self, id: &str, content_type: &str) -> Result<(), Status> {
        self.session(id, |session| content_type.clone_into(&mut session.upload.content_type))
    }

    /// Forgets a session.
    pub(crate) fn forget_upload(&self, id: &str) {
        let mut sessions = lock(&self.0.sessions);
        if let Some(session) = sessions.sessions.remove(id) {
            sessions.bytes -= OVERHEAD + session.content.len;
        }
    }

    /// Forgets all sessions.
    pub(crate) fn forget_uploads(&self) {
        *lock(&self.0.sessions) = Sessions::default();
    }

    /// The data of an attachment.
    ///
    /// # Errors
    ///
    /// NOT_FOUND, or what the caller is refused for.
    pub(crate) async fn download(&self, headers: &HeaderMap, resource_name: &str) -> Result<Download, Status> {
        let metadata = MetadataMap::from_headers(headers.clone());
        let (caller, _) = self.admit(&metadata, access::DOWNLOAD, false)?;
        let download = self.run(|store, now| {
            let not_found = || refusal::not_found("media", resource_name);
            let token = Upload::token_of(resource_name).ok_or_else(not_found)?;
            let upload = store.upload(&token).cloned().ok_or_else(not_found)?;
            store.find("resource_name", &upload.space, &caller, now)?;
            Ok(Download { content_type: upload.content_type, etag: format!("\"{token}\""), content: upload.content })
        });
        download.await.map(Response::into_inner)
    }

    fn session<T>(&self, id: &str, operation: impl FnOnce(&mut Session) -> T) -> Result<T, Status> {
        let now = self.0.organization.now();
        lock(&self.0.sessions).find(id, now).map(operation)
    }

    fn check_room(&self, sessions: &Sessions, more: u64, limit: u64) -> Result<(), Status> {
        let kept = self.look(|store, _| store.upload_bytes()).unwrap_or_default();
        if kept + sessions.bytes + more <= limit {
            return Ok(());
        }
        let message = format!(
            "The emulator keeps {limit} bytes of attachments at most, and has no room; raise its setting attachmentBytes."
        );
        Err(Status::failed_precondition(message))
    }
}

/// A text that nobody can guess.
fn random() -> Result<String, Status> {
    let mut random = [0; 18];
    let filled = SystemRandom::new().fill(&mut random);
    filled.map_err(|_| Status::internal("The system gives no random bytes."))?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_cut_where_that_is_asked_for() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3 * PIECE + 100).collect();
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 99, 3 * PIECE + 100, 4 * PIECE] {
            let mut pieces = Pieces::default();
            bytes.chunks(70_001).for_each(|piece| pieces.push(piece));
            pieces.truncate(len as u64);
            let left = len.min(bytes.len());
            assert_eq!(pieces.len, left as u64);
            pieces.push(b"abc");
            let whole = pieces.finish();
            assert_eq!(whole.concat(), [&bytes[..left], b"abc"].concat(), "{len}");
            assert_eq!(slice(&whole, 1, left as u64).concat(), bytes[..left].get(1..).unwrap_or_default());
        }
    }
}
