//! `gchat messages send`.

use std::path::PathBuf;

use google_chat::{
    CreateMessageRequest, Message,
    proto::google::chat::v1::{Thread, create_message_request::MessageReplyOption},
};
use serde_json::json;

use super::content::Content;
use crate::{
    connection::Connection,
    failure::Failure,
    output::{self, Output},
};

pub(super) const HELP: &str = "\
Examples:
  gchat messages send spaces/AAQAjCNSsU0 \"The build is green.\"
  make test 2>&1 | tail -n 20 | gchat messages send spaces/AAQAjCNSsU0 -
  gchat messages send spaces/AAQAjCNSsU0 \"It is fast again.\" \\
      --thread-key incident-7
  gchat messages send spaces/AAQAjCNSsU0 \"The report\" --attach report.pdf
  gchat messages send spaces/AAQAjCNSsU0 --card alert.json \\
      --message-id client-alert-7

Once:
  A message that is sent again with the same --request-id is the same message.
  Without one gchat makes one up for its own attempts; where it is unclear
  whether the message was sent, the error has it.";

#[derive(clap::Args)]
pub(crate) struct Send {
    /// The space: spaces/{space}
    space: String,
    #[command(flatten)]
    content: Content,
    /// A file to attach; can be repeated. Needs a user's credentials
    #[arg(long, value_name = "FILE", help_heading = "Message")]
    attach: Vec<PathBuf>,
    /// Reply in this thread: spaces/{space}/threads/{thread}
    #[arg(long, value_name = "THREAD", help_heading = "Thread")]
    thread: Option<String>,
    /// Reply in the thread to which the caller gave this key, or begin it
    #[arg(long, value_name = "KEY", help_heading = "Thread", conflicts_with = "thread")]
    thread_key: Option<String>,
    /// Fail where the thread is not there, rather than begin a new one
    #[arg(long, help_heading = "Thread")]
    reply_or_fail: bool,
    /// The id of the message in its name, which begins with client-
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// In import mode, the time when the original was sent (RFC 3339)
    #[arg(long, value_name = "TIME")]
    create_time: Option<String>,
    /// The id of the request; sent again, it makes no second message
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    /// How to print the message [default: table on a terminal, else json]
    #[arg(long, value_enum)]
    output: Option<Output>,
    #[command(flatten)]
    connection: Connection,
}

pub(super) async fn run(args: Send) -> Result<(), Failure> {
    let mut message = args.content.message()?;
    if message == Message::default() && args.attach.is_empty() {
        return Err(Failure::usage("there is nothing to send; give a text, --file, --card or --attach"));
    }
    if let Some(time) = &args.create_time {
        let given: Message = output::schema()
            .from_json(json!({"createTime": time}).to_string())
            .map_err(|error| Failure::usage("--create-time").because(error))?;
        message.create_time = given.create_time;
    }
    if args.reply_or_fail && args.thread.is_none() && args.thread_key.is_none() {
        return Err(Failure::usage("--reply-or-fail needs a thread: add --thread or --thread-key"));
    }
    let mut request = CreateMessageRequest {
        request_id: args.request_id.unwrap_or_default(),
        message_id: args.message_id.unwrap_or_default(),
        ..CreateMessageRequest::of(args.space, Message::default())
    };
    if args.thread.is_some() || args.thread_key.is_some() {
        let (name, thread_key) = (args.thread.unwrap_or_default(), args.thread_key.unwrap_or_default());
        message.thread = Some(Thread { name, thread_key });
        // Unless an option is set, the API begins a new thread in any case.
        request.set_message_reply_option(match args.reply_or_fail {
            true => MessageReplyOption::ReplyMessageOrFail,
            false => MessageReplyOption::ReplyMessageFallbackToNewThread,
        });
    }
    let client = args.connection.client()?;
    for file in &args.attach {
        let uploaded = client.upload_file(&request.parent, file).await;
        let uploaded =
            uploaded.map_err(|error| Failure::from(error).and(&format!("{} was not sent", file.display())))?;
        message.attachment.push(uploaded.into());
    }
    request.message = Some(message);
    let message = client.create_message(request).timeout(args.connection.timeout()).await?;
    output::print(&message, Output::or_usual(args.output))
}
